// The two loops of make_classification over all features of all samples: products with a small matrix, and the
// shuffling of rows and columns. Both work in place.

/** Rows of a matrix, and the columns that go in and come out. */
interface Block {
  x: Float64Array
  /** Rows from `start` to before `stop`. */
  start: number
  stop: number
  /** Numbers per row of x. */
  stride: number
  inputs: number
  outputs: number
  /** The first column written. */
  at: number
}

/**
 * Writes inputs · mixing + offset over the columns from `at` of each row, where the inputs are the row's first columns:
 * (rows × inputs) · (inputs × outputs) + (outputs), f64, summed in the order of the inputs. Four rows go together, and
 * three outputs of each, so that a number that is fetched is used several times.
 */
export function combineColumns(block: Block, mixing: Float64Array, offset: Float64Array): void {
  const { x, start, stop, stride, inputs, outputs, at } = block
  // The inputs of the four rows side by side.
  const four = new Float64Array(4 * inputs)
  for (let row = start; row < stop; row += 4) {
    // Where fewer rows are left, the last one is worked out several times.
    const a = row * stride
    const b = Math.min(row + 1, stop - 1) * stride
    const c = Math.min(row + 2, stop - 1) * stride
    const d = Math.min(row + 3, stop - 1) * stride
    for (let l = 0; l < inputs; l++) {
      four[4 * l] = x[a + l]
      four[4 * l + 1] = x[b + l]
      four[4 * l + 2] = x[c + l]
      four[4 * l + 3] = x[d + l]
    }
    let j = 0
    for (; j + 3 <= outputs; j += 3) {
      let a0 = 0
      let a1 = 0
      let a2 = 0
      let b0 = 0
      let b1 = 0
      let b2 = 0
      let c0 = 0
      let c1 = 0
      let c2 = 0
      let d0 = 0
      let d1 = 0
      let d2 = 0
      for (let l = 0, m = j; l < four.length; l += 4, m += outputs) {
        const m0 = mixing[m]
        const m1 = mixing[m + 1]
        const m2 = mixing[m + 2]
        let value = four[l]
        a0 += value * m0
        a1 += value * m1
        a2 += value * m2
        value = four[l + 1]
        b0 += value * m0
        b1 += value * m1
        b2 += value * m2
        value = four[l + 2]
        c0 += value * m0
        c1 += value * m1
        c2 += value * m2
        value = four[l + 3]
        d0 += value * m0
        d1 += value * m1
        d2 += value * m2
      }
      putThree(x, a + at + j, a0, a1, a2, offset, j)
      putThree(x, b + at + j, b0, b1, b2, offset, j)
      putThree(x, c + at + j, c0, c1, c2, offset, j)
      putThree(x, d + at + j, d0, d1, d2, offset, j)
    }
    for (; j < outputs; j++) {
      let a0 = 0
      let b0 = 0
      let c0 = 0
      let d0 = 0
      for (let l = 0, m = j; l < four.length; l += 4, m += outputs) {
        a0 += four[l] * mixing[m]
        b0 += four[l + 1] * mixing[m]
        c0 += four[l + 2] * mixing[m]
        d0 += four[l + 3] * mixing[m]
      }
      x[a + at + j] = a0 + offset[j]
      x[b + at + j] = b0 + offset[j]
      x[c + at + j] = c0 + offset[j]
      x[d + at + j] = d0 + offset[j]
    }
  }
}

/** x[i], x[i + 1], x[i + 2] become the three sums with their offsets. */
function putThree(
  x: Float64Array,
  i: number,
  first: number,
  second: number,
  third: number,
  offset: Float64Array,
  j: number,
): void {
  x[i] = first + offset[j]
  x[i + 1] = second + offset[j + 1]
  x[i + 2] = third + offset[j + 2]
}

/** Rows that are asked of memory together, before they are moved one by one. */
const ROWS_AHEAD = 16
/** Doubles in a cache line. */
const LINE = 8
const fetched = new Float64Array(1)

/**
 * Row i becomes row rows[i], its columns in the order of `columns`, shifted and scaled; in place. Each cycle of the
 * permutation is gone round once, with its first row kept aside.
 */
export function permuteRows(
  x: Float64Array,
  rows: Int32Array,
  columns: Int32Array,
  shifts: Float64Array,
  scales: Float64Array,
): void {
  const features = columns.length
  const kept = new Float64Array(features)
  const done = new Uint8Array(rows.length)
  for (let first = 0; first < rows.length; first++) {
    if (done[first] === 1) continue
    for (let j = 0; j < features; j++) kept[j] = x[first * features + j]
    let i = first
    let ahead = first
    for (let step = 0; rows[i] !== first; step++) {
      if (step % ROWS_AHEAD === 0) ahead = fetchRows(x, rows, ahead, features)
      const from = rows[i] * features
      const to = i * features
      for (let j = 0; j < features; j++) x[to + j] = (x[from + columns[j]] + shifts[j]) * scales[j]
      done[i] = 1
      i = rows[i]
    }
    for (let j = 0; j < features; j++) x[i * features + j] = (kept[columns[j]] + shifts[j]) * scales[j]
    done[i] = 1
  }
}

/**
 * Reads a number of every cache line of the next rows on the way from row i, and returns where it came to. The reads
 * wait for memory together, where moving row after row would wait for each.
 */
function fetchRows(x: Float64Array, rows: Int32Array, i: number, features: number): number {
  let next = i
  let sum = 0
  for (let k = 0; k < ROWS_AHEAD; k++) {
    next = rows[next]
    const row = next * features
    for (let j = 0; j < features; j += LINE) sum += x[row + j]
    sum += x[row + features - 1]
  }
  // Without a use the reads would be optimized away.
  fetched[0] = sum
  return next
}
