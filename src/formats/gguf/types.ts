// What GGUF's type codes mean: types of metadata values and of tensors.
// https://github.com/ggml-org/ggml/blob/master/docs/gguf.md

import type { StoredDtype } from '../stored.js'

export const GGUF_MAGIC = 0x46554747
/** What is written. Version 2 has the same layout; version 3 only added big-endian files. */
export const GGUF_VERSION = 3
export const DEFAULT_ALIGNMENT = 32

export const ValueType = {
  u8: 0,
  i8: 1,
  u16: 2,
  i16: 3,
  u32: 4,
  i32: 5,
  f32: 6,
  bool: 7,
  string: 8,
  array: 9,
  u64: 10,
  i64: 11,
  f64: 12,
} as const

/** A value of the metadata; an integer beyond 2⁵³ is a bigint, which no size or id can be. */
export type MetadataValue = number | bigint | boolean | string | Float64Array | readonly string[]
export type Metadata = ReadonlyMap<string, MetadataValue>

/** ggml's names of all its types, for messages about those that are not supported. */
export const TENSOR_TYPE_NAMES: Readonly<Record<number, string>> = {
  0: 'F32',
  1: 'F16',
  2: 'Q4_0',
  3: 'Q4_1',
  6: 'Q5_0',
  7: 'Q5_1',
  8: 'Q8_0',
  9: 'Q8_1',
  10: 'Q2_K',
  11: 'Q3_K',
  12: 'Q4_K',
  13: 'Q5_K',
  14: 'Q6_K',
  15: 'Q8_K',
  16: 'IQ2_XXS',
  17: 'IQ2_XS',
  18: 'IQ3_XXS',
  19: 'IQ1_S',
  20: 'IQ4_NL',
  21: 'IQ3_S',
  22: 'IQ2_S',
  23: 'IQ4_XS',
  24: 'I8',
  25: 'I16',
  26: 'I32',
  27: 'I64',
  28: 'F64',
  29: 'IQ1_M',
  30: 'BF16',
  34: 'TQ1_0',
  35: 'TQ2_0',
  39: 'MXFP4',
  40: 'NVFP4',
  41: 'Q1_0',
}

/** A tensor as the file's header describes it. */
export interface GgufTensor {
  readonly dtype: StoredDtype
  /** Row-major, slowest first: the reverse of the file's own order. */
  readonly shape: readonly number[]
  /** Bytes from the start of the file, and how many. */
  readonly offset: number
  readonly bytes: number
}
