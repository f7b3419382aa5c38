// What StochA is worth beside another way of drawing: the difference in diversity at the same quality. The other way's dial
// gives a curve of diversity over likelihood; StochA's point is held against the curve at its own likelihood.

import { PythonRandom } from '../eval/python-random.js'
import { mean, quantilesOfSorted } from '../statistics.js'
import type { Measure } from './measures.js'

/** Values of one way, one for each prompt, in the same order for all ways. */
export type PromptValues = Readonly<Partial<Record<Measure, readonly number[]>>>

export interface ComparedWay {
  readonly label: string
  readonly family: string
  readonly perPrompt: PromptValues
}

export interface SameQuality {
  /** The way with StochA, and the family it is held against. */
  readonly way: string
  readonly family: string
  readonly measure: Measure
  /** Mean log-likelihood per token at which both are compared, nats. */
  readonly likelihood: number
  /** StochA minus the other way; null where its likelihood is outside the curve's. */
  readonly difference: number | null
  /** 95 %, from resampled prompts; null with the difference, or where most resamplings fall outside the curve. */
  readonly interval: { readonly low: number; readonly high: number } | null
}

const RESAMPLINGS = 1000
const SEED = 1234
/** Resamplings that must have a value for an interval. */
const LEAST_VALID = 0.9

/** Every way with StochA against every family without it that has two ways or more. */
export function compareAtSameQuality(
  ways: readonly ComparedWay[],
  measures: readonly Measure[],
): SameQuality[] {
  const drawn = ways.filter(({ family }) => family.startsWith('StochA'))
  const others = [...new Set(ways.filter(way => !drawn.includes(way)).map(({ family }) => family))]
  return drawn.flatMap(way =>
    others.flatMap(family => {
      const curve = ways.filter(other => other.family === family)
      return curve.length < 2 ? [] : measures.map(measure => compareOne(way, curve, measure))
    }),
  )
}

function compareOne(way: ComparedWay, curve: readonly ComparedWay[], measure: Measure): SameQuality {
  const prompts = way.perPrompt.likelihood?.length ?? 0
  const all = Array.from({ length: prompts }, (_, i) => i)
  const random = new PythonRandom(SEED)
  const resampled = Array.from({ length: RESAMPLINGS }, () => {
    return differenceOf(
      way,
      curve,
      measure,
      all.map(() => random.below(prompts)),
    )
  })
  const valid = resampled.filter(value => value !== null).sort((a, b) => a - b)
  const difference = differenceOf(way, curve, measure, all)
  const [low, high] = quantilesOfSorted(valid, [0.025, 0.975])
  const enough = difference !== null && prompts > 1 && valid.length >= LEAST_VALID * RESAMPLINGS
  return {
    ...{ way: way.label, family: curve[0].family, measure, difference },
    likelihood: meanOver(way, 'likelihood', all),
    interval: enough ? { low, high } : null,
  }
}

/** On the prompts of these indices. */
function differenceOf(
  way: ComparedWay,
  curve: readonly ComparedWay[],
  measure: Measure,
  prompts: readonly number[],
): number | null {
  const points = curve.map(other => ({
    x: meanOver(other, 'likelihood', prompts),
    y: meanOver(other, measure, prompts),
  }))
  const at = interpolated(points, meanOver(way, 'likelihood', prompts))
  return at === null ? null : meanOver(way, measure, prompts) - at
}

function meanOver({ perPrompt }: ComparedWay, measure: Measure, prompts: readonly number[]): number {
  const values = perPrompt[measure] ?? []
  return mean(prompts.map(i => values[i]))
}

/** y at x on the line through the points in order of x; null outside them. */
export function interpolated(points: readonly { x: number; y: number }[], x: number): number | null {
  const sorted = points.toSorted((a, b) => a.x - b.x)
  for (let i = 1; i < sorted.length; i++) {
    const [a, b] = [sorted[i - 1], sorted[i]]
    if (x < a.x || x > b.x) continue
    return a.x === b.x ? (a.y + b.y) / 2 : a.y + ((x - a.x) / (b.x - a.x)) * (b.y - a.y)
  }
  return null
}
