import { describe, expect, it } from 'vitest'
import { logarithms } from '../../../src/lab/data/logarithm.js'
import { RandomState } from '../../../src/lab/data/numpy-random.js'
import { fixture } from './fixtures.js'

describe('logarithms of numbers in (0, 1)', () => {
  it("agree with the engine's within its last place, over all magnitudes", () => {
    const values = new RandomState(0).uniform(20_000)
    for (let i = 0; i < values.length; i += 2) values[i] = values[i] ** 20
    values.set([2 ** -104, 2 ** -52, 0.5, 0.25, 0.75, 0.75 - 2 ** -53, 0.93, 1 - 2 ** -53, 2 ** -1000, 0.1])
    const ours = new Float64Array(values.length)
    logarithms(values, ours, ours.length)
    for (const [i, value] of values.entries()) {
      expect(Math.abs(ours[i] / Math.log(value) - 1), `log ${value}`).toBeLessThan(2.3e-16)
    }
  })

  it('are the nearest doubles in 99 of 100 cases, and next to the nearest otherwise', () => {
    const known = fixture<{ values: number[]; logarithms: number[] }>('logarithm.json')
    const ours = new Float64Array(known.values.length)
    logarithms(Float64Array.from(known.values), ours, ours.length)
    const wrong = known.logarithms.filter((log, i) => log !== ours[i] && known.values[i] <= 0.93)
    expect(wrong.length).toBeLessThanOrEqual(known.values.length / 100)
    for (const [i, log] of known.logarithms.entries()) {
      expect(Math.abs(ours[i] / log - 1), `log ${known.values[i]}`).toBeLessThan(2.3e-16)
    }
  })

  it('leaves what lies behind count', () => {
    const values = Float64Array.of(0.5, 0.5)
    const out = Float64Array.of(7, 7)
    logarithms(values, out, 1)
    expect(Array.from(out)).toEqual([-Math.LN2, 7])
  })
})
