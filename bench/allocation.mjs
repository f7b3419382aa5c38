// Why methods of flicker sparsify differ: score, cut and allocation of the level, one changed at a time, on one model and one text.
// Perplexity on held-out text, every position cut, beside the weights that were not needed.
//   node bench/allocation.mjs --model DIR --calibrate TEXT --held-out TEXT [--levels 0.25,0.4,0.5] [--tokens 32768]
//     [--measure 16384] [--threads N]

import { parseArgs } from 'node:util'
import { openModel } from '../dist/formats/index.js'
import { setThreads } from '../dist/kernels/index.js'
import { matricesOf } from '../dist/nn/cuts.js'
import { cutsAt, LayerCutter, scoreLimits } from '../dist/sparsify/cut-layer.js'
import { levelsAt } from '../dist/sparsify/greedy.js'
import { METHODS } from '../dist/sparsify/methods.js'
import { readTexts, Sparsifier } from '../dist/sparsify/sparsify.js'
import { INPUT_OF } from '../dist/sparsify/statistics.js'

const { values: flags } = parseArgs({
  options: {
    model: { type: 'string' },
    calibrate: { type: 'string' },
    'held-out': { type: 'string' },
    levels: { type: 'string', default: '0.25,0.4,0.5' },
    tokens: { type: 'string', default: '32768' },
    measure: { type: 'string', default: '16384' },
    threads: { type: 'string' },
  },
})
for (const name of ['model', 'calibrate', 'held-out']) {
  if (flags[name] === undefined) throw new Error(`give --${name}`)
}
if (flags.threads !== undefined) setThreads(Number(flags.threads))
const levels = flags.levels.split(',').map(Number)
const source = openModel(flags.model)
const { config } = source
const texts = readTexts(source.tokenizer(), config, {
  calibrate: flags.calibrate,
  heldOut: flags['held-out'],
  tokens: Number(flags.tokens),
  measureTokens: Number(flags.measure),
})
const sparsifier = new Sparsifier(source, texts)
const layers = sparsifier.calibrate(['teal', 'wina', 'rsparse'], levels)
const matrices = matricesOf(config)
const uniform = level => layers.map(() => Object.fromEntries(matrices.map(matrix => [matrix, level])))
const greedy = (method, level) => layers.map(({ paths }) => levelsAt(paths[method], level))

/** Cuts of the inputs, without a low-rank term, as `method` makes them at these levels. */
const inputs = (method, perLayer) =>
  layers.map((layer, i) => ({
    neurons: null,
    inputs: new LayerCutter(config, layer, method).inputs(perLayer[i]),
  }))

/** Thresholds for |x_j| · ‖W[:, j]‖ of every matrix, without a low-rank term. */
const byNorm = perLayer =>
  layers.map(({ channels, columnNorms }, i) => ({
    neurons: null,
    inputs: Object.fromEntries(
      matrices.map(matrix => [
        matrix,
        {
          kind: 'threshold',
          limits: scoreLimits(channels[INPUT_OF[matrix]], columnNorms[matrix], perLayer[i][matrix] ?? 0),
        },
      ]),
    ),
  }))

const { teal, wina, rsparse } = METHODS
const VARIANTS = {
  'TEAL: |x|, threshold, levels searched': level => cutsAt(config, layers, teal, level).cuts,
  '|x|, threshold, one level': level => inputs(teal, uniform(level)),
  '|x|·norm, threshold, one level': level => byNorm(uniform(level)),
  "|x|·norm, threshold, TEAL's levels": level => byNorm(greedy('teal', level)),
  'R-Sparse: |x|·norm, threshold, one level, low-rank term': level =>
    cutsAt(config, layers, rsparse, level).cuts,
  'WINA: |x|·norm in k and gate, top, levels searched': level => cutsAt(config, layers, wina, level).cuts,
  '|x|, top, TEAL’s levels': level => inputs({ ...teal, cut: 'top' }, greedy('teal', level)),
  '|x|, top, one level': level => inputs({ ...teal, cut: 'top' }, uniform(level)),
}

const percent = part => `${(100 * part).toFixed(1)} %`
console.log(`without cuts: perplexity ${sparsifier.measure(null, '').perplexity.toFixed(3)}`)
for (const level of levels) {
  const shares = layers.map(({ lowRank = {} }) =>
    matrices.map(matrix => `${matrix} ${(lowRank[matrix]?.shares.get(level) ?? 1).toFixed(2)}`).join(' '),
  )
  console.log(`\nlevel ${level}; share of R-Sparse's budget that channels get:\n  ${shares.join('\n  ')}`)
  for (const [name, cuts] of Object.entries(VARIANTS)) {
    const { perplexity, weightsSkipped } = sparsifier.measure(cuts(level), '')
    console.log(`${perplexity.toFixed(3).padStart(9)}  ${percent(weightsSkipped).padStart(7)}  ${name}`)
  }
}
source.close()
