// Classification data from a CSV file, plain or gzipped, read by csv-parse: one row per sample, numbers as features,
// one column with the class. What is wrong with a file is said with its line and column.

import { basename } from 'node:path'
import { CsvError, parse } from 'csv-parse/sync'
import { decodeText, FileProblem, readBytes } from '../../data/text-file.js'
import { didYouMean } from '../../did-you-mean.js'
import { DatasetError } from '../../errors.js'
import { type Dataset, isNumber, numberClasses } from './dataset.js'

export interface CsvOptions {
  /** Column with the class: its name, its number from 1, or from −1 backwards. Default: the last column. */
  target?: string
  /** Whether the first row names the columns; found out when left out. */
  header?: boolean
}

const MISSING = new Set(['', '?', '-', 'na', 'n/a', 'nan', 'null', 'none'])
/** From the surest to the least sure: a comma may also be a decimal comma. */
const DELIMITERS = ['\t', ';', ','] as const
const DELIMITER_NAMES = { '\t': 'tabs', ';': 'semicolons', ',': 'commas' }
/** Records that the delimiter is told from. */
const RECORDS_LOOKED_AT = 10

const FILE_CODES = {
  missing: 'DATASET_NOT_FOUND',
  unreadable: 'DATASET_UNREADABLE',
  gzip: 'DATASET_GZIP',
  'too-large': 'DATASET_TOO_LARGE',
  binary: 'DATASET_BINARY',
} as const

/** A problem with a file, from `read`, as a DatasetError. */
export function reading<T>(read: () => T): T {
  try {
    return read()
  } catch (error) {
    if (!(error instanceof FileProblem)) throw error
    throw new DatasetError(FILE_CODES[error.fault], `data: ${error.message}`, { cause: error })
  }
}

/** The data set in a CSV file; gzipped when the name ends in .gz. Throws DatasetError. */
export function readCsv(path: string, options: CsvOptions = {}): Dataset {
  return parseCsv(
    reading(() => decodeText(readBytes(path), path)),
    basename(path),
    options,
  )
}

/** The data set in CSV text; `name` stands for it in messages. Throws DatasetError. */
export function parseCsv(text: string, name: string, options: CsvOptions = {}): Dataset {
  const delimiter = delimiterOf(text)
  let table: Table | null = null
  try {
    parse(text, {
      bom: true,
      delimiter,
      trim: true,
      skip_empty_lines: true,
      relax_column_count: true,
      max_record_size: text.length + 1,
      on_record: (record: string[], { lines }) => {
        if (table === null) table = new Table(name, delimiter, record, lines, options)
        else table.add(record, lines)
        return null
      },
    })
  } catch (error) {
    if (!(error instanceof CsvError)) throw error
    throw new DatasetError('DATASET_CSV_BROKEN', `${name} is not a CSV file: ${error.message}`, {
      cause: error,
    })
  }
  if (table === null) throw new DatasetError('DATASET_TOO_FEW_ROWS', `${name} is empty`)
  return (table as Table).finish()
}

/**
 * The delimiter that cuts the first records into equally many fields, at least two; else the most frequent one.
 * Quoted text does not count.
 */
function delimiterOf(text: string): (typeof DELIMITERS)[number] {
  const records: Record<string, number>[] = []
  let counts: Record<string, number> = {}
  let quoted = false
  let blank = true
  for (let i = 0; i <= text.length && records.length < RECORDS_LOOKED_AT; i++) {
    const character = text[i]
    if (character === '"') quoted = !quoted
    const ends = character === undefined || (!quoted && (character === '\n' || character === '\r'))
    if (ends) {
      if (!blank) records.push(counts)
      counts = {}
      blank = true
      continue
    }
    blank = false
    if (!quoted) counts[character] = (counts[character] ?? 0) + 1
  }
  const even = DELIMITERS.find(mark => {
    const first = records[0]?.[mark] ?? 0
    return first > 0 && records.every(record => record[mark] === first)
  })
  const total = (mark: string): number => records.reduce((sum, record) => sum + (record[mark] ?? 0), 0)
  return even ?? DELIMITERS.toSorted((a, b) => total(b) - total(a))[0]
}

/** Takes the records one by one: the first decides on names and the target, each further one adds a sample. */
class Table {
  readonly #name: string
  readonly #delimiter: keyof typeof DELIMITER_NAMES
  readonly #columns: readonly string[]
  readonly #target: number
  readonly #labels: string[] = []
  #x = new Float64Array(1024)
  #filled = 0

  constructor(
    name: string,
    delimiter: keyof typeof DELIMITER_NAMES,
    first: readonly string[],
    line: number,
    options: CsvOptions,
  ) {
    this.#name = name
    this.#delimiter = delimiter
    if (first.length < 2) {
      throw new DatasetError(
        'DATASET_ONE_COLUMN',
        `${name} has one column only; a data set needs a column for the class and at least one feature, ` +
          'set apart by commas, semicolons or tabs',
      )
    }
    const header = options.header ?? isHeader(name, first, line, options.target)
    this.#columns = first.map((cell, i) => (header && cell !== '' ? cell : `column ${i + 1}`))
    this.#target = targetColumn(name, this.#columns, header, options.target)
    if (!header) this.add(first, line)
  }

  add(record: readonly string[], line: number): void {
    const width = this.#columns.length
    if (record.length !== width) {
      throw new DatasetError(
        'DATASET_RAGGED',
        `${this.#name}, line ${line} has ${record.length} columns; the first line has ${width} ` +
          `(set apart by ${DELIMITER_NAMES[this.#delimiter]})`,
      )
    }
    if (this.#filled + width > this.#x.length) {
      const larger = new Float64Array(2 * (this.#x.length + width))
      larger.set(this.#x)
      this.#x = larger
    }
    for (const [column, cell] of record.entries()) {
      if (column === this.#target) {
        if (MISSING.has(cell.toLowerCase())) throw this.#wrongCell(line, column, cell)
        this.#labels.push(cell)
      } else {
        if (!isNumber(cell)) throw this.#wrongCell(line, column, cell)
        this.#x[this.#filled++] = Number(cell)
      }
    }
  }

  finish(): Dataset {
    const target = this.#columns[this.#target]
    const { y, classNames } = numberClasses(this.#labels, `${this.#name}, class column "${target}"`)
    return {
      title: this.#name,
      x: this.#x.subarray(0, this.#filled),
      y,
      samples: y.length,
      features: this.#columns.length - 1,
      classNames,
      featureNames: this.#columns.filter((_, i) => i !== this.#target),
      alike: false,
    }
  }

  #wrongCell(line: number, column: number, cell: string): DatasetError {
    const name = this.#columns[column]
    const where = `${this.#name}, line ${line}, column ${column + 1}${name === `column ${column + 1}` ? '' : ` "${name}"`}`
    if (MISSING.has(cell.toLowerCase())) {
      return new DatasetError(
        'DATASET_VALUE_MISSING',
        `${where}: the value is missing${cell === '' ? '' : ` ("${cell}")`}; fill it in or leave the row out`,
      )
    }
    const comma = /^[+-]?\d+,\d+$/.test(cell) ? '; write a decimal point, not a comma' : ''
    return new DatasetError(
      'DATASET_VALUE_NOT_NUMBER',
      `${where}: "${shortened(cell)}" is not a number${comma}`,
    )
  }
}

/**
 * Names of columns are no numbers, features are: the first row is a header when none of its cells beside the target
 * is a number. Throws DatasetError when some are and some are not.
 */
function isHeader(name: string, first: readonly string[], line: number, target: string | undefined): boolean {
  const column = target === undefined ? first.length - 1 : numberedColumn(target, first.length)
  // A target that is no column number can only be a name.
  if (column === null) return true
  const cells = [...first.keys()].filter(i => i !== column)
  const text = cells.filter(i => !isNumber(first[i]))
  if (text.length === 0) return false
  if (text.length === cells.length) return true
  const number = cells.find(i => isNumber(first[i]))!
  throw new DatasetError(
    'DATASET_HEADER_UNCLEAR',
    `${name}, line ${line} is neither a row of names nor of numbers: column ${number + 1} is "${first[number]}", ` +
      `column ${text[0] + 1} is "${shortened(first[text[0]])}"; correct it, or say with --header true or false what it is`,
  )
}

/** Index of the column that `target` means. Throws DatasetError that lists the columns. */
function targetColumn(
  name: string,
  columns: readonly string[],
  header: boolean,
  target: string | undefined,
): number {
  if (target === undefined) return columns.length - 1
  if (header) {
    const named = columns.indexOf(target)
    if (named >= 0 && columns.lastIndexOf(target) !== named) {
      throw new DatasetError(
        'DATASET_TARGET_AMBIGUOUS',
        `${name} has several columns "${target}"; give the number of one of them, from 1 to ${columns.length}`,
      )
    }
    if (named >= 0) return named
  }
  const numbered = numberedColumn(target, columns.length)
  if (numbered !== null) return numbered
  const known = header
    ? `columns: ${columns.join(', ')}`
    : `its columns have no names; give a number from 1 to ${columns.length}`
  throw new DatasetError(
    'DATASET_TARGET_UNKNOWN',
    `${name} has no column "${target}"; ${known}.${header ? didYouMean(target, columns) : ''}`,
  )
}

/** `1` and `-1` as an index, or null. */
function numberedColumn(target: string, columns: number): number | null {
  if (!/^-?\d+$/.test(target)) return null
  const number = Number(target)
  const index = number < 0 ? columns + number : number - 1
  return index >= 0 && index < columns ? index : null
}

function shortened(cell: string): string {
  return cell.length <= 40 ? cell : `${cell.slice(0, 40)}…`
}
