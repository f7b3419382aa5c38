// Products, norms, attention, losses and the optimizer: the kernels of training but its activations, and the two
// functions that measure the machine.

import {
  counts,
  type Entry,
  flag,
  groupedHeads,
  indices,
  input,
  number,
  output,
  outputOrNull,
  scores,
  size,
} from './parameters.js'

const attentionSizes = { batch: size, seq: size, heads: size, kvHeads: size, headDim: size, ...scores }
const queries = ['batch', 'seq', 'heads', 'headDim']
const keys = ['batch', 'seq', 'kvHeads', 'headDim']
const perHead = ['batch', 'seq', 'heads']

const product = {
  a: input('m', 'k'),
  b: input('k', 'n'),
  c: output('m', 'n'),
  m: size,
  n: size,
  k: size,
  transA: flag,
  transB: flag,
  accumulate: flag,
}

export const trainingEntries = {
  gemm: { parameters: product },
  /** 1 where the processor's own products of bf16 were used, else 0. */
  gemmBf16: { parameters: { ...product, emulated: flag }, returns: 'number' },
  sparseDots: {
    parameters: {
      mask: input('rows', 'neurons'),
      x: input('rows', 'width'),
      w: input('neurons', 'width'),
      out: output('rows', 'neurons'),
      rows: size,
      neurons: size,
      width: size,
    },
  },
  sparseRows: {
    parameters: {
      s: input('rows', 'neurons'),
      w: input('neurons', 'width'),
      y: output('rows', 'width'),
      rows: size,
      neurons: size,
      width: size,
      accumulate: flag,
    },
  },
  sparseColumns: {
    parameters: {
      s: input('rows', 'neurons'),
      x: input('rows', 'width'),
      out: output('neurons', 'width'),
      rows: size,
      neurons: size,
      width: size,
      accumulate: flag,
    },
  },
  transpose: {
    parameters: {
      x: input('rows', 'columns'),
      out: output('columns', 'rows'),
      rows: size,
      columns: size,
      accumulate: flag,
    },
  },
  addBias: {
    parameters: { x: output('rows', 'width'), bias: input('width'), rows: size, width: size },
  },
  columnSums: {
    parameters: { x: input('rows', 'width'), out: output('width'), rows: size, width: size },
  },
  embedding: {
    parameters: {
      tokens: indices('rows'),
      table: input('vocab', 'width'),
      out: output('rows', 'width'),
      rows: size,
      width: size,
      vocab: size,
    },
  },
  embeddingBackward: {
    parameters: {
      tokens: indices('rows'),
      dOut: input('rows', 'width'),
      dTable: output('vocab', 'width'),
      rows: size,
      width: size,
      vocab: size,
    },
  },
  rmsNorm: {
    parameters: {
      x: input('rows', 'width'),
      weight: input('width'),
      out: output('rows', 'width'),
      rstd: output('rows'),
      rows: size,
      width: size,
      eps: number,
    },
  },
  rmsNormBackward: {
    parameters: {
      dOut: input('rows', 'width'),
      x: input('rows', 'width'),
      weight: input('width'),
      rstd: input('rows'),
      dX: output('rows', 'width'),
      dWeight: output('width'),
      rows: size,
      width: size,
    },
  },
  layerNorm: {
    parameters: {
      x: input('rows', 'width'),
      weight: input('width'),
      bias: input('width'),
      out: output('rows', 'width'),
      statistics: output('rows', '2'),
      rows: size,
      width: size,
      eps: number,
    },
  },
  layerNormBackward: {
    parameters: {
      dOut: input('rows', 'width'),
      x: input('rows', 'width'),
      weight: input('width'),
      statistics: input('rows', '2'),
      dX: output('rows', 'width'),
      dWeight: output('width'),
      dBias: output('width'),
      rows: size,
      width: size,
    },
  },
  rope: {
    parameters: {
      x: input('rows', 'heads', 'headDim'),
      cos: input('seq', 'headDim / 2'),
      sin: input('seq', 'headDim / 2'),
      out: output('rows', 'heads', 'headDim'),
      rows: size,
      seq: size,
      heads: size,
      headDim: size,
      backward: flag,
    },
    checks: [
      ['headDim % 2 == 0', 'headDim', 'must be even'],
      ['seq > 0', 'seq', 'must be positive'],
    ],
  },
  attention: {
    parameters: {
      q: input(...queries),
      k: input(...keys),
      v: input(...keys),
      out: output(...queries),
      lse: output(...perHead),
      ...attentionSizes,
    },
    checks: groupedHeads,
  },
  attentionBackward: {
    parameters: {
      dOut: input(...queries),
      q: input(...queries),
      k: input(...keys),
      v: input(...keys),
      out: input(...queries),
      lse: input(...perHead),
      dQ: output(...queries),
      dK: output(...keys),
      dV: output(...keys),
      ...attentionSizes,
    },
    checks: groupedHeads,
  },
  crossEntropy: {
    parameters: {
      logits: input('rows', 'vocab'),
      targets: indices('rows'),
      losses: output('rows'),
      dLogits: outputOrNull('rows', 'vocab'),
      rows: size,
      vocab: size,
      scale: number,
    },
  },
  adamW: {
    parameters: {
      param: output('n'),
      grad: input('n'),
      m: output('n'),
      v: output('n'),
      n: size,
      lr: number,
      beta1: number,
      beta2: number,
      eps: number,
      weightDecay: number,
      step: number,
      gradScale: number,
    },
  },
  add: {
    parameters: { a: input('n'), b: input('n'), out: output('n'), n: size },
  },
  multiply: {
    parameters: { a: input('n'), b: input('n'), out: output('n'), n: size },
  },
  axpy: {
    parameters: { alpha: number, x: input('n'), y: output('n'), n: size },
  },
  addSign: {
    parameters: { alpha: number, x: input('n'), y: output('n'), zeros: counts('1'), n: size },
    returns: 'number',
  },
  sum: {
    parameters: { x: input('n'), n: size },
    returns: 'number',
  },
  sumOfSquares: {
    parameters: { x: input('n'), n: size },
    returns: 'number',
  },
  countZeros: {
    parameters: { x: input('n'), n: size },
    returns: 'number',
  },
  fmaPeak: {
    parameters: { seconds: number },
    checks: [['seconds > 0 && seconds <= 1', 'seconds', 'must be in (0, 1]']],
    returns: 'number',
  },
  readSum: {
    parameters: { x: input('n'), n: size },
    returns: 'number',
  },
} as const satisfies Readonly<Record<string, Entry>>
