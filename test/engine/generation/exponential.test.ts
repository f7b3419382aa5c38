// exp of the sampler against Math.exp, and against values that are exact.

import fc from 'fast-check'
import { expect, it } from 'vitest'
import { exponential } from '../../../src/engine/generation/exponential.js'

it('is exp to a few units in the last place, down to where doubles lose digits', () => {
  fc.assert(
    fc.property(fc.double({ min: -700, max: 0, noNaN: true }), x => {
      expect(Math.abs(exponential(x) / Math.exp(x) - 1)).toBeLessThan(6e-16)
    }),
    { numRuns: 2000 },
  )
})

it('is 1 for 0, 0 for what is too small, and never above 1', () => {
  expect([exponential(0), exponential(-0)]).toEqual([1, 1])
  expect([-745.2, -1e4, Number.NEGATIVE_INFINITY].map(exponential)).toEqual([0, 0, 0])
  expect(exponential(-744)).toBeGreaterThan(0)
  expect(exponential(-Number.EPSILON)).toBeLessThanOrEqual(1)
})

it('grows with its argument from step to step of its table', () => {
  const step = Math.LN2 / 256
  let before = 0
  for (let i = 2000; i >= 0; i--) {
    const value = exponential(-i * step)
    expect(value).toBeGreaterThan(before)
    before = value
  }
})
