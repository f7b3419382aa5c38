import { join } from 'node:path'
import { gzipSync } from 'node:zlib'
import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { DatasetError } from '../../../src/errors.js'
import { type CsvOptions, parseCsv, readCsv } from '../../../src/lab/data/csv.js'
import { temporaryDirectories } from '../../data/temporary.js'

const directory = temporaryDirectories()
const NAMED = 'length,width,kind\n1,2,cat\n3,4,dog\n5,6,cat\n7,8.5,dog\n'

function failure(text: string, options?: CsvOptions): DatasetError {
  try {
    parseCsv(text, 'a.csv', options)
  } catch (error) {
    if (error instanceof DatasetError) return error
    throw error
  }
  throw new Error(`${JSON.stringify(text)} was read`)
}

describe('a CSV file', () => {
  it('has names of columns in its first row, numbers, and the class in its last column', () => {
    const data = parseCsv(NAMED, 'a.csv')
    expect(data.featureNames).toEqual(['length', 'width'])
    expect(Array.from(data.x)).toEqual([1, 2, 3, 4, 5, 6, 7, 8.5])
    expect(data.classNames).toEqual(['cat', 'dog'])
    expect(Array.from(data.y)).toEqual([0, 1, 0, 1])
    expect([data.samples, data.features]).toEqual([4, 2])
  })

  it('may do without names, even when its classes are text', () => {
    const data = parseCsv('1,2,cat\n3,4,dog\n5,6,cat\n7,8,dog\n', 'a.csv')
    expect(data.featureNames).toEqual(['column 1', 'column 2'])
    expect(data.samples).toBe(4)
    expect(parseCsv('1,2,0\n3,4,1\n5,6,0\n7,8,1\n', 'a.csv').samples).toBe(4)
  })

  it.each([
    ['kind', ['length', 'width']],
    ['3', ['length', 'width']],
    ['-1', ['length', 'width']],
  ])('has its class in the column that target %s means', (target, features) => {
    expect(parseCsv(NAMED, 'a.csv', { target }).featureNames).toEqual(features)
  })

  it('has its class in the first column too', () => {
    const text = 'cat,1,2\ndog,3,4\ncat,5,6\ndog,7,8\n'
    for (const target of ['1', '-3']) {
      const data = parseCsv(text, 'a.csv', { target })
      expect(Array.from(data.x)).toEqual([1, 2, 3, 4, 5, 6, 7, 8])
      expect(data.classNames).toEqual(['cat', 'dog'])
    }
  })

  it('has a column called 1 before a first column', () => {
    const text = 'a,1\n5,0\n6,1\n5,0\n6,1\n'
    expect(parseCsv(text, 'a.csv', { target: '1', header: true }).featureNames).toEqual(['a'])
  })

  it.each([
    [';', 'semicolons'],
    ['\t', 'tabs'],
    [',', 'commas'],
  ])('may be cut by %j', mark => {
    expect(parseCsv(NAMED.replaceAll(',', mark), 'a.csv')).toEqual(parseCsv(NAMED, 'a.csv'))
  })

  it('keeps marks and line ends inside quotes', () => {
    const text =
      '"length; in ""mm""","width,\nor so",kind\r\n1,2,"a;b"\r\n3,4,"c,d"\r\n5,6,"a;b"\r\n7,8,"c,d"\r\n'
    const data = parseCsv(text, 'a.csv')
    expect(data.featureNames).toEqual(['length; in "mm"', 'width,\nor so'])
    expect(data.classNames).toEqual(['a;b', 'c,d'])
  })

  it('may begin with a byte order mark, hold blank lines, blanks about cells, and end without a line end', () => {
    const untidy = `\ufeff\n${NAMED.replaceAll(',', ' , ').replaceAll('\n', '\n\n').trimEnd()}`
    expect(parseCsv(untidy, 'a.csv')).toEqual(parseCsv(NAMED, 'a.csv'))
  })

  it('is read through gzip', () => {
    const root = directory({ 'a.csv.gz': gzipSync(NAMED), 'b.csv': NAMED })
    expect(readCsv(join(root, 'a.csv.gz'))).toEqual({ ...readCsv(join(root, 'b.csv')), title: 'a.csv.gz' })
  })

  it('has classes in the order of numbers, and 2 and 2.0 are one class', () => {
    const data = parseCsv('1,10\n2,9\n3,2.0\n4,2\n5,9\n6,10\n', 'a.csv')
    expect(data.classNames).toEqual(['2', '9', '10'])
    expect(Array.from(data.y)).toEqual([2, 1, 0, 0, 1, 2])
  })

  it('keeps classes apart that are one number to a double', () => {
    const data = parseCsv(
      '1,9007199254740993\n2,9007199254740992\n3,9007199254740993\n4,9007199254740992\n',
      'a.csv',
    )
    expect(data.classNames.length).toBe(2)
  })

  it('returns the numbers that were written', () => {
    const cell = fc.double({ noNaN: true, noDefaultInfinity: true })
    fc.assert(
      fc.property(
        fc.array(cell, { minLength: 4, maxLength: 30 }),
        fc.constantFrom(',', ';', '\t'),
        (cells, mark) => {
          const text = cells.map((value, i) => `${value}${mark}${i % 2 === 0 ? 'even' : 'odd'}`).join('\n')
          expect(Array.from(parseCsv(text, 'a.csv').x)).toEqual(cells.map(value => Number(String(value))))
        },
      ),
    )
  })
})

describe('a CSV file is refused', () => {
  it.each(['', '?', 'NA', 'nan', 'null', ' '])(
    'with a missing value (%j): line and column are named',
    blank => {
      const error = failure(NAMED.replace('4', blank))
      expect(error.code).toBe('DATASET_VALUE_MISSING')
      expect(error.message).toContain('a.csv, line 3, column 2 "width": the value is missing')
    },
  )

  it.each(['four', '0x10', '1e999', '1 2', '--1', 'Infinity'])(
    'with %j for a number: line and column are named',
    cell => {
      const error = failure(NAMED.replace('4', cell))
      expect(error.code).toBe('DATASET_VALUE_NOT_NUMBER')
      expect(error.message).toContain(`a.csv, line 3, column 2 "width": "${cell}" is not a number`)
    },
  )

  it('with a decimal comma, and says what to write', () => {
    const error = failure('a;b;kind\n1,5;2;x\n2,5;3;y\n3,5;4;x\n4,5;5;y\n')
    expect(error.message).toContain(
      'line 2, column 1 "a": "1,5" is not a number; write a decimal point, not a comma',
    )
  })

  it('with a missing class', () => {
    expect(failure(NAMED.replace('cat', '')).message).toContain(
      'line 2, column 3 "kind": the value is missing',
    )
  })

  it('with a target that it does not have: those that it has are listed', () => {
    const error = failure(NAMED, { target: 'kinds' })
    expect(error.code).toBe('DATASET_TARGET_UNKNOWN')
    expect(error.message).toBe(
      'a.csv has no column "kinds"; columns: length, width, kind. Did you mean "kind"?',
    )
    expect(failure(NAMED, { target: '4' }).message).toContain('columns: length, width, kind')
    expect(failure(NAMED, { target: '0' }).message).toContain('columns: length, width, kind')
    expect(failure('1,2\n3,4\n', { target: 'x', header: false }).message).toContain(
      'give a number from 1 to 2',
    )
  })

  it('with a target that it has twice', () => {
    expect(failure('a,a,b\n1,2,3\n', { target: 'a' }).code).toBe('DATASET_TARGET_AMBIGUOUS')
  })

  it('with one class only', () => {
    const error = failure(NAMED.replaceAll('dog', 'cat'))
    expect(error.code).toBe('DATASET_ONE_CLASS')
    expect(error.message).toContain('class column "kind" has one class only ("cat")')
  })

  it('with too few rows', () => {
    expect(failure('').code).toBe('DATASET_TOO_FEW_ROWS')
    expect(failure('a,b\n').message).toContain('has 0 rows; at least 4 are needed')
    expect(failure('a,b\n1,2\n').message).toContain('has 1 row; at least 4 are needed')
  })

  it('when its target is a measurement', () => {
    expect(failure('1,2\n3,4\n5,6\n7,8\n').code).toBe('DATASET_TARGET_NOT_CLASSES')
    const prices = Array.from({ length: 100 }, (_, i) => `1,${(i % 20) + 0.5}`).join('\n')
    expect(failure(prices).message).toMatch(/20 different values in 100 rows.*--target/)
  })

  it('with one column', () => {
    expect(failure('a\n1\n2\n').code).toBe('DATASET_ONE_COLUMN')
  })

  it('with rows of different lengths', () => {
    const error = failure(NAMED.replace('3,4', '3,4,5'))
    expect(error.code).toBe('DATASET_RAGGED')
    expect(error.message).toContain('line 3 has 4 columns; the first line has 3 (set apart by commas)')
  })

  it('when its first row is neither names nor numbers, unless one says which', () => {
    const text = '2019,total,kind\n1,2,a\n3,4,b\n5,6,a\n7,8,b\n'
    const error = failure(text)
    expect(error.code).toBe('DATASET_HEADER_UNCLEAR')
    expect(error.message).toContain('column 1 is "2019", column 2 is "total"')
    expect(parseCsv(text, 'a.csv', { header: true }).featureNames).toEqual(['2019', 'total'])
    expect(failure(text, { header: false }).message).toContain('line 1, column 2: "total" is not a number')
  })

  it('with a quote that is never closed', () => {
    expect(failure('a,b\n1,"2\n').code).toBe('DATASET_CSV_BROKEN')
  })

  it('when it is missing, a directory, binary or no intact gzip', () => {
    const root = directory({
      'binary.csv': new Uint8Array([1, 0, 2]),
      'cut.csv.gz': gzipSync(NAMED).subarray(0, 20),
    })
    const code = (path: string): string => {
      try {
        readCsv(path)
      } catch (error) {
        if (error instanceof DatasetError) return error.code
      }
      return 'none'
    }
    expect(code(join(root, 'missing.csv'))).toBe('DATASET_NOT_FOUND')
    expect(code(root)).toBe('DATASET_UNREADABLE')
    expect(code(join(root, 'binary.csv'))).toBe('DATASET_BINARY')
    expect(code(join(root, 'cut.csv.gz'))).toBe('DATASET_GZIP')
  })

  it('or read, whatever its text: nothing else is thrown', () => {
    const cell = fc.oneof(
      { weight: 60, arbitrary: fc.constantFrom('1', '2.5', '-3e2', '4') },
      {
        weight: 1,
        arbitrary: fc.oneof(fc.constantFrom('x', '', '"', '"a', '?', '\ufeff'), fc.string({ maxLength: 4 })),
      },
    )
    const text = fc
      .tuple(fc.integer({ min: 1, max: 4 }), fc.constantFrom(',', ';', '\t'))
      .chain(([columns, separator]) =>
        fc
          .array(fc.array(cell, { minLength: columns, maxLength: columns }), { maxLength: 8 })
          .map(rows => rows.map(row => row.join(separator)).join('\n')),
      )
    let parsed = 0
    fc.assert(
      fc.property(
        text,
        fc.option(fc.constantFrom('1', '-1', 'x', '9'), { nil: undefined }),
        (content, target) => {
          try {
            const data = parseCsv(content, 'a.csv', { target })
            parsed++
            expect(data.x.length).toBe(data.samples * data.features)
            expect(data.x.every(Number.isFinite)).toBe(true)
          } catch (error) {
            if (!(error instanceof DatasetError)) throw error
          }
        },
      ),
      { numRuns: 500 },
    )
    expect(parsed).toBeGreaterThan(5)
    expect(parsed).toBeLessThan(500)
  })
})
