// What a study measures of one trained model: quality and sparsity on held-out text, decoding speed, samples.

import type { PreparedData } from '../data/prepare.js'
import { tokenByteLengths } from '../data/tokens.js'
import { bytesRead, type GenerateOptions, type LanguageModel, load } from '../engine/index.js'
import { Evaluator } from '../eval/evaluate.js'
import { kernels } from '../kernels/index.js'
import { comparePaired } from '../paired-measurement.js'
import { mean, median } from '../statistics.js'
import type { TrainedRun, TrainingOptions } from '../train/index.js'
import type { Recipe } from './recipe.js'
import type { DecodeSpeed, RunResult, Sample } from './results.js'

/** Passes that are not counted. */
const WARM_UP_PASSES = 4

type MeasureOptions = Recipe['measure'] & {
  readonly prompt: string
  readonly training: TrainingOptions
  readonly signal?: AbortSignal
}

export async function measureRun(
  trained: TrainedRun,
  data: PreparedData,
  options: MeasureOptions,
): Promise<Pick<RunResult, 'final' | 'speed' | 'samples'>> {
  const { training } = options
  const final = new Evaluator(kernels()).run(
    trained.model,
    { tokens: data.validation, byteLengths: tokenByteLengths(data.tokenizer) },
    {
      activation: trained.inference,
      step: training.steps,
      context: training.context,
      batchSize: training.batchSize,
      maxTokens: options.evalTokens,
      seed: training.seed,
    },
  )
  const speed: DecodeSpeed[] = []
  for (const dtype of options.dtypes) speed.push(await decodeSpeed(trained, dtype, options))
  return { final, speed, samples: await samples(trained, options) }
}

/** Tokens per second of greedy decoding; dense and sparse passes alternate, and are compared pair by pair. */
async function decodeSpeed(
  trained: TrainedRun,
  dtype: DecodeSpeed['dtype'],
  options: MeasureOptions,
): Promise<DecodeSpeed> {
  const { prompt, decodeTokens, decodePasses: pairs, training, signal } = options
  const dense = await load(trained.checkpoint, { dtype, ffn: 'dense' })
  const room = training.context - dense.tokenizer.encode(prompt).length
  const maxTokens = Math.min(decodeTokens + 1, room)
  const generating = { maxTokens, temperature: 0, signal }
  const rate = (model: LanguageModel) => () => decodeRate(model, prompt, generating)
  try {
    if (!trained.inference.exactZeros) {
      const rates: number[] = []
      for (let pass = 0; pass < WARM_UP_PASSES + pairs; pass++) rates.push(await rate(dense)())
      const denseBytes = await bytesPerToken(dense, prompt, generating)
      const speeds = { dense: median(rates.slice(WARM_UP_PASSES)), sparse: null, ratio: null }
      return { dtype, ...speeds, passes: pairs, denseBytes, sparseBytes: null }
    }
    const sparse = await load(trained.checkpoint, { dtype, ffn: 'sparse' })
    try {
      const both = await comparePaired(rate(dense), rate(sparse), { warmUp: WARM_UP_PASSES, pairs })
      return {
        dtype,
        dense: both.first,
        sparse: both.second,
        ratio: both.ratio,
        passes: pairs,
        denseBytes: await bytesPerToken(dense, prompt, generating),
        sparseBytes: await bytesPerToken(sparse, prompt, generating),
      }
    } finally {
      sparse.dispose()
    }
  } finally {
    dense.dispose()
  }
}

/** Tokens per second after the first new token, which ends the prompt's own pass. */
async function decodeRate(model: LanguageModel, prompt: string, options: GenerateOptions): Promise<number> {
  let tokens = 0
  let started = performance.now()
  for await (const _ of model.generate(prompt, { ...options, ignoreEos: true })) {
    if (tokens === 0) started = performance.now()
    tokens++
  }
  return ((tokens - 1) / (performance.now() - started)) * 1000
}

/** Mean of what each token after the first new one reads. */
async function bytesPerToken(
  model: LanguageModel,
  prompt: string,
  options: GenerateOptions,
): Promise<number> {
  const read: number[] = []
  for await (const { pass } of model.generate(prompt, { ...options, ignoreEos: true }))
    read.push(bytesRead(pass))
  return mean(read.slice(1))
}

/** One text sampled at a temperature, one greedy, and one per seed with the activation drawn while decoding. */
async function samples(trained: TrainedRun, options: MeasureOptions): Promise<Sample[]> {
  const { prompt, sampleTokens: maxTokens, sampleTemperature, sampleP, sampleSeeds, signal } = options
  if (maxTokens === 0) return []
  const model = await load(trained.checkpoint, { dtype: 'f32' })
  const own = trained.inference.spec
  const drawn = `stocha:p=${sampleP}`
  const [firstSeed = 1] = sampleSeeds
  const ways: Omit<Sample, 'prompt' | 'text'>[] = [
    { kind: 'sampled', activation: own, temperature: sampleTemperature, seed: firstSeed },
    { kind: 'greedy', activation: own, temperature: 0, seed: 0 },
    ...sampleSeeds.map(seed => ({ kind: 'stochastic' as const, activation: drawn, temperature: 0, seed })),
  ]
  try {
    const result: Sample[] = []
    for (const way of ways) {
      const { kind, temperature, seed, activation } = way
      const drawing = kind === 'stochastic' ? { activation } : {}
      let text = ''
      for await (const token of model.generate(prompt, { maxTokens, temperature, seed, signal, ...drawing }))
        text += token.text
      result.push({ ...way, prompt, text })
    }
    return result
  } finally {
    model.dispose()
  }
}
