// Elementwise operations and reductions over whole buffers.

import type { Floats } from '../interface/training.js'
import { scratch } from './scratch.js'

const columnTotals = scratch()

/** x (rows, width) += bias (width). */
export function addBias(x: Floats, bias: Floats, rows: number, width: number): void {
  for (let row = 0; row < rows; row++) {
    for (let i = 0; i < width; i++) x[row * width + i] += bias[i]
  }
}

/** out (width) += the sum over rows of x (rows, width). */
export function columnSums(x: Floats, out: Floats, rows: number, width: number): void {
  const totals = columnTotals(width).fill(0, 0, width)
  for (let row = 0; row < rows; row++) {
    for (let i = 0; i < width; i++) totals[i] += x[row * width + i]
  }
  for (let i = 0; i < width; i++) out[i] += totals[i]
}

export function add(a: Floats, b: Floats, out: Floats, n: number): void {
  for (let i = 0; i < n; i++) out[i] = a[i] + b[i]
}

export function multiply(a: Floats, b: Floats, out: Floats, n: number): void {
  for (let i = 0; i < n; i++) out[i] = a[i] * b[i]
}

/** y += alpha · x. */
export function axpy(alpha: number, x: Floats, y: Floats, n: number): void {
  for (let i = 0; i < n; i++) y[i] += alpha * x[i]
}

/** y += alpha · sign(x); returns Σ |x| and counts the zeros. */
export function addSign(alpha: number, x: Floats, y: Floats, zeros: Int32Array, n: number): number {
  let total = 0
  let count = 0
  for (let i = 0; i < n; i++) {
    total += Math.abs(x[i])
    if (x[i] > 0) y[i] += alpha
    else if (x[i] < 0) y[i] -= alpha
    else if (x[i] === 0) count++
  }
  zeros[0] = count
  return total
}

export function sum(x: Floats, n: number): number {
  let total = 0
  for (let i = 0; i < n; i++) total += x[i]
  return total
}

export function sumOfSquares(x: Floats, n: number): number {
  let total = 0
  for (let i = 0; i < n; i++) total += x[i] * x[i]
  return total
}

/** How many of the first n elements are +0 or −0. */
export function countZeros(x: Floats, n: number): number {
  let zeros = 0
  for (let i = 0; i < n; i++) if (x[i] === 0) zeros++
  return zeros
}
