// Data sets that go by name: `digits` (UCI, 8 × 8 pixels) and MNIST's IDX files. Flicker ships neither; they are looked
// for in a directory of the user's.

import { existsSync } from 'node:fs'
import { basename, join } from 'node:path'
import { readBytes } from '../../data/text-file.js'
import { DatasetError } from '../../errors.js'
import { readCsv, reading } from './csv.js'
import { checkRows, checkSeveralClasses, type Dataset } from './dataset.js'

/** Names for `--data`, beside paths of CSV files. */
export const KNOWN_SETS = ['digits', 'mnist-idx'] as const

const DIGITS_FILES = ['digits.csv.gz', 'digits.csv']
/** The training files if they are there, else the test files. */
const MNIST_PREFIXES = ['train', 't10k']
const DIGITS_SIDE = 8
/** First four bytes of an IDX file: two zeros, the type (8: unsigned bytes), the number of dimensions. */
const IMAGES_MAGIC = 0x0803
const LABELS_MAGIC = 0x0801

/**
 * `digits`: 1,797 images of 8 × 8 pixels with values 0 … 16 (UCI "Optical Recognition of Handwritten Digits"), 64
 * numbers and the class per line, without a header. Throws DatasetError.
 */
export function loadDigits(directory: string | undefined): Dataset {
  const path = find(directory, DIGITS_FILES)
  if (path === null) throw absent('digits', directory, DIGITS_FILES, '64 pixels and the digit per line')
  const data = readCsv(path, { header: false })
  if (data.features !== DIGITS_SIDE ** 2) {
    throw new DatasetError(
      'DATASET_NOT_DIGITS',
      `${path} has ${data.features} features; the digits have ${DIGITS_SIDE ** 2} pixels and the class at the end`,
    )
  }
  return { ...data, title: 'digits', featureNames: pixelNames(DIGITS_SIDE, DIGITS_SIDE), alike: true }
}

/**
 * MNIST or a set in its format: `spec` is empty (the files are looked for) or `IMAGES,LABELS`, two paths. Files may be
 * gzipped. Throws DatasetError.
 */
export function loadMnist(spec: string, directory: string | undefined): Dataset {
  const [images, labels] = spec === '' ? findMnist(directory) : twoPaths(spec)
  return parseIdx(
    reading(() => readBytes(images)),
    reading(() => readBytes(labels)),
    basename(images),
    basename(labels),
  )
}

/**
 * Images and labels from the bytes of two IDX files. Headers and lengths are checked against each other before
 * anything is made of them. Throws DatasetError.
 */
export function parseIdx(
  images: Uint8Array,
  labels: Uint8Array,
  imagesName: string,
  labelsName: string,
): Dataset {
  const [samples, rows, columns] = idxDimensions(images, imagesName, IMAGES_MAGIC, 'images')
  const [count] = idxDimensions(labels, labelsName, LABELS_MAGIC, 'labels')
  if (count !== samples) {
    throw new DatasetError(
      'DATASET_IDX_INVALID',
      `${imagesName} has ${samples} images and ${labelsName} has ${count} labels; give two files that belong together`,
    )
  }
  if (rows * columns === 0)
    throw new DatasetError('DATASET_IDX_INVALID', `${imagesName}: its images have no pixels`)
  const given = labels.subarray(labels.length - count)
  const known = [...new Set(given)].sort((a, b) => a - b)
  checkRows(samples, labelsName)
  checkSeveralClasses(known.map(String), labelsName)
  return {
    title: imagesName,
    x: images.subarray(images.length - samples * rows * columns),
    y: Int32Array.from(given, label => known.indexOf(label)),
    samples,
    features: rows * columns,
    classNames: known.map(String),
    featureNames: pixelNames(rows, columns),
    alike: true,
  }
}

/** The sizes in the head of an IDX file, whose product is the number of bytes that follow. */
function idxDimensions(bytes: Uint8Array, name: string, magic: number, kind: string): number[] {
  const invalid = (what: string): DatasetError =>
    new DatasetError('DATASET_IDX_INVALID', `${name} is not an IDX file of ${kind}: ${what}`)
  const dimensions = magic & 0xff
  const head = 4 + 4 * dimensions
  if (bytes.length < head) throw invalid(`it has ${bytes.length} bytes, and its head alone takes ${head}`)
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength)
  if (view.getUint32(0) !== magic) {
    const hex = (value: number): string => `0x${value.toString(16).padStart(8, '0')}`
    throw invalid(`it begins with ${hex(view.getUint32(0))} in place of ${hex(magic)}`)
  }
  const sizes = Array.from({ length: dimensions }, (_, i) => view.getUint32(4 + 4 * i))
  const expected = sizes.reduce((product, size) => product * size, 1)
  if (expected !== bytes.length - head) {
    throw invalid(
      `its head promises ${sizes.join(' × ')} bytes, and ${bytes.length - head} follow; it may be cut off`,
    )
  }
  return sizes
}

function findMnist(directory: string | undefined): [string, string] {
  const names = (prefix: string): [string, string] => [
    `${prefix}-images-idx3-ubyte`,
    `${prefix}-labels-idx1-ubyte`,
  ]
  for (const prefix of MNIST_PREFIXES) {
    const [images, labels] = names(prefix).map(name => find(directory, [`${name}.gz`, name]))
    if (images !== null && labels !== null) return [images, labels]
  }
  const needed = names(MNIST_PREFIXES[0]).map(name => `${name}.gz`)
  throw absent('mnist-idx', directory, needed, 'or give their paths: --data mnist-idx:IMAGES,LABELS')
}

function twoPaths(spec: string): [string, string] {
  const paths = spec.split(',')
  if (paths.length !== 2 || paths.some(path => path.trim() === '')) {
    throw new DatasetError(
      'DATASET_IDX_PATHS',
      `mnist-idx takes two paths, of the images and of the labels: --data mnist-idx:IMAGES,LABELS, not "${spec}"`,
    )
  }
  return [paths[0].trim(), paths[1].trim()]
}

/** The first of `names` that exists in the directory, or in its folder `classify`. */
function find(directory: string | undefined, names: readonly string[]): string | null {
  if (directory === undefined) return null
  const paths = names.flatMap(name => [join(directory, name), join(directory, 'classify', name)])
  return paths.find(path => existsSync(path)) ?? null
}

function absent(
  set: string,
  directory: string | undefined,
  files: readonly string[],
  hint: string,
): DatasetError {
  const wanted = files.join(set === 'digits' ? ' or ' : ' and ')
  return new DatasetError(
    'DATASET_NOT_FOUND',
    directory === undefined
      ? `data: "${set}" does not come with Flicker; put ${wanted} (${hint}) into a directory and name that ` +
          'directory with --data-dir or the environment variable FLICKER_DATA'
      : `data: ${directory} holds no ${wanted}; put ${files.length > 1 && set !== 'digits' ? 'them' : 'it'} there (${hint})`,
  )
}

/** `pixel_0_0`, `pixel_0_1`, …: row and column from 0. */
function pixelNames(rows: number, columns: number): string[] {
  return Array.from({ length: rows * columns }, (_, i) => `pixel_${Math.floor(i / columns)}_${i % columns}`)
}
