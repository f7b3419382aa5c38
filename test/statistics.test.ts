// Means, deviations and quantiles against numbers worked out by hand or by NumPy.

import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { meanInterval, median, quantilesOfSorted, spreadOf, spreadPerEpoch } from '../src/statistics.js'

describe('statistics over runs', () => {
  it('the deviation is that of a sample: 1, 2, 3, 4 have √(5/3)', () => {
    const { mean, std } = spreadOf([1, 2, 3, 4])
    expect(mean).toBe(2.5)
    expect(std).toBeCloseTo(Math.sqrt(5 / 3), 15)
  })

  it('one run has no deviation, and none has no mean', () => {
    expect(spreadOf([7])).toEqual({ mean: 7, std: 0 })
    expect(spreadOf([])).toEqual({ mean: Number.NaN, std: Number.NaN })
  })

  it('shifting all runs shifts the mean and leaves the deviation', () => {
    fc.assert(
      fc.property(
        fc.array(fc.double({ min: -10, max: 10, noNaN: true }), { minLength: 2, maxLength: 20 }),
        fc.double({ min: -10, max: 10, noNaN: true }),
        (values, shift) => {
          const [before, after] = [spreadOf(values), spreadOf(values.map(value => value + shift))]
          expect(after.mean - before.mean).toBeCloseTo(shift, 9)
          expect(after.std).toBeCloseTo(before.std, 9)
        },
      ),
    )
  })

  it('is taken epoch by epoch', () => {
    expect(
      spreadPerEpoch([
        [1, 5],
        [3, 5],
      ]),
    ).toEqual([
      { mean: 2, std: Math.SQRT2 },
      { mean: 5, std: 0 },
    ])
  })

  it("quantiles are NumPy's: np.quantile([1, 2, 4, 8, 16], [0, .1, .5, .9, 1])", () => {
    const quantiles = quantilesOfSorted([1, 2, 4, 8, 16], [0, 0.1, 0.5, 0.9, 1])
    const expected = [1, 1.4, 4, 12.8, 16]
    for (const [i, value] of quantiles.entries()) expect(value).toBeCloseTo(expected[i], 12)
  })

  it('the median of an even count is the mean of the two in the middle, and order does not matter', () => {
    expect(median([9, 1, 4])).toBe(4)
    expect(median([8, 1, 4, 2])).toBe(3)
    expect(median([])).toBeNaN()
  })

  it("the interval of a mean is Student's: of 1, 2, 3 it is 2 ± 4.303/√3", () => {
    const { low, high } = meanInterval([1, 2, 3]) ?? { low: 0, high: 0 }
    expect(low).toBeCloseTo(2 - 4.303 / Math.sqrt(3), 12)
    expect(high).toBeCloseTo(2 + 4.303 / Math.sqrt(3), 12)
    expect(meanInterval([1])).toBeNull()
  })
})
