// The values behind each figure of a study, as rows for its CSV. Several seeds give a row each.

import type { FigureData } from '../../report/page.js'
import { mean } from '../../statistics.js'
import type { Evaluation, RunResult } from '../results.js'

interface SeedOfRun {
  readonly name: string
  readonly seed: number
  readonly evaluations: readonly Evaluation[]
  readonly final: Evaluation
}

function seedsOf(runs: readonly RunResult[]): SeedOfRun[] {
  return runs.flatMap(({ name, perSeed, ...run }) =>
    (perSeed ?? [run]).map(({ seed, evaluations, final }) => ({ name, seed, evaluations, final })),
  )
}

/** Validation losses per seed; training losses, which are means over the seeds, without one. */
export function lossData(runs: readonly RunResult[]): FigureData {
  return {
    columns: ['run', 'seed', 'step', 'kind', 'loss'],
    rows: [
      ...seedsOf(runs).flatMap(({ name, seed, evaluations }) =>
        evaluations.map(({ step, loss }) => [name, seed, step, 'validation', loss]),
      ),
      ...runs.flatMap(({ name, seed, perSeed, curve }) =>
        curve.map(({ step, loss }) => [name, perSeed === undefined ? seed : null, step, 'training', loss]),
      ),
    ],
  }
}

export function sparsityData(runs: readonly RunResult[]): FigureData {
  return {
    columns: ['run', 'seed', 'step', 'sparsity'],
    rows: seedsOf(runs).flatMap(({ name, seed, evaluations }) =>
      evaluations.map(({ step, sparsity }) => [name, seed, step, mean(sparsity)]),
    ),
  }
}

export function layerData(runs: readonly RunResult[]): FigureData {
  return {
    columns: ['run', 'seed', 'step', 'layer', 'sparsity'],
    rows: seedsOf(runs).flatMap(({ name, seed, evaluations }) =>
      evaluations.flatMap(({ step, sparsity }) =>
        sparsity.map((share, layer) => [name, seed, step, layer, share]),
      ),
    ),
  }
}

export function finalData(runs: readonly RunResult[]): FigureData {
  return {
    columns: ['run', 'seed', 'loss', 'perplexity', 'bits_per_byte', 'sparsity', 'tokens'],
    rows: seedsOf(runs).map(({ name, seed, final }) => [
      name,
      seed,
      final.loss,
      final.perplexity,
      final.bitsPerByte,
      mean(final.sparsity),
      final.tokens,
    ]),
  }
}

export function speedData(runs: readonly RunResult[]): FigureData {
  return {
    columns: ['run', 'dtype', 'dense', 'sparse', 'ratio', 'ratio_low', 'ratio_high', 'passes'],
    rows: runs.flatMap(({ name, speed }) =>
      speed.map(({ dtype, dense, sparse, ratio, passes }) => [
        name,
        dtype,
        dense,
        sparse,
        ratio?.median ?? null,
        ratio?.low ?? null,
        ratio?.high ?? null,
        passes,
      ]),
    ),
  }
}
