// The rotary embedding in files: its scaling as config.json describes it (`rope_theta` with `rope_scaling`, or both in
// `rope_parameters`, transformers 5) and as GGUF does, to and from ModelConfig; and the order in which llama2.c holds the rows of
// q_proj and k_proj.

import { isDeepStrictEqual } from 'node:util'
import { z } from 'zod'
import { headDimOf, type ModelConfig } from '../nn/config.js'
import { magnitudeOf, type RopeScaling, ropeFrequencies } from '../nn/rope.js'
import { describeFirstIssue } from '../schema-issues.js'
import { quoted } from './safetensors.js'

const settings = z.looseObject({
  rope_type: z.string().nullish(),
  type: z.string().nullish(),
  factor: z.number().nullish(),
  rope_theta: z.number().nullish(),
  partial_rotary_factor: z.number().nullish(),
})
type RopeSettings = z.infer<typeof settings>

/** Flat, or one object of settings for each type of layers (`full_attention`, `sliding_attention`). */
const dictionary = z.looseObject({}).nullish()

/** The fields of config.json that say how positions are rotated. */
export const ropeFields = {
  rope_theta: z.number().nullish(),
  rope_local_base_freq: z.number().nullish(),
  partial_rotary_factor: z.number().nullish(),
  rope_scaling: dictionary,
  rope_parameters: dictionary,
}
/** Those, and what else a rotation depends on. */
export interface RopeFields {
  readonly rope_theta?: number | null
  readonly rope_local_base_freq?: number | null
  readonly partial_rotary_factor?: number | null
  readonly rope_scaling?: Readonly<Record<string, unknown>> | null
  readonly rope_parameters?: Readonly<Record<string, unknown>> | null
  readonly max_position_embeddings: number
  readonly original_max_position_embeddings?: number | null
}

export interface Rope {
  readonly theta: number
  readonly scaling: RopeScaling | undefined
  /** How much of a head is rotated. */
  readonly fraction: number
  /** Of layers with a sliding window, where it is another than `theta` or theirs are not scaled. */
  readonly localTheta: number | undefined
}
type Problem = { readonly problem: string }

/** Lengths of contexts that a scaling may leave to the fields beside it. */
interface Lengths {
  readonly longest: number
  readonly original: number | null | undefined
}

const optional = z.number().nullish()
const SCALINGS: Readonly<Record<RopeScaling['type'], (lengths: Lengths) => z.ZodType<RopeScaling>>> = {
  linear: () => z.object({ factor: z.number() }).transform(({ factor }) => ({ type: 'linear', factor })),
  llama3: () =>
    z
      .object({
        factor: z.number(),
        low_freq_factor: z.number(),
        high_freq_factor: z.number(),
        original_max_position_embeddings: z.number(),
      })
      .transform(json => ({
        type: 'llama3',
        factor: json.factor,
        lowFreqFactor: json.low_freq_factor,
        highFreqFactor: json.high_freq_factor,
        originalMaxPositionEmbeddings: json.original_max_position_embeddings,
      })),
  yarn: lengths =>
    z
      .object({
        factor: optional,
        original_max_position_embeddings: optional,
        attention_factor: optional,
        beta_fast: optional,
        beta_slow: optional,
        mscale: optional,
        mscale_all_dim: optional,
        truncate: z.literal(true).nullish(),
      })
      .refine(json => json.factor || json.original_max_position_embeddings || lengths.original, {
        path: ['factor'],
        error: 'must be given',
      })
      .transform(json => {
        const original = json.original_max_position_embeddings ?? lengths.original ?? lengths.longest
        const factor = json.factor ?? lengths.longest / original
        const { mscale, mscale_all_dim: all, beta_fast: betaFast, beta_slow: betaSlow } = json
        const magnitude = (scale: number) => (factor <= 1 ? 1 : 0.1 * scale * Math.log(factor) + 1)
        const attentionFactor =
          json.attention_factor ?? (mscale && all ? magnitude(mscale) / magnitude(all) : undefined)
        return {
          type: 'yarn',
          factor,
          originalMaxPositionEmbeddings: original,
          ...(typeof betaFast === 'number' && betaFast !== 32 ? { betaFast } : {}),
          ...(typeof betaSlow === 'number' && betaSlow !== 1 ? { betaSlow } : {}),
          ...(attentionFactor === undefined ? {} : { attentionFactor }),
        }
      }),
  longrope: lengths =>
    z
      .object({
        short_factor: z.array(z.number()),
        long_factor: z.array(z.number()),
        factor: optional,
        original_max_position_embeddings: optional,
        attention_factor: optional,
        short_mscale: optional,
        long_mscale: optional,
      })
      .transform(json => {
        const original = json.original_max_position_embeddings ?? lengths.original ?? lengths.longest
        return {
          type: 'longrope',
          factor: lengths.original ? lengths.longest / original : (json.factor ?? lengths.longest / original),
          originalMaxPositionEmbeddings: original,
          shortFactors: json.short_factor,
          longFactors: json.long_factor,
          ...(typeof json.attention_factor === 'number' ? { attentionFactor: json.attention_factor } : {}),
        }
      }),
  // Ours alone: what a GGUF file holds when it is no scaling with a name.
  factors: () =>
    z.object({ factors: z.array(z.number()) }).transform(({ factors }) => ({ type: 'factors', factors })),
}

/** One rotation as a field gives it. */
interface Found {
  readonly field: string
  /** The type of layers that it is for; null: all. */
  readonly layers: string | null
  readonly theta: number | null | undefined
  readonly fraction: number | null | undefined
  readonly scaling: RopeScaling | undefined
}

/**
 * The rotation that a config.json describes; `problem` says, with the field, what of it is missing or not supported.
 * What stands in `rope_parameters` or `rope_scaling` counts before the fields of the same names beside it, as in
 * transformers (modeling_rope_utils.py). Where both are given, they must agree.
 */
export function ropeOf(json: RopeFields): Rope | Problem {
  const found: Found[] = []
  const lengths = { longest: json.max_position_embeddings, original: json.original_max_position_embeddings }
  for (const field of ['rope_parameters', 'rope_scaling'] as const) {
    const given = json[field]
    if (given === null || given === undefined || Object.keys(given).length === 0) continue
    for (const [where, layers, content] of perLayerType(given, field)) {
      const parsed = settings.safeParse(content)
      if (!parsed.success)
        return { problem: `${where}: ${describeFirstIssue(parsed.error, settings, content, 'the content')}` }
      const part = parsed.data
      const scaling = scalingOf(part, lengths)
      if ('problem' in scaling) return { problem: `${where}: ${scaling.problem}` }
      const { rope_theta: theta, partial_rotary_factor: fraction } = part
      found.push({ field: where, layers, theta, fraction, ...scaling })
    }
  }
  const local = found.filter(({ layers }) => layers === 'sliding_attention')
  const global = found.filter(({ layers }) => layers !== 'sliding_attention')
  const main = agreed(global.length > 0 ? global : local, json.rope_theta)
  if ('problem' in main) return main
  const fraction =
    found.find(({ fraction }) => typeof fraction === 'number')?.fraction ?? json.partial_rotary_factor ?? 1
  const own = local.length > 0 ? agreed(local, json.rope_theta) : null
  if (own !== null && 'problem' in own) return own
  const localTheta = own?.theta ?? json.rope_local_base_freq ?? undefined
  if (own?.scaling !== undefined && !isDeepStrictEqual(own.scaling, main.scaling)) {
    return {
      problem: `${local[0].field}: a scaling of its own for layers with a sliding window is not supported`,
    }
  }
  const differs =
    localTheta !== undefined &&
    (localTheta !== main.theta || (main.scaling !== undefined && own?.scaling === undefined))
  return { ...main, fraction, localTheta: differs ? localTheta : undefined }
}

/** The rotation that several fields describe alike. */
function agreed(
  found: readonly Found[],
  otherwise: number | null | undefined,
): Pick<Rope, 'theta' | 'scaling'> | Problem {
  const first = found.at(0)
  const theta = found.find(({ theta }) => typeof theta === 'number')?.theta ?? otherwise ?? 10_000
  const other = found.find(
    part =>
      !isDeepStrictEqual(part.scaling, first?.scaling) ||
      (typeof part.theta === 'number' && part.theta !== theta),
  )
  if (other === undefined) return { theta, scaling: first?.scaling }
  return {
    problem: `${first?.field} and ${other.field} describe different rotations; only one for all layers without a window is supported`,
  }
}

/** The settings in a field, with where they stand: one, or one for each type of layers. */
function perLayerType(given: object, field: string): [where: string, layers: string | null, part: unknown][] {
  const entries = Object.entries(given)
  const isNested = entries.every(
    ([, part]) => typeof part === 'object' && part !== null && !Array.isArray(part),
  )
  return isNested ? entries.map(([name, part]) => [`${field}.${name}`, name, part]) : [[field, null, given]]
}

function scalingOf(
  rope: RopeSettings,
  lengths: Lengths,
): { readonly scaling: RopeScaling | undefined } | Problem {
  const { rope_type: named, type: legacy } = rope
  if (named && legacy && named !== legacy) {
    return { problem: `rope_type ${quoted(named)} contradicts type ${quoted(legacy)}` }
  }
  const type = named ?? legacy
  if (type === null || type === undefined) {
    // transformers of different versions take this for no scaling or stop; it was meant to be one.
    if ((rope.factor ?? 1) !== 1) return { problem: `factor ${rope.factor} without a rope_type` }
    return { scaling: undefined }
  }
  // dynamic changes nothing up to the model's own context, and no longer one is offered here.
  if (type === 'default' || type === 'dynamic') return { scaling: undefined }
  // Old names of Phi-3's.
  const own = type === 'su' ? 'longrope' : type
  if (!isScaling(own)) {
    return {
      problem:
        `rope_type ${quoted(type)} is not supported; ` +
        'supported: default, linear, dynamic, llama3, yarn, longrope',
    }
  }
  const schema = SCALINGS[own](lengths)
  const parsed = schema.safeParse(rope)
  if (parsed.success) return { scaling: parsed.data }
  return { problem: `rope_type ${type}: ${describeFirstIssue(parsed.error, schema, rope, 'the fields')}` }
}

function isScaling(type: string): type is RopeScaling['type'] {
  return Object.hasOwn(SCALINGS, type)
}

/** What stands under `rope_scaling`. */
export function ropeScalingJson({ ropeScaling }: ModelConfig): Record<string, unknown> | null {
  if (ropeScaling === undefined) return null
  const { type } = ropeScaling
  if (type === 'linear') return { rope_type: type, factor: ropeScaling.factor }
  if (type === 'factors') return { rope_type: type, factors: ropeScaling.factors }
  const common = {
    rope_type: type,
    factor: ropeScaling.factor,
    original_max_position_embeddings: ropeScaling.originalMaxPositionEmbeddings,
  }
  if (type === 'llama3') {
    const { lowFreqFactor, highFreqFactor } = ropeScaling
    return { ...common, low_freq_factor: lowFreqFactor, high_freq_factor: highFreqFactor }
  }
  const { attentionFactor } = ropeScaling
  const magnitude = attentionFactor === undefined ? {} : { attention_factor: attentionFactor }
  if (type === 'longrope') {
    const { shortFactors, longFactors } = ropeScaling
    return { ...common, short_factor: shortFactors, long_factor: longFactors, ...magnitude }
  }
  const { betaFast, betaSlow } = ropeScaling
  return {
    ...common,
    ...(betaFast === undefined ? {} : { beta_fast: betaFast }),
    ...(betaSlow === undefined ? {} : { beta_slow: betaSlow }),
    ...magnitude,
  }
}

/** What each frequency is divided by, one value per rotated pair, where GGUF has a tensor for it; else null. */
export function ropeFactors(config: ModelConfig): Float32Array | null {
  const { ropeScaling } = config
  if (ropeScaling?.type === 'factors') return Float32Array.from(ropeScaling.factors)
  if (ropeScaling?.type !== 'llama3') return null
  const headDim = headDimOf(config)
  const pairs = (config.rotaryDim ?? headDim) / 2
  const plain = ropeFrequencies({ ...config, ropeScaling: undefined }, headDim)
  return Float32Array.from(
    ropeFrequencies(config, headDim).subarray(0, pairs),
    (scaled, i) => plain[i] / scaled,
  )
}

/** What GGUF's metadata and tensors say of a scaling. */
export interface GgufScaling {
  readonly type: string
  /** 0 or 1 for none. */
  readonly factor: number
  /** `rope.scaling.original_context_length`, or the context. */
  readonly original: number
  readonly context: number
  /** `rope.scaling.yarn_beta_fast` and `_slow`, where they are not the usual ones. */
  readonly betas: { readonly betaFast?: number; readonly betaSlow?: number }
  /** `rope.scaling.attn_factor`; undefined for none. */
  readonly attentionFactor: number | undefined
  /** rope_freqs.weight, by which a frequency is divided beside the factor; null without. */
  readonly factors: Float32Array | null
  /** rope_factors_short.weight and rope_factors_long.weight; null without. */
  readonly short: Float32Array | null
  readonly long: Float32Array | null
}

/** The scaling that GGUF's metadata asks for; a string says what is not supported. */
export function ggufScaling(given: GgufScaling): RopeScaling | undefined | string {
  const { type, factor, original, context, betas, attentionFactor, factors, short, long } = given
  if (short !== null && long !== null) {
    const scaling: RopeScaling = {
      type: 'longrope',
      factor: context / original,
      originalMaxPositionEmbeddings: original,
      shortFactors: Array.from(short, asDecimal),
      longFactors: Array.from(long, asDecimal),
    }
    const usual = magnitudeOf(scaling)
    const own = attentionFactor ?? 1
    return Math.abs(own - usual) <= 1e-6 * usual ? scaling : { ...scaling, attentionFactor: own }
  }
  if (type === 'yarn' && factor !== 0) {
    const scaling: RopeScaling = { type, factor, originalMaxPositionEmbeddings: original, ...betas }
    // llama.cpp multiplies 0.1 ln(factor) + 1 by this factor.
    if (attentionFactor === undefined) return scaling
    return { ...scaling, attentionFactor: attentionFactor * magnitudeOf(scaling) }
  }
  if (type !== 'none' && type !== 'linear' && !(type === 'longrope' && factor === 0)) {
    return `${quoted(type)} is not supported; supported: none, linear, yarn, longrope`
  }
  const scale = type === 'none' || factor === 0 ? 1 : factor
  if (factors !== null) return { type: 'factors', factors: Array.from(factors, value => value * scale) }
  return scale === 1 ? undefined : { type: 'linear', factor: scale }
}

function asDecimal(value: number): number {
  return Number(value.toPrecision(7))
}

/** The same scaling under its name, where the factors are those of Llama 3 with its usual settings. */
export function namedScaling(config: ModelConfig): ModelConfig {
  if (config.ropeScaling?.type !== 'factors') return config
  const { factors } = config.ropeScaling
  const named: ModelConfig = {
    ...config,
    ropeScaling: {
      type: 'llama3',
      factor: Math.max(...factors),
      lowFreqFactor: 1,
      highFreqFactor: 4,
      originalMaxPositionEmbeddings: 8192,
    },
  }
  const same = ropeFactors(named)?.every((factor, i) => Math.abs(factor - factors[i]) <= 1e-5 * factor)
  return same === true ? named : config
}

// Hugging Face rotates elements i and i + headDim/2 of a head as a pair (halves); llama.cpp's `llama` and llama2.c
// rotate elements 2i and 2i + 1 (pairs). The same model has its rows permuted.

/**
 * Rows in the order of pairs → rows in the order of halves. bytes: `rows` rows of equal length, whole heads; the
 * type of the values does not matter.
 */
export function pairsToHalves(bytes: Uint8Array, rows: number, headDim: number): Uint8Array<ArrayBuffer> {
  const out = new Uint8Array(new ArrayBuffer(bytes.length))
  const width = bytes.length / rows
  for (let head = 0; head < rows; head += headDim) {
    for (let i = 0; i < headDim / 2; i++) {
      for (const half of [0, 1]) {
        const [from, to] = [head + 2 * i + half, head + i + (half * headDim) / 2]
        out.set(bytes.subarray(from * width, (from + 1) * width), to * width)
      }
    }
  }
  return out
}
