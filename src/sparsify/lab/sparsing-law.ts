// How the fraction of active neurons changes with the tokens of training: the two laws of Sparsing Law (Luo et al. 2024, arXiv
// 2411.02335) fitted to measured points. Their nonlinear parameters are found on a grid that is refined, the others by least
// squares; intervals come from fits to resampled residuals.

import { Purpose, RandomStream } from '../../kernels/philox.js'
import { quantilesOfSorted } from '../../statistics.js'

export interface ActivationPoint {
  /** Tokens that the model was trained on. */
  readonly tokens: number
  /** Fraction of its neurons that are active, in [0, 1]. */
  readonly active: number
}

/**
 * `decreasing`: A(D) = exp(−c · D^α + b) + A₀, found for ReLU; `increasing`: A(D) = A₀ − c / D^α, found for SiLU. D is in tokens
 * over those of the last point, so that c, b and A₀ are of about the size of fractions.
 */
export type LawName = 'decreasing' | 'increasing'

export interface LawFit {
  readonly law: LawName
  /** The limit A₀, α and c; of `decreasing` also b. */
  readonly parameters: Readonly<Record<string, number>>
  /** 95 % intervals of the parameters. */
  readonly intervals: Readonly<Record<string, readonly [low: number, high: number]>>
  /** Root of the mean squared difference from the points. */
  readonly error: number
}

/** Fewer points than parameters and one more say nothing about the error. */
export const LEAST_POINTS = 6
const RESAMPLES = 200
/** Values of a nonlinear parameter on a grid, and how often that is made finer around the best. */
const [GRID, FINER] = [24, 4]

/** b of points that do not fall: e^b is nothing. */
const NO_FALL = -50

interface Curve {
  readonly parameters: Record<string, number>
  readonly error: number
  readonly at: (x: number) => number
}

/** Both laws, fitted to at least LEAST_POINTS points. */
export function fitLaws(points: readonly ActivationPoint[]): LawFit[] {
  const last = Math.max(...points.map(({ tokens }) => tokens))
  const x = points.map(({ tokens }) => tokens / last)
  const y = points.map(({ active }) => active)
  return (['decreasing', 'increasing'] as const).map(law => {
    const { parameters, error, at } = FITS[law](x, y)
    const residuals = x.map((value, i) => y[i] - at(value))
    const random = new RandomStream({ seed: 1, purpose: Purpose.data, stream: 0 })
    const resampled = Array.from({ length: RESAMPLES }, () => {
      const drawn = x.map(value => at(value) + residuals[random.below(residuals.length)])
      return FITS[law](x, drawn).parameters
    })
    const intervals = Object.fromEntries(
      Object.keys(parameters).map(name => {
        const sorted = resampled.map(own => own[name]).sort((a, b) => a - b)
        const [low, high] = quantilesOfSorted(sorted, [0.025, 0.975])
        return [name, [low, high] as const]
      }),
    )
    return { law, parameters, intervals, error }
  })
}

/** The law of a fit at `tokens`, `last` being those of the last point fitted. */
export function lawAt({ law, parameters }: LawFit, tokens: number, last: number): number {
  const { limit, alpha, c, b = 0 } = parameters
  const x = tokens / last
  return law === 'decreasing' ? Math.exp(-c * x ** alpha + b) + limit : limit - c / x ** alpha
}

const FITS: Readonly<Record<LawName, (x: readonly number[], y: readonly number[]) => Curve>> = {
  decreasing(x, y) {
    const solved = (alpha: number, c: number) => {
      const { slope, level, error } = line(
        x.map(value => Math.exp(-c * value ** alpha)),
        y,
      )
      // b = ln(slope): the law falls.
      return slope > 0 ? { limit: level, alpha, c, b: Math.log(slope), error } : null
    }
    const best = search(
      ([alpha, c]) => solved(alpha, c),
      [
        [0.05, 4],
        [0.05, 50],
      ],
    )
    const { error, ...parameters } = best ?? {
      limit: mean(y),
      alpha: 1,
      c: 1,
      b: NO_FALL,
      error: spread(y),
    }
    const { limit, alpha, c, b } = parameters
    return { parameters, error, at: value => Math.exp(-c * value ** alpha + b) + limit }
  },
  increasing(x, y) {
    const solved = (alpha: number) => {
      const { slope, level, error } = line(
        x.map(value => value ** -alpha),
        y,
      )
      return { limit: level, alpha, c: -slope, error }
    }
    const best = search(([alpha]) => solved(alpha), [[0.02, 4]])
    const { error, ...parameters } = best ?? { limit: mean(y), alpha: 1, c: 0, error: spread(y) }
    const { limit, alpha, c } = parameters
    return { parameters, error, at: value => limit - c / value ** alpha }
  },
}

/** The least error over a logarithmic grid of one or two parameters, which is made finer around the best of it. */
function search<Fit extends { readonly error: number }>(
  solve: (parameters: number[]) => Fit | null,
  ranges: readonly (readonly [low: number, high: number])[],
): Fit | null {
  let best: { readonly found: Fit; readonly at: number[] } | null = null
  let current = ranges.map(([low, high]) => [Math.log(low), Math.log(high)])
  for (let round = 0; round < FINER; round++) {
    const values = current.map(([low, high]) =>
      Array.from({ length: GRID }, (_, i) => low + ((high - low) * i) / (GRID - 1)),
    )
    const [first, second = [0]] = values
    for (const one of first) {
      for (const other of second) {
        const at = [one, other].slice(0, ranges.length)
        const found = solve(at.map(Math.exp))
        if (found !== null && found.error < (best?.found.error ?? Number.POSITIVE_INFINITY))
          best = { found, at }
      }
    }
    if (best === null) return null
    const { at } = best
    current = current.map(([low, high], i) => {
      const half = (1.5 * (high - low)) / (GRID - 1)
      return [Math.max(Math.log(ranges[i][0]), at[i] - half), Math.min(Math.log(ranges[i][1]), at[i] + half)]
    })
  }
  return best?.found ?? null
}

/** y ≈ slope · u + level by least squares, and the root of the mean squared difference. */
function line(u: readonly number[], y: readonly number[]) {
  const [meanU, meanY] = [mean(u), mean(y)]
  let [covariance, variance] = [0, 0]
  for (const [i, value] of u.entries()) {
    covariance += (value - meanU) * (y[i] - meanY)
    variance += (value - meanU) ** 2
  }
  const slope = variance > 0 ? covariance / variance : 0
  const level = meanY - slope * meanU
  return { slope, level, error: Math.sqrt(mean(u.map((value, i) => (y[i] - slope * value - level) ** 2))) }
}

function spread(y: readonly number[]): number {
  return line(
    y.map(() => 0),
    y,
  ).error
}

function mean(values: readonly number[]): number {
  return values.reduce((sum, value) => sum + value, 0) / values.length
}
