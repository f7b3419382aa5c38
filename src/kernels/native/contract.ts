// The native functions: name, parameters in order, and how much each array must hold. This one table is what both
// languages follow. From it test/kernels/native-headers.ts writes native/contract.h, which reads and checks the arguments
// in C++, and signatures.ts, their types here; a test fails when a written file is not the table's, and the build fails
// when the C++ behind an entry does not take what the table gives it. What a function computes is said in ../interface.

/**
 * - `size`: an integer in [0, 2³¹); `word`: an unsigned 32-bit integer; `number`; `flag`: a boolean
 * - `input`, `output`: a Float32Array that is only read, or also written
 * - `indices`: an Int32Array whose values are checked, which therefore may not share memory with an output; `integers`: one
 *   that is only read; `counts`: one that is written
 * - `codes`, `codesOut`: an Int8Array
 * - `weights`: rows of weights; the next parameter, `weightType`, numbers their type
 * - `cacheType`: the number of a type of cache
 * - `list`: an array of Uint8Arrays
 */
export type Kind =
  | 'size'
  | 'word'
  | 'number'
  | 'flag'
  | 'input'
  | 'output'
  | 'indices'
  | 'integers'
  | 'counts'
  | 'codes'
  | 'codesOut'
  | 'weights'
  | 'weightType'
  | 'cacheType'
  | 'list'

export interface Parameter {
  readonly kind: Kind
  /**
   * Of an array: the factors of how many elements it must hold, each an expression of sizes. Of weights: rows, then the
   * columns of each row; a third names columns of another row before it. None: the C++ behind the entry checks the length.
   */
  readonly shape: readonly string[]
  /** Null may stand for the array. */
  readonly optional: boolean
  /** Weights: not the quantized types. */
  readonly wide?: boolean
  /** The array may lie in shared memory: only values are read, so that no check can be overtaken. */
  readonly shared?: boolean
}

export interface Entry {
  readonly parameters: Readonly<Record<string, Parameter>>
  readonly returns?: 'number'
  /** What must hold, the parameter that is blamed if it does not, and what it must be. */
  readonly checks?: readonly (readonly [condition: string, parameter: string, must: string])[]
}

const plain = (kind: Kind): Parameter => ({ kind, shape: [], optional: false })
const [size, word, number, flag] = [plain('size'), plain('word'), plain('number'), plain('flag')]
const [weightType, cacheType, list] = [plain('weightType'), plain('cacheType'), plain('list')]
const array = (kind: Kind, optional = false) => {
  return (...shape: string[]): Parameter => ({ kind, shape, optional })
}
const [input, output] = [array('input'), array('output')]
const [inputOrNull, outputOrNull] = [array('input', true), array('output', true)]
const [indices, integers, counts] = [array('indices'), array('integers'), array('counts')]
const [codes, codesOut] = [array('codes'), array('codesOut')]
const weights = array('weights')
const wideWeights = (...shape: string[]): Parameter => ({ ...weights(...shape), wide: true })

/** `Draw` of interface/training.ts as five words; `drawWords` in arguments.ts flattens it. */
const draw = { seedLow: word, seedHigh: word, tag: word, step: word, firstRow: word }
/** A fused activation: the id of its kernel, and its setting (the probability of SiLU, the threshold of FATReLU). */
const fused = { kernel: size, p: number }
/** The neurons of a row that are kept: an id of `keptNeurons`, one of `keptActivations`, and the rank or threshold. */
const selection = { keep: size, apply: size, at: number }
/** A program of activations, or the plan of a row-wise one: see `programArguments` in activation.ts. */
const program = {
  code: indices(),
  uniforms: input(),
  parameters: inputOrNull(),
  shared: size,
  drawUnit: size,
  rowsPerSample: size,
  neurons: size,
}
const attentionSizes = { batch: size, seq: size, heads: size, kvHeads: size, headDim: size }
const queries = ['batch', 'seq', 'heads', 'headDim']
const keys = ['batch', 'seq', 'kvHeads', 'headDim']
const perHead = ['batch', 'seq', 'heads']
const groupedHeads = [['kvHeads > 0 && heads % kvHeads == 0', 'kvHeads', 'must divide heads']] as const
const upWithGradient = [['up == null || dUp != null', 'dUp', 'must be given with up']] as const
/** One moment of the lab's network: see `nativeMlpStack` in mlp.ts. */
const mlpMoment = {
  widths: indices('layers + 1'),
  ...fused,
  ...draw,
  dropout: number,
  dropoutTag: word,
  layers: size,
  programs: indices(),
  uniforms: input(),
}

export const contract = {
  gemm: {
    parameters: {
      a: input('m', 'k'),
      b: input('k', 'n'),
      c: output('m', 'n'),
      m: size,
      n: size,
      k: size,
      transA: flag,
      transB: flag,
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
  activation: {
    parameters: {
      ...fused,
      x: input('rows', 'width'),
      out: output('rows', 'width'),
      rows: size,
      width: size,
      ...draw,
    },
  },
  activationBackward: {
    parameters: {
      ...fused,
      dOut: input('rows', 'width'),
      x: input('rows', 'width'),
      dX: output('rows', 'width'),
      rows: size,
      width: size,
      ...draw,
    },
  },
  gate: {
    parameters: {
      ...fused,
      gate: input('rows', 'width'),
      up: input('rows', 'width'),
      out: output('rows', 'width'),
      rows: size,
      width: size,
      ...draw,
    },
  },
  gateBackward: {
    parameters: {
      ...fused,
      dOut: input('rows', 'width'),
      gate: input('rows', 'width'),
      up: input('rows', 'width'),
      dGate: output('rows', 'width'),
      dUp: output('rows', 'width'),
      rows: size,
      width: size,
      ...draw,
    },
  },
  dRelu: {
    parameters: { gate: input('n'), up: input('n'), out: output('n'), n: size },
  },
  dReluBackward: {
    parameters: {
      dOut: input('n'),
      gate: input('n'),
      up: input('n'),
      dGate: output('n'),
      dUp: output('n'),
      n: size,
    },
  },
  programForward: {
    parameters: {
      ...program,
      x: input('rows', 'width'),
      up: inputOrNull('rows', 'width'),
      out: output('rows', 'width'),
      rows: size,
      width: size,
      ...draw,
    },
  },
  programBackward: {
    parameters: {
      ...program,
      dOut: input('rows', 'width'),
      x: input('rows', 'width'),
      up: inputOrNull('rows', 'width'),
      dX: output('rows', 'width'),
      dUp: outputOrNull('rows', 'width'),
      dParameters: outputOrNull('shared + neurons * width'),
      rows: size,
      width: size,
      ...draw,
    },
    checks: upWithGradient,
  },
  rowProgramForward: {
    parameters: {
      ...program,
      x: input('rows', 'width'),
      up: inputOrNull('rows', 'width'),
      out: output('rows', 'width'),
      rows: size,
      width: size,
      ...draw,
    },
  },
  rowProgramBackward: {
    parameters: {
      ...program,
      dOut: input('rows', 'width'),
      x: input('rows', 'width'),
      up: inputOrNull('rows', 'width'),
      dX: output('rows', 'width'),
      dUp: outputOrNull('rows', 'width'),
      dParameters: outputOrNull('shared + neurons * width'),
      rows: size,
      width: size,
      ...draw,
    },
    checks: upWithGradient,
  },
  rowSelectionForward: {
    parameters: {
      ...selection,
      x: input('rows', 'width'),
      up: inputOrNull('rows', 'width'),
      out: output('rows', 'width'),
      rows: size,
      width: size,
    },
  },
  rowSelectionBackward: {
    parameters: {
      ...selection,
      dOut: input('rows', 'width'),
      x: input('rows', 'width'),
      up: inputOrNull('rows', 'width'),
      dX: output('rows', 'width'),
      dUp: outputOrNull('rows', 'width'),
      rows: size,
      width: size,
    },
    checks: upWithGradient,
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
  matvec: {
    parameters: {
      w: weights('rows', 'columns'),
      weightType,
      x: input('batch', 'columns'),
      y: output('batch', 'rows'),
      rows: size,
      columns: size,
      batch: size,
      accumulate: flag,
      bias: inputOrNull('rows'),
    },
  },
  selectedRows: {
    parameters: {
      w: weights('rows', 'columns'),
      weightType,
      chosen: input('batch', 'rows'),
      x: input('batch', 'columns'),
      y: output('batch', 'rows'),
      rows: size,
      columns: size,
      batch: size,
    },
  },
  ffnNeurons: {
    parameters: {
      w: weights('stored_rows(rowOf, neurons)', 'width', 'gated ? upWidth : 0'),
      weightType,
      activated: input('batch', 'neurons'),
      x: input('batch', 'upWidth'),
      y: output('batch', 'width'),
      active: counts('batch'),
      neurons: size,
      width: size,
      upWidth: size,
      batch: size,
      gated: flag,
      maxActive: size,
      rowOf: { ...indices('neurons'), optional: true },
    },
    returns: 'number',
  },
  narrowIndex: {
    parameters: {
      w: wideWeights('rows', 'columns'),
      weightType,
      codes: codesOut('rows', 'columns'),
      scales: output('rows', 'narrow_blocks(columns)'),
      bounds: output('rows', 'narrow_blocks(columns)'),
      rows: size,
      columns: size,
    },
  },
  narrowGate: {
    parameters: {
      w: wideWeights('rows', 'columns'),
      weightType,
      codes: codes('rows', 'columns'),
      scales: input('rows', 'narrow_blocks(columns)'),
      bounds: input('rows', 'narrow_blocks(columns)'),
      x: input('batch', 'columns'),
      y: output('batch', 'rows'),
      rows: size,
      columns: size,
      batch: size,
      threshold: number,
      p: number,
      draws: integers('p > 0 ? 5 : 0', 'batch'),
    },
    checks: [['p >= 0 && p <= 1', 'p', 'must be a probability']],
    returns: 'number',
  },
  cachedAttention: {
    parameters: {
      qkv: output('batch', 'heads + 2 * kvHeads', 'headDim'),
      cos: input(),
      sin: input(),
      buffers: list,
      out: output('batch', 'heads', 'headDim'),
      batch: size,
      sequences: size,
      heads: size,
      kvHeads: size,
      headDim: size,
      cacheType,
      segments: indices(),
    },
    checks: [...groupedHeads, ['headDim % 2 == 0', 'headDim', 'must be even']],
  },
  mlpGradients: {
    parameters: {
      ...mlpMoment,
      parameters: input(),
      gradients: output(),
      x: { ...input(), shared: true },
      y: indices('total'),
      order: indices('first + samples'),
      first: size,
      samples: size,
      total: size,
    },
    returns: 'number',
  },
  mlpForward: {
    parameters: {
      ...mlpMoment,
      parameters: input(),
      x: { ...input(), shared: true },
      samples: size,
      gates: outputOrNull(),
      hidden: output(),
      logits: output(),
    },
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

export type EntryName = keyof typeof contract
