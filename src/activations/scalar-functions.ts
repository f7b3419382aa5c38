// The operations on scalars in double precision: what uniforms are computed with, and what the portable machine
// loops over. JavaScript's Math has most; the normal distribution and its quantile are here.

import type { Operation, UniformOperation } from './expression.js'

const SQRT_HALF = Math.SQRT1_2
const PDF_AT_0 = 1 / Math.sqrt(2 * Math.PI)

/** Chebyshev coefficients in 2t − 1 of eˣ²·erfc(x)/t with t = 2/(2 + x), x ≥ 0; computed in 40 digits. */
const ERFC_SERIES = [
  1.1540674772329393, 0.3554369212704985, 0.06509515882878653, 0.003671142395836639, -0.0011128447433526325,
  -0.0001607582991537808, 3.278031574173137e-5, 5.442441645505016e-6, -1.5154665553171482e-6,
  -1.4297608181169865e-7, 8.234608827419493e-8, -1.2962846852306563e-9, -4.154721631015199e-9,
  6.347058278362811e-10, 1.4320822712256225e-10, -6.160390105204585e-11, 2.0612138554721698e-12,
  3.5714931488477042e-12, -8.586422843251796e-13, -6.14560021379063e-14, 7.418725748596617e-14,
  -1.2895042755032325e-14, -2.358726385710632e-15, 1.5729349381685912e-15, -2.2782966239546465e-16,
  -6.31233045075643e-17, 3.5916763531814925e-17, -5.049809149847729e-18, -1.5324541113154899e-18,
]

/** erfc(x) for x ≥ 0, to about 4·10⁻¹⁶ times 1 + x². */
function erfcPositive(x: number): number {
  const t = 2 / (2 + x)
  const y = 2 * t - 1
  let after = 0
  let last = 0
  for (let j = ERFC_SERIES.length - 1; j > 0; j--) {
    const next = ERFC_SERIES[j] + 2 * y * last - after
    after = last
    last = next
  }
  return t * Math.exp(-x * x) * (ERFC_SERIES[0] / 2 + y * last - after)
}

/** Φ(x), the cumulative distribution of the standard normal. */
export function normalCdf(x: number): number {
  if (Number.isNaN(x)) return x
  return x < 0 ? erfcPositive(-x * SQRT_HALF) / 2 : 1 - erfcPositive(x * SQRT_HALF) / 2
}

/** erf(x): its series near 0, elsewhere 1 − erfc. */
export function erf(x: number): number {
  if (!(Math.abs(x) < 1)) return Number.isNaN(x) ? x : Math.sign(x) * (1 - erfcPositive(Math.abs(x)))
  let [term, sum] = [x, x]
  for (let n = 1; Math.abs(term) > Math.abs(sum) * 2 ** -54; n++) {
    term *= (2 * x * x) / (2 * n + 1)
    sum += term
  }
  return (2 / Math.sqrt(Math.PI)) * Math.exp(-x * x) * sum
}

/** φ(x), its density. */
export function normalPdf(x: number): number {
  return PDF_AT_0 * Math.exp(-0.5 * x * x)
}

/** x with Φ(x) = p: ∓∞ for 0 and 1, NaN outside [0, 1]. Bisection, then Newton's method. */
export function normalQuantile(p: number): number {
  if (!(p >= 0 && p <= 1)) return Number.NaN
  if (p > 0.5) return -normalQuantile(1 - p)
  if (p === 0) return Number.NEGATIVE_INFINITY
  let low = -39
  let high = 0
  while (high - low > 1e-3) {
    const middle = (low + high) / 2
    if (normalCdf(middle) < p) low = middle
    else high = middle
  }
  let x = (low + high) / 2
  for (let i = 0; i < 4; i++) {
    const slope = normalPdf(x)
    if (slope > 0) x -= (normalCdf(x) - p) / slope
  }
  return x
}

/** ln(1 + eˣ) without overflow. */
export function softplus(x: number): number {
  return Math.max(x, 0) + Math.log1p(Math.exp(-Math.abs(x)))
}

export const scalarFunctions: Readonly<
  Record<Operation | UniformOperation, (a: number, b: number, c: number) => number>
> = {
  neg: a => -a,
  abs: Math.abs,
  sign: Math.sign,
  square: a => a * a,
  sqrt: Math.sqrt,
  exp: Math.exp,
  expm1: Math.expm1,
  log: Math.log,
  log1p: Math.log1p,
  softplus,
  sigmoid: a => 1 / (1 + Math.exp(-a)),
  tanh: Math.tanh,
  erf,
  normalCdf,
  normalPdf,
  atan: Math.atan,
  sin: Math.sin,
  cos: Math.cos,
  add: (a, b) => a + b,
  sub: (a, b) => a - b,
  mul: (a, b) => a * b,
  div: (a, b) => a / b,
  min: (a, b) => Math.min(a, b),
  max: (a, b) => Math.max(a, b),
  greater: (a, b) => (a > b ? 1 : 0),
  greaterEqual: (a, b) => (a >= b ? 1 : 0),
  select: (a, b, c) => (a !== 0 ? b : c),
  normalQuantile,
  exp2: a => 2 ** a,
  drawThreshold: a => Math.ceil(a * 2 ** 24) / 2 ** 24,
}
