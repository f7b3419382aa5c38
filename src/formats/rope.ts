// The rotary embedding in files: its scaling as config.json describes it (`rope_theta` with `rope_scaling`, or both in
// `rope_parameters`, transformers 5), to and from ModelConfig; and the two orders in which files hold the rows of
// q_proj and k_proj.

import { z } from 'zod'
import type { ModelConfig, RopeScaling } from '../nn/config.js'

export const ropeSchema = z.looseObject({
  rope_type: z.string().optional(),
  type: z.string().optional(),
  rope_theta: z.number().nullish(),
  partial_rotary_factor: z.number().nullish(),
})
type RopeJson = z.infer<typeof ropeSchema>

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

/** The scaling that the given parts of a config ask for; `problem` says what of it is missing or not supported. */
export function ropeScalingOf(
  ...parts: readonly (RopeJson | null | undefined)[]
): { readonly scaling: RopeScaling | undefined } | { readonly problem: string } {
  for (const rope of parts) {
    const partial = rope?.partial_rotary_factor ?? 1
    if (partial !== 1) return { problem: `partial_rotary_factor ${partial} is not supported; supported: 1` }
  }
  const typeOf = (rope: RopeJson | null | undefined) => rope?.rope_type ?? rope?.type ?? 'default'
  const rope = parts.find(part => typeOf(part) !== 'default')
  if (rope === null || rope === undefined) return { scaling: undefined }
  const type = typeOf(rope)
  if (!isScaling(type)) {
    return {
      problem: `rope_type ${JSON.stringify(type)} is not supported; supported: default, linear, llama3`,
    }
  }
  const parsed = SCALINGS[type].safeParse(rope)
  if (parsed.success) return { scaling: parsed.data }
  const [issue] = parsed.error.issues
  return {
    problem: `${issue.path.join('.')} of rope_type ${type}: ${issue.message.replace('Invalid input: ', '')}`,
  }
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

// Hugging Face rotates elements i and i + headDim/2 of a head as a pair (halves); llama.cpp's `llama` and llama2.c
// rotate elements 2i and 2i + 1 (pairs). The same model has its rows permuted.

/**
 * Rows in the order of pairs → rows in the order of halves. bytes: `rows` rows of equal length, whole heads; the
 * type of the numbers does not matter.
 */
export function pairsToHalves(bytes: Uint8Array, rows: number, headDim: number): Uint8Array<ArrayBuffer> {
  return reordered(bytes, rows, headDim, (pair, halves) => [pair, halves])
}

/** The inverse of `pairsToHalves`. */
export function halvesToPairs(bytes: Uint8Array, rows: number, headDim: number): Uint8Array<ArrayBuffer> {
  return reordered(bytes, rows, headDim, (pair, halves) => [halves, pair])
}

/** `direction` picks where a row comes from and where it goes, given its place in the two orders. */
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
