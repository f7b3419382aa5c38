// What shares a draw: every element its own, or a neuron, a token, a sample or the whole batch one; on every backend
// the same draws, and none depends on how a batch is cut up.

import { describe, expect, it } from 'vitest'
import { type DrawPer, parseActivation } from '../../src/activations/index.js'
import { availableKernels, type Draw, type Kernels } from '../../src/kernels/index.js'
import { someDraw } from './random-inputs.js'

const [rows, width, rowsPerSample] = [24, 70, 4]

/** Which elements a call's draws made zero: rows of 0 and 1. */
function pattern(
  kernels: Kernels,
  per: DrawPer,
  first = 0,
  count = rows,
  draw: Partial<Draw> = {},
): number[][] {
  const act = parseActivation(`stoch:p=0.5,per=${per}`)
  const out = new Float32Array(count * width)
  const x = new Float32Array(count * width).fill(-1)
  kernels.activation(act, x, out, count, width, { ...someDraw, rowsPerSample, firstRow: first, ...draw })
  return Array.from({ length: count }, (_, row) =>
    Array.from(out.subarray(row * width, (row + 1) * width), value => (value === 0 ? 1 : 0)),
  )
}

const same = (one: readonly number[]): boolean => one.every(value => value === one[0])
const column = (values: readonly number[][], i: number): number[] => values.map(row => row[i])
const columns = Array.from({ length: width }, (_, i) => i)

describe.each(availableKernels().map(kernels => [kernels.isa, kernels] as const))('%s', (_, kernels) => {
  it('per element: rows and columns both vary', () => {
    const zeros = pattern(kernels, 'element')
    expect(zeros.some(same)).toBe(false)
    expect(columns.some(i => same(column(zeros, i)))).toBe(false)
  })

  it('per neuron: a column is of one kind, for the whole step', () => {
    const zeros = pattern(kernels, 'neuron')
    expect(columns.every(i => same(column(zeros, i)))).toBe(true)
    expect(same(zeros[0])).toBe(false)
  })

  it('per token: a row is of one kind', () => {
    const zeros = pattern(kernels, 'token')
    expect(zeros.every(same)).toBe(true)
    expect(same(column(zeros, 0))).toBe(false)
  })

  it('per sample: the rows of a sample are of one kind', () => {
    const zeros = pattern(kernels, 'sample')
    for (let row = 0; row < rows; row += rowsPerSample) {
      expect(same(zeros.slice(row, row + rowsPerSample).flat())).toBe(true)
    }
    expect(same(column(zeros, 0))).toBe(false)
  })

  it('per batch: everything is of one kind, another at another step', () => {
    const kinds = Array.from({ length: 12 }, (_, step) => pattern(kernels, 'batch', 0, 3, { step }))
    for (const zeros of kinds) expect(same(zeros.flat())).toBe(true)
    expect(same(kinds.map(zeros => zeros[0][0]))).toBe(false)
  })

  it.each(['element', 'neuron', 'token', 'sample', 'batch'] as const)(
    'per %s: halves of a batch draw what the whole draws, and so does every backend',
    per => {
      const whole = pattern(kernels, per)
      expect([...pattern(kernels, per, 0, 11), ...pattern(kernels, per, 11, rows - 11)]).toEqual(whole)
      expect(whole).toEqual(pattern(availableKernels()[0], per))
    },
  )
})
