// The fields of ModelConfig in which a block differs from Llama's, as our own files hold them: JSON by the same names, so that
// every model that can be described can be saved.

import { z } from 'zod'
import { headDimOf, type ModelConfig } from '../nn/config.js'
import { describeFirstIssue } from '../schema-issues.js'

const positive = z.number().positive()
const layers = z.array(z.boolean())

const schema = z
  .strictObject({
    norm: z.enum(['rms', 'layer']),
    normPlacement: z.enum(['before', 'after', 'both']),
    normActivation: z.enum(['relu']),
    parallelBranches: z.enum(['oneNorm', 'twoNorms']),
    learnedPositions: z.strictObject({ offset: z.int().nonnegative() }),
    rotaryDim: z.int().positive(),
    localRopeTheta: positive,
    ropeLayers: layers,
    qkNorm: z.enum(['head', 'projection']),
    attentionScale: positive,
    attentionSoftcap: positive,
    slidingWindow: z.int().positive(),
    windowLayers: layers,
    ffnBias: z.boolean(),
    embeddingScale: positive,
    residualScale: positive,
    logitScale: positive,
    finalSoftcap: positive,
    headBias: z.boolean(),
    experts: z.strictObject({
      count: z.int().positive(),
      perToken: z.int().positive(),
      normalized: z.boolean(),
    }),
  } satisfies { [Field in BlockField]: z.ZodType })
  .partial()

/** Everything beside sizes, rotation, FFN form and activation, which have fields of their own in every file. */
type BlockField = Exclude<
  keyof ModelConfig,
  | 'vocabSize'
  | 'hiddenSize'
  | 'intermediateSize'
  | 'numHiddenLayers'
  | 'numAttentionHeads'
  | 'numKeyValueHeads'
  | 'headDim'
  | 'attentionBias'
  | 'maxPositionEmbeddings'
  | 'rmsNormEps'
  | 'ropeTheta'
  | 'ropeScaling'
  | 'tieWordEmbeddings'
  | 'ffn'
  | 'sparkPredictorWidth'
  | 'activation'
  | 'trainedActivations'
>

/** `block`, with the fields that are given; nothing for Llama's block. */
export function blockFields(config: ModelConfig): { block?: Record<string, unknown> } {
  const normal = normalConfig(config)
  const given = Object.keys(schema.shape).filter(field => normal[field as BlockField] !== undefined)
  if (given.length === 0) return {}
  return { block: Object.fromEntries(given.map(field => [field, normal[field as BlockField]])) }
}

/** The fields that `blockFields` has written. */
export function describedBlock(block: unknown): Partial<ModelConfig> | { readonly problem: string } {
  if (block === undefined) return {}
  const parsed = schema.safeParse(block)
  if (parsed.success) return parsed.data
  return { problem: `flicker.block: ${describeFirstIssue(parsed.error, schema, block, 'the content')}` }
}

/** The same model without fields that say what their absence says, so that equal models are equal objects. */
export function normalConfig(config: ModelConfig): ModelConfig {
  const { hiddenSize, numAttentionHeads, windowLayers, ropeLayers, slidingWindow } = config
  const slides = slidingWindow !== undefined && windowLayers?.includes(true) !== false
  const idle: Partial<Record<keyof ModelConfig, boolean>> = {
    headDim: config.headDim === hiddenSize / numAttentionHeads,
    norm: config.norm === 'rms',
    normPlacement: config.normPlacement === 'before',
    ropeLayers: ropeLayers?.includes(false) !== true,
    slidingWindow: !slides,
    windowLayers: !slides || windowLayers?.includes(false) !== true,
    localRopeTheta: !slides || isIdleLocal(config),
    rotaryDim: config.rotaryDim === headDimOf(config) || config.learnedPositions !== undefined,
    attentionScale: isNear(config.attentionScale, headDimOf(config) ** -0.5),
    embeddingScale: config.embeddingScale === 1,
    residualScale: config.residualScale === 1,
    logitScale: config.logitScale === 1,
    ffnBias: config.ffnBias === false,
    headBias: config.headBias === false,
  }
  // Without rotation its base means nothing.
  const base = config.learnedPositions === undefined ? {} : { ropeTheta: 10_000, ropeScaling: undefined }
  const entries = Object.entries({ ...config, ...base }).filter(
    ([field, value]) => value !== undefined && idle[field as keyof ModelConfig] !== true,
  )
  return Object.fromEntries(entries) as unknown as ModelConfig
}

function isIdleLocal({ localRopeTheta, ropeTheta, ropeScaling }: ModelConfig): boolean {
  return localRopeTheta === ropeTheta && ropeScaling === undefined
}

function isNear(value: number | undefined, usual: number): boolean {
  return value !== undefined && Math.abs(value - usual) <= 1e-6 * usual
}
