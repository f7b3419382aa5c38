// Paired measurement: order, pairing, and an interval with the coverage that it claims.

import { describe, expect, it } from 'vitest'
import { comparePaired, differsFrom, medianInterval } from '../src/paired-measurement.js'

describe('the interval of a median', () => {
  it('is between the order statistics of the binomial table: ranks 4 and 12 of 15, 96.5 %', () => {
    // Conover, Practical Nonparametric Statistics: n = 15, P(X ≤ 3) = 0.0176.
    const values = Array.from({ length: 15 }, (_, i) => i + 1)
    expect(medianInterval(values)).toEqual({
      median: 8,
      low: 4,
      high: 12,
      confidence: expect.closeTo(0.96484, 4),
    })
  })

  it('of six values reaches from the lowest to the highest with 1 − 2/64, of five it is too little to claim from', () => {
    expect(medianInterval([6, 1, 5, 2, 4, 3])).toEqual({ median: 3.5, low: 1, high: 6, confidence: 0.96875 })
    const five = medianInterval([1.2, 1.3, 1.4, 1.5, 1.6])
    expect(five.confidence).toBe(0.9375)
    expect(differsFrom(five, 1)).toBe(false)
    expect(medianInterval([2]).confidence).toBe(0)
  })

  it('differs from a value only when it lies wholly on one side', () => {
    const ten = Array.from({ length: 10 }, (_, i) => 1.1 + i / 100)
    expect(differsFrom(medianInterval(ten), 1)).toBe(true)
    expect(differsFrom(medianInterval(ten.map(value => value - 0.5)), 1)).toBe(true)
    expect(differsFrom(medianInterval(ten), 1.15)).toBe(false)
  })
})

describe('a paired comparison', () => {
  it('alternates the order of its pairs, and does not count the warm-up', async () => {
    const order: string[] = []
    const way = (name: string, rates: number[]) => async () => {
      order.push(name)
      return rates[order.filter(one => one === name).length - 1]
    }
    const found = await comparePaired(way('a', [1, 10, 20, 40]), way('b', [99, 11, 30, 44]), {
      warmUp: 1,
      pairs: 3,
    })
    expect(order.join('')).toBe('abbaabba')
    expect([found.first, found.second, found.pairs]).toEqual([20, 30, 3])
    // Ratios within pairs: 1.1, 1.5, 1.1.
    expect(found.ratio.median).toBeCloseTo(1.1, 12)
  })

  it('sees through a machine whose speed drifts', async () => {
    let speed = 100
    const at = (factor: number) => async () => {
      speed *= 1.05
      return speed * factor
    }
    const { ratio } = await comparePaired(at(1), at(1.5), { warmUp: 0, pairs: 20 })
    // Drift multiplies one pair by 1.05 and divides the next: 1.5 lies between.
    expect(ratio.low).toBeGreaterThan(1.5 / 1.051)
    expect(ratio.high).toBeLessThan(1.5 * 1.051)
    expect(ratio.median).toBeCloseTo((1.5 * 1.05 + 1.5 / 1.05) / 2, 9)
  })
})
