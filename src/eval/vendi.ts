// The Vendi score (Friedman and Dieng 2023): the effective number of different texts, exp of the entropy of the eigenvalues
// of their similarities.

import { ngramsOf } from './lexical-diversity.js'

/** Kernel: the mean over these orders of the cosine between counts of n-grams. */
const ORDERS = [1, 2]

/** From 1 (all alike) to the number of texts (nothing in common); 0 of none. */
export function vendiScore(texts: readonly (readonly string[])[]): number {
  const n = texts.length
  if (n === 0) return 0
  const kernel = similarities(texts)
  let entropy = 0
  for (const value of symmetricEigenvalues(kernel.map(row => row.map(x => x / n)))) {
    // Rounding may leave an eigenvalue of 0 just below it.
    if (value > 1e-12) entropy -= value * Math.log(value)
  }
  return Math.exp(entropy)
}

function similarities(texts: readonly (readonly string[])[]): number[][] {
  const kernel = texts.map(() => new Array<number>(texts.length).fill(0))
  for (const order of ORDERS) {
    const counts = texts.map(words => {
      const count = new Map<string, number>()
      for (const ngram of ngramsOf(words, order)) count.set(ngram, (count.get(ngram) ?? 0) + 1)
      return count
    })
    const lengths = counts.map(count => Math.sqrt([...count.values()].reduce((sum, c) => sum + c * c, 0)))
    for (let i = 0; i < texts.length; i++) {
      for (let j = i; j < texts.length; j++) {
        const cosine = cosineOf(counts[i], counts[j], lengths[i] * lengths[j])
        kernel[i][j] += cosine / ORDERS.length
        if (i !== j) kernel[j][i] = kernel[i][j]
      }
    }
  }
  return kernel
}

/** Texts without an n-gram are alike. */
function cosineOf(a: Map<string, number>, b: Map<string, number>, lengths: number): number {
  if (a.size === 0 && b.size === 0) return 1
  if (lengths === 0) return 0
  let dot = 0
  for (const [ngram, count] of a) dot += count * (b.get(ngram) ?? 0)
  return dot / lengths
}

const SWEEPS = 60

/** Eigenvalues of a symmetric matrix, by Jacobi's rotations: each sets one element beside the diagonal to 0. */
export function symmetricEigenvalues(matrix: readonly (readonly number[])[]): number[] {
  const a = matrix.map(row => [...row])
  const n = a.length
  for (let sweep = 0; sweep < SWEEPS; sweep++) {
    let beside = 0
    for (let p = 0; p < n; p++) for (let q = p + 1; q < n; q++) beside += a[p][q] ** 2
    if (beside < 1e-24) break
    for (let p = 0; p < n; p++) {
      for (let q = p + 1; q < n; q++) {
        if (a[p][q] === 0) continue
        const theta = (a[q][q] - a[p][p]) / (2 * a[p][q])
        const t = (theta < 0 ? -1 : 1) / (Math.abs(theta) + Math.sqrt(theta * theta + 1))
        const c = 1 / Math.sqrt(t * t + 1)
        const s = t * c
        for (let k = 0; k < n; k++) {
          const [kp, kq] = [a[k][p], a[k][q]]
          a[k][p] = c * kp - s * kq
          a[k][q] = s * kp + c * kq
        }
        for (let k = 0; k < n; k++) {
          const [pk, qk] = [a[p][k], a[q][k]]
          a[p][k] = c * pk - s * qk
          a[q][k] = s * pk + c * qk
        }
      }
    }
  }
  return a.map((row, i) => row[i])
}
