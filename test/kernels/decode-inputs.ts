// Inputs of the tests of decoding kernels: weights of every type with the numbers they stand for, and how results are
// compared.

import { expect } from 'vitest'
import {
  availableDecodeKernels,
  readRow,
  setThreads,
  storeRow,
  type Weights,
  type WeightType,
  weightBytes,
} from '../../src/kernels/index.js'
import { RandomInputs } from './random-inputs.js'

export const weightTypes: WeightType[] = ['f32', 'bf16', 'f16', 'q8_0', 'q4_0', 'q4_k', 'q5_k', 'q6_k']

/** Every backend with its name. */
export const backends = availableDecodeKernels().map(
  kernels => [`${kernels.backend} ${kernels.isa}`, kernels] as const,
)

/** Sums of up to 2,000 f32 terms, as a fraction of the largest value. */
const TOLERANCE = 1e-5
/** What stands behind the end of each output must stay. */
const GUARD = 123.5

interface StoredMatrix {
  readonly stored: Weights
  readonly values: Float32Array
}
const matrices = new Map<string, StoredMatrix>()

function copied(w: Weights): Weights {
  return w instanceof Float32Array || w instanceof Uint16Array ? w.slice() : { ...w, data: w.data.slice() }
}

export class Inputs extends RandomInputs {
  constructor(seed: number) {
    super(Float32Array, seed)
  }

  floats(n: number, std = 1): Float32Array {
    return Float32Array.from(this.normal(n, { std }))
  }

  /** A matrix of weights, and the numbers it stands for. */
  weights(rows: number, columns: number, type: WeightType): StoredMatrix {
    const values = this.floats(rows * columns)
    // Every backend is given the same matrices: they are rounded once.
    const key = [type, rows, columns, values[0], values.at(-1)].join()
    let made = matrices.get(key)
    if (made === undefined) {
      made = { stored: exactlySized(type, rows, columns), values }
      for (let row = 0; row < rows; row++) {
        const own = values.subarray(row * columns, (row + 1) * columns)
        // Any weights will do: with one candidate per scale K-quants are stored many times as fast.
        storeRow(made.stored, row, own, 'one')
        readRow(made.stored, row, own)
      }
      matrices.set(key, made)
    }
    return { stored: copied(made.stored), values: made.values.slice() }
  }

  /** Activations of which about `zeros` are exactly 0, of either sign. */
  activated(n: number, zeros: number): Float32Array {
    const uniform = this.integers(n, 1000)
    return this.floats(n).map((x, i) => (uniform[i] < zeros * 1000 ? (i % 2 === 0 ? 0 : -0) : x))
  }
}

/** As allocateWeights, but without room behind the end: a sanitizer sees what reads beyond it. */
function exactlySized(type: WeightType, rows: number, columns: number): Weights {
  const bytes = rows * weightBytes(type, columns)
  if (type === 'f32') return new Float32Array(bytes / 4)
  if (type === 'bf16') return new Uint16Array(bytes / 2)
  return { type, data: new Uint8Array(bytes) }
}

/** n numbers to be written, with a guard behind them. */
export function guarded(n: number, initial?: Float32Array): Float32Array {
  const out = new Float32Array(n + 2).fill(GUARD)
  out.set(initial ?? new Float32Array(n).fill(Number.NaN))
  return out
}

/** `actual`, from guarded(), is `expected` up to rounding. */
export function expectClose(actual: Float32Array, expected: ArrayLike<number>, tolerance = TOLERANCE): void {
  let [largest, worst] = [0, 0]
  for (let i = 0; i < expected.length; i++) {
    largest = Math.max(largest, Math.abs(expected[i]))
    // Math.max passes NaN on, so that it is not taken for close.
    worst = Math.max(worst, Math.abs(actual[i] - expected[i]))
  }
  expect(worst).toBeLessThanOrEqual(tolerance * largest)
  expect([...actual.subarray(expected.length)]).toEqual(Array(actual.length - expected.length).fill(GUARD))
}

/** The bits of both are the same: NaN and the sign of zero too. */
export function expectSameBits(actual: Float32Array, expected: Float32Array): void {
  const bytes = (values: Float32Array) => Buffer.from(values.buffer, values.byteOffset, values.byteLength)
  // Not toEqual: on arrays of this size it takes longer than the kernels.
  const same = bytes(actual).equals(bytes(expected))
  const at = same ? -1 : actual.findIndex((value, i) => !Object.is(value, expected[i]))
  expect(same, `element ${at} of ${actual.length} is ${actual[at]}, not ${expected[at]}`).toBe(true)
}

/** Runs `body` with 1, 2 and 3 threads and returns what it gave each time. */
export function withThreads<T>(body: () => T): T[] {
  return [1, 2, 3].map(n => {
    setThreads(n)
    return body()
  })
}

/** Σ a[aStart + i] · b[bStart + i], n terms, in f64. */
export function dot(
  a: ArrayLike<number>,
  aStart: number,
  b: ArrayLike<number>,
  bStart: number,
  n: number,
): number {
  let sum = 0
  for (let i = 0; i < n; i++) sum += a[aStart + i] * b[bStart + i]
  return sum
}
