// How the down projection lies on the device. A sum over neurons takes from each of them a few neighboring columns, 64 bytes
// of weights: they are kept tile by tile, (tiles, neurons, 64 bytes), so that all that a workgroup reads lies together, and
// memory is read in pieces that it can deliver whether neurons are skipped or not. Scales of quantized weights follow after
// the last tile, (tiles, neurons, those of 64 bytes).

import { weightBytes } from '../weights/quantized.js'
import type { WeightType } from '../weights/types.js'
import { type VectorFormat, vectorFormat } from './vector-formats.js'

/** Vectors of one neuron in a tile. */
export const TILE_VECTORS = 4

export interface DownTiles {
  readonly format: VectorFormat
  /** Columns of a tile. */
  readonly columns: number
  /** Tiles that the columns of a matrix take. */
  readonly tiles: number
  /** Words of the scales of one neuron in a tile: two f16 each. */
  readonly scaleWords: number
  /** Bytes of one neuron in all tiles. */
  readonly neuronBytes: number
}

/** Of a matrix whose neurons have `width` columns. Throws OptionError WEBGPU_DTYPE. */
export function downTiles(type: WeightType, width: number): DownTiles {
  const format = vectorFormat(type)
  const tiles = Math.ceil(format.vectors(width) / TILE_VECTORS)
  const scaleWords = format.scaleGroup === null ? 0 : (TILE_VECTORS * format.columns) / format.scaleGroup / 2
  return {
    format,
    columns: TILE_VECTORS * format.columns,
    tiles,
    scaleWords,
    neuronBytes: tiles * (16 * TILE_VECTORS + 4 * scaleWords),
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
  const { format, tiles, scaleWords } = downTiles(type, width)
  const tileBytes = 16 * TILE_VECTORS
  const scaleBytes = 16 * format.scaleVectors(width)
  const valueBytes = weightBytes(type, width) - scaleBytes
  const out = new Uint8Array(16 * Math.ceil((count * tiles * (tileBytes + 4 * scaleWords)) / 16))
  const scalesAt = count * tiles * tileBytes
  for (let n = 0; n < count; n++) {
    const from = (first + n) * stride + offset
    const values = bytes.subarray(from + scaleBytes, from + scaleBytes + valueBytes)
    for (let tile = 0; tile < tiles; tile++) {
      const part = values.subarray(tile * tileBytes, (tile + 1) * tileBytes)
      out.set(part, (tile * count + n) * tileBytes)
    }
    const own = 4 * scaleWords
    for (let tile = 0; own > 0 && tile < tiles; tile++) {
      const at = from + tile * own
      out.set(bytes.subarray(at, Math.min(at + own, from + scaleBytes)), scalesAt + (tile * count + n) * own)
    }
  }
  return out
}

/** WGSL of the function that reads scale g of neuron n in a tile, of `COUNT` neurons. */
export function tileScaleFunction(weights: string, { tiles, scaleWords }: DownTiles): string {
  if (scaleWords === 0) return ''
  return `fn tileScale(tile: u32, n: u32, g: u32) -> f32 {
  let word = (tile * COUNT + n) * ${scaleWords}u + (g >> 1u);
  return unpack2x16float(${weights}[${tiles * TILE_VECTORS}u * COUNT + (word >> 2u)][word & 3u])[g & 1u];
}`
}
