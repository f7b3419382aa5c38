// Rows of a matrix that are asked for have the bits of the whole product, the others are 0 and not read.

import { afterAll, describe, expect, it } from 'vitest'
import { defaultThreads, setThreads, type Weights } from '../../src/kernels/index.js'
import { backends, expectSameBits, Inputs, weightTypes, withThreads } from './decode-inputs.js'

afterAll(() => setThreads(defaultThreads()))

describe.each(backends)('selected rows, %s', (_, kernels) => {
  const shapes = [
    { rows: 1, columns: 1, batch: 1 },
    { rows: 140, columns: 33, batch: 1 },
    { rows: 260, columns: 130, batch: 2 },
    { rows: 131, columns: 65, batch: 7 },
    { rows: 300, columns: 40, batch: 19 },
    { rows: 50, columns: 300, batch: 70 },
  ]
  it.each(shapes.flatMap(shape => [0, 0.5, 0.95, 1].map(zeros => ({ ...shape, zeros }))))(
    'are those of the whole product: %o',
    ({ rows, columns, batch, zeros }) => {
      for (const type of weightTypes) {
        const inputs = new Inputs(rows + batch)
        const { stored } = inputs.weights(rows, columns, type)
        const x = inputs.floats(batch * columns)
        const chosen = inputs.activated(batch * rows, zeros)
        const whole = new Float32Array(batch * rows)
        kernels.matvec(stored, x, whole, rows, columns, batch, false)
        const anywhere = (row: number) =>
          Array.from({ length: batch }, (_, b) => chosen[b * rows + row]).some(value => value !== 0)
        const wanted = whole.map((value, at) => (anywhere(at % rows) ? value : 0))
        const results = withThreads(() => {
          const y = new Float32Array(batch * rows).fill(Number.NaN)
          kernels.selectedRows(stored, chosen, x, y, rows, columns, batch)
          return y
        })
        for (const y of results) expectSameBits(y, wanted)
      }
    },
  )

  it('that are not asked for are not read', () => {
    // NaN wherever it is read.
    const w: Weights = new Float32Array(8).fill(Number.NaN)
    w.set([1, 2], 2)
    const y = new Float32Array(4)
    kernels.selectedRows(w, Float32Array.of(0, 3, -0, 0), Float32Array.of(5, 7), y, 4, 2, 1)
    expect([...y]).toEqual([0, 19, 0, 0])
  })
})
