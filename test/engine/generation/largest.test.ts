// Selecting the largest values against sorting all of them. Values are small integers, so that sums are exact and equal
// values are frequent.

import fc from 'fast-check'
import { expect, it } from 'vitest'
import { largest, massThreshold } from '../../../src/engine/generation/largest.js'

const values = fc.array(fc.integer({ min: 0, max: 9 }), { minLength: 1, maxLength: 40 })

it('the k largest come in descending order, equal ones in the order of their ids', () => {
  fc.assert(
    fc.property(values, fc.integer({ min: 0, max: 45 }), (list, k) => {
      const sorted = [...list.keys()].sort((a, b) => list[b] - list[a] || a - b)
      expect([...largest(Float32Array.from(list), k)]).toEqual(sorted.slice(0, k))
    }),
  )
})

it('the threshold of a sum is the last of the fewest largest values that reach it, with how many equal it', () => {
  let exact = 0
  fc.assert(
    fc.property(values, fc.double({ min: 0.01, max: 1, noNaN: true }), (list, part) => {
      const total = list.reduce((a, b) => a + b)
      fc.pre(total > 0)
      const wanted = Math.ceil(part * total)
      const sorted = list.toSorted((a, b) => b - a)
      let [sum, count] = [0, 0]
      while (sum < wanted) sum += sorted[count++]
      if (sum === wanted) exact++
      const threshold = sorted[count - 1]
      const equals = sorted.slice(0, count).filter(value => value === threshold).length
      expect(massThreshold(Float64Array.from(list), wanted)).toEqual({ threshold, equals })
    }),
  )
  expect(exact).toBeGreaterThan(5)
})

it('a sum that rounding keeps just below what is wanted is that of all values', () => {
  const list = [0.1, 0.3, 0.2]
  expect(massThreshold(Float64Array.from(list), 0.6 + 1e-12)).toEqual({ threshold: 0.1, equals: 1 })
  expect(massThreshold(Float64Array.of(0.25, 0.25), 0.5 + 1e-12)).toEqual({ threshold: 0.25, equals: 2 })
})
