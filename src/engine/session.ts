// One text being decoded: its KV cache, its position and its random draws. The prompt goes through in blocks, then
// one token at a time; both give the same bits.

import type { Activation } from '../activations/index.js'
import { OptionError, TokenizerError } from '../errors.js'
import { widenBfloat16 } from '../formats/half-precision.js'
import type { Draw } from '../kernels/index.js'
import { Purpose, seedWords } from '../kernels/philox.js'
import { KvCache } from './kv-cache.js'
import type { EngineModel } from './model.js'
import { PREFILL_BLOCK } from './workspace.js'

export interface SessionOptions {
  /** Of the draws of a stochastic activation: a whole number ≥ 0. Default 0. */
  readonly seed?: number
  /** Which of several texts with this seed: each draws its own numbers. Default 0. */
  readonly sequence?: number
  /** Instead of the model's. */
  readonly activation?: Activation
}

export class Session {
  readonly activation: Activation
  readonly sequence: number
  /** Active neurons per layer at the last position computed. */
  readonly activeNeurons: Int32Array
  readonly #model: EngineModel
  readonly #cache: KvCache
  readonly #draw: Omit<Draw, 'layer' | 'firstRow'>
  readonly #logits: Float32Array
  #position = 0

  /** Throws OptionError SEED_RANGE, SEQUENCE_RANGE. */
  constructor(model: EngineModel, options: SessionOptions) {
    const { seed = 0, sequence = 0, activation = model.activation } = options
    if (!(Number.isSafeInteger(seed) && seed >= 0)) {
      throw new OptionError('SEED_RANGE', `seed must be a whole number of at least 0, not ${seed}`)
    }
    if (!(Number.isInteger(sequence) && sequence >= 0 && sequence < 2 ** 32)) {
      throw new OptionError('SEQUENCE_RANGE', `sequence must be a whole number below 2^32, not ${sequence}`)
    }
    this.#model = model
    this.activation = activation
    this.sequence = sequence
    this.activeNeurons = new Int32Array(model.config.numHiddenLayers)
    this.#cache = new KvCache(model.config)
    const [seedLow, seedHigh] = seedWords(seed)
    this.#draw = { seedLow, seedHigh, purpose: Purpose.decode, step: sequence }
    this.#logits = new Float32Array(model.config.vocabSize)
  }

  /** How many tokens have been read. */
  get position(): number {
    return this.#position
  }

  /**
   * Reads `tokens` (at least one) and returns the logits after the last, (vocab), valid until the next call. With
   * `all`, (tokens.length, vocab), also those after every token. Throws OptionError CONTEXT_OVERFLOW or PROMPT_EMPTY,
   * TokenizerError TOKEN_OUT_OF_VOCABULARY; then nothing has been read.
   */
  prefill(tokens: ArrayLike<number>, all?: Float32Array): Float32Array {
    this.#check(tokens)
    const { vocabSize } = this.#model.config
    this.#cache.reserve(this.#position + tokens.length)
    this.#model.rotation.reserve(this.#cache.capacity)
    for (let start = 0; start < tokens.length; start += PREFILL_BLOCK) {
      const rows = Math.min(PREFILL_BLOCK, tokens.length - start)
      this.#layers(tokens, start, rows)
      if (all !== undefined) this.#head(0, rows, all.subarray(start * vocabSize))
      if (start + rows === tokens.length) this.#head(rows - 1, 1, this.#logits)
    }
    return this.#logits
  }

  /** Reads one token; as prefill([token]). */
  step(token: number): Float32Array {
    return this.prefill([token])
  }

  #check(tokens: ArrayLike<number>): void {
    const { vocabSize, maxPositionEmbeddings } = this.#model.config
    if (tokens.length === 0) {
      throw new OptionError('PROMPT_EMPTY', 'there are no tokens to read; give at least one')
    }
    if (this.#position + tokens.length > maxPositionEmbeddings) {
      throw new OptionError(
        'CONTEXT_OVERFLOW',
        `the text would be ${this.#position + tokens.length} tokens long, but the model's context is ` +
          `${maxPositionEmbeddings}; shorten the prompt`,
      )
    }
    for (let i = 0; i < tokens.length; i++) {
      const token = tokens[i]
      if (Number.isInteger(token) && token >= 0 && token < vocabSize) continue
      throw new TokenizerError(
        'TOKEN_OUT_OF_VOCABULARY',
        `token ${token} at position ${this.#position + i} is outside the model's vocabulary of ${vocabSize}`,
      )
    }
  }

  /** Runs tokens [start, start + rows) through all layers; the residual stream is left in the workspace. */
  #layers(tokens: ArrayLike<number>, start: number, rows: number): void {
    const { config, weights, workspace, kernels, decode, rotation } = this.#model
    const { hiddenSize: d, intermediateSize: h, numAttentionHeads: heads, numKeyValueHeads: kvHeads } = config
    const { x, normed, rstd, qkv, mixed, activated, active } = workspace
    const headDim = d / heads
    const { capacity } = this.#cache
    const attentionShape = { batch: rows, position: this.#position, capacity, heads, kvHeads, headDim }
    // Without exact zeros there is nothing to skip, and looking for them would only cost.
    const sparse = this.#model.sparse && this.activation.exactZeros
    const ffnShape = { neurons: h, width: d, batch: rows, gated: config.ffn === 'gated', sparse }

    for (let row = 0; row < rows; row++) this.#embed(tokens[start + row], x.subarray(row * d, (row + 1) * d))
    for (const [index, layer] of weights.layers.entries()) {
      const { keys, values } = this.#cache.layers[index]
      kernels.rmsNorm(x, layer.inputNorm, normed, rstd, rows, d, config.rmsNormEps)
      decode.matvec(layer.qkv, normed, qkv, d + 2 * kvHeads * headDim, d, rows, false)
      decode.cachedAttention(qkv, rotation.cos, rotation.sin, keys, values, mixed, attentionShape)
      decode.matvec(layer.output, mixed, x, d, d, rows, true)

      kernels.rmsNorm(x, layer.ffnNorm, normed, rstd, rows, d, config.rmsNormEps)
      decode.matvec(layer.gate, normed, activated, h, d, rows, false)
      const draw = { ...this.#draw, layer: index, firstRow: this.#position }
      kernels.activation(this.activation, activated, activated, rows, h, draw)
      decode.ffnNeurons(layer.neurons, activated, normed, x, active, ffnShape)
      this.activeNeurons[index] = active[rows - 1]
    }
    this.#position += rows
  }

  #embed(token: number, out: Float32Array): void {
    const { embedding } = this.#model.weights
    const row = embedding.subarray(token * out.length, (token + 1) * out.length)
    if (row instanceof Uint16Array) widenBfloat16(row, out)
    else out.set(row)
  }

  /** out (rows, vocab) = logits of rows [first, first + rows) of the workspace. */
  #head(first: number, rows: number, out: Float32Array): void {
    const { config, weights, workspace, kernels, decode } = this.#model
    const { hiddenSize: d, vocabSize, rmsNormEps } = config
    const { x, normed, rstd } = workspace
    kernels.rmsNorm(
      x.subarray(first * d, (first + rows) * d),
      weights.norm,
      normed,
      rstd,
      rows,
      d,
      rmsNormEps,
    )
    decode.matvec(weights.head, normed, out, vocabSize, d, rows, false)
  }
}
