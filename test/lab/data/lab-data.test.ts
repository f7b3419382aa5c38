import { join } from 'node:path'
import fc from 'fast-check'
import { afterEach, describe, expect, it } from 'vitest'
import { FlickerError } from '../../../src/errors.js'
import {
  type LabDataOptions,
  loadLabData,
  makeClassification,
  trainTestSplit,
} from '../../../src/lab/data/index.js'
import { describeWith, sharedData } from '../../data/shared-data.js'
import { temporaryDirectories } from '../../data/temporary.js'

const directory = temporaryDirectories()

function failure(options: LabDataOptions): FlickerError {
  try {
    loadLabData(options)
  } catch (error) {
    if (error instanceof FlickerError) return error
    throw error
  }
  throw new Error(`${JSON.stringify(options)} was accepted`)
}

/** Mean and standard deviation of each column, in doubles. */
function moments(x: ArrayLike<number>, features: number): { mean: number; deviation: number }[] {
  return Array.from({ length: features }, (_, j) => {
    const column = Array.from({ length: x.length / features }, (_, i) => x[i * features + j])
    const mean = column.reduce((sum, value) => sum + value, 0) / column.length
    const variance = column.reduce((sum, value) => sum + (value - mean) ** 2, 0) / column.length
    return { mean, deviation: Math.sqrt(variance) }
  })
}

describe("the lab's data", () => {
  it('is the made-up problem of the blog by default, split 80 to 20', () => {
    const data = loadLabData()
    expect([data.features, data.classes]).toEqual([30, 2])
    expect([data.train.samples, data.validation.samples]).toEqual([4000, 1000])
    expect([data.train.x.length, data.train.y.length]).toEqual([4000 * 30, 4000])
    expect(data.classNames).toEqual(['0', '1'])
    expect(data.featureNames.length).toBe(30)
    expect(data.description).toContain(
      '5,000 samples, 30 features, 2 classes; 4,000 for training, 1,000 for validation',
    )
  })

  it('holds the samples of makeClassification at the indices of trainTestSplit', () => {
    const options = { nSamples: 50, nFeatures: 5, randomState: 9, standardize: false }
    const { train, validation } = loadLabData(options)
    const { x, y } = makeClassification(options)
    const split = trainTestSplit(50, { testSize: 0.2, randomState: 9 })
    for (const [part, rows] of [
      [train, split.train],
      [validation, split.test],
    ] as const) {
      expect(Array.from(part.y)).toEqual(Array.from(rows, row => y[row]))
      const expected = Array.from(rows).flatMap(row => Array.from(x.subarray(5 * row, 5 * row + 5)))
      expect(part.x).toEqual(Float32Array.from(expected))
    }
  })

  it('is standardized by the training part alone', () => {
    const { train, validation, features } = loadLabData({ nSamples: 400, nFeatures: 6, shift: 50, scale: 7 })
    for (const { mean, deviation } of moments(train.x, features)) {
      expect(mean).toBeCloseTo(0, 5)
      expect(deviation).toBeCloseTo(1, 5)
    }
    // Another part of the same data is near, but not there.
    expect(
      moments(validation.x, features).every(({ mean }) => Math.abs(mean) > 1e-4 && Math.abs(mean) < 0.5),
    ).toBe(true)
  })

  it('does not change on the training side when the validation samples change', () => {
    const rows = Array.from({ length: 20 }, (_, i) => [i, (i * 7) % 20, i % 2])
    const held = trainTestSplit(20, { testSize: 0.2, randomState: 42 }).test
    const changed = rows.map((row, i) => (held.includes(i) ? [1e6, -1e6, row[2]] : row))
    const root = directory({ 'a.csv': rows.join('\n'), 'b.csv': changed.join('\n') })
    const [a, b] = ['a.csv', 'b.csv'].map(name => loadLabData({ data: join(root, name) }))
    expect(b.train).toEqual(a.train)
    expect(b.validation).not.toEqual(a.validation)
  })

  it('makes a constant column 0, also one whose sums round', () => {
    const rows = Array.from({ length: 30 }, (_, i) => [0.1, 1e15, i, i % 2])
    const root = directory({ 'a.csv': rows.join('\n') })
    const { train, validation } = loadLabData({ data: join(root, 'a.csv') })
    for (const { x } of [train, validation]) {
      for (let i = 0; i < x.length; i += 3) {
        expect(Math.abs(x[i])).toBeLessThan(1e-15)
        expect(Math.abs(x[i + 1])).toBeLessThanOrEqual(1)
      }
    }
  })

  it('keeps the fractions of the classes when it is stratified', () => {
    const { train, validation } = loadLabData({ nSamples: 1000, weights: [0.9], flipY: 0, stratify: true })
    const share = (y: Int32Array): number => y.filter(label => label === 1).length / y.length
    expect(share(train.y)).toBeCloseTo(0.1, 2)
    expect(share(validation.y)).toBeCloseTo(0.1, 2)
  })

  it('is the same for the same options, and other for another seed', () => {
    expect(loadLabData({ nSamples: 100 })).toEqual(loadLabData({ nSamples: 100, randomState: 42 }))
    expect(loadLabData({ nSamples: 100, randomState: 43 })).not.toEqual(loadLabData({ nSamples: 100 }))
  })

  it('holds finite numbers and classes in range for all options, or says what is wrong with them', () => {
    /** A valid value, and now and then one that is not. */
    const mostly = <T>(valid: fc.Arbitrary<T>, bad: fc.Arbitrary<T>) =>
      fc.oneof({ weight: 15, arbitrary: valid }, { weight: 1, arbitrary: bad })
    const options = fc.record(
      {
        nSamples: mostly(fc.integer({ min: 20, max: 80 }), fc.integer({ min: -1, max: 5 })),
        nFeatures: mostly(fc.integer({ min: 6, max: 20 }), fc.integer({ min: 0, max: 3 })),
        nInformative: mostly(fc.integer({ min: 2, max: 4 }), fc.integer({ min: 0, max: 1 })),
        nClasses: mostly(fc.integer({ min: 2, max: 3 }), fc.integer({ min: 0, max: 9 })),
        nRepeated: mostly(fc.integer({ min: 0, max: 2 }), fc.constantFrom(-1, 50)),
        testSize: mostly(
          fc.oneof(fc.double({ min: 0.2, max: 0.6, noNaN: true }), fc.integer({ min: 5, max: 10 })),
          fc.oneof(fc.double({ min: -0.5, max: 1.5 }), fc.integer({ min: -2, max: 90 })),
        ),
        randomState: mostly(fc.nat(), fc.double()),
        stratify: fc.boolean(),
        standardize: fc.boolean(),
        weights: mostly(
          fc.constantFrom<number[]>([], [0.5], [0.3, 0.7]),
          fc.array(fc.double({ min: -0.1, max: 1.1 }), { maxLength: 5 }),
        ),
        scale: mostly(
          fc.constantFrom(null, 1, 2.5),
          fc.oneof(fc.double(), fc.array(fc.double(), { maxLength: 4 })),
        ),
      },
      { requiredKeys: [] },
    )
    let loaded = 0
    fc.assert(
      fc.property(options, given => {
        try {
          const { train, validation, features, classes } = loadLabData(given)
          loaded++
          for (const part of [train, validation]) {
            expect(part.x.length).toBe(part.samples * features)
            expect(part.x.every(Number.isFinite)).toBe(true)
            expect(part.y.every(label => label >= 0 && label < classes)).toBe(true)
          }
        } catch (error) {
          if (!(error instanceof FlickerError)) throw error
        }
      }),
      { numRuns: 200 },
    )
    expect(loaded).toBeGreaterThan(20)
    expect(loaded).toBeLessThan(200)
  })
})

describe("the lab's data is refused", () => {
  it.each([
    [{ nClasses: 1 }, 'DATASET_ONE_CLASS', /one class only/],
    [
      { nClasses: 5 },
      'CLASSIFICATION_TOO_FEW_INFORMATIVE',
      /n_classes\(5\) \* n_clusters_per_class\(2\) must be/,
    ],
    [{ nFeatures: 3 }, 'CLASSIFICATION_TOO_FEW_FEATURES', /nFeatures is 3/],
    [{ nSamples: 0 }, 'OPTION_INVALID', /nSamples: /],
    [{ testSize: 5000 }, 'SPLIT_INVALID', /test_size=5000 should be/],
    [
      { data: 'digit' },
      'DATASET_NOT_FOUND',
      /one of make-classification, digits, mnist-idx\. Did you mean "digits"\?/,
    ],
    [
      { data: 'digits', target: 'x' },
      'OPTION_INVALID',
      /speak of the columns of a CSV file; the data is digits/,
    ],
    [{ header: true }, 'OPTION_INVALID', /the data is make-classification/],
    [{ scale: 1e300, standardize: false }, 'DATASET_OUT_OF_RANGE', /too large for 32-bit numbers/],
    [{ scale: 1e308, shift: 1e200 }, 'DATASET_OUT_OF_RANGE', /too large/],
    [{ nSamples: 4, weights: [1], flipY: 0 }, 'DATASET_ONE_CLASS', /its training part has one class only/],
  ])('for %j', (options, code, message) => {
    const error = failure(options)
    expect(error.code).toBe(code)
    expect(error.message).toMatch(message)
  })

  it('for an option that does not exist', () => {
    const options = { samples: 3 } as LabDataOptions
    expect(failure(options).message).toMatch(/samples: unknown key\. Did you mean "nSamples"/)
  })
})

describeWith('classify/iris.csv', 'data sets of the world', () => {
  const before = process.env.FLICKER_DATA
  afterEach(() => {
    if (before === undefined) delete process.env.FLICKER_DATA
    else process.env.FLICKER_DATA = before
  })

  it.each([
    ['iris.csv', 'species', 4, 3, 150],
    ['breast_cancer.csv', undefined, 30, 2, 569],
    ['winequality-red.csv.gz', 'quality', 11, 6, 1599],
    ['winequality-white.csv.gz', '-1', 11, 7, 4898],
  ])('%s, target %s: %i features, %i classes, %i samples', (file, target, features, classes, samples) => {
    const data = loadLabData({ data: sharedData(`classify/${file}`), target })
    expect([data.features, data.classes, data.train.samples + data.validation.samples]).toEqual([
      features,
      classes,
      samples,
    ])
  })

  it('digits, found through --data-dir or FLICKER_DATA, have one mean and deviation for all pixels', () => {
    const data = loadLabData({ data: 'digits', dataDir: sharedData('classify') })
    process.env.FLICKER_DATA = sharedData('.')
    expect(loadLabData({ data: 'digits' })).toEqual(data)
    const [{ mean, deviation }] = moments(data.train.x, 1)
    expect(mean).toBeCloseTo(0, 5)
    expect(deviation).toBeCloseTo(1, 5)
    // Pixels in the corner are always dark: one and the same value, below the mean.
    expect(new Set(data.train.x.filter((_, i) => i % 64 === 0)).size).toBe(1)
    expect(data.train.x[0]).toBeLessThan(-0.5)
  })
})
