// How kernels read rows of weights: 16 bytes at a time, each a number of columns. Formats are those of weights/quantized.ts;
// plain rows are filled up to whole vectors. No format needs a feature of the adapter: halves are widened by a function
// that every adapter has, and all arithmetic is in f32.

import { OptionError } from '../../errors.js'
import { SUPER_BLOCK } from '../weights/k-quants.js'
import { scaleBytes } from '../weights/quantized.js'
import type { KQuantType, WeightType } from '../weights/types.js'
import { kQuantScaleVectors, kQuantVectors } from './k-quant-rows.js'

/** Four columns of a vector of 16 bytes. */
export interface VectorPart {
  /** WGSL for the four numbers, of the vec4<u32> `v`. */
  readonly values: (v: string) => string
  /** WGSL for which four columns of the row they are: index of a vec4 of x, for vector `k` of the row. */
  readonly at: (k: string) => string
  /** WGSL for the index of the scale that they share; null in formats without. */
  readonly scale: ((k: string) => string) | null
}

export interface VectorFormat {
  /** Columns of one vector. */
  readonly columns: number
  readonly parts: readonly VectorPart[]
  /** Vectors whose columns are contiguous, the fewest of a tile of down columns. */
  readonly tileVectors: number
  /** Columns that share a scale; null in formats without. */
  readonly scaleGroup: number | null
  /** Of formats in which a value is scale · number − minimum, both of them f32: the type. */
  readonly affine?: KQuantType
  /** Vectors of numbers in a row of so many columns. */
  vectors(columns: number): number
  /** Vectors of scales before them. */
  scaleVectors(columns: number): number
}

function plain(columns: number, values: readonly ((v: string) => string)[]): VectorFormat {
  return {
    columns,
    parts: values.map((of, n) => ({
      values: of,
      at: k => (values.length === 1 ? k : `(${values.length}u * ${k} + ${n}u)`),
      scale: null,
    })),
    tileVectors: 2,
    scaleGroup: null,
    vectors: count => Math.ceil(count / columns),
    scaleVectors: () => 0,
  }
}

const components = ['x', 'y', 'z', 'w']
const upper = '0xffff0000u'

/** Four bytes with a sign each. */
const signedBytes = (component: string) => (v: string) =>
  `vec4<f32>((vec4<i32>(i32(${v}.${component})) << vec4<u32>(24u, 16u, 8u, 0u)) >> vec4<u32>(24u))`

/** Codes in bytes: of q5_k, whose scales are of 32 columns, and q6_k, of 16. */
function wideKQuant(affine: 'q5_k' | 'q6_k'): VectorFormat {
  return {
    columns: 16,
    parts: components.map((component, n) => ({
      values: signedBytes(component),
      at: k => `(4u * ${k} + ${n}u)`,
      scale: k => (affine === 'q5_k' ? `(${k} >> 1u)` : k),
    })),
    tileVectors: 4,
    scaleGroup: affine === 'q5_k' ? 32 : 16,
    affine,
    vectors: columns => kQuantVectors(affine, columns),
    scaleVectors: columns => Math.ceil(columns / SUPER_BLOCK) * kQuantScaleVectors(affine),
  }
}

const formats: Partial<Record<WeightType, VectorFormat>> = {
  q5_k: wideKQuant('q5_k'),
  q6_k: wideKQuant('q6_k'),
  q4_k: {
    columns: 32,
    // Two vectors hold 64 columns: the low halves of their bytes the first 32, the high halves the others.
    parts: [0, 1].flatMap(high =>
      components.map((component, n) => ({
        values: (v: string) =>
          `vec4<f32>((vec4<u32>(${v}.${component}) >> vec4<u32>(${4 * high}u, ${8 + 4 * high}u, ${16 + 4 * high}u, ${24 + 4 * high}u)) & vec4<u32>(15u))`,
        at: (k: string) => `(16u * (${k} >> 1u) + 4u * (${k} & 1u) + ${8 * high + n}u)`,
        scale: (k: string) => `(2u * (${k} >> 1u) + ${high}u)`,
      })),
    ),
    tileVectors: 2,
    scaleGroup: 32,
    affine: 'q4_k',
    vectors: columns => kQuantVectors('q4_k', columns),
    scaleVectors: columns => Math.ceil(columns / SUPER_BLOCK),
  },
  f32: plain(4, [v => `bitcast<vec4<f32>>(${v})`]),
  f16: plain(8, [
    v => `vec4<f32>(unpack2x16float(${v}.x), unpack2x16float(${v}.y))`,
    v => `vec4<f32>(unpack2x16float(${v}.z), unpack2x16float(${v}.w))`,
  ]),
  bf16: plain(8, [
    v => `bitcast<vec4<f32>>(vec4<u32>(${v}.x << 16u, ${v}.x & ${upper}, ${v}.y << 16u, ${v}.y & ${upper}))`,
    v => `bitcast<vec4<f32>>(vec4<u32>(${v}.z << 16u, ${v}.z & ${upper}, ${v}.w << 16u, ${v}.w & ${upper}))`,
  ]),
  q8_0: {
    columns: 16,
    parts: components.map((component, n) => ({
      values: signedBytes(component),
      at: k => `(4u * ${k} + ${n}u)`,
      scale: k => `(${k} >> 1u)`,
    })),
    tileVectors: 2,
    scaleGroup: 32,
    vectors: columns => 4 * Math.ceil(columns / 64),
    scaleVectors: columns => scaleBytes(columns) / 16,
  },
  q4_0: {
    columns: 32,
    // Number i of group m stands in the low half of byte 4i + m, number i + 16 in the high half.
    parts: [0, 1, 2, 3].flatMap(m =>
      [0, 1].map(high => ({
        values: (v: string) =>
          `(vec4<f32>((${v} >> vec4<u32>(${8 * m + 4 * high}u)) & vec4<u32>(15u)) - vec4<f32>(8.0))`,
        at: (k: string) => `(32u * (${k} >> 2u) + ${8 * m + 4 * high}u + (${k} & 3u))`,
        scale: (k: string) => `(4u * (${k} >> 2u) + ${m}u)`,
      })),
    ),
    tileVectors: 4,
    scaleGroup: 32,
    vectors: columns => 4 * Math.ceil(columns / 128),
    scaleVectors: columns => scaleBytes(columns) / 16,
  },
}

/** Throws OptionError WEBGPU_DTYPE for a type that no kernel reads. */
export function vectorFormat(type: WeightType): VectorFormat {
  const format = formats[type]
  if (format !== undefined) return format
  const types = Object.keys(formats).join(', ')
  throw new OptionError(
    'WEBGPU_DTYPE',
    `the WebGPU backend does not read weights as ${type}; give --dtype ${types}`,
  )
}

/** Vectors of a whole row. */
export function rowVectors(type: WeightType, columns: number): number {
  const format = vectorFormat(type)
  return format.scaleVectors(columns) + format.vectors(columns)
}

/** Numbers between the starts of two rows of `columns` numbers that kernels read or write: enough for every format. */
export function paddedColumns(columns: number): number {
  return 128 * Math.ceil(columns / 128)
}
