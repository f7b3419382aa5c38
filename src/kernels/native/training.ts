// The native backend of `Kernels`. What the native functions take is listed in contract.ts.

import type { Kernels } from '../interface/training.js'
import { activationKernels } from './activation.js'
import { nativeFunctions, threadCount } from './addon.js'

/** The kernels of one instruction set. Throws when the addon or the instruction set is not there. */
export function nativeKernels(isa: string): Kernels {
  const native = nativeFunctions(isa)
  return {
    backend: 'native',
    isa,
    get threads() {
      return threadCount()
    },
    matmul: native.gemm,
    addBias: native.addBias,
    columnSums: native.columnSums,
    embedding: (tokens, table, out, rows, width) =>
      native.embedding(tokens, table, out, rows, width, Math.floor(table.length / width)),
    embeddingBackward: (tokens, dOut, dTable, rows, width) =>
      native.embeddingBackward(tokens, dOut, dTable, rows, width, Math.floor(dTable.length / width)),
    rmsNorm: native.rmsNorm,
    rmsNormBackward: native.rmsNormBackward,
    rope: (x, cos, sin, out, rows, seq, heads, headDim) =>
      native.rope(x, cos, sin, out, rows, seq, heads, headDim, false),
    ropeBackward: (dOut, cos, sin, dX, rows, seq, heads, headDim) =>
      native.rope(dOut, cos, sin, dX, rows, seq, heads, headDim, true),
    attention: (q, k, v, out, lse, s) =>
      native.attention(q, k, v, out, lse, s.batch, s.seq, s.heads, s.kvHeads, s.headDim),
    attentionBackward: (dOut, q, k, v, out, lse, dQ, dK, dV, { batch, seq, heads, kvHeads, headDim }) =>
      native.attentionBackward(dOut, q, k, v, out, lse, dQ, dK, dV, batch, seq, heads, kvHeads, headDim),
    ...activationKernels(native),
    crossEntropy: native.crossEntropy,
    adamW: (param, grad, m, v, n, o) =>
      native.adamW(param, grad, m, v, n, o.lr, o.beta1, o.beta2, o.eps, o.weightDecay, o.step, o.gradScale),
    add: native.add,
    multiply: native.multiply,
    axpy: native.axpy,
    addSign: native.addSign,
    sum: native.sum,
    sumOfSquares: native.sumOfSquares,
    countZeros: native.countZeros,
  }
}
