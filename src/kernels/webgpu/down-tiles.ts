// How the down projection lies on the device. A workgroup adds up a few neighboring columns of all neurons, 32 bytes of
// weights of each (64 where a format scatters fewer over more columns): they are kept tile by tile, (tiles, neurons, bytes), so that all that a workgroup reads lies together.
// Narrow tiles make as many workgroups as a large GPU has processors. Scales of quantized weights follow after the last tile,
// (tiles, neurons, those of a tile).

import { weightBytes } from '../weights/quantized.js'
import type { WeightType } from '../weights/types.js'
import {
  kQuantTileScale,
  kQuantType,
  placeKQuantRow,
  placeKQuantTileScales,
  TILE_SCALE_BYTES,
} from './k-quant-rows.js'
import { rowVectors, type VectorFormat, vectorFormat } from './vector-formats.js'

export interface DownTiles {
  readonly format: VectorFormat
  /** Columns of a tile. */
  readonly columns: number
  /** Tiles that the columns of a matrix take. */
  readonly tiles: number
  /** Scales of one neuron in a tile, f16. */
  readonly scales: number
  /** Their bytes; of K-quants those of what their scales are made of. */
  readonly scaleBytes: number
  /** Bytes of one neuron in all tiles. */
  readonly neuronBytes: number
}

/** Of a matrix whose neurons have `width` columns. Throws OptionError WEBGPU_DTYPE. */
export function downTiles(type: WeightType, width: number): DownTiles {
  const format = vectorFormat(type)
  const columns = format.tileVectors * format.columns
  const tiles = Math.ceil(format.vectors(width) / format.tileVectors)
  const scales = format.scaleGroup === null ? 0 : columns / format.scaleGroup
  const scaleBytes = format.affine === undefined ? 2 * scales : TILE_SCALE_BYTES
  return {
    ...{ format, columns, tiles, scales, scaleBytes },
    neuronBytes: tiles * (16 * format.tileVectors + scaleBytes),
  }
}

/**
 * Rows [first, first + count) of a matrix of `stride` bytes per row, whose row begins `offset` bytes after, as tiles.
 * `bytes`: the matrix as the engine lays it out.
 */
export function tiled(
  bytes: Uint8Array,
  rows: { readonly first: number; readonly count: number; readonly stride: number; readonly offset: number },
  type: WeightType,
  width: number,
): Uint8Array {
  const { first, count, stride, offset } = rows
  const { format, tiles, scaleBytes: own } = downTiles(type, width)
  const tileBytes = 16 * format.tileVectors
  const scaleBytes = 16 * format.scaleVectors(width)
  const valueBytes = weightBytes(type, width) - scaleBytes
  const out = new Uint8Array(16 * Math.ceil((count * tiles * (tileBytes + own)) / 16))
  const scalesAt = count * tiles * tileBytes
  const kQuant = kQuantType(type)
  const placedRow = new Uint8Array(kQuant === null ? 0 : 16 * rowVectors(type, width))
  for (let n = 0; n < count; n++) {
    const from = (first + n) * stride + offset
    if (kQuant !== null) placeKQuantRow(kQuant, bytes, from, width, placedRow, 0)
    const values =
      kQuant === null
        ? bytes.subarray(from + scaleBytes, from + scaleBytes + valueBytes)
        : placedRow.subarray(scaleBytes)
    for (let tile = 0; tile < tiles; tile++) {
      const part = values.subarray(tile * tileBytes, (tile + 1) * tileBytes)
      out.set(part, (tile * count + n) * tileBytes)
    }
    for (let tile = 0; own > 0 && tile < tiles; tile++) {
      if (kQuant !== null) {
        placeKQuantTileScales(kQuant, bytes, from, tile, out, scalesAt + (tile * count + n) * own)
        continue
      }
      const at = from + tile * own
      out.set(bytes.subarray(at, Math.min(at + own, from + scaleBytes)), scalesAt + (tile * count + n) * own)
    }
  }
  return out
}

/** WGSL of the function that reads scale g of neuron n in a tile, of `ALL` neurons; of K-quants scale and minimum. */
export function tileScaleFunction(weights: string, { tiles, format, scales }: DownTiles): string {
  if (format.affine !== undefined) {
    return `fn tileScale(tile: u32, n: u32, g: u32) -> vec2<f32> {
  let at = tile * ALL + n;
  let words = ${weights}[${tiles * format.tileVectors}u * ALL + (at >> 1u)];
  let a = select(words.x, words.z, (at & 1u) != 0u);
  let b = select(words.y, words.w, (at & 1u) != 0u);
  return ${kQuantTileScale(format.affine)};
}`
  }
  if (scales === 0) return ''
  return `fn tileScale(tile: u32, n: u32, g: u32) -> f32 {
  let at = (tile * ALL + n) * ${scales}u + g;
  return unpack2x16float(${weights}[${tiles * format.tileVectors}u * ALL + (at >> 3u)][(at >> 1u) & 3u])[at & 1u];
}`
}
