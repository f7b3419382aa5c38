// Matrices on the device: rows filled up to whole vectors, in as many buffers as the limit of a binding asks for.

import { FlickerError } from '../../errors.js'
import { weightBytes } from '../weights/quantized.js'
import { bytesOf, type KQuantType, type Weights, type WeightType, weightTypeOf } from '../weights/types.js'
import { buffers } from './constants.js'
import { downTiles, tiled } from './down-tiles.js'
import type { Gpu } from './gpu.js'
import { kQuantType, placeKQuantRow } from './k-quant-rows.js'
import { paddedColumns, rowVectors } from './vector-formats.js'

/** Consecutive rows of a matrix. */
export interface RowRange {
  readonly first: number
  readonly count: number
}

export interface MatrixPart extends RowRange {
  readonly buffer: GPUBuffer
}

export interface DeviceMatrix {
  readonly type: WeightType
  readonly rows: number
  readonly columns: number
  readonly layout: MatrixLayout
  readonly parts: readonly MatrixPart[]
  readonly bytes: number
}

/** Rows of `columns` numbers. */
export interface RowShape {
  readonly rows: number
  readonly columns: number
}

/** How rows lie in their buffers: one after another, or as tiles of down columns (down-tiles.ts). */
export type MatrixLayout = 'rows' | 'tiles'

/** Where rows of the engine's layout are: bytes from one to the next, and of what stands before each. */
export interface RowPlace {
  readonly stride: number
  readonly offset: number
}

/** Parts begin at multiples of this many rows: a block of neurons lies in one part. */
const PART_ROWS = 32
/** Bytes that are handed over at a time. */
const CHUNK = 16 * 2 ** 20

/** Rows [0, rows), at most `most` together. */
export function rangesOf(rows: number, most: number): RowRange[] {
  return Array.from({ length: Math.ceil(rows / most) }, (_, part) => {
    return { first: part * most, count: Math.min(most, rows - part * most) }
  })
}

/**
 * The rows of `experts` experts of `rows` rows each, at most `most` together: whole experts, or where that is less than one the
 * parts of each.
 */
export function expertRanges(experts: number, rows: number, most: number): RowRange[] {
  if (most >= rows) return rangesOf(experts * rows, rows * Math.floor(most / rows))
  return Array.from({ length: experts }, (_, expert) =>
    rangesOf(rows, most).map(({ first, count }) => ({ first: expert * rows + first, count })),
  ).flat()
}

/** Bytes of a row on the device. */
export function deviceRowBytes(type: WeightType, columns: number, layout: MatrixLayout = 'rows'): number {
  return layout === 'rows' ? 16 * rowVectors(type, columns) : downTiles(type, columns).neuronBytes
}

/** Allocates buffers on one device, and releases them all. */
export class DeviceMemory {
  readonly #gpu: Gpu
  readonly #owned = new Set<GPUBuffer>()
  /** Bytes allocated and not released. */
  bytes = 0

  constructor(gpu: Gpu) {
    this.#gpu = gpu
  }

  /** A buffer of zeros. Throws FlickerError WEBGPU_BUFFER where the device allows none as large. */
  buffer(bytes: number, usage: number = buffers.storage): GPUBuffer {
    const size = 16 * Math.ceil(Math.max(bytes, 16) / 16)
    const most = this.#gpu.device.limits.maxBufferSize
    if (size > most) {
      throw new FlickerError(
        'WEBGPU_BUFFER',
        `a buffer of ${size} bytes is needed, and this GPU allows ${most}; use a shorter context or a smaller model`,
      )
    }
    const buffer = this.#gpu.device.createBuffer({ size, usage })
    this.#owned.add(buffer)
    this.bytes += size
    return buffer
  }

  /** A buffer with these numbers, and zeros up to `length`. */
  numbers(values: Float32Array, length: number = values.length): GPUBuffer {
    const buffer = this.buffer(4 * length)
    this.write(buffer, 0, values)
    return buffer
  }

  write(buffer: GPUBuffer, offset: number, values: Float32Array | Uint32Array): void {
    this.#gpu.device.queue.writeBuffer(buffer, offset, values.buffer, values.byteOffset, values.byteLength)
  }

  release(buffer: GPUBuffer): void {
    if (!this.#owned.delete(buffer)) return
    this.bytes -= buffer.size
    buffer.destroy()
  }

  releaseAll(): void {
    for (const buffer of this.#owned) buffer.destroy()
    this.#owned.clear()
    this.bytes = 0
    // Dawn frees what was destroyed when commands are handed over the next time.
    this.#gpu.device.queue.submit([])
  }

  /** A matrix whose content is not yet written. ranges: the rows of each part; default: as many as a binding holds. */
  allocate(
    type: WeightType,
    { rows, columns }: RowShape,
    layout: MatrixLayout = 'rows',
    ranges: readonly RowRange[] = rangesOf(rows, this.rowsPerPart(type, columns, layout)),
  ): DeviceMatrix {
    const rowBytes = deviceRowBytes(type, columns, layout)
    const parts = ranges.map(range => ({ ...range, buffer: this.buffer(range.count * rowBytes) }))
    return { type, rows, columns, layout, parts, bytes: rows * rowBytes }
  }

  /** How many rows one binding holds. Throws FlickerError WEBGPU_LIMITS where it holds too few. */
  rowsPerPart(type: WeightType, columns: number, layout: MatrixLayout = 'rows'): number {
    const { maxBindingBytes } = this.#gpu
    const rowBytes = deviceRowBytes(type, columns, layout)
    const rows = PART_ROWS * Math.floor(maxBindingBytes / (PART_ROWS * rowBytes))
    if (rows > 0) return rows
    throw new FlickerError(
      'WEBGPU_LIMITS',
      `${PART_ROWS} rows of ${columns} weights do not fit into the ${maxBindingBytes} bytes that this GPU can bind`,
    )
  }

  /** The rows of `w`, as the engine lays it out; they stand one after another unless `place` says otherwise. */
  upload(w: Weights, shape: RowShape, place?: RowPlace, ranges?: readonly RowRange[]): DeviceMatrix {
    const { type, bytes, stride, offset } = placed(w, shape, place)
    const matrix = this.allocate(type, shape, 'rows', ranges)
    const width = weightBytes(type, shape.columns)
    const to = deviceRowBytes(type, shape.columns)
    const rowsPerChunk = Math.max(4, 4 * Math.floor(CHUNK / to / 4))
    for (const { buffer, first, count } of matrix.parts) {
      for (let row = 0; row < count; row += rowsPerChunk) {
        const rows = Math.min(rowsPerChunk, count - row)
        const begin = (first + row) * stride + offset
        const kQuant = kQuantType(type)
        const chunk =
          kQuant !== null
            ? placedRows(kQuant, bytes, { begin, stride }, { rows, columns: shape.columns })
            : stride === to
              ? bytes.subarray(begin, begin + rows * to)
              : spread(bytes, { begin, stride, width }, rows, to)
        this.#gpu.device.queue.writeBuffer(buffer, row * to, chunk.buffer, chunk.byteOffset, chunk.byteLength)
      }
    }
    return matrix
  }

  /** The same as tiles. */
  uploadTiles(w: Weights, shape: RowShape, place?: RowPlace, ranges?: readonly RowRange[]): DeviceMatrix {
    const { type, bytes, stride, offset } = placed(w, shape, place)
    const matrix = this.allocate(type, shape, 'tiles', ranges)
    for (const { buffer, first, count } of matrix.parts) {
      const own = tiled(bytes, { first, count, stride, offset }, type, shape.columns)
      this.#gpu.device.queue.writeBuffer(buffer, 0, own.buffer, own.byteOffset, own.byteLength)
    }
    return matrix
  }
}

function placed(w: Weights, { columns }: RowShape, place?: RowPlace) {
  const type = weightTypeOf(w)
  const { stride, offset } = place ?? { stride: weightBytes(type, columns), offset: 0 }
  return { type, bytes: bytesOf(w), stride, offset }
}

/** Rows that are filled up to whole vectors. */
function spread(
  bytes: Uint8Array,
  { begin, stride, width }: { readonly begin: number; readonly stride: number; readonly width: number },
  rows: number,
  to: number,
): Uint8Array {
  const out = new Uint8Array(rows * to)
  for (let row = 0; row < rows; row++) {
    const from = begin + row * stride
    out.set(bytes.subarray(from, from + width), row * to)
  }
  return out
}

/** Rows of K-quants as kernels read them. */
function placedRows(
  type: KQuantType,
  bytes: Uint8Array,
  { begin, stride }: { readonly begin: number; readonly stride: number },
  { rows, columns }: RowShape,
): Uint8Array {
  const to = deviceRowBytes(type, columns)
  const out = new Uint8Array(rows * to)
  for (let row = 0; row < rows; row++)
    placeKQuantRow(type, bytes, begin + row * stride, columns, out, row * to)
  return out
}

/** A vector for kernels that read whole vectors: zeros up to `paddedColumns`. */
export function padded(values: Float32Array): Float32Array {
  const out = new Float32Array(paddedColumns(values.length))
  out.set(values)
  return out
}
