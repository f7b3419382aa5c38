// One run over several seeds as one result: means of what was measured, and every seed's final measurement beside it.

import { mean } from '../statistics.js'
import type { DecodeSpeed, Evaluation, RunResult } from './results.js'

/**
 * The results of one run, trained once per seed, as one: losses, sparsities and rates are means over the seeds, the
 * samples those of the first. They must agree in steps and weight types, as seeds of one recipe do.
 */
export function mergeSeeds(runs: readonly RunResult[]): RunResult {
  const [first] = runs
  if (runs.length === 1) return first
  const each = (measure: (run: RunResult) => number) => mean(runs.map(measure))
  const evaluations = (at: (run: RunResult) => Evaluation) => meanEvaluation(runs.map(at))
  return {
    ...first,
    curve: first.curve.map(({ step }, i) => ({ step, loss: each(run => run.curve[i].loss) })),
    evaluations: first.evaluations.map((_, i) => evaluations(run => run.evaluations[i])),
    final: evaluations(run => run.final),
    speed: first.speed.map(
      ({ dtype }, i): DecodeSpeed => ({
        dtype,
        dense: each(run => run.speed[i].dense),
        sparse: first.speed[i].sparse === null ? null : each(run => run.speed[i].sparse ?? 0),
      }),
    ),
    trainSeconds: each(run => run.trainSeconds),
    trainTokensPerSecond: each(run => run.trainTokensPerSecond),
    perSeed: runs.map(({ seed, final }) => ({ seed, final })),
  }
}

/** Perplexity is that of the mean loss: the geometric mean over the seeds. */
function meanEvaluation(all: readonly Evaluation[]): Evaluation {
  const [first] = all
  const loss = mean(all.map(one => one.loss))
  return {
    ...first,
    loss,
    perplexity: Math.exp(loss),
    bitsPerByte: mean(all.map(one => one.bitsPerByte)),
    sparsity: first.sparsity.map((_, layer) => mean(all.map(one => one.sparsity[layer]))),
  }
}
