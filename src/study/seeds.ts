// One run over several seeds as one result: means of what was measured, and every seed's measurements beside it.

import { mean } from '../statistics.js'
import type { DecodeSpeed, Evaluation, RunResult } from './results.js'
import { meanTaskScores } from './tasks.js'

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
    speed: first.speed.map((_, i) => meanSpeed(runs.map(run => run.speed[i]))),
    ...(first.tasks !== undefined && { tasks: meanTaskScores(runs.map(({ tasks = [] }) => tasks)) }),
    trainSeconds: each(run => run.trainSeconds),
    trainTokensPerSecond: each(run => run.trainTokensPerSecond),
    machines: { ...first.machines, training: runs.flatMap(run => run.machines.training) },
    perSeed: runs.map(({ seed, final, evaluations }) => ({ seed, final, evaluations })),
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
    ...(first.deadNeurons !== undefined && {
      deadNeurons: first.deadNeurons.map((_, layer) =>
        Math.round(mean(all.map(one => one.deadNeurons?.[layer] ?? 0))),
      ),
    }),
  }
}

/**
 * The ratio's interval reaches from the lowest to the highest end of the seeds' intervals: each seed is a model of its
 * own, with a sparsity of its own, so theirs do not narrow each other.
 */
function meanSpeed(all: readonly DecodeSpeed[]): DecodeSpeed {
  const ratios = all.flatMap(({ ratio }) => (ratio === null ? [] : [ratio]))
  return {
    ...all[0],
    dense: mean(all.map(({ dense }) => dense)),
    ...(all[0].denseBytes !== undefined && {
      denseBytes: mean(all.map(one => one.denseBytes ?? 0)),
      sparseBytes: ratios.length === 0 ? null : mean(all.map(one => one.sparseBytes ?? 0)),
    }),
    sparse: ratios.length === 0 ? null : mean(all.map(({ sparse }) => sparse ?? 0)),
    ratio:
      ratios.length === 0
        ? null
        : {
            median: mean(ratios.map(ratio => ratio.median)),
            low: Math.min(...ratios.map(({ low }) => low)),
            high: Math.max(...ratios.map(({ high }) => high)),
            confidence: Math.min(...ratios.map(({ confidence }) => confidence)),
          },
  }
}
