// The kernel interface: everything that moves numbers in bulk. Two backends implement it, `native` (C++ SIMD,
// f32) and `portable` (TypeScript, f32 and f64), and tests hold the two together.
//
// Conventions of every kernel here:
// - matrices are row-major and dense; sizes are element counts; buffers may be longer than needed, never shorter;
// - backward kernels of embedding, norms and column sums ADD into gradient buffers (`d…`), which the caller zeroes; those
//   of activations, rope and attention, whose inputs rarely feed anything else, OVERWRITE them: no zeroing, no reading back;
// - the result does not depend on the number of threads: work is cut into blocks by size alone, every output
//   element is summed in one fixed order, and partial sums are combined in block order.

import type { Activation } from '../../activations/activation.js'

export type Floats = Float32Array | Float64Array

/**
 * Which random numbers a stochastic activation draws. For a draw per element, element (row, neuron) uses word `neuron & 3` of
 * Philox4x32-10 with key (seedLow, seedHigh) and counter (neuron >> 2, firstRow + row, step, (purpose << 16) | layer);
 * its top 24 bits are the uniform draw. So a draw depends on nothing but these numbers. Where more share one draw
 * (`Activation.drawPer`), it is that of neuron 0 (token, sample, batch), of row 0 of the step (neuron, batch), or of
 * row floor((firstRow + row) / rowsPerSample) (sample). Channel c of an entry with several draws adds 256·c to the purpose.
 * In training `step` is the optimizer step and rows count over the whole batch (micro-batches included); in
 * decoding `step` is the sequence number and the row is the position.
 */
export interface Draw {
  readonly seedLow: number
  readonly seedHigh: number
  readonly purpose: number
  readonly step: number
  readonly layer: number
  readonly firstRow: number
  /** Consecutive rows that belong to one sample (a text: its tokens). Default 1: every row is a sample. */
  readonly rowsPerSample?: number
}

/** Added to the purpose for the up side of an FFN; below what a channel adds. */
const UP_SIDE = 128

/**
 * The draws of the up side of an FFN that applies its activation to gate and up (`dualGate`): independent of those of the
 * gate, as each application of a stochastic activation draws for itself. So StochA p gives 0 with probability 1 − p² where
 * both are negative.
 */
export function upSideDraw<D extends Pick<Draw, 'purpose'>>(draw: D): D {
  return { ...draw, purpose: draw.purpose + UP_SIDE }
}

/** How the scores of attention are made from q kᵀ and which of them count. */
export interface AttentionScores {
  /** Factor of q kᵀ. Default: 1/√headDim. */
  readonly scale?: number
  /** A score s becomes softcap · tanh(s / softcap). Default: s stays. */
  readonly softcap?: number
  /** A position sees this many positions, itself included. Default: all before it. */
  readonly window?: number
}

/** Shape of one attention call. q and out: (batch·seq, heads·headDim); k and v: (batch·seq, kvHeads·headDim). */
export interface AttentionShape extends AttentionScores {
  readonly batch: number
  readonly seq: number
  readonly heads: number
  /** Divides `heads`; query head j reads key/value head floor(j / (heads / kvHeads)). */
  readonly kvHeads: number
  readonly headDim: number
}

export interface AdamWStep {
  readonly lr: number
  readonly beta1: number
  readonly beta2: number
  readonly eps: number
  readonly weightDecay: number
  /** 1-based number of this update, for the bias corrections 1 − βᵗ. */
  readonly step: number
  /** Factor applied to every gradient first (clipping, 1 / accumulation). */
  readonly gradScale: number
}

export interface Kernels {
  readonly backend: 'native' | 'wasm' | 'portable'
  /** `avx512`, `avx2`, `x86-64`, `neon`, `wasm`, or `typescript`. */
  readonly isa: string
  readonly threads: number

  /** c (m×n) = op(a) · op(b), or += with `accumulate`. a is m×k (k×m when transA), b is k×n (n×k when transB). */
  matmul(
    a: Floats,
    b: Floats,
    c: Floats,
    m: number,
    n: number,
    k: number,
    transA: boolean,
    transB: boolean,
    accumulate: boolean,
  ): void

  /**
   * As `matmul`, of a and b rounded to bf16 (to the nearest, ties to even) and summed in f32; f64 buffers are rounded too. By
   * the processor's own products of bf16 unless `emulated`, which is the same up to the rounding of sums. Returns whether
   * it was by those.
   */
  matmulBf16(
    a: Floats,
    b: Floats,
    c: Floats,
    m: number,
    n: number,
    k: number,
    transA: boolean,
    transB: boolean,
    accumulate: boolean,
    emulated: boolean,
  ): boolean

  /** x (rows×width) += bias (width), in place. */
  addBias(x: Floats, bias: Floats, rows: number, width: number): void
  /** out (width) += sum over rows of x (rows×width). */
  columnSums(x: Floats, out: Floats, rows: number, width: number): void

  /** out (rows×width) = table[tokens]; tokens (rows) must lie inside the table, else RangeError. */
  embedding(tokens: Int32Array, table: Floats, out: Floats, rows: number, width: number): void
  /** dTable[tokens[r]] += dOut[r]. */
  embeddingBackward(tokens: Int32Array, dOut: Floats, dTable: Floats, rows: number, width: number): void

  /** out = x · rstd · weight with rstd (rows) = 1/√(mean(x²) + eps). Zhang & Sennrich 2019. */
  rmsNorm(
    x: Floats,
    weight: Floats,
    out: Floats,
    rstd: Floats,
    rows: number,
    width: number,
    eps: number,
  ): void
  rmsNormBackward(
    dOut: Floats,
    x: Floats,
    weight: Floats,
    rstd: Floats,
    dX: Floats,
    dWeight: Floats,
    rows: number,
    width: number,
  ): void

  /** out = (x − mean) · rstd · weight + bias; statistics (2·rows) receives mean and rstd = 1/√(variance + eps) of each row. */
  layerNorm(
    x: Floats,
    weight: Floats,
    bias: Floats,
    out: Floats,
    statistics: Floats,
    rows: number,
    width: number,
    eps: number,
  ): void
  layerNormBackward(
    dOut: Floats,
    x: Floats,
    weight: Floats,
    statistics: Floats,
    dX: Floats,
    dWeight: Floats,
    dBias: Floats,
    rows: number,
    width: number,
  ): void

  /**
   * Rotary position embedding in Hugging Face's half-split layout: elements i and i + headDim/2 of each head
   * turn by the angle whose cos and sin stand in `cos`, `sin` (seq × headDim/2). x: (rows, heads·headDim), and
   * row r has position r mod seq. Su et al. 2021.
   */
  rope(
    x: Floats,
    cos: Floats,
    sin: Floats,
    out: Floats,
    rows: number,
    seq: number,
    heads: number,
    headDim: number,
  ): void
  /** dX = dOut rotated back. */
  ropeBackward(
    dOut: Floats,
    cos: Floats,
    sin: Floats,
    dX: Floats,
    rows: number,
    seq: number,
    heads: number,
    headDim: number,
  ): void

  /**
   * Causal attention, softmax(scores of q kᵀ) v, blocked so that no (seq × seq) matrix is stored.
   * `lse` (batch·seq·heads, index (b·seq + t)·heads + head) receives log Σ exp of each row's scores.
   */
  attention(q: Floats, k: Floats, v: Floats, out: Floats, lse: Floats, shape: AttentionShape): void
  /** dQ, dK and dV are overwritten. */
  attentionBackward(
    dOut: Floats,
    q: Floats,
    k: Floats,
    v: Floats,
    out: Floats,
    lse: Floats,
    dQ: Floats,
    dK: Floats,
    dV: Floats,
    shape: AttentionShape,
  ): void

  /**
   * out = f(x) over (rows×width); out may be x. `parameters`: the flat buffer of learned parameters of
   * `parameterLayout(act, width)`, default the start values; entries without any ignore it.
   */
  activation(
    act: Activation,
    x: Floats,
    out: Floats,
    rows: number,
    width: number,
    draw: Draw,
    parameters?: Floats,
  ): void
  /** dX = f′(x) · dOut; `dParameters` (flat, as the parameters) += what dOut gives them. */
  activationBackward(
    act: Activation,
    dOut: Floats,
    x: Floats,
    dX: Floats,
    rows: number,
    width: number,
    draw: Draw,
    parameters?: Floats,
    dParameters?: Floats,
  ): void
  /** out = f(gate) ⊙ up, the inner vector of a gated FFN (Shazeer 2020), over (rows×width). */
  gate(
    act: Activation,
    gate: Floats,
    up: Floats,
    out: Floats,
    rows: number,
    width: number,
    draw: Draw,
    parameters?: Floats,
  ): void
  /** dGate = f′(gate) · up · dOut; dUp = f(gate) · dOut; `dParameters` as for activationBackward. */
  gateBackward(
    act: Activation,
    dOut: Floats,
    gate: Floats,
    up: Floats,
    dGate: Floats,
    dUp: Floats,
    rows: number,
    width: number,
    draw: Draw,
    parameters?: Floats,
    dParameters?: Floats,
  ): void

  /** out = relu(gate) ⊙ relu(up), the inner vector of dReLU (Song et al. 2024, arXiv 2406.05955). */
  dRelu(gate: Floats, up: Floats, out: Floats, n: number): void
  /** dGate = 1[gate > 0] · relu(up) · dOut; dUp = 1[up > 0] · relu(gate) · dOut. */
  dReluBackward(dOut: Floats, gate: Floats, up: Floats, dGate: Floats, dUp: Floats, n: number): void

  /**
   * losses[r] = −log softmax(logits[r])[targets[r]] in nats; a target of −1 is skipped (loss 0, gradient 0).
   * With `dLogits`, also dLogits = (softmax − onehot) · scale, OVERWRITTEN; it may be the same buffer as logits.
   */
  crossEntropy(
    logits: Floats,
    targets: Int32Array,
    losses: Floats,
    dLogits: Floats | null,
    rows: number,
    vocab: number,
    scale: number,
  ): void

  /** One AdamW update with decoupled weight decay (Loshchilov & Hutter 2019); m and v are the two moments. */
  adamW(param: Floats, grad: Floats, m: Floats, v: Floats, n: number, options: AdamWStep): void

  /** out = a + b; out may be a or b. */
  add(a: Floats, b: Floats, out: Floats, n: number): void
  /** out = a ⊙ b; out may be a or b. */
  multiply(a: Floats, b: Floats, out: Floats, n: number): void
  /** y += alpha · x. */
  axpy(alpha: number, x: Floats, y: Floats, n: number): void
  /**
   * y += alpha · sign(x), where sign is 0 for ±0; returns Σ |x|, and zeros[0] receives how many of the x are exactly
   * zero: the gradient of an L1 penalty and what it is steered by, in one pass.
   */
  addSign(alpha: number, x: Floats, y: Floats, zeros: Int32Array, n: number): number
  /** out (rows, neurons) = x (rows, width) · wᵀ, w: (neurons, width), where the mask is not 0, else 0. The mask may be `out`. */
  sparseDots(
    mask: Floats,
    x: Floats,
    w: Floats,
    out: Floats,
    rows: number,
    neurons: number,
    width: number,
  ): void
  /** y (rows, width) = s (rows, neurons) · w, w: (neurons, width), or +=, of the s that are not 0. */
  sparseRows(
    s: Floats,
    w: Floats,
    y: Floats,
    rows: number,
    neurons: number,
    width: number,
    accumulate: boolean,
  ): void
  /** out (neurons, width) = sᵀ · x, s: (rows, neurons), x: (rows, width), or +=, of the s that are not 0. */
  sparseColumns(
    s: Floats,
    x: Floats,
    out: Floats,
    rows: number,
    neurons: number,
    width: number,
    accumulate: boolean,
  ): void
  /** out (columns, rows) = xᵀ, x: (rows, columns), or +=. */
  transpose(x: Floats, out: Floats, rows: number, columns: number, accumulate: boolean): void
  sum(x: Floats, n: number): number
  sumOfSquares(x: Floats, n: number): number
  /** How many of the first n elements are exactly zero (either sign). */
  countZeros(x: Floats, n: number): number
}
