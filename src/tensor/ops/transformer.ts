// The fused pieces of a transformer's block: embedding, norms, rotary positions, causal attention.

import { ShapeError } from '../../errors.js'
import type { AttentionShape, Floats } from '../../kernels/index.js'
import type { Tape } from '../tape.js'
import { show, type Tensor } from '../tensor.js'

/** Rows of `table` (vocab, d) for `tokens` (n): (n, d). */
export function embedding(tape: Tape, tokens: Int32Array, table: Tensor): Tensor {
  const { kernels } = tape
  const width = table.width
  const out = tape.output([tokens.length, width], table)
  kernels.embedding(tokens, table.data, out.data, tokens.length, width)
  tape.record(out, dOut => {
    kernels.embeddingBackward(tokens, dOut, tape.gradToAdd(table), tokens.length, width)
  })
  return out
}

/** x · weight / √(mean(x²) + eps) over the last dimension. x: (…, d), weight: (d). Zhang & Sennrich 2019. */
export function rmsNorm(tape: Tape, x: Tensor, weight: Tensor, eps: number): Tensor {
  if (weight.size !== x.width) {
    throw new ShapeError(
      'SHAPE_NORM',
      `rmsNorm: input ${show(x.shape)} does not fit weight ${show(weight.shape)}`,
    )
  }
  const { kernels, take } = tape
  const { rows, width } = x
  const out = tape.output(x.shape, x, weight)
  const rstd = take(rows)
  kernels.rmsNorm(x.data, weight.data, out.data, rstd, rows, width, eps)
  tape.record(out, dOut => {
    kernels.rmsNormBackward(
      dOut,
      x.data,
      weight.data,
      rstd,
      tape.gradToAdd(x),
      tape.gradToAdd(weight),
      rows,
      width,
    )
  })
  return out
}

/** (x − mean) / √(variance + eps) · weight + bias over the last dimension. x: (…, d), weight and bias: (d). Ba et al. 2016. */
export function layerNorm(tape: Tape, x: Tensor, weight: Tensor, bias: Tensor, eps: number): Tensor {
  if (weight.size !== x.width || bias.size !== x.width) {
    throw new ShapeError(
      'SHAPE_NORM',
      `layerNorm: input ${show(x.shape)} does not fit weight ${show(weight.shape)} and bias ${show(bias.shape)}`,
    )
  }
  const { kernels, take } = tape
  const { rows, width } = x
  const out = tape.output(x.shape, x, weight, bias)
  const statistics = take(2 * rows)
  kernels.layerNorm(x.data, weight.data, bias.data, out.data, statistics, rows, width, eps)
  tape.record(out, dOut => {
    kernels.layerNormBackward(
      dOut,
      x.data,
      weight.data,
      statistics,
      tape.gradToAdd(x),
      tape.gradToAdd(weight),
      tape.gradToAdd(bias),
      rows,
      width,
    )
  })
  return out
}

/** RMSNorm of every part of `weight`'s width of the rows: heads side by side, each with the same weights. */
export function rmsNormOfParts(tape: Tape, x: Tensor, weight: Tensor, eps: number): Tensor {
  if (x.width % weight.size !== 0) {
    throw new ShapeError(
      'SHAPE_NORM',
      `rmsNorm: input ${show(x.shape)} is not whole parts of weight ${show(weight.shape)}`,
    )
  }
  const { kernels, take } = tape
  const [rows, width] = [x.size / weight.size, weight.size]
  const out = tape.output(x.shape, x, weight)
  const rstd = take(rows)
  kernels.rmsNorm(x.data, weight.data, out.data, rstd, rows, width, eps)
  tape.record(out, dOut => {
    const [dX, dWeight] = [tape.gradToAdd(x), tape.gradToAdd(weight)]
    kernels.rmsNormBackward(dOut, x.data, weight.data, rstd, dX, dWeight, rows, width)
  })
  return out
}

/** cos and sin of position · frequency i, each (seq, headDim/2). Su et al. 2021. */
export interface RopeTable {
  readonly cos: Floats
  readonly sin: Floats
  readonly seq: number
  readonly headDim: number
}

/** Rotates every head of x (batch·seq, heads·headDim) by its position. */
export function rope(tape: Tape, x: Tensor, table: RopeTable): Tensor {
  const { cos, sin, seq, headDim } = table
  if (x.width % headDim !== 0 || x.rows % seq !== 0) {
    throw new ShapeError('SHAPE_ROPE', `rope: input ${show(x.shape)} is not (batch·${seq}, heads·${headDim})`)
  }
  const { kernels } = tape
  const heads = x.width / headDim
  const out = tape.output(x.shape, x)
  kernels.rope(x.data, cos, sin, out.data, x.rows, seq, heads, headDim)
  tape.record(out, dOut => {
    tape.writeGrads([x], dX => kernels.ropeBackward(dOut, cos, sin, dX, x.rows, seq, heads, headDim))
  })
  return out
}

/** Causal softmax(scores of q kᵀ) v, the scores as `shape` says. q: (batch·seq, heads·headDim); k, v: (batch·seq, kvHeads·headDim). */
export function attention(tape: Tape, q: Tensor, k: Tensor, v: Tensor, shape: AttentionShape): Tensor {
  const rows = shape.batch * shape.seq
  const expected: [Tensor, string, number][] = [
    [q, 'q', shape.heads],
    [k, 'k', shape.kvHeads],
    [v, 'v', shape.kvHeads],
  ]
  for (const [tensor, name, heads] of expected) {
    if (tensor.rows !== rows || tensor.width !== heads * shape.headDim) {
      throw new ShapeError(
        'SHAPE_ATTENTION',
        `attention: ${name} is ${show(tensor.shape)}, expected ${show([rows, heads * shape.headDim])}`,
      )
    }
  }
  const { kernels, take } = tape
  const out = tape.output(q.shape, q, k, v)
  const lse = take(rows * shape.heads)
  kernels.attention(q.data, k.data, v.data, out.data, lse, shape)
  tape.record(out, dOut => {
    tape.writeGrads([q, k, v], (dQ, dK, dV) => {
      kernels.attentionBackward(dOut, q.data, k.data, v.data, out.data, lse, dQ, dK, dV, shape)
    })
  })
  return out
}
