// Tensors as files hold them become rows of the engine's matrices by native code, where there is any.

import type { WeightType } from '../weights/types.js'
import { weightTypes } from '../weights/types.js'
import { nativeFunctions } from './addon.js'

/** Rows of a tensor, (rows, columns), as a file has them, and where rows of the engine go: `step` bytes apart. */
export interface StoredRows {
  readonly bytes: Uint8Array
  readonly rows: number
  readonly columns: number
  readonly out: Uint8Array
  readonly step: number
}

/** Some rows of a tensor, whose columns become rows of the engine: from `first` on, of `total` rows in all. */
export interface StoredColumns extends StoredRows {
  readonly first: number
  readonly total: number
}

/** The native conversions of one instruction set. Throws when they are not there. */
export function nativeStores(isa: string): WeightStores {
  const native = nativeFunctions(isa)
  return {
    blocksToRows(type, { bytes, rows, columns, out, step }) {
      native.blocksToRows(codes(bytes), weightTypes.indexOf(type), rows, columns, codes(out), step)
    },
    columnsToRows(type, to, { bytes, rows, columns, out, step, first, total }) {
      const types = [weightTypes.indexOf(type), weightTypes.indexOf(to)]
      const from = codes(bytes)
      return (
        native.columnsToRows(from, types[0], rows, columns, types[1], codes(out), step, first, total) === 0
      )
    },
  }
}

export interface WeightStores {
  /** Row r of a tensor becomes row r of the engine: of q8_0 and q4_0 with the scales in front, of other types unchanged. */
  blocksToRows(type: WeightType, rows: StoredRows): void
  /**
   * Column c of the tensor becomes row c of the engine: f32, bf16 and f16 as they are, blocks as q6_k or q8_0, with one
   * candidate per scale. `first` must be a multiple of 256. Returns false where a value is not finite or too
   * large for `to`: then the rows are undefined.
   */
  columnsToRows(type: WeightType, to: WeightType, columns: StoredColumns): boolean
}

function codes({ buffer, byteOffset, byteLength }: Uint8Array): Int8Array {
  return new Int8Array(buffer, byteOffset, byteLength)
}
