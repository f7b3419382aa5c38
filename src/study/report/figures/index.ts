// The figures, each a function from what it shows to an SVG; reports pick from them.

export { decodeSpeed, speedCaption } from './decode-speed.js'
export type { FigureOptions } from './figure.js'
export { layerSparsity, layerSparsityCaption, layerSparsityScale } from './layer-sparsity.js'
export { legend, swatch } from './legend.js'
export { type LossPart, lossCaption, lossCurves } from './loss-curves.js'
export { lossRanking, lossRankingCaption } from './loss-ranking.js'
export { qualityAgainstSparsity, qualityCaption } from './quality-against-sparsity.js'
export { sparsityCaption, sparsityOverTraining } from './sparsity-over-training.js'
