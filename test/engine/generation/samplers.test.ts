// The samplers against closed forms, against sorting everything, and by counting many choices.

import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import {
  checkSampling,
  chooseToken,
  type SamplingOptions,
  tokenDistribution,
} from '../../../src/engine/index.js'

/** Logits of the given probabilities, up to a constant. */
function logitsOf(probabilities: number[]): Float32Array {
  return Float32Array.from(probabilities, p => Math.log(p) + 3)
}

function distribution(logits: Float32Array, options: SamplingOptions) {
  const { ids, probabilities } = tokenDistribution(logits, checkSampling({ temperature: 1, ...options }))
  return { ids: [...ids], probabilities: [...probabilities] }
}

/** Expects these tokens and probabilities. */
function expectDistribution(
  actual: { ids: number[]; probabilities: number[] },
  ids: number[],
  probabilities: number[],
): void {
  expect(actual.ids).toEqual(ids)
  for (const [i, p] of probabilities.entries()) expect(actual.probabilities[i]).toBeCloseTo(p, 6)
}

const five = logitsOf([0.1, 0.4, 0.05, 0.25, 0.2])

/** The same by definition: sort, cut, normalize. */
function bySorting(logits: Float32Array, options: Required<SamplingOptions>): Map<number, number> {
  const { temperature, topK, topP, minP } = options
  const weights = [...logits].map(logit => Math.exp(logit / temperature))
  let order = [...logits.keys()].sort((a, b) => logits[b] - logits[a] || a - b)
  if (topK > 0) order = order.slice(0, topK)
  const total = order.reduce((sum, id) => sum + weights[id], 0)
  let reached = 0
  order = order.filter((_, i) => {
    const inside = topP === 1 || reached < topP
    reached += weights[order[i]] / total
    return inside
  })
  order = order.filter(id => weights[id] / weights[order[0]] >= minP)
  const kept = order.reduce((sum, id) => sum + weights[id], 0)
  return new Map(order.map(id => [id, weights[id] / kept]))
}

describe('the distribution', () => {
  it('at temperature 1 is the softmax; at T it is p^(1/T), normalized', () => {
    expectDistribution(distribution(five, {}), [0, 1, 2, 3, 4], [0.1, 0.4, 0.05, 0.25, 0.2])
    const squares = [0.01, 0.16, 0.0025, 0.0625, 0.04].map(p => p / 0.275)
    expectDistribution(distribution(five, { temperature: 0.5 }), [0, 1, 2, 3, 4], squares)
  })

  it('after top-k has the k most likely tokens, equal ones in the order of their ids', () => {
    expectDistribution(distribution(five, { topK: 2 }), [1, 3], [0.4 / 0.65, 0.25 / 0.65])
    expectDistribution(distribution(five, { topK: 1 }), [1], [1])
    expect(distribution(five, { topK: 5 }).ids).toHaveLength(5)
    expect(distribution(five, { topK: 50 }).ids).toHaveLength(5)
    const equal = new Float32Array(300)
    expectDistribution(distribution(equal, { topK: 3 }), [0, 1, 2], [1 / 3, 1 / 3, 1 / 3])
    equal[200] = 1
    expect(distribution(equal, { topK: 3 }).ids).toEqual([0, 1, 200])
  })

  it('after top-k is what sorting gives, for every k of a large vocabulary with ties', () => {
    const logits = Float32Array.from({ length: 500 }, (_, i) => ((i * 7919) % 97) / 10)
    const order = [...logits.keys()].sort((a, b) => logits[b] - logits[a] || a - b)
    for (const k of [1, 2, 7, 96, 97, 250, 499, 500]) {
      expect(distribution(logits, { topK: k }).ids).toEqual(order.slice(0, k).sort((a, b) => a - b))
    }
  })

  it('after top-p has the fewest of the most likely tokens that reach p', () => {
    expect(distribution(five, { topP: 0.39 }).ids).toEqual([1])
    expect(distribution(five, { topP: 0.41 }).ids).toEqual([1, 3])
    expect(distribution(five, { topP: 0.64 }).ids).toEqual([1, 3])
    expect(distribution(five, { topP: 0.66 }).ids).toEqual([1, 3, 4])
    expect(distribution(five, { topP: 0.96 }).ids).toEqual([0, 1, 2, 3, 4])
    expect(distribution(five, { topP: 1e-9 }).ids).toEqual([1])
    expect(distribution(five, { topP: 1 }).ids).toEqual([0, 1, 2, 3, 4])
    // Powers of two: the boundary is exact, and reaching p is enough.
    const exact = Float32Array.from([Math.log(4), Math.log(2), 0, 0])
    expect(distribution(exact, { topP: 0.5, temperature: 1 }).ids).toContain(0)
    expect(distribution(new Float32Array(4), { topP: 0.5 }).ids).toEqual([0, 1])
  })

  it('after top-p is what sorting gives, on a large vocabulary', () => {
    const logits = Float32Array.from({ length: 2000 }, (_, i) => 4 * Math.sin(i * 1.7))
    const total = logits.reduce((sum, x) => sum + Math.exp(x), 0)
    const order = [...logits.keys()].sort((a, b) => logits[b] - logits[a])
    for (const topP of [0.013, 0.31, 0.77, 0.951, 0.9993]) {
      let count = 0
      for (let reached = 0; reached < topP; count++) reached += Math.exp(logits[order[count]]) / total
      const expected = order.slice(0, count).sort((a, b) => a - b)
      expect(distribution(logits, { topP }).ids).toEqual(expected)
    }
  })

  it('after min-p has the tokens of at least that fraction of the highest probability', () => {
    expect(distribution(five, { minP: 0.49 }).ids).toEqual([1, 3, 4])
    expect(distribution(five, { minP: 0.51 }).ids).toEqual([1, 3])
    expect(distribution(five, { minP: 0 }).ids).toEqual([0, 1, 2, 3, 4])
    expect(distribution(five, { minP: 1 }).ids).toEqual([1])
    expect(distribution(new Float32Array(4), { minP: 1 }).ids).toEqual([0, 1, 2, 3])
  })

  it('takes top-p of what top-k has left', () => {
    // 0.4 and 0.25 are left: 0.615 and 0.385 of them.
    expect(distribution(five, { topK: 2, topP: 0.6 }).ids).toEqual([1])
    expect(distribution(five, { topK: 2, topP: 0.62 }).ids).toEqual([1, 3])
  })
})

describe('the distribution by any options', () => {
  // Whole ones are often equal; others differ by enough that their probabilities do.
  const fine = fc.integer({ min: -6 * 2 ** 12, max: 6 * 2 ** 12 }).map(i => i * 2 ** -12)
  const logit = fc.oneof(fc.integer({ min: -6, max: 6 }), fine)
  const options = fc.record({
    temperature: fc.constantFrom(0.3, 0.7, 1, 2),
    topK: fc.constantFrom(0, 2, 5, 40),
    topP: fc.constantFrom(1, 0.97, 0.61, 0.203),
    minP: fc.constantFrom(0, 0.0101, 0.307),
  })

  it('is what sorting all tokens gives', () => {
    fc.assert(
      fc.property(fc.array(logit, { minLength: 1, maxLength: 150 }), options, (values, given) => {
        const logits = Float32Array.from(values)
        const { ids, probabilities } = tokenDistribution(logits, given)
        const expected = bySorting(logits, given)
        expect([...ids]).toEqual([...expected.keys()].sort((a, b) => a - b))
        for (const [i, id] of ids.entries()) expect(probabilities[i]).toBeCloseTo(expected.get(id) ?? -1, 9)
      }),
      { numRuns: 500 },
    )
  })

  it('is what sorting gives for a vocabulary of 49,152', () => {
    const logits = Float32Array.from({ length: 49_152 }, (_, i) => 5 * Math.sin(i * 1.7) * Math.cos(i * 0.31))
    for (const given of [
      { topP: 0.9 },
      { topP: 0.37, temperature: 0.5 },
      { topK: 300, topP: 0.81 },
      { minP: 0.2 },
    ]) {
      const full = { temperature: 1, topK: 0, topP: 1, minP: 0, ...given }
      const expected = [...bySorting(logits, full).keys()].sort((a, b) => a - b)
      expect([...tokenDistribution(logits, full).ids]).toEqual(expected)
    }
  })
})

describe('choosing', () => {
  const place = { seed: 5, sequence: 0, position: 0 }

  it('at temperature 0 chooses the most likely token, the first of equal ones', () => {
    expect(chooseToken(five, checkSampling({}), place)).toBe(1)
    expect(chooseToken(Float32Array.of(0, 2, 1, 2), checkSampling({ temperature: 0 }), place)).toBe(1)
  })

  it('does not overflow at extreme temperatures', () => {
    for (const temperature of [1e-300, 1e300]) {
      const id = chooseToken(Float32Array.of(-3e38, 3e38, 0), checkSampling({ temperature }), place)
      expect(temperature < 1 ? id === 1 : id >= 0 && id < 3).toBe(true)
    }
  })

  it('follows the distribution: χ² of 20,000 choices stays below its 99.99 % point', () => {
    const expected = [0.1, 0.4, 0.05, 0.25, 0.2]
    const counts = Array(5).fill(0)
    const n = 20_000
    const options = checkSampling({ temperature: 1 })
    for (let position = 0; position < n; position++)
      counts[chooseToken(five, options, { ...place, position })]++
    const chiSquare = expected.reduce((sum, p, i) => sum + (counts[i] - n * p) ** 2 / (n * p), 0)
    // 23.51 is the 99.99 % point of χ² with 4 degrees of freedom.
    expect(chiSquare).toBeLessThan(23.51)
  })

  it('follows the distribution that top-k, top-p and temperature leave: χ² of 20,000 choices', () => {
    const logits = Float32Array.from({ length: 250 }, (_, i) => 3 * Math.sin(i * 12.9898))
    const options = checkSampling({ temperature: 0.9, topK: 120, topP: 0.8, minP: 0.02 })
    const { ids, probabilities } = tokenDistribution(logits, options)
    const counts = new Map<number, number>()
    const n = 20_000
    for (let position = 0; position < n; position++) {
      const id = chooseToken(logits, options, { seed: 3, sequence: position % 7, position })
      counts.set(id, (counts.get(id) ?? 0) + 1)
    }
    expect([...counts.keys()].every(id => ids.includes(id))).toBe(true)
    let chiSquare = 0
    for (const [i, id] of ids.entries()) {
      const expected = n * probabilities[i]
      chiSquare += ((counts.get(id) ?? 0) - expected) ** 2 / expected
    }
    // Wilson and Hilferty's approximation of the 99.99 % point of χ².
    const freedom = ids.length - 1
    const limit = freedom * (1 - 2 / (9 * freedom) + 3.719 * Math.sqrt(2 / (9 * freedom))) ** 3
    expect(freedom).toBeGreaterThan(20)
    expect(chiSquare).toBeLessThan(limit)
  })

  it('is a function of seed, sequence and position, and of each of them', () => {
    const options = checkSampling({ temperature: 1 })
    const flat = new Float32Array(1000)
    const choices = (change: Partial<typeof place>) =>
      Array.from({ length: 8 }, (_, position) =>
        chooseToken(flat, options, { ...place, position, ...change }),
      )
    expect(choices({})).toEqual(choices({}))
    expect(new Set(choices({})).size).toBeGreaterThan(4)
    expect(choices({ seed: 6 })).not.toEqual(choices({}))
    expect(choices({ seed: 5 + 2 ** 32 })).not.toEqual(choices({}))
    expect(choices({ sequence: 1 })).not.toEqual(choices({}))
  })

  it('refuses logits that are NaN or infinite', () => {
    const invalid = expect.objectContaining({ code: 'LOGITS_INVALID' })
    const sampled = checkSampling({ temperature: 1 })
    for (const logits of [
      Float32Array.of(Number.NaN, Number.NaN),
      Float32Array.of(1, Number.POSITIVE_INFINITY),
    ]) {
      expect(() => chooseToken(logits, checkSampling({}), place)).toThrow(invalid)
      expect(() => chooseToken(logits, sampled, place)).toThrow(invalid)
    }
    for (const options of [checkSampling({}), sampled]) {
      expect(() => chooseToken(Float32Array.of(1, Number.NaN), options, place)).toThrow(invalid)
    }
  })
})

describe('a token that a bias forbids', () => {
  const forbidden = Float32Array.of(1, Number.NEGATIVE_INFINITY, 0, Number.NEGATIVE_INFINITY)

  it('is never chosen', () => {
    expect(distribution(forbidden, { temperature: 3 }).ids).toEqual([0, 2])
    expect(distribution(forbidden, { topK: 3, minP: 0.001 }).ids).toEqual([0, 2])
    expect(distribution(forbidden, { topP: 0.999999 }).ids).toEqual([0, 2])
  })

  it('and every other one too, leaves none to choose', () => {
    for (const temperature of [0, 1]) {
      const none = new Float32Array(3).fill(Number.NEGATIVE_INFINITY)
      const choose = () =>
        chooseToken(none, checkSampling({ temperature }), { seed: 0, sequence: 0, position: 0 })
      expect(choose).toThrow(
        expect.objectContaining({
          code: 'LOGITS_INVALID',
          message: expect.stringContaining('no token is left'),
        }),
      )
    }
  })
})

describe('options that contradict each other', () => {
  it.each([
    [{ topP: 0.9 }, 'topP 0.9', 'temperature 0, the default,'],
    [{ temperature: 0, topK: 40 }, 'topK 40', 'temperature 0 always'],
    [{ temperature: 0, minP: 0.1 }, 'minP 0.1', 'temperature 0 always'],
  ])('%o: something to choose among and nothing to choose by, are refused', (options, idle, why) => {
    const message = expect.stringMatching(new RegExp(`${idle}.*${why}`))
    expect(() => checkSampling(options)).toThrow(
      expect.objectContaining({ code: 'SAMPLING_CONTRADICTION', message }),
    )
  })

  it('are not those that say the same twice, or say nothing', () => {
    for (const options of [
      { temperature: 0, topK: 1 },
      { topK: 0, topP: 1, minP: 0 },
      { temperature: 1, topK: 1 },
    ]) {
      expect(() => checkSampling(options)).not.toThrow()
    }
  })
})

describe('an option out of range', () => {
  const wrong: [SamplingOptions, string, string][] = [
    [{ temperature: -0.1 }, 'TEMPERATURE_RANGE', 'temperature must be a number of at least 0, not -0.1'],
    [{ temperature: Number.NaN }, 'TEMPERATURE_RANGE', 'NaN'],
    [{ temperature: Number.POSITIVE_INFINITY }, 'TEMPERATURE_RANGE', 'Infinity'],
    [{ temperature: '1' as unknown as number }, 'TEMPERATURE_RANGE', 'not "1"'],
    [{ topK: -1 }, 'TOP_K_RANGE', 'topK must be an integer of at least 0 (0 for all), not -1'],
    [{ topK: 1.5 }, 'TOP_K_RANGE', '1.5'],
    [{ topP: 0 }, 'TOP_P_RANGE', 'topP must be above 0 and at most 1, not 0'],
    [{ topP: 1.01 }, 'TOP_P_RANGE', '1.01'],
    [{ minP: -0.01 }, 'MIN_P_RANGE', 'minP must be from 0 to 1, not -0.01'],
    [{ minP: 1.5 }, 'MIN_P_RANGE', '1.5'],
  ]
  it.each(wrong)('%o is refused by name and value', (options, code, message) => {
    expect(() => checkSampling(options)).toThrow(
      expect.objectContaining({ code, message: expect.stringContaining(message) }),
    )
  })
})
