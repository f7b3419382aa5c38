// TEAL's greedy allocation (Liu et al. 2024, algorithm 1): the levels of a layer's matrices are raised one step at a time,
// each time where the output of the layer changes least for the weights that the step saves. The path to a high level
// passes all lower ones, so one search serves every level.

import type { MatrixName } from '../nn/cuts.js'

/** Matrices stay below this level: an input must keep something. */
const HIGHEST = 0.95

export type Levels = Partial<Record<MatrixName, number>>

export interface GreedyStep {
  readonly levels: Levels
  /** Fraction of all weights of the matrices that these levels leave out. */
  readonly saved: number
}

/**
 * The steps up to the first that saves a fraction `highest` of the weights, from all levels 0. sizes: weights of each
 * matrix; step: by how much a level rises; errorOf: the error of the layer's output at given levels.
 */
export function greedyPath(
  sizes: Readonly<Partial<Record<MatrixName, number>>>,
  highest: number,
  step: number,
  errorOf: (levels: Levels) => number,
): GreedyStep[] {
  const matrices = Object.keys(sizes) as MatrixName[]
  const all = matrices.reduce((sum, matrix) => sum + sizeOf(sizes, matrix), 0)
  let levels: Levels = Object.fromEntries(matrices.map(matrix => [matrix, 0]))
  let error = 0
  const path: GreedyStep[] = [{ levels, saved: 0 }]
  const raised = (matrix: MatrixName) => Math.min(HIGHEST, (levels[matrix] ?? 0) + step)
  // What a step would cost was computed at lower levels of the others and has likely grown since: only the cheapest is
  // computed again, and taken if it stays the cheapest.
  const costs = new Map(
    matrices.map(matrix => [matrix, { cost: Number.NEGATIVE_INFINITY, error: 0, at: -1 }]),
  )
  while (path[path.length - 1].saved < highest) {
    const open = matrices.filter(matrix => (levels[matrix] ?? 0) < HIGHEST)
    if (open.length === 0) break
    for (;;) {
      const [best] = open.toSorted((a, b) => (costs.get(a)?.cost ?? 0) - (costs.get(b)?.cost ?? 0))
      const known = costs.get(best)
      if (known?.at === path.length) {
        levels = { ...levels, [best]: raised(best) }
        error = known.error
        costs.set(best, { cost: Number.NEGATIVE_INFINITY, error: 0, at: -1 })
        break
      }
      const next = errorOf({ ...levels, [best]: raised(best) })
      const saves = (raised(best) - (levels[best] ?? 0)) * sizeOf(sizes, best)
      costs.set(best, { cost: (next - error) / saves, error: next, at: path.length })
    }
    const saved =
      matrices.reduce((sum, matrix) => sum + (levels[matrix] ?? 0) * sizeOf(sizes, matrix), 0) / all
    path.push({ levels, saved })
  }
  return path
}

/** The levels at which exactly a fraction `saved` of the weights is left out: between two steps of the path, linearly. */
export function levelsAt(path: readonly GreedyStep[], saved: number): Levels {
  const next = path.findIndex(step => step.saved >= saved)
  if (next < 0) return path[path.length - 1].levels
  if (next === 0) return path[0].levels
  const [before, after] = [path[next - 1], path[next]]
  const between = (saved - before.saved) / (after.saved - before.saved)
  return Object.fromEntries(
    Object.entries(after.levels).map(([matrix, level]) => {
      const from = before.levels[matrix as MatrixName] ?? 0
      return [matrix, from + between * (level - from)]
    }),
  )
}

function sizeOf(sizes: Readonly<Partial<Record<MatrixName, number>>>, matrix: MatrixName): number {
  return sizes[matrix] ?? 0
}
