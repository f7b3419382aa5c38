// The native backend of `Kernels`. What the native functions take is listed in contract.ts.

import type { AttentionShape, Kernels } from '../interface/training.js'
import { wasmThreadCount } from '../wasm/instance.js'
import { activationKernels } from './activation.js'
import { backendOf, nativeFunctions, threadCount } from './addon.js'

/** The kernels of one instruction set. Throws when the addon or the instruction set is not there. */
export function nativeKernels(isa: string): Kernels {
  const native = nativeFunctions(isa)
  return {
    backend: backendOf(isa),
    isa,
    get threads() {
      return backendOf(isa) === 'wasm' ? wasmThreadCount() : threadCount()
    },
    matmul: native.gemm,
    matmulBf16: (...args) => native.gemmBf16(...args) === 1,
    addBias: native.addBias,
    columnSums: native.columnSums,
    embedding: (tokens, table, out, rows, width) =>
      native.embedding(tokens, table, out, rows, width, Math.floor(table.length / width)),
    embeddingBackward: (tokens, dOut, dTable, rows, width) =>
      native.embeddingBackward(tokens, dOut, dTable, rows, width, Math.floor(dTable.length / width)),
    rmsNorm: native.rmsNorm,
    rmsNormBackward: native.rmsNormBackward,
    layerNorm: native.layerNorm,
    layerNormBackward: native.layerNormBackward,
    rope: (x, cos, sin, out, rows, seq, heads, headDim) =>
      native.rope(x, cos, sin, out, rows, seq, heads, headDim, false),
    ropeBackward: (dOut, cos, sin, dX, rows, seq, heads, headDim) =>
      native.rope(dOut, cos, sin, dX, rows, seq, heads, headDim, true),
    attention: (q, k, v, out, lse, s) => native.attention(q, k, v, out, lse, ...attentionArguments(s)),
    attentionBackward: (dOut, q, k, v, out, lse, dQ, dK, dV, s) =>
      native.attentionBackward(dOut, q, k, v, out, lse, dQ, dK, dV, ...attentionArguments(s)),
    ...activationKernels(native),
    crossEntropy: native.crossEntropy,
    adamW: (param, grad, m, v, n, o) =>
      native.adamW(param, grad, m, v, n, o.lr, o.beta1, o.beta2, o.eps, o.weightDecay, o.step, o.gradScale),
    add: native.add,
    multiply: native.multiply,
    axpy: native.axpy,
    addSign: native.addSign,
    sparseDots: native.sparseDots,
    sparseRows: native.sparseRows,
    sparseColumns: native.sparseColumns,
    transpose: native.transpose,
    sum: native.sum,
    sumOfSquares: native.sumOfSquares,
    countZeros: native.countZeros,
  }
}

function attentionArguments(shape: AttentionShape) {
  const { batch, seq, heads, kvHeads, headDim, scale = 0, softcap = 0, window = 0 } = shape
  return [batch, seq, heads, kvHeads, headDim, scale, softcap, window] as const
}
