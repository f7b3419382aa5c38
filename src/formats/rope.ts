// The rotary embedding in files: its scaling as config.json describes it (`rope_theta` with `rope_scaling`, or both in
// `rope_parameters`, transformers 5) and as GGUF does, to and from ModelConfig; and the two orders in which files hold
// the rows of q_proj and k_proj.

import { z } from 'zod'
import { headDimOf, type ModelConfig } from '../nn/config.js'
import { type RopeScaling, ropeFrequencies } from '../nn/rope.js'
import { describeFirstIssue } from '../schema-issues.js'

const settings = z.looseObject({
  rope_type: z.string().nullish(),
  type: z.string().nullish(),
  factor: z.number().nullish(),
  rope_theta: z.number().nullish(),
  partial_rotary_factor: z.number().nullish(),
})
type RopeSettings = z.infer<typeof settings>

/** Flat, or one object of settings for each type of layers (`full_attention`, `sliding_attention`). */
const dictionary = settings.nullish()

/** The fields of config.json that say how positions are rotated. */
export const ropeFields = {
  rope_theta: z.number().nullish(),
  partial_rotary_factor: z.number().nullish(),
  rope_scaling: dictionary,
  rope_parameters: dictionary,
}
const ropeFieldsObject = z.object(ropeFields)
export type RopeFields = z.infer<typeof ropeFieldsObject>

export interface Rope {
  readonly theta: number
  readonly scaling: RopeScaling | undefined
}
type Problem = { readonly problem: string }

const SCALINGS: Readonly<Record<RopeScaling['type'], z.ZodType<RopeScaling>>> = {
  linear: z.object({ factor: z.number() }).transform(({ factor }) => ({ type: 'linear', factor })),
  llama3: z
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
  // Ours alone: what a GGUF file holds when it is no scaling with a name.
  factors: z
    .object({ factors: z.array(z.number()) })
    .transform(({ factors }) => ({ type: 'factors', factors })),
}

/**
 * The rotation that a config.json describes; `problem` says, with the field, what of it is missing or not supported.
 * What stands in `rope_parameters` or `rope_scaling` counts before the fields of the same names beside it, as in
 * transformers (modeling_rope_utils.py). Where both are given, they must agree.
 */
export function ropeOf(json: RopeFields): Rope | Problem {
  const found: { field: string; theta: number | null | undefined; scaling: RopeScaling | undefined }[] = []
  for (const field of ['rope_parameters', 'rope_scaling'] as const) {
    const given = json[field]
    if (given === null || given === undefined || Object.keys(given).length === 0) continue
    for (const [where, content] of perLayerType(given, field)) {
      const parsed = settings.safeParse(content)
      if (!parsed.success)
        return { problem: `${where}: ${describeFirstIssue(parsed.error, settings, content, 'the content')}` }
      const part = parsed.data
      const scaling = scalingOf(part, json.partial_rotary_factor)
      if ('problem' in scaling) return { problem: `${where}: ${scaling.problem}` }
      found.push({ field: where, theta: part.rope_theta, ...scaling })
    }
  }
  const partial = found.length === 0 ? (json.partial_rotary_factor ?? 1) : 1
  if (partial !== 1) return { problem: unsupportedFraction(partial) }
  const [first] = found
  const theta = found.find(({ theta }) => typeof theta === 'number')?.theta ?? json.rope_theta ?? 10_000
  const other = found.find(
    part =>
      JSON.stringify(part.scaling) !== JSON.stringify(first.scaling) ||
      (typeof part.theta === 'number' && part.theta !== theta),
  )
  if (other === undefined) return { theta, scaling: first?.scaling }
  return {
    problem: `${first.field} and ${other.field} describe different rotations; only one for all layers is supported`,
  }
}

/** The settings in a field, with where they stand: one, or one for each type of layers. */
function perLayerType(given: object, field: string): [where: string, part: unknown][] {
  const entries = Object.entries(given)
  const isNested = entries.every(
    ([, part]) => typeof part === 'object' && part !== null && !Array.isArray(part),
  )
  return isNested ? entries.map(([name, part]) => [`${field}.${name}`, part]) : [[field, given]]
}

function scalingOf(
  rope: RopeSettings,
  fraction: number | null | undefined,
): { readonly scaling: RopeScaling | undefined } | Problem {
  const partial = rope.partial_rotary_factor ?? fraction ?? 1
  if (partial !== 1) return { problem: unsupportedFraction(partial) }
  const { rope_type: named, type: legacy } = rope
  if (named && legacy && named !== legacy) {
    return { problem: `rope_type ${JSON.stringify(named)} contradicts type ${JSON.stringify(legacy)}` }
  }
  const type = named ?? legacy
  if (type === null || type === undefined) {
    // transformers of different versions take this for no scaling or stop; it was meant to be one.
    if ((rope.factor ?? 1) !== 1) return { problem: `factor ${rope.factor} without a rope_type` }
    return { scaling: undefined }
  }
  if (type === 'default') return { scaling: undefined }
  if (!isScaling(type)) {
    return {
      problem: `rope_type ${JSON.stringify(type)} is not supported; supported: default, linear, llama3`,
    }
  }
  const parsed = SCALINGS[type].safeParse(rope)
  if (parsed.success) return { scaling: parsed.data }
  return {
    problem: `rope_type ${type}: ${describeFirstIssue(parsed.error, SCALINGS[type], rope, 'the fields')}`,
  }
}

function unsupportedFraction(partial: number): string {
  return `partial_rotary_factor ${partial} is not supported; supported: 1`
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
  return {
    rope_type: type,
    factor: ropeScaling.factor,
    low_freq_factor: ropeScaling.lowFreqFactor,
    high_freq_factor: ropeScaling.highFreqFactor,
    original_max_position_embeddings: ropeScaling.originalMaxPositionEmbeddings,
  }
}

/** What each frequency is divided by, (headDim/2), where that is not one number; else null. */
export function ropeFactors(config: ModelConfig): Float32Array | null {
  const { ropeScaling } = config
  if (ropeScaling === undefined || ropeScaling.type === 'linear') return null
  if (ropeScaling.type === 'factors') return Float32Array.from(ropeScaling.factors)
  const headDim = headDimOf(config)
  const plain = ropeFrequencies({ ropeTheta: config.ropeTheta }, headDim)
  return Float32Array.from(ropeFrequencies(config, headDim), (scaled, i) => plain[i] / scaled)
}

/**
 * The scaling that GGUF's metadata asks for; a string says what is not supported. factor: 0 or 1 for none; factors: the
 * values of rope_freqs.weight, by which a frequency is divided beside the factor.
 */
export function ggufScaling(
  type: string,
  factor: number,
  factors: Float32Array | null,
): RopeScaling | undefined | string {
  if (type !== 'none' && type !== 'linear') {
    return `${JSON.stringify(type.slice(0, 200))} is not supported; supported: none, linear`
  }
  const scale = type === 'none' || factor === 0 ? 1 : factor
  if (factors !== null) return { type: 'factors', factors: Array.from(factors, value => value * scale) }
  return scale === 1 ? undefined : { type: 'linear', factor: scale }
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
  return reordered(bytes, rows, headDim, (pair, halves) => [pair, halves])
}

/** The inverse of `pairsToHalves`. */
export function halvesToPairs(bytes: Uint8Array, rows: number, headDim: number): Uint8Array<ArrayBuffer> {
  return reordered(bytes, rows, headDim, (pair, halves) => [halves, pair])
}

/** `direction` picks where a row comes from and where it goes, given its index in the two orders. */
function reordered(
  bytes: Uint8Array,
  rows: number,
  headDim: number,
  direction: (pair: number, halves: number) => [from: number, to: number],
): Uint8Array<ArrayBuffer> {
  const out = new Uint8Array(new ArrayBuffer(bytes.length))
  const width = bytes.length / rows
  for (let head = 0; head < rows; head += headDim) {
    for (let i = 0; i < headDim / 2; i++) {
      for (const half of [0, 1]) {
        const [from, to] = direction(head + 2 * i + half, head + i + (half * headDim) / 2)
        out.set(bytes.subarray(from * width, (from + 1) * width), to * width)
      }
    }
  }
  return out
}
