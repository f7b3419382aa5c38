import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { OptionError } from '../../../src/errors.js'
import { hypercubeCorners, sampleWithoutReplacement } from '../../../src/lab/data/hypercube.js'
import {
  type MakeClassificationOptions,
  makeClassification,
} from '../../../src/lab/data/make-classification.js'
import { RandomState } from '../../../src/lab/data/numpy-random.js'
import { fixture } from './fixtures.js'

type Parameters = Record<string, unknown>
const { cases, large } = fixture<{
  cases: { parameters: Parameters; x: number[]; y: number[] }[]
  large: {
    parameters: Parameters
    rows: number[]
    x: number[]
    y: number[]
    columnSums: number[]
    ones: number
  }[]
}>('make-classification.json')

/** scikit-learn's names in camel case. */
function options(parameters: Parameters): MakeClassificationOptions {
  return Object.fromEntries(
    Object.entries(parameters).map(([name, value]) => [
      name.replace(/_(.)/g, (_, letter: string) => letter.toUpperCase()),
      value,
    ]),
  )
}

/** Every number within 1e-12 of the largest magnitude in its column. */
function expectSameColumns(ours: ArrayLike<number>, theirs: readonly number[], features: number): void {
  expect(ours.length).toBe(theirs.length)
  const largest = new Float64Array(features)
  for (const [i, value] of theirs.entries())
    largest[i % features] = Math.max(largest[i % features], Math.abs(value))
  const wrong = theirs.findIndex((value, i) => !(Math.abs(ours[i] - value) <= 1e-12 * largest[i % features]))
  expect(wrong < 0 ? '' : `number ${wrong}: ${ours[wrong]} in place of ${theirs[wrong]}`).toBe('')
}

const failure = (given: MakeClassificationOptions): OptionError => {
  try {
    makeClassification(given)
  } catch (error) {
    if (error instanceof OptionError) return error
    throw error
  }
  throw new Error(`${JSON.stringify(given)} was accepted`)
}

describe('makeClassification', () => {
  it.each(cases.map(entry => [JSON.stringify(entry.parameters), entry] as const))(
    'returns the numbers of scikit-learn for %s',
    (_, { parameters, x, y }) => {
      const ours = makeClassification(options(parameters))
      expect(Array.from(ours.y)).toEqual(y)
      expectSameColumns(ours.x, x, ours.features)
    },
  )

  it.each(large)(
    "returns scikit-learn's numbers for the blog's problem, seed $parameters.random_state",
    known => {
      const { x, y, samples, features } = makeClassification(options(known.parameters))
      expect([samples, features]).toEqual([5000, 30])
      const rows = known.rows.flatMap(row => Array.from(x.subarray(row * features, (row + 1) * features)))
      expectSameColumns(rows, known.x, features)
      expect(known.rows.map(row => y[row])).toEqual(known.y)
      expect(y.reduce((sum, label) => sum + label, 0)).toBe(known.ones)
      const sums = new Float64Array(features)
      for (const [i, value] of x.entries()) sums[i % features] += value
      for (const [j, sum] of sums.entries()) expect(sum).toBeCloseTo(known.columnSums[j], 8)
    },
  )

  it('goes on with a generator that is given', () => {
    const random = new RandomState(5)
    const first = makeClassification({ randomState: random })
    const second = makeClassification({ randomState: random })
    expect(first).toEqual(makeClassification({ randomState: 5 }))
    expect(second.x).not.toEqual(first.x)
  })

  it('takes undefined for the default', () => {
    expect(makeClassification({ randomState: 1, flipY: undefined, nSamples: undefined })).toEqual(
      makeClassification({ randomState: 1 }),
    )
  })

  it('puts points about corners, redundant features in their span and copies beside them', () => {
    const samples = 4000
    const { x, y, features } = makeClassification({
      nSamples: samples,
      nFeatures: 6,
      nInformative: 2,
      nRedundant: 1,
      nRepeated: 1,
      nClustersPerClass: 1,
      classSep: 10,
      flipY: 0,
      shuffle: false,
      randomState: 3,
    })
    const columns = Array.from({ length: features }, (_, j) =>
      Array.from({ length: samples }, (_, i) => x[i * features + j]),
    )
    const mean = (values: number[]): number => values.reduce((sum, value) => sum + value, 0) / values.length
    for (const label of [0, 1]) {
      for (const column of columns.slice(0, 2)) {
        expect(Math.abs(mean(column.filter((_, i) => y[i] === label)))).toBeCloseTo(10, 0)
      }
    }
    const [a, b, combined, copy] = columns
    // The plane through three points holds all others.
    const [p, q] = solve([a[0], b[0], combined[0]], [a[1], b[1], combined[1]])
    expect(Math.max(...combined.map((value, i) => Math.abs(value - p * a[i] - q * b[i])))).toBeLessThan(1e-9)
    expect([a, b, combined]).toContainEqual(copy)
    for (const noise of columns.slice(4)) expect(Math.abs(mean(noise))).toBeLessThan(0.06)
  })
})

/** (p, q) with p · x + q · y = z for two points (x, y, z), by Cramer's rule. */
function solve([x1, y1, z1]: number[], [x2, y2, z2]: number[]): [number, number] {
  const determinant = x1 * y2 - x2 * y1
  return [(z1 * y2 - z2 * y1) / determinant, (x1 * z2 - x2 * z1) / determinant]
}

describe('makeClassification refuses', () => {
  it('more classes and clusters than corners, with the inequality of scikit-learn', () => {
    const error = failure({ nClasses: 3, nClustersPerClass: 2, nInformative: 2 })
    expect(error.code).toBe('CLASSIFICATION_TOO_FEW_INFORMATIVE')
    expect(error.message).toContain(
      'n_classes(3) * n_clusters_per_class(2) must be smaller or equal 2**n_informative(2)=4',
    )
    expect(error.message).toContain('raise nInformative to 3 or more')
  })

  it('features that are fewer than those asked for by kind, with the sum', () => {
    const error = failure({ nFeatures: 5, nInformative: 3, nRedundant: 2, nRepeated: 1 })
    expect(error.code).toBe('CLASSIFICATION_TOO_FEW_FEATURES')
    expect(error.message).toContain('must sum to less than the number of total features')
    expect(error.message).toContain('nInformative 3 + nRedundant 2 + nRepeated 1 = 6, and nFeatures is 5')
  })

  it.each([
    [{ weights: [0.5] as number[], nClasses: 3, nInformative: 3 }, /1 weights for 3 classes; give 3, or 2/],
    [{ weights: [0.7, 0.7], nClasses: 3, nInformative: 3 }, /sum to at most 1/],
    [{ weights: [-0.5, 1.5] }, /weights must be 0 or more/],
    [{ weights: [Number.NaN, 1] }, /weights must be 0 or more/],
    [{ nSamples: 2 ** 30 }, /too many: at most 268435456 numbers/],
    [{ nFeatures: 30, nClasses: 2 ** 20, nInformative: 25 }, /at most .* 100000 clusters/],
    [{ shift: [1, 2] }, /shift must have one number per feature; it has 2 and nFeatures is 20/],
    [{ scale: Number.NaN }, /scale must be finite/],
    [{ flipY: Infinity }, /flipY must be a finite number/],
    [{ randomState: -1 }, /a seed must be an integer/],
  ])('%j', (given, message) => {
    expect(failure(given).message).toMatch(message)
  })

  it('every count that is not an integer of the least size, and names it', () => {
    const counts = [
      'nSamples',
      'nFeatures',
      'nInformative',
      'nRedundant',
      'nRepeated',
      'nClasses',
      'nClustersPerClass',
    ]
    const wrong = fc.oneof(
      fc.double({ max: -0.5 }),
      fc.double({ min: 0.1, max: 0.9 }),
      fc.constant(Number.NaN),
    )
    fc.assert(
      fc.property(fc.constantFrom(...counts), wrong, (name, value) => {
        expect(failure({ [name]: value }).message).toContain(`${name} must be an integer of`)
      }),
    )
  })

  it('or else returns samples of every size asked for, all finite, with classes in range', () => {
    const small = fc.integer({ min: 0, max: 6 })
    const given = fc.record({
      nSamples: fc.integer({ min: 1, max: 60 }),
      nFeatures: fc.integer({ min: 1, max: 12 }),
      nInformative: small,
      nRedundant: small,
      nRepeated: small,
      nClasses: small,
      nClustersPerClass: small,
      weights: fc.option(fc.array(fc.double({ min: 0, max: 1, noNaN: true }), { maxLength: 6 })),
      flipY: fc.double({ min: -0.5, max: 1.5, noNaN: true }),
      hypercube: fc.boolean(),
      shift: fc.option(fc.integer({ min: -3, max: 3 })),
      scale: fc.option(fc.integer({ min: -3, max: 3 })),
      shuffle: fc.boolean(),
      randomState: fc.integer({ min: 0, max: 2 ** 32 - 1 }),
    })
    fc.assert(
      fc.property(given, options => {
        try {
          const { x, y } = makeClassification(options)
          expect(x.length).toBe(options.nSamples * options.nFeatures)
          expect(y.length).toBe(options.nSamples)
          expect(x.every(Number.isFinite)).toBe(true)
          expect(y.every(label => label >= 0 && label < options.nClasses)).toBe(true)
        } catch (error) {
          if (!(error instanceof OptionError)) throw error
        }
      }),
    )
  })
})

describe('corners of a hypercube', () => {
  it.each([
    [3, 8],
    [3, 5],
    [10, 4],
    [16, 1000],
    [30, 40],
    [37, 40],
  ])('of %i dimensions: %i distinct rows of zeros and ones', (dimensions, count) => {
    const corners = hypercubeCorners(count, dimensions, new RandomState(0))
    const rows = Array.from({ length: count }, (_, k) =>
      corners.subarray(k * dimensions, (k + 1) * dimensions).join(''),
    )
    expect(new Set(rows).size).toBe(count)
    expect(rows.every(row => row.length === dimensions && /^[01]*$/.test(row))).toBe(true)
  })

  it.each([
    [1000, 5],
    [1000, 500],
    [1000, 995],
    [7, 7],
  ])('of a population of %i, %i are drawn without replacement', (population, count) => {
    const drawn = sampleWithoutReplacement(population, count, new RandomState(0))
    expect(new Set(drawn).size).toBe(count)
    expect(drawn.every(value => value >= 0 && value < population)).toBe(true)
  })
})
