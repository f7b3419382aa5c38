import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { OptionError } from '../../../src/errors.js'
import { trainTestSplit } from '../../../src/lab/data/train-test-split.js'
import { fixture } from './fixtures.js'

interface Case {
  samples: number
  parameters: {
    test_size?: number
    train_size?: number
    shuffle?: boolean
    stratify?: number[]
    random_state: number
  }
  train: number[]
  test: number[]
}
const { cases } = fixture<{ cases: Case[] }>('train-test-split.json')

describe('trainTestSplit', () => {
  it.each(cases.map(entry => [entry.samples, JSON.stringify(entry.parameters), entry] as const))(
    'of %i samples returns the indices of scikit-learn for %s',
    (samples, _, { parameters, train, test }) => {
      const split = trainTestSplit(samples, {
        testSize: parameters.test_size,
        trainSize: parameters.train_size,
        shuffle: parameters.shuffle,
        stratify: parameters.stratify === undefined ? null : Int32Array.from(parameters.stratify),
        randomState: parameters.random_state,
      })
      expect(Array.from(split.train)).toEqual(train)
      expect(Array.from(split.test)).toEqual(test)
    },
  )

  it('puts no sample into both parts, none in twice, and leaves none out', () => {
    const sizes = fc.integer({ min: 2, max: 300 })
    fc.assert(
      fc.property(
        sizes,
        fc.double({ min: 0.01, max: 0.99, noNaN: true }),
        fc.nat(),
        (samples, testSize, seed) => {
          fc.pre(Math.ceil(testSize * samples) < samples)
          const { train, test } = trainTestSplit(samples, { testSize, randomState: seed })
          const all = [...train, ...test].sort((a, b) => a - b)
          expect(all).toEqual(Array.from({ length: samples }, (_, i) => i))
        },
      ),
    )
  })

  it('keeps the fraction of each class within one sample when it is stratified', () => {
    const y = Int32Array.from({ length: 200 }, (_, i) => (i % 10 < 1 ? 0 : i % 10 < 4 ? 1 : 2))
    const { train, test } = trainTestSplit(200, { testSize: 0.23, stratify: y, randomState: 1 })
    for (const part of [train, test]) {
      for (const [label, share] of [0.1, 0.3, 0.6].entries()) {
        const count = part.filter(i => y[i] === label).length
        expect(Math.abs(count - share * part.length)).toBeLessThanOrEqual(1)
      }
    }
  })

  it.each([
    [10, { testSize: 0 }, /test_size=0 should be either positive and smaller than the number of samples 10/],
    [10, { testSize: 10 }, /test_size=10 should be/],
    [10, { testSize: 1.5 }, /test_size=1.5 should be/],
    [10, { trainSize: Number.NaN }, /train_size=NaN should be/],
    [10, { testSize: 6, trainSize: 5 }, /sum of train_size and test_size = 11/],
    [1, { testSize: 0.5 }, /the training part is empty/],
    [0, {}, /number of samples must be an integer/],
    [4, { shuffle: false, stratify: Int32Array.of(0, 0, 1, 1) }, /not implemented for shuffle=False/],
    [4, { stratify: Int32Array.of(0, 0, 1) }, /3 classes for 4 samples/],
    [4, { stratify: Int32Array.of(0, 0, 0, 1) }, /only 1 member.*class 1/],
    [
      9,
      { testSize: 2, stratify: Int32Array.of(0, 0, 0, 1, 1, 1, 2, 2, 2) },
      /test_size = 2 should be greater/,
    ],
  ])('refuses %i samples with %j', (samples, options, message) => {
    expect(() => trainTestSplit(samples, options)).toThrow(OptionError)
    expect(() => trainTestSplit(samples, options)).toThrow(message)
  })
})
