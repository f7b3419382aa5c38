// From runs to the lines of a chart.

import type { Column, Run } from './runs.js'
import type { View } from './view.js'

export interface Line {
  readonly run: Run
  readonly label: string
  readonly xs: ArrayLike<number>
  readonly ys: ArrayLike<number>
  /** Measurements: few points, joined by a dashed line. */
  readonly measured: boolean
}

const known = new WeakMap<Run['columns'], { x: View['x']; xs: Float64Array }>()

/** Where each step of a run lies on the x axis; the same array for all its lines. */
function positions({ columns, tokensPerStep }: Run, x: View['x']): Float64Array {
  const steps = columns.step.values
  const before = known.get(columns)
  if (before !== undefined && before.x === x && before.xs.length === steps.length) return before.xs
  const xs = new Float64Array(steps)
  if (x === 'tokens') for (let i = 0; i < xs.length; i++) xs[i] *= tokensPerStep ?? 1
  if (x === 'seconds') {
    const seconds = columns.seconds.values
    let sum = 0
    for (let i = 0; i < xs.length; i++) {
      sum += seconds[i]
      xs[i] = sum
    }
  }
  known.set(columns, { x, xs })
  return xs
}

/** A column of every step, smoothed. */
export function stepLine(run: Run, column: Column, view: View, value = (x: number, _: Run) => x): Line {
  const ys = run.columns[column].values
  const xs = positions(run, view.x)
  const smooth = new Float64Array(ys.length)
  // The mean over what there is so far, so that the beginning is not pulled towards 0.
  let [mean, weight] = [0, 0]
  for (let i = 0; i < ys.length; i++) {
    const next = value(ys[i], run)
    if (Number.isFinite(next)) {
      mean = view.smoothing * mean + (1 - view.smoothing) * next
      weight = view.smoothing * weight + (1 - view.smoothing)
    }
    smooth[i] = weight === 0 ? Number.NaN : mean / weight
  }
  return { run, label: run.name, xs, ys: smooth, measured: false }
}

/** A value of every measurement. */
export function evaluationLine(
  run: Run,
  label: string,
  view: View,
  value: (e: Run['evaluations'][number]) => number,
): Line {
  const at = stepPositions(run, view)
  return {
    run,
    label,
    xs: run.evaluations.map(({ step }) => at(step)),
    ys: run.evaluations.map(value),
    measured: true,
  }
}

/** Where a step lies on the x axis. */
export function stepPositions(run: Run, view: View): (step: number) => number {
  if (view.x === 'step') return step => step
  if (view.x === 'tokens') return step => step * (run.tokensPerStep ?? 1)
  const at = positions(run, 'seconds')
  const steps = run.columns.step.values
  return step => {
    // Steps are consecutive but for those that a log lost.
    let index = Math.min(steps.length - 1, Math.max(0, Math.round(step - (steps[0] ?? 1))))
    while (index > 0 && steps[index] > step) index--
    return step === 0 || steps.length === 0 ? 0 : at[index]
  }
}

/** Lines over one x axis, as uPlot wants them. */
export function joined(lines: readonly Line[]): {
  xs: ArrayLike<number>
  ys: (number | null | undefined)[][]
} {
  let xs: ArrayLike<number> = []
  // Longest first: the others are mostly parts of it.
  for (const line of lines.toSorted((a, b) => b.xs.length - a.xs.length)) xs = union(xs, line.xs)
  const ys = lines.map(line => {
    const column: (number | null | undefined)[] = new Array(xs.length).fill(undefined)
    for (let i = 0, at = 0; i < line.xs.length; i++) {
      while (xs[at] < line.xs[i]) at++
      const y = line.ys[i]
      column[at] = Number.isFinite(y) ? y : null
    }
    return column
  })
  return { xs, ys }
}

/** Values of both, ascending; `a` itself where it has all of `b`. */
function union(a: ArrayLike<number>, b: ArrayLike<number>): ArrayLike<number> {
  if (a === b) return a
  let missing = 0
  for (let i = 0, at = 0; i < b.length; i++) {
    while (at < a.length && a[at] < b[i]) at++
    if (a[at] !== b[i]) missing++
  }
  if (missing === 0) return a
  const all = new Float64Array(a.length + missing)
  for (let i = 0, at = 0, to = 0; to < all.length; to++) {
    const next = Math.min(a[at] ?? Number.POSITIVE_INFINITY, b[i] ?? Number.POSITIVE_INFINITY)
    all[to] = next
    if (a[at] === next) at++
    while (b[i] === next) i++
  }
  return all
}
