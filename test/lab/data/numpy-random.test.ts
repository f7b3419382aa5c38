import { describe, expect, it } from 'vitest'
import { RandomState } from '../../../src/lab/data/numpy-random.js'
import { fixture } from './fixtures.js'

interface Program {
  seed: number
  calls: { call: string; arguments: [number, number, number]; result: number[] }[]
}
const { programs } = fixture<{ programs: Program[] }>('random-state.json')

function call(random: RandomState, name: string, [a, b, c]: [number, number, number]): ArrayLike<number> {
  switch (name) {
    case 'random_sample':
      return Array.from({ length: a }, () => random.randomSample())
    case 'standard_normal':
      return random.standardNormal(a)
    case 'uniform':
      return random.uniform(c, a, b)
    case 'randint':
      return random.randint(a, b, c)
    case 'permutation':
      return random.permutation(a)
    case 'shuffle':
      return random.shuffle(Float64Array.from({ length: a }, (_, i) => 3 * i))
    case 'choice':
      return random.choiceWithoutReplacement(
        Int32Array.from({ length: a }, (_, i) => 2 * i),
        b,
      )
    case 'skip':
      return [Array.from({ length: a }, () => random.nextUint32()).at(-1)!]
    default:
      throw new Error(`no such call: ${name}`)
  }
}

describe("NumPy's RandomState", () => {
  it.each(programs)('returns what NumPy returns, call after call, for seed $seed', ({ seed, calls }) => {
    const random = new RandomState(seed)
    for (const [i, { call: name, arguments: given, result }] of calls.entries()) {
      const ours = Array.from(call(random, name, given))
      const where = `call ${i}: ${name}(${given.join(', ')})`
      if (name !== 'standard_normal') expect(ours, where).toEqual(result)
      else {
        expect(ours.length, where).toBe(result.length)
        for (const [k, value] of ours.entries()) {
          expect(Math.abs(value / result[k] - 1), `${where}, ${k}`).toBeLessThan(1e-15)
        }
      }
    }
  })

  it('gives the 10,000th word that the C++ standard prescribes for mt19937 with seed 5489', () => {
    const random = new RandomState(5489)
    for (let i = 1; i < 10_000; i++) random.nextUint32()
    expect(random.nextUint32()).toBe(4123659995)
  })

  it('makes the same doubles in one go as one by one, from any place in the state', () => {
    for (const skipped of [0, 1, 2, 3, 621, 622, 623]) {
      const [bulk, single] = [new RandomState(1), new RandomState(1)]
      for (let i = 0; i < skipped; i++) expect(bulk.nextUint32()).toBe(single.nextUint32())
      expect(Array.from(bulk.uniform(1000))).toEqual(
        Array.from({ length: 1000 }, () => single.randomSample()),
      )
      expect(bulk.nextUint32()).toBe(single.nextUint32())
    }
  })

  it('makes the same normal deviates in one go as one by one, from any place in the state', () => {
    for (const skipped of [0, 1, 2, 3, 621, 622, 623]) {
      const [bulk, single] = [new RandomState(1), new RandomState(1)]
      for (let i = 0; i < skipped; i++) expect(bulk.nextUint32()).toBe(single.nextUint32())
      const one = Array.from({ length: 5001 }, () => single.standardNormal(1)[0])
      expect(Array.from(bulk.standardNormal(5001))).toEqual(one)
      expect(bulk.standardNormal(1)).toEqual(single.standardNormal(1))
      expect(bulk.nextUint32()).toBe(single.nextUint32())
    }
  })

  it('fills a block row by row and leaves the rest alone', () => {
    const out = new Float64Array(4 * 7).fill(9)
    new RandomState(2).fillStandardNormal(out, { rows: 4, columns: 3, stride: 7, offset: 2 })
    const expected = new RandomState(2).standardNormal(12)
    for (let i = 0; i < out.length; i++) {
      const column = (i % 7) - 2
      const inside = column >= 0 && column < 3
      expect(out[i]).toBe(inside ? expected[3 * Math.floor(i / 7) + column] : 9)
    }
  })

  it('takes a fresh seed for null', () => {
    expect(new RandomState(null).uniform(4)).not.toEqual(new RandomState(null).uniform(4))
  })

  it.each([-1, 2 ** 32, 1.5, Number.NaN])('refuses the seed %s', seed => {
    expect(() => new RandomState(seed)).toThrow(/a seed must be an integer between 0 and 2\*\*32 - 1; it is/)
  })

  it.each([
    [3, 3],
    [4, 3],
    [0, 2 ** 60],
    [0.5, 3],
  ])('refuses integers from %s to %s', (low, high) => {
    expect(() => new RandomState(0).randint(low, high, 1)).toThrow(/low is .* and high is/)
  })
})
