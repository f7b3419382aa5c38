// What a study measures of one trained model: quality and sparsity on held-out text, decoding speed, samples.

import type { PreparedData } from '../data/prepare.js'
import { tokenByteLengths } from '../data/tokens.js'
import { type GenerateOptions, type LanguageModel, load } from '../engine/index.js'
import { Evaluator } from '../eval/evaluate.js'
import { kernels } from '../kernels/index.js'
import { median } from '../statistics.js'
import type { TrainedRun, TrainingOptions } from '../train/index.js'
import type { Recipe } from './recipe.js'
import type { DecodeSpeed, RunResult, Sample } from './results.js'

/** Passes that are not counted: until caches are warm and the code that JavaScript's compiler watches is compiled. */
const WARM_UP_PASSES = 4

type MeasureOptions = Recipe['measure'] & {
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
      activation: trained.strategy.inference,
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

/** Tokens per second of greedy decoding, dense and sparse passes in turn, so that a change of the machine hits both. */
async function decodeSpeed(
  trained: TrainedRun,
  dtype: DecodeSpeed['dtype'],
  options: MeasureOptions,
): Promise<DecodeSpeed> {
  const { prompt, decodeTokens, decodePasses, training, signal } = options
  const sparseToo = trained.strategy.inference.exactZeros
  const dense = await load(trained.checkpoint, { dtype, ffn: 'dense' })
  const sparse = sparseToo ? await load(trained.checkpoint, { dtype, ffn: 'sparse' }) : null
  const rates: { dense: number[]; sparse: number[] } = { dense: [], sparse: [] }
  const maxTokens = Math.max(
    1,
    Math.min(decodeTokens, training.context - dense.tokenizer.encode(prompt).length),
  )
  for (let pass = 0; pass < WARM_UP_PASSES + decodePasses; pass++) {
    const denseRate = await decodeRate(dense, prompt, { maxTokens, temperature: 0, signal })
    const sparseRate =
      sparse === null ? 0 : await decodeRate(sparse, prompt, { maxTokens, temperature: 0, signal })
    if (pass < WARM_UP_PASSES) continue
    rates.dense.push(denseRate)
    rates.sparse.push(sparseRate)
  }
  dense.dispose()
  sparse?.dispose()
  return { dtype, dense: median(rates.dense), sparse: sparse === null ? null : median(rates.sparse) }
}

/** Tokens per second after the prompt. */
async function decodeRate(model: LanguageModel, prompt: string, options: GenerateOptions): Promise<number> {
  let tokens = 0
  let started = performance.now()
  for await (const _ of model.generate(prompt, { ...options, ignoreEndOfText: true })) {
    // The first token ends the prompt's own pass.
    if (tokens === 0) started = performance.now()
    tokens++
  }
  return ((tokens - 1) / (performance.now() - started)) * 1000
}

/** One greedy text, and one text per seed with the activation drawn while decoding. */
async function samples(trained: TrainedRun, options: MeasureOptions): Promise<Sample[]> {
  const { prompt, sampleTokens: maxTokens, sampleP, sampleSeeds, signal } = options
  if (maxTokens === 0) return []
  const model = await load(trained.checkpoint, { dtype: 'f32' })
  const text = async (extra: GenerateOptions) => {
    let text = ''
    for await (const token of model.generate(prompt, { maxTokens, temperature: 0, signal, ...extra }))
      text += token.text
    return text
  }
  const result: Sample[] = [
    {
      kind: 'greedy',
      activation: trained.strategy.inference.spec,
      temperature: 0,
      seed: 0,
      prompt,
      text: await text({}),
    },
  ]
  const activation = `stocha:p=${sampleP}`
  for (const seed of sampleSeeds) {
    const drawn = await text({ seed, activation })
    result.push({ kind: 'stochastic', activation, temperature: 0, seed, prompt, text: drawn })
  }
  model.dispose()
  return result
}
