// The native backend of `Kernels`. Arguments are in the order of native/binding.cc, where every length and token is
// checked.

import type { Kernels } from '../interface/training.js'
import { activationKernels } from './activation.js'
import { nativeFunction, threadCount } from './addon.js'

/** The kernels of one instruction set. Throws when the addon or the instruction set is not there. */
export function nativeKernels(isa: string): Kernels {
  const kernel = (name: string) => nativeFunction(isa, name)
  const [gemm, rope] = [kernel('gemm'), kernel('rope')]
  const [embedding, embeddingBackward, rmsNorm, rmsNormBackward, attention, attentionBackward] = [
    kernel('embedding'),
    kernel('embeddingBackward'),
    kernel('rmsNorm'),
    kernel('rmsNormBackward'),
    kernel('attention'),
    kernel('attentionBackward'),
  ]
  const [crossEntropy, adamW, addBias, columnSums, add, multiply, axpy] = [
    kernel('crossEntropy'),
    kernel('adamW'),
    kernel('addBias'),
    kernel('columnSums'),
    kernel('add'),
    kernel('multiply'),
    kernel('axpy'),
  ]
  const [sum, sumOfSquares, countZeros] = [kernel('sum'), kernel('sumOfSquares'), kernel('countZeros')]

  return {
    backend: 'native',
    isa,
    get threads() {
      return threadCount()
    },
    matmul: (a, b, c, m, n, k, transA, transB, accumulate) => {
      gemm(a, b, c, m, n, k, transA, transB, accumulate)
    },
    addBias: (x, bias, rows, width) => {
      addBias(x, bias, rows, width)
    },
    columnSums: (x, out, rows, width) => {
      columnSums(x, out, rows, width)
    },
    embedding: (tokens, table, out, rows, width) => {
      embedding(tokens, table, out, rows, width, Math.floor(table.length / width))
    },
    embeddingBackward: (tokens, dOut, dTable, rows, width) => {
      embeddingBackward(tokens, dOut, dTable, rows, width, Math.floor(dTable.length / width))
    },
    rmsNorm: (x, weight, out, rstd, rows, width, eps) => {
      rmsNorm(x, weight, out, rstd, rows, width, eps)
    },
    rmsNormBackward: (dOut, x, weight, rstd, dX, dWeight, rows, width) => {
      rmsNormBackward(dOut, x, weight, rstd, dX, dWeight, rows, width)
    },
    rope: (x, cos, sin, out, rows, seq, heads, headDim) => {
      rope(x, cos, sin, out, rows, seq, heads, headDim, false)
    },
    ropeBackward: (dOut, cos, sin, dX, rows, seq, heads, headDim) => {
      rope(dOut, cos, sin, dX, rows, seq, heads, headDim, true)
    },
    attention: (q, k, v, out, lse, s) => {
      attention(q, k, v, out, lse, s.batch, s.seq, s.heads, s.kvHeads, s.headDim)
    },
    attentionBackward: (dOut, q, k, v, out, lse, dQ, dK, dV, s) => {
      attentionBackward(dOut, q, k, v, out, lse, dQ, dK, dV, s.batch, s.seq, s.heads, s.kvHeads, s.headDim)
    },
    ...activationKernels(kernel),
    crossEntropy: (logits, targets, losses, dLogits, rows, vocab, scale) => {
      crossEntropy(logits, targets, losses, dLogits, rows, vocab, scale)
    },
    adamW: (param, grad, m, v, n, o) => {
      adamW(param, grad, m, v, n, o.lr, o.beta1, o.beta2, o.eps, o.weightDecay, o.step, o.gradScale)
    },
    add: (a, b, out, n) => {
      add(a, b, out, n)
    },
    multiply: (a, b, out, n) => {
      multiply(a, b, out, n)
    },
    axpy: (alpha, x, y, n) => {
      axpy(alpha, x, y, n)
    },
    sum: (x, n) => sum(x, n) as number,
    sumOfSquares: (x, n) => sumOfSquares(x, n) as number,
    countZeros: (x, n) => countZeros(x, n) as number,
  }
}
