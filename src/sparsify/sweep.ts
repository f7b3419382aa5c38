// `flicker sparsify --sweep`: all methods over levels on held-out text, from one calibration: perplexity, counted sparsity,
// levels of matrices, decoding speed.

import type { EngineModel } from '../engine/index.js'
import { Session } from '../engine/index.js'
import { FlickerError, OptionError } from '../errors.js'
import type { ModelSource } from '../formats/index.js'
import { machineInfo } from '../kernels/machine-info.js'
import { median } from '../statistics.js'
import { cutsAt } from './cut-layer.js'
import type { Levels } from './greedy.js'
import { METHODS, type MethodName, requireApplicable, requireLevel } from './methods.js'
import { readTexts, requireUncut, Sparsifier, type SparsifyOptions } from './sparsify.js'

export const DEFAULT_LEVELS = [0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9]
/** Tokens decoded, dense and cut alternately, for the speed of a point; some more come before. */
const SPEED_TOKENS = 24
const SPEED_WARM_UP = 4

export interface SweepOptions
  extends Pick<
    SparsifyOptions,
    'calibrate' | 'tokens' | 'heldOut' | 'measureTokens' | 'context' | 'dtype' | 'memory' | 'onProgress'
  > {
  readonly methods: readonly MethodName[]
  /** Each between 0 and 1, ascending. */
  readonly levels: readonly number[]
}

export interface SweepPoint {
  readonly method: MethodName
  /** As asked for: of neurons or of weights, as the method counts. */
  readonly level: number
  readonly perplexity: number
  /** Mean negative log-likelihood per token, nats. */
  readonly loss: number
  /** Fraction of the layers' weights not needed, counted per token. */
  readonly weightsSkipped: number
  /** Counted zeros at the input of each matrix, per layer. */
  readonly measuredLevels: readonly Levels[]
  /** Tokens per second of decoding over those of the dense model, medians of alternate tokens. */
  readonly speedRatio: number
}

export type SweepResults = ReturnType<typeof sweep>

/**
 * Throws OptionError SPARSITY_RANGE, METHOD_FFN (a method that cannot cut this model), HELD_OUT_MISSING, and what `sparsify`
 * throws; writes nothing.
 */
export function sweep(source: ModelSource, options: SweepOptions) {
  const { methods, levels } = options
  for (const level of levels) requireLevel(level)
  for (const name of methods) requireApplicable(METHODS[name], source.config)
  requireUncut(source)
  const texts = readTexts(source.tokenizer(), source.config, options)
  if (texts.heldOut === null) {
    throw new OptionError(
      'HELD_OUT_MISSING',
      'too little text follows the calibration text to measure on; give --held-out FILE or fewer --tokens',
    )
  }
  const sparsifier = new Sparsifier(source, texts, options)
  const dense = sparsifier.measure(null, 'measuring the model')
  const statistics = sparsifier.calibrate(methods, levels)
  const denseEngine = sparsifier.engine(null)
  const points: SweepPoint[] = []
  for (const method of methods) {
    for (const level of levels) {
      const { cuts } = cutsAt(source.config, statistics, METHODS[method], level)
      const measured = sparsifier.measure(cuts, `measuring ${method} at ${level}`)
      if (measured === null || dense === null)
        throw new FlickerError('HELD_OUT_MISSING', 'there is no held-out text')
      const cutEngine = sparsifier.engine(cuts)
      points.push({
        method,
        level,
        perplexity: measured.perplexity,
        loss: measured.loss,
        weightsSkipped: measured.weightsSkipped,
        measuredLevels: measured.levels,
        speedRatio: speedRatio(denseEngine, cutEngine, texts.heldOut),
      })
      cutEngine.dispose()
    }
  }
  denseEngine.dispose()
  return {
    kind: 'sparsify-sweep' as const,
    approximate: true as const,
    model: { path: source.path, config: source.config },
    machine: machineInfo(),
    calibration: { sha256: texts.calibration.sha256, tokens: texts.calibration.tokens.length },
    heldOut: { tokens: dense?.tokens ?? 0, context: texts.context, prompt: 'all' as const },
    dense: { perplexity: dense?.perplexity ?? 0, loss: dense?.loss ?? 0 },
    points,
  }
}

/** Both decode the same tokens alternately. */
function speedRatio(dense: EngineModel, cut: EngineModel, text: Int32Array): number {
  const room = dense.config.maxPositionEmbeddings
  const count = Math.min(SPEED_WARM_UP + SPEED_TOKENS, room, text.length)
  const runs = [dense, cut].map(model => ({ session: model.session(), seconds: [] as number[] }))
  for (let i = 0; i < count; i++) {
    for (const { session, seconds } of runs) {
      const begin = performance.now()
      Session.stepTogether([session], [text[i]])
      if (i >= SPEED_WARM_UP) seconds.push(performance.now() - begin)
    }
  }
  return median(runs[0].seconds) / median(runs[1].seconds)
}
