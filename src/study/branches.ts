// Which runs of a recipe begin alike: the steps that they share are trained once (train/branch.ts).

import { sharedSteps, strategySchema } from '../train/index.js'
import { courseOf, type Recipe, type RunOptions } from './recipe.js'

/** Where a run begins: after `step` steps of an earlier run of the recipe. */
export interface Beginning {
  readonly run: RunOptions
  readonly step: number
}

/**
 * Of every run that shares its first steps with an earlier one: with which it shares the most. Runs with another seed
 * another FFN or a checkpoint to start from share nothing.
 */
export function sharedBeginnings(recipe: Recipe): ReadonlyMap<RunOptions, Beginning> {
  const { steps } = recipe.training
  const beginnings = new Map<RunOptions, Beginning>()
  for (const [index, run] of recipe.runs.entries()) {
    let longest: Beginning | undefined
    for (const earlier of recipe.runs.slice(0, index)) {
      if (!alike(earlier, run, recipe)) continue
      const step = Math.min(steps - 1, sharedSteps(stepsOf(earlier), stepsOf(run), steps))
      if (step > (longest?.step ?? 0)) longest = { run: earlier, step }
    }
    if (longest !== undefined) beginnings.set(run, longest)
  }
  return beginnings
}

/** What decides the steps of a run that starts with new weights. Strategies are complete once their defaults are in. */
function stepsOf(run: RunOptions) {
  const strategy = strategySchema.parse(courseOf(run).strategy)
  return { strategy, ...(run.regularizer && { regularizer: run.regularizer }) }
}

function alike(one: RunOptions, other: RunOptions, { model, training }: Recipe): boolean {
  const starts = [one, other].some(run => courseOf(run).checkpoint !== undefined)
  return (
    !starts &&
    (one.seed ?? training.seed) === (other.seed ?? training.seed) &&
    (one.ffn ?? model.ffn) === (other.ffn ?? model.ffn) &&
    (one.intermediateSize ?? model.intermediateSize) === (other.intermediateSize ?? model.intermediateSize)
  )
}
