// How the tensors of a file become the model's parameters: other names, some rows of a fused tensor, rows in another order,
// transposed matrices, norms stored as w of 1 + w. All of it is data, which is followed in both directions.

import { headDimOf, type ModelConfig } from '../../nn/config.js'
import type { ParameterShape } from '../../nn/parameters.js'
import type { TensorReader } from '../file-bytes.js'
import type { StoredTensor } from '../model-source.js'
import { decodeStored, encodeStored } from '../stored.js'

/** The tensor of a file in which a parameter is. */
export interface FileTensor {
  readonly name: string
  /** The parameter is in one of so many equal parts of it, along a first dimension of its own: an expert's of a tensor of all. */
  readonly slice?: Slice
  /** Which of its rows (of the slice's, where there is one) are the parameter's, in the parameter's order. Absent: all as they stand. */
  readonly rows?: Rows
  /** The file has the matrix as (in, out). */
  readonly transposed?: boolean
  /** What is added to its values: 1 to norms that files hold as w of 1 + w. */
  readonly plus?: number
}

export interface Slice {
  readonly index: number
  readonly count: number
}

export interface Rows {
  /** Of the tensor in the file. */
  readonly total: number
  /** The row of the file that is row `row` of the parameter. */
  readonly at: (row: number) => number
  /** Row 0 of the parameter, where the others follow it in order. */
  readonly first?: number
}

/** Where a parameter is, by its name. */
export type TensorMap = (name: string) => FileTensor

/** What a name of a layer's parameter says: `model.layers.3.mlp.up_proj.weight` is part `mlp.up_proj` of layer 3. */
export interface LayerName {
  readonly layer: number
  readonly part: string
  readonly kind: 'weight' | 'bias'
}

/** null for parameters that belong to no layer, and for those of activations. */
export function layerName(name: string): LayerName | null {
  const match = /^model\.layers\.(\d+)\.(.+)\.(weight|bias)$/.exec(name)
  if (match === null || match[2].startsWith('mlp.act.')) return null
  return { layer: Number(match[1]), part: match[2], kind: match[3] as 'weight' | 'bias' }
}

/** Rows `start`, start + 1, … of `total`. */
export function rowsFrom(start: number, total: number): Rows {
  return { total, at: row => start + row, first: start }
}

/** `inner` of the rows that `outer` picks. */
export function within(outer: Rows | undefined, inner: Rows | undefined): Rows | undefined {
  if (outer === undefined || inner === undefined) return outer ?? inner
  return { total: outer.total, at: row => outer.at(inner.at(row)) }
}

/**
 * Where the rows of a head stand in files: ours has the two halves of each rotated pair at i and i + headDim/2, and values that
 * are not rotated after them in both halves. Files have the rotated values first, as two halves (`halves`) or pair by pair
 * (`pairs`). undefined: in our order.
 */
export function headRows(config: ModelConfig, order: 'halves' | 'pairs', total: number): Rows | undefined {
  const headDim = headDimOf(config)
  const rotaryDim = config.rotaryDim ?? headDim
  const [half, turned] = [headDim / 2, rotaryDim / 2]
  if (order === 'halves' && rotaryDim === headDim) return undefined
  const inHead = (i: number) => {
    const [side, pair] = [Math.floor(i / half), i % half]
    // Pairs beyond the rotated ones: what is not rotated, in the order of the file.
    if (pair >= turned) return rotaryDim + side * (half - turned) + (pair - turned)
    return order === 'pairs' ? 2 * pair + side : pair + side * turned
  }
  const table = Int32Array.from({ length: headDim }, (_, i) => inHead(i))
  return { total, at: row => row - (row % headDim) + table[row % headDim] }
}

/** Whether the rows of this part of a layer are rotated. */
export function isRotated(part: string): boolean {
  return part === 'self_attn.q_proj' || part === 'self_attn.k_proj'
}

/** Rows of q, k and v in a fused tensor: all of q, then k, then v. */
export function fusedQkv(config: ModelConfig, part: string): Rows {
  const { q, kv } = projectionRows(config)
  const start = { q: 0, k: q, v: q + kv }[
    part.replace('self_attn.', '').replace('_proj', '') as 'q' | 'k' | 'v'
  ]
  return rowsFrom(start, q + 2 * kv)
}

/** Rows of the query projection, and of the key and value projections. */
export function projectionRows(config: ModelConfig): { readonly q: number; readonly kv: number } {
  const headDim = headDimOf(config)
  return { q: headDim * config.numAttentionHeads, kv: headDim * config.numKeyValueHeads }
}

/** The shape that the file's tensor has for a parameter of `shape`. */
export function fileShape(shape: readonly number[], { rows, transposed, slice }: FileTensor): number[] {
  const own = [rows?.total ?? shape[0], ...shape.slice(1)]
  const ordered = transposed === true ? own.toReversed() : own
  return slice === undefined ? ordered : [slice.count, ...ordered]
}

/** Reads parts of a parameter, given a reader of the tensor (of the slice) that has it; null where rows are reordered or values change. */
export function readerOf(
  whole: TensorReader,
  { bytes }: { readonly bytes: number },
  { rows, transposed, plus }: FileTensor,
): TensorReader | null {
  if (transposed === true || plus !== undefined) return null
  if (rows === undefined) return whole
  if (rows.first === undefined) return null
  const start = rows.first * (bytes / rows.total)
  return (offset, into) => whole(start + offset, into)
}

/** A parameter of `shape`, out of the tensor that has it: of a sliced one, out of the slice. */
export function parameterOf(stored: StoredTensor, shape: readonly number[], from: FileTensor): StoredTensor {
  const { rows, transposed, plus } = from
  if (rows === undefined && transposed !== true && plus === undefined) return { ...stored, shape }
  let { dtype, bytes } = stored
  if (transposed === true || plus !== undefined) {
    let values = decodeStored(dtype, bytes)
    if (transposed === true) values = transposedValues(values, stored.shape)
    if (plus !== undefined) for (let i = 0; i < values.length; i++) values[i] += plus
    dtype = 'f32'
    bytes = encodeStored('f32', values)
  }
  if (rows === undefined) return { dtype, shape, bytes }
  const width = bytes.length / rows.total
  const out = new Uint8Array(new ArrayBuffer(width * shape[0]))
  for (let row = 0; row < shape[0]; row++) {
    const at = rows.at(row) * width
    out.set(bytes.subarray(at, at + width), row * width)
  }
  return { dtype, shape, bytes: out }
}

function transposedValues(
  values: Float32Array,
  [rows, columns]: readonly number[],
): Float32Array<ArrayBuffer> {
  const out = new Float32Array(values.length)
  for (let row = 0; row < rows; row++) {
    for (let column = 0; column < columns; column++) out[column * rows + row] = values[row * columns + column]
  }
  return out
}

/** A tensor of a file, and the parameters that it is made of. */
export interface FileTensorParts {
  readonly name: string
  readonly shape: readonly number[]
  readonly parts: readonly { readonly parameter: ParameterShape; readonly from: FileTensor }[]
}

/** The tensors of a file that holds these parameters, in the order of their first parameter. */
export function fileTensors(parameters: readonly ParameterShape[], map: TensorMap): FileTensorParts[] {
  const found = new Map<
    string,
    { shape: number[]; parts: { parameter: ParameterShape; from: FileTensor }[] }
  >()
  for (const parameter of parameters) {
    const from = map(parameter.name)
    const tensor = found.get(from.name)
    if (tensor !== undefined) tensor.parts.push({ parameter, from })
    else found.set(from.name, { shape: fileShape(parameter.shape, from), parts: [{ parameter, from }] })
  }
  return [...found].map(([name, tensor]) => ({ name, ...tensor }))
}

/** The values of a file's tensor, out of those of its parameters. */
export function assembled(
  { parts, shape }: FileTensorParts,
  valuesOf: (name: string) => Float32Array,
): Float32Array {
  const [only] = parts
  if (parts.length === 1 && isPlain(only.from)) return valuesOf(only.parameter.name)
  let out = new Float32Array(shape.reduce((a, b) => a * b))
  for (const { parameter, from } of parts) {
    const values = valuesOf(parameter.name)
    const width = values.length / parameter.shape[0]
    const start = sliceStart(out.length, from)
    for (let row = 0; row < parameter.shape[0]; row++) {
      const at = start + (from.rows?.at(row) ?? row) * width
      for (let k = 0; k < width; k++) out[at + k] = values[row * width + k] - (from.plus ?? 0)
    }
  }
  if (only.from.transposed === true) out = transposedValues(out, shape.toReversed())
  return out
}

/** The bytes of a file's tensor out of those of its parameters, all of one type; null where they are not simply moved. */
export function assembledBytes(
  { parts, shape }: FileTensorParts,
  bytesOf: (name: string) => Uint8Array | null,
): Uint8Array | null {
  const [only] = parts
  if (parts.length === 1 && isPlain(only.from)) return bytesOf(only.parameter.name)
  if (parts.some(({ from }) => from.transposed === true || from.plus !== undefined)) return null
  let out: Uint8Array | null = null
  for (const { parameter, from } of parts) {
    const bytes = bytesOf(parameter.name)
    if (bytes === null) return null
    const width = bytes.length / parameter.shape[0]
    const rows = shape.slice(0, -1).reduce((a, b) => a * b)
    out ??= new Uint8Array(new ArrayBuffer(rows * width))
    const start = sliceStart(out.length, from)
    for (let row = 0; row < parameter.shape[0]; row++) {
      const at = start + (from.rows?.at(row) ?? row) * width
      out.set(bytes.subarray(row * width, (row + 1) * width), at)
    }
  }
  return out
}

/** Where a parameter's slice begins in a tensor of `length` values or bytes. */
function sliceStart(length: number, { slice }: FileTensor): number {
  return slice === undefined ? 0 : (slice.index * length) / slice.count
}

function isPlain({ rows, transposed, plus, slice }: FileTensor): boolean {
  return rows === undefined && transposed !== true && plus === undefined && slice === undefined
}
