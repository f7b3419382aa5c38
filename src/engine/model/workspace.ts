// The working buffers of a forward pass. A model has one set, as large as the largest pass so far: its sessions run
// one after the other.

import { ffnWidths, headDimOf, type ModelConfig } from '../../nn/config.js'

/** Positions of a prompt that are computed together: each weight is read once for all of them. */
export const PREFILL_BLOCK = 512

export class Workspace {
  /** The residual stream, (rows, d). */
  x = new Float32Array(0)
  /** (rows, d). */
  normed = new Float32Array(0)
  /** (rows). */
  rstd = new Float32Array(0)
  /** (rows, q + 2·kv). */
  qkv = new Float32Array(0)
  /** (rows, q). */
  mixed = new Float32Array(0)
  /** Pre-activations, then activations, (rows, h). */
  activated = new Float32Array(0)
  #up = new Float32Array(0)
  #parts = new Float32Array(0)
  /** Active neurons of one layer, (rows). */
  active = new Int32Array(0)
  #logits = new Float32Array(0)
  readonly #config: ModelConfig

  constructor(config: ModelConfig) {
    this.#config = config
  }

  /** This workspace with room for `rows` rows; what stood in it is gone when it had to grow. */
  forRows(rows: number): this {
    if (rows <= this.rstd.length) return this
    const { hiddenSize, intermediateSize, numAttentionHeads, numKeyValueHeads } = this.#config
    const headDim = headDimOf(this.#config)
    const buffer = (width: number) => new Float32Array(rows * width)
    this.x = buffer(hiddenSize)
    this.normed = buffer(hiddenSize)
    this.rstd = buffer(1)
    this.qkv = buffer((numAttentionHeads + 2 * numKeyValueHeads) * headDim)
    this.mixed = buffer(numAttentionHeads * headDim)
    this.activated = buffer(intermediateSize)
    this.active = new Int32Array(rows)
    return this
  }

  /** (rows, h), with unspecified content: of a dReLU FFN. */
  upFor(rows: number): Float32Array {
    const size = rows * this.#config.intermediateSize
    if (this.#up.length < size) this.#up = new Float32Array(size)
    return this.#up.subarray(0, size)
  }

  /** What gate and up rows read of `normed`: of a Spark FFN (rows, r) and (rows, d − r), of all others `normed` itself. */
  ffnInputs(rows: number): { readonly forGate: Float32Array; readonly forUp: Float32Array } {
    const { normed } = this
    const { ffn, hiddenSize: d } = this.#config
    if (ffn !== 'spark') return { forGate: normed, forUp: normed }
    const { gate, up } = ffnWidths(this.#config)
    if (rows === 1) return { forGate: normed.subarray(0, gate), forUp: normed.subarray(gate, d) }
    if (this.#parts.length < rows * d) this.#parts = new Float32Array(rows * d)
    const forGate = this.#parts.subarray(0, rows * gate)
    const forUp = this.#parts.subarray(rows * gate, rows * d)
    for (let row = 0; row < rows; row++) {
      forGate.set(normed.subarray(row * d, row * d + gate), row * gate)
      forUp.set(normed.subarray(row * d + gate, (row + 1) * d), row * up)
    }
    return { forGate, forUp }
  }

  /** (rows, vocab), with unspecified content. */
  logitsFor(rows: number): Float32Array {
    const size = rows * this.#config.vocabSize
    if (this.#logits.length < size) this.#logits = new Float32Array(size)
    return this.#logits.subarray(0, size)
  }
}
