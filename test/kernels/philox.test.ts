// Random numbers: published vectors for Philox, and what Flicker builds on it.

import { describe, expect, it } from 'vitest'
import {
  fillNormal,
  Purpose,
  philox4x32,
  RandomStream,
  seedWords,
  uniform24,
} from '../../src/kernels/philox.js'

function words(counter: number[], key: number[]): string {
  const out = new Uint32Array(4)
  philox4x32(counter[0], counter[1], counter[2], counter[3], key[0], key[1], out)
  return [...out].map(word => word.toString(16).padStart(8, '0')).join(' ')
}

describe('Philox4x32-10', () => {
  // Known-answer vectors of Random123 (Salmon et al. 2011), kat_vectors.
  it.each([
    [[0, 0, 0, 0], [0, 0], '6627e8d5 e169c58d bc57ac4c 9b00dbd8'],
    [Array(4).fill(0xffffffff), Array(2).fill(0xffffffff), '408f276d 41c83b0e a20bc7c6 6d5451fd'],
    [
      [0x243f6a88, 0x85a308d3, 0x13198a2e, 0x03707344],
      [0xa4093822, 0x299f31d0],
      'd16cfe09 94fdcceb 5001e420 24126ea1',
    ],
  ])('counter %j under key %j gives the published words', (counter, key, expected) => {
    expect(words(counter, key)).toBe(expected)
  })

  it('agrees with the definition computed in whole-number arithmetic', () => {
    const mask = 0xffffffffn
    const byDefinition = (counter: bigint[], key: bigint[]): string => {
      let [c0, c1, c2, c3] = counter
      let [k0, k1] = key
      for (let round = 0; round < 10; round++) {
        const product0 = 0xd2511f53n * c0
        const product1 = 0xcd9e8d57n * c2
        ;[c0, c1, c2, c3] = [
          (product1 >> 32n) ^ c1 ^ k0,
          product1 & mask,
          (product0 >> 32n) ^ c3 ^ k1,
          product0 & mask,
        ]
        k0 = (k0 + 0x9e3779b9n) & mask
        k1 = (k1 + 0xbb67ae85n) & mask
      }
      return [c0, c1, c2, c3].map(word => word.toString(16).padStart(8, '0')).join(' ')
    }
    const random = new RandomStream({ seed: 4, purpose: Purpose.data, stream: 0 })
    for (let trial = 0; trial < 200; trial++) {
      const counter = Array.from({ length: 4 }, () => random.word())
      const key = [random.word(), random.word()]
      expect(words(counter, key)).toBe(byDefinition(counter.map(BigInt), key.map(BigInt)))
    }
  })
})

describe('seeds and uniform numbers', () => {
  it('a seed of 64 bits becomes its low and high word', () => {
    expect(seedWords(7)).toEqual([7, 0])
    expect(seedWords(2 ** 32 + 3)).toEqual([3, 1])
    expect(seedWords(0x0123456789abcdefn)).toEqual([0x89abcdef, 0x01234567])
  })

  it.each([-1, 0.5, Number.NaN, 2 ** 53])('refuses the seed %s', seed => {
    expect(() => seedWords(seed)).toThrow(RangeError)
  })

  it('a uniform number is the top 24 bits over 2^24, so below 1 and exact in f32', () => {
    expect(uniform24(0xffffffff)).toBe(1 - 2 ** -24)
    expect(uniform24(0x000000ff)).toBe(0)
    expect(uniform24(0x80000000)).toBe(0.5)
    expect(Math.fround(uniform24(0xdeadbeef))).toBe(uniform24(0xdeadbeef))
  })
})

describe('normal numbers', () => {
  const name = { seed: 11, purpose: Purpose.init, stream: 2 } as const

  it('element i depends on i alone, not on the length', () => {
    const long = new Float64Array(1000)
    fillNormal(long, name, 0, 1)
    for (const length of [1, 2, 3, 5, 6, 7, 997]) {
      const short = new Float64Array(length)
      fillNormal(short, name, 0, 1)
      expect([...short]).toEqual([...long.subarray(0, length)])
    }
  })

  it('mean, variance, skew and fourth moment are those of the normal distribution within 5 sigma', () => {
    const n = 200_000
    const out = new Float64Array(n)
    fillNormal(out, name, 3, 2)
    const moments = [1, 2, 3, 4].map(power => out.reduce((total, x) => total + ((x - 3) / 2) ** power, 0) / n)
    // E z^k = 0, 1, 0, 3, and the variances of z^k are 1, 2, 15, 96.
    const expected = [0, 1, 0, 3]
    const variances = [1, 2, 15, 96]
    for (let k = 0; k < 4; k++) {
      expect(Math.abs(moments[k] - expected[k])).toBeLessThan(5 * Math.sqrt(variances[k] / n))
    }
  })

  it('streams, purposes and seeds are uncorrelated within 5 sigma', () => {
    const n = 50_000
    const base = new Float64Array(n)
    fillNormal(base, name, 0, 1)
    for (const other of [
      { ...name, stream: 3 },
      { ...name, purpose: Purpose.data },
      { ...name, seed: 12 },
    ]) {
      const out = new Float64Array(n)
      fillNormal(out, other, 0, 1)
      const correlation = out.reduce((total, x, i) => total + x * base[i], 0) / n
      expect(Math.abs(correlation)).toBeLessThan(5 / Math.sqrt(n))
    }
  })
})

describe('a sequential stream', () => {
  it('repeats itself for the same name and differs for another', () => {
    const draw = (seed: number): number[] => {
      const random = new RandomStream({ seed, purpose: Purpose.sampler, stream: 0 })
      return Array.from({ length: 9 }, () => random.word())
    }
    expect(draw(1)).toEqual(draw(1))
    expect(draw(1)).not.toEqual(draw(2))
  })

  it('integers below a limit are uniform: chi-square with 9 degrees of freedom below its 1e-6 quantile', () => {
    const random = new RandomStream({ seed: 5, purpose: Purpose.data, stream: 1 })
    const counts = new Float64Array(10)
    const n = 100_000
    for (let i = 0; i < n; i++) counts[random.below(10)]++
    const chiSquare = counts.reduce((total, count) => total + (count - n / 10) ** 2 / (n / 10), 0)
    expect(chiSquare).toBeLessThan(46)
  })
})
