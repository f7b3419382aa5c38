// A measurement of a run as a point of a line, with the lowest and the highest seed where there are several.

import type { SeedPoint } from '../../../report/lines.js'
import type { Evaluation, RunResult } from '../../results.js'

export function seedPoint(
  { perSeed = [] }: Pick<RunResult, 'perSeed'>,
  evaluation: Evaluation,
  measure: (evaluation: Evaluation) => number,
): SeedPoint {
  const point = { x: evaluation.step, y: measure(evaluation) }
  const values = perSeed.flatMap(({ evaluations }) => {
    const same = evaluations.find(({ step }) => step === evaluation.step)
    return same === undefined ? [] : [measure(same)]
  })
  return values.length < 2 ? point : { ...point, low: Math.min(...values), high: Math.max(...values) }
}
