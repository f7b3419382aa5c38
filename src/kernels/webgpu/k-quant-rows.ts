// How rows of K-quants lie on the device: the values of ggml's super-blocks (weights/k-quants.ts), exactly, in vectors of 16
// bytes. First the scales of all super-blocks, then the codes: those of q4_k as they are in files; those of q5_k and q6_k
// widened to bytes, since a code that is spread over two places of a file would take two reads.

import { q6Code, SUPER_BLOCK, SUPER_BLOCK_BYTES, scaleAndMin } from '../weights/k-quants.js'
import { isKQuant, type KQuantType, type WeightType } from '../weights/types.js'

/** Columns of a tile of down columns, whatever the type. */
const TILE_COLUMNS = 64
/** Bytes of the scales of one neuron in a tile: d and dmin, then what they are multiplied by. */
export const TILE_SCALE_BYTES = 8

/** Of a type that has no other layout on the device than in the engine's memory: null. */
export function kQuantType(type: WeightType): KQuantType | null {
  return isKQuant(type) ? type : null
}

/** Vectors of scales of one super-block. */
export const kQuantScaleVectors = (type: KQuantType): number => (type === 'q6_k' ? 2 : 1)

/** Vectors of codes that hold `columns` columns, in whole tiles. */
export function kQuantVectors(type: KQuantType, columns: number): number {
  return Math.ceil(columns / TILE_COLUMNS) * (type === 'q4_k' ? 2 : 4)
}

/** Writes the row whose super-blocks begin at byte `at` of `bytes` to byte `to` of `out`. */
export function placeKQuantRow(
  type: KQuantType,
  bytes: Uint8Array,
  at: number,
  columns: number,
  out: Uint8Array,
  to: number,
): void {
  const blocks = Math.ceil(columns / SUPER_BLOCK)
  const scales = 16 * kQuantScaleVectors(type)
  const end = to + blocks * scales + 16 * kQuantVectors(type, columns)
  for (let block = 0; block < blocks; block++) {
    const from = at + block * SUPER_BLOCK_BYTES[type]
    const scalesAt = to + block * scales
    if (type === 'q6_k') {
      out.set(bytes.subarray(from + 192, from + 210), scalesAt)
    } else out.set(bytes.subarray(from, from + 16), scalesAt)
    const codesAt = to + blocks * scales + block * (type === 'q4_k' ? 128 : SUPER_BLOCK)
    if (type === 'q4_k') {
      out.set(bytes.subarray(from + 16, from + 16 + Math.min(128, end - codesAt)), codesAt)
      continue
    }
    const count = Math.min(SUPER_BLOCK, end - codesAt)
    if (type === 'q6_k') {
      for (let i = 0; i < count; i++) out[codesAt + i] = q6Code(bytes, from, i) - 32
    } else {
      for (let i = 0; i < count; i++) {
        const group = i >> 5
        const low = bytes[from + 48 + 32 * (group >> 1) + (i & 31)] >> (4 * (group & 1))
        out[codesAt + i] = (low & 15) | (((bytes[from + 16 + (i & 31)] >> group) & 1) << 4)
      }
    }
  }
}

/** Writes the scales of a tile of that row, TILE_SCALE_BYTES of them. */
export function placeKQuantTileScales(
  type: KQuantType,
  bytes: Uint8Array,
  at: number,
  tile: number,
  out: Uint8Array,
  to: number,
): void {
  const tilesPerBlock = SUPER_BLOCK / TILE_COLUMNS
  const from = at + Math.floor(tile / tilesPerBlock) * SUPER_BLOCK_BYTES[type]
  const own = tile % tilesPerBlock
  if (type === 'q6_k') {
    out.set(bytes.subarray(from + 208, from + 210), to)
    out.set(bytes.subarray(from + 192 + 4 * own, from + 196 + 4 * own), to + 4)
    return
  }
  out.set(bytes.subarray(from, from + 4), to)
  for (const group of [0, 1]) {
    const { scale, min } = scaleAndMin(bytes, from + 4, 2 * own + group)
    out[to + 4 + 2 * group] = scale
    out[to + 5 + 2 * group] = min
  }
}

/** WGSL of the function that gives scale and minimum of group g of the row that begins at vector `base`. */
export function kQuantScaleFunction(type: KQuantType, weights: string): string {
  if (type === 'q6_k') {
    return `fn ${weights}Scale(base: u32, g: u32) -> vec2<f32> {
  let at = base + 2u * (g >> 4u);
  let i = g & 15u;
  let s = i32(${weights}[at][i >> 2u] << (24u - 8u * (i & 3u))) >> 24u;
  return vec2<f32>(unpack2x16float(${weights}[at + 1u].x).x * f32(s), 0.0);
}`
  }
  return `fn ${weights}Scale(base: u32, g: u32) -> vec2<f32> {
  let h = ${weights}[base + (g >> 3u)];
  let s = 8u * (g & 3u);
  let low = vec2<u32>(h.y >> s, h.z >> s) & vec2<u32>(255u);
  let high = (h.w >> s) & 255u;
  let upper = vec2<u32>(high & 15u, high >> 4u) | ((low >> vec2<u32>(6u)) << vec2<u32>(4u));
  return unpack2x16float(h.x) * vec2<f32>(select(upper, low & vec2<u32>(63u), (g & 4u) == 0u));
}`
}

/** WGSL of scale and minimum of group `g` of a tile, of its two words `a` and `b`. */
export function kQuantTileScale(type: KQuantType): string {
  return type === 'q6_k'
    ? 'vec2<f32>(unpack2x16float(a).x * f32(i32(b << (24u - 8u * g)) >> 24u), 0.0)'
    : 'unpack2x16float(a) * vec2<f32>(f32((b >> (16u * g)) & 255u), f32((b >> (16u * g + 8u)) & 255u))'
}
