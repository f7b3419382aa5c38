// A model's weights in the engine's own layout: what decoding reads together stands together, in one number type.
// One copy serves decoding and the pass over the prompt.

import { CheckpointError } from '../errors.js'
import { narrowBfloat16 } from '../formats/half-precision.js'
import { alignedBuffer, type PlainWeights as Weights } from '../kernels/index.js'
import { headDimOf, type ModelConfig } from '../nn/config.js'

/** How matrices are stored. Norms are f32 in any case. */
export type EngineDtype = 'f32' | 'bf16'

export interface LayerWeights {
  /** (d). */
  readonly inputNorm: Float32Array
  /** Rows of q, then k, then v: (q + 2·kv, d). */
  readonly qkv: Weights
  /** Of those rows, (q + 2·kv); null without. */
  readonly qkvBias: Float32Array | null
  /** o_proj, (d, q). */
  readonly output: Weights
  /** (d); null without. */
  readonly outputBias: Float32Array | null
  /** (d). */
  readonly ffnNorm: Float32Array
  /** What the activation is applied to: gate_proj, or up_proj of a plain FFN; (h, d). */
  readonly gate: Weights
  /** Neuron after neuron: its up row, then its down column, (h, 2·d); of a plain FFN the down column alone, (h, d). */
  readonly neurons: Weights
}

export interface EngineWeights {
  /** (vocab, d). */
  readonly embedding: Weights
  readonly layers: readonly LayerWeights[]
  /** (d). */
  readonly norm: Float32Array
  /** (vocab, d); the embedding itself when the two are tied. */
  readonly head: Weights
}

/**
 * Lays out the tensors that `tensor` gives by their Hugging Face names, one at a time: never more memory than the
 * model and one tensor. Throws CheckpointError TENSOR_SHAPE for a tensor of another size than the config asks for.
 */
export function layOutWeights(
  config: ModelConfig,
  tensor: (name: string) => Float32Array,
  dtype: EngineDtype,
): EngineWeights {
  const { hiddenSize: d, intermediateSize: h, vocabSize, numAttentionHeads, numKeyValueHeads } = config
  const q = headDimOf(config) * numAttentionHeads
  const kv = headDimOf(config) * numKeyValueHeads

  const take = (name: string, ...shape: number[]): Float32Array => {
    const data = tensor(name)
    if (data.length === shape.reduce((a, b) => a * b)) return data
    throw new CheckpointError(
      'TENSOR_SHAPE',
      `tensor ${name} holds ${data.length} numbers, the config asks for ${shape.join(' × ')}`,
    )
  }
  const norm = (name: string) => Float32Array.from(take(name, d))
  const matrix = (rows: number, columns: number): Weights => {
    const size = rows * columns
    return dtype === 'f32'
      ? new Float32Array(alignedBuffer(size * 4))
      : new Uint16Array(alignedBuffer(size * 2))
  }
  /** One matrix after the other, all with the same number of columns. */
  const stacked = (columns: number, ...parts: [name: string, rows: number][]): Weights => {
    const out = matrix(
      parts.reduce((sum, [, rows]) => sum + rows, 0),
      columns,
    )
    let at = 0
    for (const [name, rows] of parts) {
      out.set(stored(take(name, rows, columns), dtype), at)
      at += rows * columns
    }
    return out
  }
  /** One vector after the other. */
  const joined = (...parts: [name: string, length: number][]): Float32Array =>
    Float32Array.from(parts.flatMap(([name, length]) => [...take(name, length)]))

  const layers = Array.from({ length: config.numHiddenLayers }, (_, layer): LayerWeights => {
    const name = (part: string) => `model.layers.${layer}.${part}.weight`
    const bias = (part: string) => `model.layers.${layer}.self_attn.${part}.bias`
    const gated = config.ffn !== 'plain'
    const neurons = matrix(h, gated ? 2 * d : d)
    if (gated) placeRows(stored(take(name('mlp.up_proj'), h, d), dtype), neurons, h, d)
    placeColumns(stored(take(name('mlp.down_proj'), d, h), dtype), neurons, h, d, gated ? d : 0)
    return {
      inputNorm: norm(name('input_layernorm')),
      qkv: stacked(
        d,
        [name('self_attn.q_proj'), q],
        [name('self_attn.k_proj'), kv],
        [name('self_attn.v_proj'), kv],
      ),
      qkvBias:
        config.attentionBias === undefined
          ? null
          : joined([bias('q_proj'), q], [bias('k_proj'), kv], [bias('v_proj'), kv]),
      output: stacked(q, [name('self_attn.o_proj'), d]),
      outputBias: config.attentionBias === 'qkvo' ? joined([bias('o_proj'), d]) : null,
      ffnNorm: norm(name('post_attention_layernorm')),
      gate: stacked(d, [name(gated ? 'mlp.gate_proj' : 'mlp.up_proj'), h]),
      neurons,
    }
  })
  const embedding = stacked(d, ['model.embed_tokens.weight', vocabSize])
  return {
    embedding,
    layers,
    norm: norm('model.norm.weight'),
    head: config.tieWordEmbeddings ? embedding : stacked(d, ['lm_head.weight', vocabSize]),
  }
}

/** The numbers as they are stored; bf16 is the nearest, ties to even. */
function stored(values: Float32Array, dtype: EngineDtype): Weights {
  if (dtype === 'f32') return values
  const half = new Uint16Array(values.length)
  narrowBfloat16(values, half)
  return half
}

/** Row i of `up` (h, d) becomes the first half of neuron i. */
function placeRows(up: Weights, neurons: Weights, h: number, d: number): void {
  for (let i = 0; i < h; i++) neurons.set(up.subarray(i * d, (i + 1) * d), i * 2 * d)
}

/** Column i of `down` (d, h) becomes neuron i from `offset` on. In squares, so that both sides stay in the caches. */
function placeColumns(down: Weights, neurons: Weights, h: number, d: number, offset: number): void {
  const square = 64
  const stride = offset + d
  for (let i0 = 0; i0 < h; i0 += square) {
    for (let k0 = 0; k0 < d; k0 += square) {
      const iEnd = Math.min(h, i0 + square)
      const kEnd = Math.min(d, k0 + square)
      for (let i = i0; i < iEnd; i++) {
        for (let k = k0; k < kEnd; k++) neurons[i * stride + offset + k] = down[k * h + i]
      }
    }
  }
}
