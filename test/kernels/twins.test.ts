// Every backend computes the same: each kernel in f32 against the portable kernels in f64, case by case.

import { describe, expect, it } from 'vitest'
import type { Floats } from '../../src/kernels/index.js'
import { availableKernels, portableKernels } from '../../src/kernels/index.js'
import { kernelCases } from './cases.js'

/**
 * The largest difference allowed, as a fraction of the largest value in the reference buffer: about 170 roundings
 * to f32 (2⁻²⁴ each), for sums of up to 70,000 terms that are summed in blocks.
 */
const TOLERANCE = 1e-5

/** The largest difference over the largest reference value; infinite where one is a number and the other not. */
function relativeDifference(actual: Floats, reference: Floats): number {
  let difference = 0
  let largest = 0
  for (let i = 0; i < reference.length; i++) {
    const distance = Math.abs(actual[i] - reference[i])
    if (Number.isNaN(distance)) return Number.POSITIVE_INFINITY
    difference = Math.max(difference, distance)
    largest = Math.max(largest, Math.abs(reference[i]))
  }
  return difference === 0 ? 0 : difference / largest
}

const reference = portableKernels()

describe.each(availableKernels().map(kernels => [`${kernels.backend} ${kernels.isa}`, kernels] as const))(
  '%s',
  (_, kernels) => {
    it.each(kernelCases().map(one => [one.name, one] as const))('%s', (_name, one) => {
      const expected = one.run(reference, Float64Array)
      const actual = one.run(kernels, Float32Array)
      expect(actual.map(buffer => buffer.length)).toEqual(expected.map(buffer => buffer.length))
      const differences = actual.map((buffer, i) => relativeDifference(buffer, expected[i]))
      for (const difference of differences) expect(difference).toBeLessThanOrEqual(TOLERANCE)
    })

    it('a token outside the table or a target outside the vocabulary is a RangeError', () => {
      const [rows, width] = [2, 3]
      for (const outside of [-2, 4, 2 ** 31 - 1]) {
        const tokens = Int32Array.of(1, outside)
        const table = new Float32Array(4 * width)
        const out = new Float32Array(rows * width)
        expect(() => kernels.embedding(tokens, table, out, rows, width)).toThrow(RangeError)
        expect(() => kernels.embeddingBackward(tokens, out, table, rows, width)).toThrow(RangeError)
        const losses = new Float32Array(rows)
        expect(() =>
          kernels.crossEntropy(new Float32Array(rows * 4), tokens, losses, null, rows, 4, 1),
        ).toThrow(RangeError)
      }
    })
  },
)
