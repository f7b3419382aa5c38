// float16 and bfloat16, over all 65,536 patterns, against the formula of IEEE 754 and exact arithmetic in doubles.

import { spawnSync } from 'node:child_process'
import { describe, expect, it } from 'vitest'
import { narrowBfloat16, narrowFloat16, widenBfloat16, widenFloat16 } from '../../src/kernels/weights/half.js'

interface Format {
  name: string
  exponentBits: number
  mantissaBits: number
  widen: (half: number) => number
  narrow: (value: number) => number
}
const formats: Format[] = [
  {
    name: 'float16',
    exponentBits: 5,
    mantissaBits: 10,
    widen: widenOne(widenFloat16),
    narrow: narrowOne(narrowFloat16),
  },
  {
    name: 'bfloat16',
    exponentBits: 8,
    mantissaBits: 7,
    widen: widenOne(widenBfloat16),
    narrow: narrowOne(narrowBfloat16),
  },
]

function widenOne(widen: (half: Uint16Array, out: Float32Array) => void): (half: number) => number {
  const out = new Float32Array(1)
  return half => {
    widen(Uint16Array.of(half), out)
    return out[0]
  }
}

function narrowOne(narrow: (values: Float32Array, out: Uint16Array) => void): (value: number) => number {
  const out = new Uint16Array(1)
  return value => {
    narrow(Float32Array.of(value), out)
    return out[0]
  }
}

/** (-1)^s · 2^(e - bias) · (1 + m / 2^k), or without the implied one when e = 0. */
function formulaValue(pattern: number, { exponentBits, mantissaBits }: Format): number {
  const bias = 2 ** (exponentBits - 1) - 1
  const sign = pattern >> 15 === 0 ? 1 : -1
  const exponent = (pattern >> mantissaBits) & (2 ** exponentBits - 1)
  const fraction = (pattern & (2 ** mantissaBits - 1)) / 2 ** mantissaBits
  if (exponent === 2 ** exponentBits - 1) return fraction === 0 ? sign * Infinity : Number.NaN
  return exponent === 0 ? sign * 2 ** (1 - bias) * fraction : sign * 2 ** (exponent - bias) * (1 + fraction)
}

/** The next float32 after x > 0, upwards or downwards. */
function nextFloat32(x: number, direction: 1 | -1): number {
  const bits = new Uint32Array(Float32Array.of(x).buffer)
  bits[0] += direction
  return new Float32Array(bits.buffer)[0]
}

describe.each(formats)('$name', format => {
  const { widen, narrow, exponentBits, mantissaBits } = format
  const patterns = Array.from({ length: 65_536 }, (_, pattern) => pattern)
  const infinity = (2 ** exponentBits - 1) << mantissaBits

  it('widens every pattern to the value that the formula gives', () => {
    expect(patterns.filter(pattern => !Object.is(widen(pattern), formulaValue(pattern, format)))).toEqual([])
  })

  it('narrows every value it can hold back to its own pattern, and NaN to a NaN', () => {
    const changed = patterns.filter(pattern => {
      const value = formulaValue(pattern, format)
      return Number.isNaN(value) ? !Number.isNaN(widen(narrow(value))) : narrow(value) !== pattern
    })
    expect(changed).toEqual([])
  })

  it('rounds between two neighbors to the nearest, and half-way to the even one', () => {
    const wrong: number[] = []
    for (let lower = 0; lower < infinity; lower++) {
      // Past the largest finite value the "neighbor" is where the next power of two would be.
      const below = formulaValue(lower, format)
      const spacing = lower === 0 ? formulaValue(1, format) : below - formulaValue(lower - 1, format)
      const isPowerOfTwo = (lower & (2 ** mantissaBits - 1)) === 0 && lower >> mantissaBits > 1
      const middle = below + (isPowerOfTwo ? spacing : spacing / 2)
      const even = lower % 2 === 0 ? lower : lower + 1
      for (const sign of [0, 0x8000]) {
        const factor = sign === 0 ? 1 : -1
        if (narrow(factor * middle) !== (sign | even)) wrong.push(lower)
        if (narrow(factor * nextFloat32(middle, -1)) !== (sign | lower)) wrong.push(lower)
        if (narrow(factor * nextFloat32(middle, 1)) !== (sign | (lower + 1))) wrong.push(lower)
      }
    }
    expect(wrong).toEqual([])
  })

  it('keeps the sign of zero, and what is too small becomes zero', () => {
    expect(narrow(-0)).toBe(0x8000)
    expect(narrow(0)).toBe(0)
    expect(narrow(1.401298464324817e-45)).toBe(0)
  })
})

describe('whole arrays', () => {
  const all = Uint16Array.from({ length: 65_536 }, (_, pattern) => pattern)
  it.each([
    { name: 'float16', widen: widenFloat16, narrow: narrowFloat16, quietBit: 0x0200, infinity: 0x7c00 },
    { name: 'bfloat16', widen: widenBfloat16, narrow: narrowBfloat16, quietBit: 0x0040, infinity: 0x7f80 },
  ])('$name: widened and narrowed again, every pattern is itself; NaNs turn quiet', variant => {
    const wide = new Float32Array(all.length)
    const back = new Uint16Array(all.length)
    variant.widen(all, wide)
    variant.narrow(wide, back)
    const isNaNPattern = (pattern: number) => (pattern & 0x7fff) > variant.infinity
    expect(back).toEqual(all.map(pattern => (isNaNPattern(pattern) ? pattern | variant.quietBit : pattern)))
  })
})

const numpy = spawnSync('python3', ['-c', 'import numpy']).status === 0

describe('numpy', () => {
  it.skipIf(!numpy)('rounds a million random float32 to the same float16 as we do', () => {
    const bits = Uint32Array.from({ length: 1 << 20 }, (_, i) => Math.imul(i + 1, 2654435761))
    const values = new Float32Array(bits.buffer)
    const script =
      'import sys, numpy as n; n.seterr(all="ignore"); ' +
      'sys.stdout.buffer.write(n.frombuffer(sys.stdin.buffer.read(), "<f4").astype("<f2").tobytes())'
    const { stdout } = spawnSync('python3', ['-c', script], {
      input: new Uint8Array(bits.buffer),
      maxBuffer: 1 << 24,
    })
    const theirs = new Uint16Array(new Uint8Array(stdout).buffer)
    const ours = new Uint16Array(bits.length)
    narrowFloat16(values, ours)
    const differing = ours.filter((half, i) => half !== theirs[i] && !Number.isNaN(values[i]))
    expect(theirs.length).toBe(ours.length)
    expect([...differing]).toEqual([])
  })
})
