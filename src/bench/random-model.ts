// Models of a given shape with random weights, laid out for the engine at the speed of copying: normal values are drawn
// once into a pool, and matrices are filled with stretches of it that begin ever elsewhere.

import { atLeastAtVocabulary } from '../engine/model/weight-plans.js'
import type { EngineWeights, LayerWeights, NormWeights } from '../engine/model/weights.js'
import { OptionError } from '../errors.js'
import {
  allocateWeights,
  bytesOf,
  isKQuant,
  scaleBytes,
  storeRow,
  type Weights,
  type WeightType,
  weightBytes,
} from '../kernels/index.js'
import { fillNormal, Purpose } from '../kernels/philox.js'
import { narrowBfloat16, narrowFloat16 } from '../kernels/weights/half.js'
import { SUPER_BLOCK, SUPER_BLOCK_BYTES } from '../kernels/weights/k-quants.js'
import { headDimOf, type ModelConfig } from '../nn/config.js'

export type DecodeShape = Pick<
  ModelConfig,
  | 'hiddenSize'
  | 'intermediateSize'
  | 'numHiddenLayers'
  | 'numAttentionHeads'
  | 'numKeyValueHeads'
  | 'vocabSize'
  | 'tieWordEmbeddings'
> & {
  /** Default: gated. A plain FFN has no gate: its up matrix decides which neurons are active. */
  readonly ffn?: 'gated' | 'plain'
}

const sparselm: DecodeShape = {
  hiddenSize: 2048,
  intermediateSize: 5632,
  numHiddenLayers: 28,
  numAttentionHeads: 32,
  numKeyValueHeads: 32,
  vocabSize: 49152,
  tieWordEmbeddings: true,
}

/**
 * Shapes by name: two of SparseLM (Sakana AI), one of its width with a plain FFN (as Nemotron, Arcee and OPT have), four layers
 * of Llama 2 7B, which make it fit a small machine, and the quick study's, which fits into caches.
 */
export const DECODE_SHAPES: Readonly<Record<string, DecodeShape>> = {
  'sparselm-0.5b': { ...sparselm, numHiddenLayers: 8 },
  'sparselm-1.5b': sparselm,
  'plain-1.5b': { ...sparselm, intermediateSize: 8192, ffn: 'plain' },
  'llama-7b-4-layers': {
    ...sparselm,
    hiddenSize: 4096,
    intermediateSize: 11008,
    numHiddenLayers: 4,
    vocabSize: 32000,
    tieWordEmbeddings: false,
  },
  quick: {
    hiddenSize: 96,
    intermediateSize: 384,
    numHiddenLayers: 4,
    numAttentionHeads: 4,
    numKeyValueHeads: 4,
    vocabSize: 1024,
    tieWordEmbeddings: true,
  },
}

/** The shape of that name. Throws OptionError SHAPE_UNKNOWN. */
export function decodeShape(name: string): DecodeShape {
  const shape = DECODE_SHAPES[name]
  if (shape !== undefined) return shape
  const names = Object.keys(DECODE_SHAPES).join(', ')
  throw new OptionError(
    'SHAPE_UNKNOWN',
    `there is no shape "${name}"; give one of ${names}, or sizes of your own with --hidden, --intermediate, …`,
  )
}

/** The config of a random model with an activation that is 0 below `threshold`. */
export function randomConfig(shape: DecodeShape, threshold: number, context: number): ModelConfig {
  return {
    ...shape,
    maxPositionEmbeddings: context,
    rmsNormEps: 1e-5,
    ropeTheta: 10000,
    ffn: shape.ffn ?? 'gated',
    activation: threshold >= 0 ? `fatrelu:t=${threshold}` : `shifted-relu:b=${threshold}`,
  }
}

/** Standard deviation of weights: GPT-2's. */
export const WEIGHT_STD = 0.02

/** All weights of `config` in the engine's layout; norms are 1. As the engine has it, 4 bits are not for the vocabulary. */
export function randomWeights(config: ModelConfig, type: WeightType): EngineWeights {
  const { hiddenSize: d, intermediateSize: h, vocabSize, numAttentionHeads, numKeyValueHeads } = config
  const isGated = config.ffn !== 'plain'
  const q = headDimOf(config) * numAttentionHeads
  const kv = headDimOf(config) * numKeyValueHeads
  const pool = new Pool(type)
  const matrix = (rows: number, columns: number) =>
    pool.fill(allocateWeights(type, rows, columns), rows, columns)
  const ones = (): NormWeights => ({ weight: new Float32Array(d).fill(1), bias: null })
  const atVocabulary = atLeastAtVocabulary(type)
  const vocabularyPool = atVocabulary === type ? pool : new Pool(atVocabulary)
  const vocabulary = () =>
    vocabularyPool.fill(allocateWeights(vocabularyPool.type, vocabSize, d), vocabSize, d)
  const layer = (): LayerWeights => ({
    inputNorm: ones(),
    qkv: [{ weights: matrix(q + 2 * kv, d), rows: q + 2 * kv }],
    qkvBias: null,
    output: matrix(d, q),
    outputBias: null,
    qNorm: null,
    kNorm: null,
    attentionNorm: null,
    ffnNorm: ones(),
    ffnOutputNorm: null,
    gate: matrix(h, d),
    gateBias: null,
    downBias: null,
    up: null,
    neurons: matrix(isGated ? 2 * h : h, d),
    gated: isGated,
    learned: null,
  })
  const embedding = vocabulary()
  return {
    embedding,
    positions: null,
    layers: Array.from({ length: config.numHiddenLayers }, layer),
    norm: ones(),
    head: config.tieWordEmbeddings ? embedding : vocabulary(),
    headBias: null,
  }
}

/** Odd, so that no two rows of a matrix begin at the same offset. */
const POOL = 2 ** 22 + 12345
const TABLE = 2 ** 16
/** Encoding K-quants takes its time. */
const SUPER_BLOCKS = 4093

/** Random values of one type, handed out in stretches. */
class Pool {
  readonly type: WeightType
  readonly #plain: Float32Array | Uint16Array | null = null
  /** Codes of quantized rows, and the scales that stand before them. */
  readonly #codes: Uint8Array | null = null
  readonly #scale = new Uint16Array(1)
  #at = 0

  constructor(type: WeightType) {
    this.type = type
    const table = new Float32Array(TABLE)
    fillNormal(table, { seed: 1, purpose: Purpose.init, stream: 0 }, 0, WEIGHT_STD)
    let state = 1
    const drawn = (from: Float32Array | Uint16Array | Int32Array) => {
      state = (Math.imul(state, 1664525) + 1013904223) | 0
      return from[state >>> 16]
    }
    if (type === 'f32' || type === 'bf16' || type === 'f16') {
      const numbers = new Uint16Array(TABLE)
      const narrow = type === 'f16' ? narrowFloat16 : narrowBfloat16
      narrow(table, numbers)
      this.#plain = type === 'f32' ? new Float32Array(POOL) : new Uint16Array(POOL)
      const from = type === 'f32' ? table : numbers
      for (let i = 0; i < POOL; i++) this.#plain[i] = drawn(from)
      return
    }
    if (isKQuant(type)) {
      const row = allocateWeights(type, 1, SUPER_BLOCKS * SUPER_BLOCK)
      storeRow(
        row,
        0,
        Float32Array.from({ length: SUPER_BLOCKS * SUPER_BLOCK }, () => drawn(table)),
      )
      this.#codes = bytesOf(row)
      return
    }
    // A group's largest of 32 normal values, about 2.1 standard deviations, takes the largest code.
    const largest = type === 'q8_0' ? 127 : 7
    const scale = (2.1 * WEIGHT_STD) / largest
    narrowFloat16(Float32Array.of(scale), this.#scale)
    const codes = Int32Array.from(table, x => Math.max(-largest, Math.min(largest, Math.round(x / scale))))
    this.#codes = new Uint8Array(POOL)
    for (let i = 0; i < POOL; i++) {
      this.#codes[i] = type === 'q8_0' ? drawn(codes) : (drawn(codes) + 8) | ((drawn(codes) + 8) << 4)
    }
  }

  /** Fills `w`, (rows, columns) of the pool's type, and returns it. */
  fill(w: Weights, rows: number, columns: number): Weights {
    if (!('type' in w) || w.type === 'f16') {
      const pool = this.#plain
      const numbers = 'type' in w ? new Uint16Array(w.data.buffer, w.data.byteOffset, w.data.length / 2) : w
      // The pool is of the type of `w`: both calls are of `set` on two arrays of one kind.
      for (let at = 0; pool !== null && at < numbers.length; ) {
        const count = Math.min(POOL - this.#at, numbers.length - at)
        numbers.set(pool.subarray(this.#at, this.#at + count), at)
        at += count
        this.#at = (this.#at + count) % POOL
      }
      return w
    }
    const width = weightBytes(w.type, columns)
    if (isKQuant(w.type)) {
      const size = SUPER_BLOCK_BYTES[w.type]
      for (let at = 0; this.#codes !== null && at < rows * width; at += size, this.#at++) {
        const from = (this.#at % SUPER_BLOCKS) * size
        w.data.set(this.#codes.subarray(from, from + size), at)
      }
      return w
    }
    const first = scaleBytes(columns)
    const scales = new Uint16Array(first / 2).fill(this.#scale[0], 0, Math.ceil(columns / 32))
    const scaleRow = new Uint8Array(scales.buffer)
    for (let row = 0; this.#codes !== null && row < rows; row++) {
      if (this.#at + width - first > POOL) this.#at = row % 64
      w.data.set(scaleRow, row * width)
      w.data.set(this.#codes.subarray(this.#at, this.#at + width - first), row * width + first)
      this.#at += width - first
    }
    return w
  }
}

/** Matrices of one FFN: gate, up and down, or without a gate up and down. */
export function matricesOfFfn({ ffn }: { readonly ffn?: string }): number {
  return ffn === 'plain' ? 2 : 3
}
