// A classification data set as the lab reads or makes it, before it is split, and what every one of them must have.

import { DatasetError } from '../../errors.js'

export interface Dataset {
  /** For people: where it comes from. */
  readonly title: string
  /** samples × features, row by row. */
  readonly x: Float64Array | Uint8Array
  /** Class of each sample, from 0. */
  readonly y: Int32Array
  readonly samples: number
  readonly features: number
  readonly classNames: readonly string[]
  readonly featureNames: readonly string[]
  /** All features are of one kind and unit (pixels), and are standardized with one mean and deviation. */
  readonly alike: boolean
}

/** Fewer rows cannot make a training and a validation part that show two classes. */
const LEAST_ROWS = 4

/** Measured values that were taken for classes have fractions, and more different ones than this. */
const MOST_FRACTIONS = 10

/**
 * Class numbers of labels, and the labels of the numbers: sorted as numbers when all are numbers (so that 2 and 2.0
 * are one class), else as text. `where` names the column in messages. Throws DatasetError: DATASET_TOO_FEW_ROWS,
 * DATASET_ONE_CLASS, or DATASET_TARGET_NOT_CLASSES when nearly every row would be a class of its own.
 */
export function numberClasses(
  labels: readonly string[],
  where: string,
): { y: Int32Array; classNames: string[] } {
  // Beyond 2⁵³ different integers would become one.
  const numeric = labels.every(label => isNumber(label) && Math.abs(Number(label)) <= Number.MAX_SAFE_INTEGER)
  const names = numeric ? labels.map(label => String(Number(label))) : labels
  const classNames = [...new Set(names)]
  if (numeric) classNames.sort((a, b) => Number(a) - Number(b))
  else classNames.sort()
  checkRows(labels.length, where)
  checkSeveralClasses(classNames, where)
  const fractions = numeric && classNames.some(name => !Number.isInteger(Number(name)))
  if (classNames.length > labels.length / 2 || (fractions && classNames.length > MOST_FRACTIONS)) {
    throw new DatasetError(
      'DATASET_TARGET_NOT_CLASSES',
      `${where} has ${classNames.length} different values in ${labels.length} rows, which are hardly classes; ` +
        'name the column that holds the class with --target',
    )
  }
  const numbers = new Map(classNames.map((name, id) => [name, id]))
  return { y: Int32Array.from(names, name => numbers.get(name)!), classNames }
}

/** Throws DatasetError (DATASET_TOO_FEW_ROWS) when two parts cannot be made. */
export function checkRows(rows: number, where: string): void {
  if (rows >= LEAST_ROWS) return
  throw new DatasetError(
    'DATASET_TOO_FEW_ROWS',
    `${where} has ${rows} ${rows === 1 ? 'row' : 'rows'}; at least ${LEAST_ROWS} are needed for training and validation`,
  )
}

/** Throws DatasetError (DATASET_ONE_CLASS) when there is nothing to tell apart. */
export function checkSeveralClasses(classNames: readonly string[], where: string): void {
  if (classNames.length >= 2) return
  throw new DatasetError(
    'DATASET_ONE_CLASS',
    `${where} has one class only ("${classNames[0]}"); there is nothing to tell apart`,
  )
}

/** A decimal number as text, with or without sign and exponent; not blank, not hexadecimal, not infinite. */
export function isNumber(text: string): boolean {
  return /^[+-]?(?:\d+\.?\d*|\.\d+)(?:e[+-]?\d+)?$/i.test(text) && Number.isFinite(Number(text))
}
