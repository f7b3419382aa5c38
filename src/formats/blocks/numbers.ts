// Types with one number per value beside f32, f16 and bf16: doubles and integers. All become f32, rounded where it has
// fewer bits.

import type { BlockType } from './types.js'

/** Numbers of `size` bytes, each read by `at`. */
function plain(size: number, ggml: number, at: (view: DataView, byte: number) => number): BlockType {
  return {
    values: 1,
    bytes: size,
    ggml,
    held: 'f32',
    decode(bytes, out) {
      const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength)
      for (let i = 0; i < out.length; i++) out[i] = at(view, i * size)
    },
  }
}

export const NUMBER_BLOCKS = {
  f64: plain(8, 28, (view, at) => view.getFloat64(at, true)),
  i8: plain(1, 24, (view, at) => view.getInt8(at)),
  i16: plain(2, 25, (view, at) => view.getInt16(at, true)),
  i32: plain(4, 26, (view, at) => view.getInt32(at, true)),
  i64: plain(8, 27, (view, at) => Number(view.getBigInt64(at, true))),
} as const satisfies Record<string, BlockType>
