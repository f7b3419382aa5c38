// Some of a tensor's columns.

import { ShapeError } from '../../errors.js'
import type { Tape } from '../tape.js'
import { show, type Tensor } from '../tensor.js'

/** Columns [from, to) of x: (…, width) → (…, to − from). Throws ShapeError. */
export function columns(tape: Tape, x: Tensor, from: number, to: number): Tensor {
  const { rows, width } = x
  if (!(Number.isInteger(from) && Number.isInteger(to) && from >= 0 && from < to && to <= width)) {
    throw new ShapeError('SHAPE_COLUMNS', `columns: ${show(x.shape)} has no columns ${from} to ${to}`)
  }
  const count = to - from
  const out = tape.output([...x.shape.slice(0, -1), count], x)
  for (let row = 0; row < rows; row++) {
    const start = row * width
    out.data.set(x.data.subarray(start + from, start + to), row * count)
  }
  tape.record(out, dOut => {
    const grad = tape.gradToAdd(x)
    for (let row = 0; row < rows; row++) {
      const start = row * width + from
      for (let k = 0; k < count; k++) grad[start + k] += dOut[row * count + k]
    }
  })
  return out
}
