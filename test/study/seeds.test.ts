// Several seeds as one result.

import { expect, it } from 'vitest'
import { mergeSeeds } from '../../src/study/seeds.js'
import { madeResults } from './report/fixture.js'

const [silu] = madeResults().runs

it('takes means over the seeds and keeps each final measurement', () => {
  const shifted = (shift: number, seed: number) => ({
    ...silu,
    seed,
    curve: silu.curve.map(({ step, loss }) => ({ step, loss: loss + shift })),
    final: { ...silu.final, loss: silu.final.loss + shift, sparsity: [shift, 0] },
  })
  const merged = mergeSeeds([shifted(0.3, 4), shifted(-0.1, 5), shifted(0.1, 6)])
  expect(merged.final.loss).toBeCloseTo(silu.final.loss + 0.1, 12)
  expect(merged.final.perplexity).toBeCloseTo(Math.exp(silu.final.loss + 0.1), 9)
  expect(merged.final.sparsity[0]).toBeCloseTo(0.1, 12)
  expect(merged.curve[7].loss).toBeCloseTo(silu.curve[7].loss + 0.1, 12)
  expect(merged.perSeed?.map(({ seed }) => seed)).toEqual([4, 5, 6])
  expect(mergeSeeds([silu])).toBe(silu)
})

it('spans with the interval of the speed ratio those of all seeds', () => {
  const timed = (seed: number, low: number, median: number, high: number, confidence: number) => ({
    ...silu,
    seed,
    speed: [{ ...silu.speed[0], dense: 100, sparse: 100 * median, ratio: { low, median, high, confidence } }],
  })
  const [speed] = mergeSeeds([timed(4, 1.2, 1.4, 1.9, 0.96), timed(5, 1.1, 1.6, 1.7, 0.94)]).speed
  expect(speed.ratio).toEqual({ low: 1.1, median: expect.closeTo(1.5, 12), high: 1.9, confidence: 0.94 })
  expect(speed.sparse).toBeCloseTo(150, 9)
})
