// `flicker sparsity`: what the activations of a model show on a text, and what perplexity the neurons cost that could be
// left out. Sources of the measures: docs/sparsify.md.

import { parseActivation } from '../../activations/index.js'
import type { VectorObserver } from '../../engine/attention/attention.js'
import { EngineModel, type EngineOptions } from '../../engine/index.js'
import { CorpusError, OptionError } from '../../errors.js'
import type { ModelSource } from '../../formats/index.js'
import { kernels } from '../../kernels/index.js'
import { machineInfo } from '../../kernels/machine-info.js'
import type { ModelConfig } from '../../nn/config.js'
import type { LayerCuts } from '../../nn/cuts.js'
import type { LayerPredictor, Predictor } from '../../nn/predictor.js'
import { leftOutAt } from '../error-curve.js'
import { METHODS, requireApplicable } from '../methods.js'
import { type Progress, readTexts, requireUncut, Sparsifier, type TextOptions } from '../sparsify.js'
import { countedMagnitudes, type LayerStatistics } from '../statistics.js'
import { type Activity, ActivityCounter, MOST_WINDOW } from './activity.js'
import { type ApproximateDecoding, measureApproximate } from './approximate.js'
import { LayerRecord, type PredictorQuality, trainPredictor } from './train-predictor.js'

/** CETT below which a neuron counts as inactive where the activation is nowhere 0 (ReLU² wins: the bend of the curves). */
const INACTIVE_ERROR = 0.2
/** Errors whose perplexity is measured, and fractions of neurons kept by |h|. */
const ERRORS = [0.05, 0.1, 0.2, 0.3, 0.4, 0.5]
const KEPT = [0.05, 0.1, 0.2, 0.3, 0.5, 0.7]
/** Rises of perplexity whose sparsity is searched for, and how closely the error is. */
const RISES = [0.01, 0.05]
const SEARCH_STEPS = 9
const QUANTILES = [0.1, 0.25, 0.5, 0.75, 0.9, 0.99]
/** Tokens whose text and active neurons are shown. */
const SHOWN_TOKENS = 96
const REUSE = [4, 16]
const DECODED_TOKENS = 512
const RECALL = 0.95
/** Rows that a predictor is trained on, at most. */
const PREDICTOR_ROWS = 8192

export interface LabOptions extends Omit<TextOptions, 'calibrate'>, Progress {
  /** The text that statistics are taken from; what follows it is measured on, unless `heldOut` is given. */
  readonly text: string
  /** γ of re-use that are measured. Default REUSE. */
  readonly reuse?: readonly number[]
  /** Held-out tokens that approximate decoding is measured on, one at a time; 0 leaves it out. Default DECODED_TOKENS. */
  readonly decodeTokens?: number
  /** Train a predictor of active neurons, of this rank and recall. Default: none. */
  readonly predictor?: PredictorOptions
}

export interface PredictorOptions {
  /** Default: an eighth of the width, at least 4. */
  readonly rank?: number
  /** Fraction of the active neurons that it is to find, in (0, 1). Default 0.95. */
  readonly recall?: number
}

/** One layer's measures. */
export interface LayerMeasures extends Activity {
  /** Fraction of hidden values that are exactly 0. */
  readonly exactZeros: number
  /** Quantiles of |h| at QUANTILES. */
  readonly quantiles: readonly number[]
  /** CETT over the fraction of neurons left out. */
  readonly errorCurve: { readonly fractions: readonly number[]; readonly errors: readonly number[] }
}

export type LabResults = ReturnType<typeof measureSparsity>

/**
 * Throws OptionError METHOD_FFN for an FFN whose hidden values cannot be cut, HELD_OUT_MISSING, CALIBRATION_MEMORY,
 * MODEL_MEMORY; CorpusError.
 */
export function measureSparsity(source: ModelSource, options: LabOptions) {
  const { config } = source
  requireApplicable(METHODS.cett, config)
  requireUncut(source)
  const tokenizer = source.tokenizer()
  const texts = readTexts(tokenizer, config, { ...options, calibrate: options.text })
  const { heldOut, context, calibration } = texts
  if (context < MOST_WINDOW || calibration.tokens.length < context) {
    throw new CorpusError(
      'CORPUS_TOO_SHORT',
      `activity is counted in windows of ${MOST_WINDOW} tokens: the context is ${context}, the text ${calibration.tokens.length} tokens`,
    )
  }
  if (heldOut === null) {
    throw new OptionError(
      'HELD_OUT_MISSING',
      'too little text follows the first part to measure on; give --held-out FILE or fewer --tokens',
    )
  }
  const sparsifier = new Sparsifier(source, texts, options)
  const training = options.predictor && new PredictorTraining(config, options.predictor)
  const statistics = sparsifier.calibrate(['cett'], [1], training)
  const dense = sparsifier.measure(null, 'measuring the model')
  if (dense === null) throw new OptionError('HELD_OUT_MISSING', 'there is no held-out text')

  const measure = (cuts: LayerCuts[], label: string) => {
    const { perplexity, levels } = sparsifier.measure(cuts, label) ?? dense
    const mean = levels.reduce((sum, level) => sum + (level.down ?? 0), 0) / levels.length
    return { perplexity, sparsity: mean, perLayer: levels.map(level => level.down ?? 0) }
  }
  const byError = ERRORS.map(error => ({
    error,
    ...measure(cutsAtError(statistics, error), `measuring CETT ${error}`),
  }))
  const byKept = KEPT.map(kept => {
    const keep = Math.max(1, Math.round(kept * config.intermediateSize))
    const cuts = statistics.map(
      (): LayerCuts => ({ neurons: null, inputs: { down: { kind: 'top', keep, scale: null } } }),
    )
    return { kept, ...measure(cuts, `measuring the largest ${100 * kept} %`) }
  })
  const atRise = RISES.map(rise => {
    let [low, high] = [0, 1]
    let best = { error: 0, ...measure(cutsAtError(statistics, 0), 'searching') }
    for (let step = 0; step < SEARCH_STEPS; step++) {
      const error = (low + high) / 2
      const found = measure(
        cutsAtError(statistics, error),
        `searching the sparsity at +${100 * rise} % perplexity`,
      )
      if (found.perplexity <= (1 + rise) * dense.perplexity) {
        low = error
        best = { error, ...found }
      } else high = error
    }
    return { rise, ...best }
  })
  const { exactZeros } = parseActivation(config.activation)
  const { decodeTokens = DECODED_TOKENS, reuse = REUSE } = options
  const decoding: (ApproximateDecoding & ({ reuse: number } | { rank: number }))[] = []
  if (exactZeros && decodeTokens > 0) {
    const tokens = heldOut.subarray(0, Math.max(decodeTokens, context) + 1)
    const exact = sparsifier.engine(null)
    const decode = (more: Pick<EngineOptions, 'reuse' | 'predictor'>, label: string) => {
      options.onProgress?.(`decoding with ${label}`, 0, 1)
      const approximate = sparsifier.engine(null, more)
      const measured = measureApproximate(exact, approximate, kernels(), tokens, context)
      approximate.dispose()
      return measured
    }
    for (const gamma of reuse) decoding.push({ reuse: gamma, ...decode({ reuse: gamma }, `re-use ${gamma}`) })
    if (training !== undefined) {
      const { predictor } = training
      decoding.push({ rank: predictor.rank, ...decode({ predictor }, 'the predictor') })
    }
    exact.dispose()
  }
  const { counters, shown } = countActivity(source, statistics, calibration.tokens, context)
  const layers = statistics.map((layer, i): LayerMeasures => {
    const { curve } = layer
    const hidden = countedMagnitudes(layer, 'hidden')
    const errors = [...(curve?.errors ?? [])]
    return {
      ...counters[i].counter.result(),
      exactZeros: counters[i].zeros / (counters[i].tokens * config.intermediateSize),
      quantiles: QUANTILES.map(p => hidden.quantile(p)),
      errorCurve: { fractions: errors.map((_, point) => point / (errors.length - 1)), errors },
    }
  })
  return {
    kind: 'sparsity-lab' as const,
    model: { path: source.path, config },
    machine: machineInfo(),
    text: { sha256: calibration.sha256, tokens: calibration.tokens.length },
    heldOut: { tokens: dense.tokens, context, prompt: 'all' as const },
    /** How a neuron counts as active. */
    activeWhere: parseActivation(config.activation).exactZeros
      ? ('its hidden value is not exactly 0' as const)
      : (`its contribution is above the limit at which CETT is ${INACTIVE_ERROR}` as const),
    perplexity: dense.perplexity,
    quantileLevels: QUANTILES,
    byError,
    byKept,
    atRise,
    layers,
    /** Decoding that computes some neurons alone, against exact decoding of the same tokens. */
    decoding,
    /** Per layer, on tokens that the predictor was not trained on; null without one. */
    predictor: training === undefined ? null : { rank: training.predictor.rank, layers: training.qualities },
    /** The predictor itself, for a file; not part of results.json. */
    trained: training?.predictor,
    shown: {
      texts: shown.tokens.map(token => tokenizer.decode([token])),
      /** Per layer, the active fraction at each token shown. */
      active: shown.active,
    },
  }
}

/** Trains a predictor for each layer as soon as the text has gone through it. */
class PredictorTraining {
  readonly qualities: PredictorQuality[] = []
  readonly #layers: LayerPredictor[] = []
  readonly #rank: number
  readonly #recall: number
  #record = new LayerRecord(PREDICTOR_ROWS)

  /** Throws OptionError SELECTOR_ACTIVATION, PREDICTOR_RANGE. */
  constructor(config: ModelConfig, options: PredictorOptions) {
    const { rank = Math.max(4, Math.floor(config.hiddenSize / 8)), recall = RECALL } = options
    if (!parseActivation(config.activation).exactZeros) {
      throw new OptionError(
        'SELECTOR_ACTIVATION',
        `a predictor learns which neurons are exactly 0, and ${config.activation} is nowhere; train the model to be sparse first`,
      )
    }
    if (!(Number.isInteger(rank) && rank >= 1 && rank <= config.hiddenSize && recall > 0 && recall < 1)) {
      throw new OptionError(
        'PREDICTOR_RANGE',
        `a predictor has a rank from 1 to ${config.hiddenSize} and a recall above 0 and below 1, not ${rank} and ${recall}`,
      )
    }
    this.#rank = rank
    this.#recall = recall
  }

  readonly observer: VectorObserver = (vector, _, values, rows, width) => {
    if (vector === 'ffn') this.#record.addInput(values, rows, width)
    if (vector === 'gate') this.#record.addActivated(values, rows, width)
  }

  readonly done = (layer: number): void => {
    const options = { rank: this.#rank, recall: this.#recall, layer, kernels: kernels() }
    const { predictor, quality } = trainPredictor(this.#record, options)
    this.#layers.push(predictor)
    this.qualities.push(quality)
    this.#record = new LayerRecord(PREDICTOR_ROWS)
  }

  get predictor(): Predictor {
    return { rank: this.#rank, layers: this.#layers }
  }
}

/** One CETT for all layers: hidden values below ε / ‖W_down[:, j]‖ are cut. */
export function cutsAtError(statistics: readonly LayerStatistics[], error: number): LayerCuts[] {
  return statistics.map(layer => ({
    neurons: null,
    inputs: { down: { kind: 'threshold', limits: limitsAt(layer, error) } },
  }))
}

function limitsAt({ curve, downLengths }: LayerStatistics, error: number): Float32Array {
  const epsilon = curve === null ? 0 : leftOutAt(curve, error).epsilon
  return downLengths.map(length => (length === 0 ? 0 : epsilon / length))
}

interface Counter {
  readonly counter: ActivityCounter
  zeros: number
  tokens: number
}

/** The text through the uncut model, window by window; every window is a text of its own. */
function countActivity(
  source: ModelSource,
  statistics: readonly LayerStatistics[],
  tokens: Int32Array,
  context: number,
): { counters: Counter[]; shown: { tokens: number[]; active: number[][] } } {
  const { config } = source
  const h = config.intermediateSize
  const { exactZeros } = parseActivation(config.activation)
  const limits = statistics.map(layer => (exactZeros ? new Float32Array(h) : limitsAt(layer, INACTIVE_ERROR)))
  const counters = statistics.map((): Counter => ({ counter: new ActivityCounter(h), zeros: 0, tokens: 0 }))
  const active: number[][] = statistics.map(() => [])
  const engine = new EngineModel(config, source, {
    // Cuts that apply nowhere: the layout that shows hidden values.
    cuts: cutsAtError(statistics, 0),
    kernels: kernels(),
    observer: (vector, layer, values, rows, width) => {
      if (vector !== 'hidden') return
      const of = counters[layer]
      for (let row = 0; row < rows; row++) {
        const own = values.subarray(row * width, (row + 1) * width)
        const count = of.counter.add(own, limits[layer])
        if (active[layer].length < SHOWN_TOKENS) active[layer].push(count / h)
        for (const value of own) if (value === 0) of.zeros++
        of.tokens++
      }
    },
  })
  for (let start = 0; start + context <= tokens.length; start += context) {
    for (const { counter } of counters) counter.startText()
    engine.session({ sparseFrom: context }).prefill(tokens.subarray(start, start + context))
  }
  engine.dispose()
  return { counters, shown: { tokens: [...tokens.subarray(0, Math.min(SHOWN_TOKENS, context))], active } }
}
