// Decoding: rows of weights times a few positions, the FFN that skips neurons, the narrow gate, attention over a cache.

import {
  cacheType,
  codes,
  codesOut,
  counts,
  type Entry,
  flag,
  groupedHeads,
  indices,
  input,
  inputOrNull,
  integers,
  list,
  number,
  output,
  scores,
  size,
  weights,
  weightType,
  wideWeights,
} from './parameters.js'

/** The parameters of an FFN after its activation. */
const neurons = {
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
}

/** Kernels that multiply integers take types with groups of 32 columns. */
const integerTypes = [
  ['has_integer_kernels(weightType)', 'weightType', 'must be that of q8_0 or q4_0'],
] as const

export const decodingEntries = {
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
  ffnNeurons: { parameters: neurons, returns: 'number' },
  integerMatvec: {
    parameters: {
      w: weights('rows', 'columns'),
      weightType,
      chosen: inputOrNull('batch', 'rows'),
      x: input('batch', 'columns'),
      y: output('batch', 'rows'),
      rows: size,
      columns: size,
      batch: size,
      accumulate: flag,
      bias: inputOrNull('rows'),
    },
    checks: integerTypes,
  },
  integerNeurons: { parameters: neurons, checks: integerTypes, returns: 'number' },
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
      ...scores,
      segments: indices(),
    },
    checks: [...groupedHeads, ['headDim % 2 == 0', 'headDim', 'must be even']],
  },
} as const satisfies Readonly<Record<string, Entry>>
