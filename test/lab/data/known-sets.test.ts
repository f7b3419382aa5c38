import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { gunzipSync, gzipSync } from 'node:zlib'
import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { DatasetError } from '../../../src/errors.js'
import { loadDigits, loadMnist, parseIdx } from '../../../src/lab/data/known-sets.js'
import { describeWith, sharedData } from '../../data/shared-data.js'
import { temporaryDirectories } from '../../data/temporary.js'

const directory = temporaryDirectories()

/** An IDX file: its magic number, sizes and bytes. */
function idx(magic: number, sizes: readonly number[], bytes: readonly number[]): Uint8Array {
  const out = new Uint8Array(4 + 4 * sizes.length + bytes.length)
  const view = new DataView(out.buffer)
  for (const [i, value] of [magic, ...sizes].entries()) view.setUint32(4 * i, value)
  out.set(bytes, 4 + 4 * sizes.length)
  return out
}

const range = (n: number): number[] => Array.from({ length: n }, (_, i) => i)
const IMAGES = idx(0x0803, [4, 2, 3], range(24))
const LABELS = idx(0x0801, [4], [7, 0, 7, 3])
const NAMES = ['images', 'labels'] as const

function failure(run: () => unknown): DatasetError {
  try {
    run()
  } catch (error) {
    if (error instanceof DatasetError) return error
    throw error
  }
  throw new Error('nothing was thrown')
}

describe('IDX files', () => {
  it('hold images row by row, and labels that become classes', () => {
    const data = parseIdx(IMAGES, LABELS, ...NAMES)
    expect([data.samples, data.features, data.alike]).toEqual([4, 6, true])
    expect(Array.from(data.x)).toEqual(range(24))
    expect(data.classNames).toEqual(['0', '3', '7'])
    expect(Array.from(data.y)).toEqual([2, 0, 2, 1])
    expect(data.featureNames.at(-1)).toBe('pixel_1_2')
  })

  it('are read from two paths, gzipped or not', () => {
    const root = directory({ 'i.gz': gzipSync(IMAGES), l: LABELS })
    expect(loadMnist(`${join(root, 'i.gz')}, ${join(root, 'l')}`, undefined).samples).toBe(4)
  })

  it('are found in a directory: those for training before those for testing', () => {
    const train = { 'train-images-idx3-ubyte': IMAGES, 'train-labels-idx1-ubyte.gz': gzipSync(LABELS) }
    const test = {
      't10k-images-idx3-ubyte': idx(0x0803, [5, 1, 1], range(5)),
      't10k-labels-idx1-ubyte': idx(0x0801, [5], [0, 1, 0, 1, 0]),
    }
    expect(loadMnist('', directory({ ...train, ...test })).samples).toBe(4)
    expect(loadMnist('', directory(test)).samples).toBe(5)
  })

  it.each([
    [
      'cut images',
      IMAGES.subarray(0, 39),
      LABELS,
      /promises 4 × 2 × 3 bytes, and 23 follow; it may be cut off/,
    ],
    ['too many bytes', idx(0x0803, [4, 2, 3], range(25)), LABELS, /promises .* and 25 follow/],
    ['a cut head', IMAGES.subarray(0, 10), LABELS, /it has 10 bytes, and its head alone takes 16/],
    ['an empty file', new Uint8Array(0), LABELS, /it has 0 bytes/],
    ['labels for images', LABELS, LABELS, /images is not an IDX file of images/],
    ['images for labels', IMAGES, IMAGES, /labels is not an IDX file of labels: it begins with 0x00000803/],
    ['floats', idx(0x0d03, [4, 2, 3], range(24)), LABELS, /begins with 0x00000d03 in place of 0x00000803/],
    ['fewer labels', IMAGES, idx(0x0801, [3], [1, 2, 3]), /4 images and labels has 3 labels/],
    ['sizes beyond memory', idx(0x0803, [2 ** 32 - 1, 2 ** 32 - 1, 9], []), LABELS, /and 0 follow/],
    ['no images', idx(0x0803, [0, 28, 28], []), idx(0x0801, [0], []), /has 0 rows/],
    ['no pixels', idx(0x0803, [4, 0, 3], []), LABELS, /have no pixels/],
    ['one class', IMAGES, idx(0x0801, [4], [1, 1, 1, 1]), /one class only/],
  ])('are refused: %s', (_, images, labels, message) => {
    expect(failure(() => parseIdx(images, labels, ...NAMES)).message).toMatch(message)
  })

  it('are refused or read, whatever their bytes', () => {
    const head = fc.tuple(
      fc.constantFrom(0x0803, 0x0801, 0),
      fc.nat({ max: 6 }),
      fc.nat({ max: 3 }),
      fc.nat({ max: 3 }),
    )
    const file = fc
      .tuple(head, fc.uint8Array({ maxLength: 60 }))
      .map(([[magic, ...sizes], bytes]) => idx(magic, sizes, Array.from(bytes)))
    fc.assert(
      fc.property(
        fc.oneof(file, fc.constant(IMAGES)),
        fc.oneof(file, fc.constant(LABELS)),
        (images, labels) => {
          try {
            const data = parseIdx(images, labels, ...NAMES)
            expect(data.x.length).toBe(data.samples * data.features)
          } catch (error) {
            if (!(error instanceof DatasetError)) throw error
          }
        },
      ),
    )
  })

  it('must be two', () => {
    for (const spec of ['a', 'a,b,c', 'a,', ' ,b']) {
      expect(failure(() => loadMnist(spec, undefined)).message).toContain('--data mnist-idx:IMAGES,LABELS')
    }
  })
})

describe('a known set that is not there', () => {
  it('is asked for with the names of its files and where to put them', () => {
    const nowhere = failure(() => loadDigits(undefined))
    expect(nowhere.code).toBe('DATASET_NOT_FOUND')
    expect(nowhere.message).toMatch(/digits\.csv\.gz .* --data-dir or the environment variable FLICKER_DATA/)
    const root = directory({})
    expect(failure(() => loadDigits(root)).message).toContain(`${root} holds no digits.csv.gz`)
    expect(failure(() => loadMnist('', root)).message).toContain(
      'train-images-idx3-ubyte.gz and train-labels',
    )
    expect(failure(() => loadMnist('', undefined)).message).toContain('mnist-idx:IMAGES,LABELS')
  })

  it('is not taken from a file of that name with other columns', () => {
    const root = directory({ 'digits.csv': '1,2,0\n3,4,1\n1,2,0\n3,4,1\n' })
    expect(failure(() => loadDigits(root)).message).toContain('has 2 features; the digits have 64 pixels')
  })
})

describeWith('classify/digits.csv.gz', 'digits', () => {
  it('has 1,797 images of 64 pixels from 0 to 16, in ten classes of about 180', () => {
    const data = loadDigits(sharedData('classify'))
    expect([data.samples, data.features]).toEqual([1797, 64])
    expect([Math.min(...data.x), Math.max(...data.x)]).toEqual([0, 16])
    expect(data.classNames).toEqual(range(10).map(String))
    // Counts of the classes as the UCI repository publishes them for the test part of the set.
    expect(range(10).map(k => data.y.filter(label => label === k).length)).toEqual([
      178, 182, 177, 183, 181, 182, 181, 179, 174, 180,
    ])
  })
})

describeWith('classify/t10k-images-idx3-ubyte.gz', 'mnist-idx', () => {
  it("has the test images of MNIST: 10,000 of 28 × 28, the first a seven, and the set's mean", () => {
    const data = loadMnist('', sharedData('classify'))
    expect([data.samples, data.features]).toEqual([10_000, 784])
    expect(Array.from(data.y.subarray(0, 5))).toEqual([7, 2, 1, 0, 4])
    const raw = gunzipSync(readFileSync(sharedData('classify/t10k-images-idx3-ubyte.gz')))
    expect(Buffer.from(data.x).equals(raw.subarray(16))).toBe(true)
    // Known of the test part: 0.1325 of full white.
    let sum = 0
    for (const value of data.x) sum += value
    expect(sum / data.x.length / 255).toBeCloseTo(0.1325, 4)
  })
})
