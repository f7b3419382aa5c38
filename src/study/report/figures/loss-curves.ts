// Loss over training: every run's training loss (thin) and validation loss (marked), the switch of activation ruled.

import type { RunResult } from '../../results.js'
import type { Markup } from '../markup.js'
import { runStyle } from '../palette.js'
import type { FigureOptions, Range } from './figure.js'
import { describeSwitches, runLines } from './run-lines.js'

type Run = Pick<RunResult, 'label' | 'curve' | 'evaluations' | 'switchStep' | 'steps'>

/** `whole`: from the first step. `end`: from a little before the first switch, at least the last 30 %. */
export type LossPart = 'whole' | 'end'

export function lossCurves(runs: readonly Run[], part: LossPart, options: FigureOptions): Markup {
  const steps = stepRange(runs, part)
  return runLines(
    runs.map((run, i) => ({
      label: run.label,
      style: runStyle(i),
      measured: run.evaluations
        .filter(({ step }) => step >= steps[0])
        .map(({ step, loss }) => ({ x: step, y: loss })),
      background: run.curve
        .filter(({ step }) => step >= steps[0])
        .map(({ step, loss }) => ({ x: step, y: loss })),
      switchStep: run.switchStep,
    })),
    {
      ...options,
      ariaLabel: `Training and validation loss over training steps${part === 'end' ? ', last part' : ''}, for ${runs
        .map(run => run.label)
        .join(', ')}`,
      steps,
      range: lossRange(runs, steps),
      yLabel: 'loss (nats per token)',
    },
  )
}

export function lossCaption(runs: readonly Run[], part: LossPart): string {
  const lines =
    'Thin: training loss, the mean of a few steps each. Marked: validation loss on text never trained on.'
  const switches = describeSwitches(runs)
  if (part === 'end') {
    return (
      'The end of training, enlarged. On the way a part of the held-out text is enough; ' +
      'the table is of more of it, so runs this close may change places.'
    )
  }
  return switches === ''
    ? `${lines} The first steps lie above the frame.`
    : `${lines} The first steps lie above the frame. Dashed rule: the activation changes (${switches}); ` +
        'the loss jumps there and falls back within the steps that are left.'
}

/** Steps shown: up to the longest run. */
export function stepRange(runs: readonly Run[], part: LossPart): Range {
  const last = Math.max(1, ...runs.map(run => run.steps))
  if (part === 'whole') return [0, last]
  const switches = runs.flatMap(run => (run.switchStep === null ? [] : [run.switchStep]))
  return [Math.max(0, Math.floor(Math.min(0.7 * last, ...switches.map(step => step - 0.1 * last)))), last]
}

/**
 * Losses shown: from the lowest up to a high quantile, so that the first steps do not flatten the rest, and up to
 * the peak after a switch unless that would take more than twice the room of everything else.
 */
export function lossRange(runs: readonly Run[], [from]: Range): Range {
  const training = runs.flatMap(run => run.curve.filter(({ step }) => step >= from))
  const validation = runs.flatMap(run => run.evaluations.filter(({ step }) => step >= from))
  const all = [...training, ...validation].map(({ loss }) => loss)
  if (all.length === 0) return [0, 1]
  const peaks = runs.flatMap(({ curve, evaluations, switchStep }) =>
    switchStep === null
      ? []
      : [...curve, ...evaluations]
          .filter(({ step }) => step > Math.max(from, switchStep))
          .map(({ loss }) => loss),
  )
  const low = Math.min(...all)
  const usual = quantile(all, from === 0 ? 0.9 : 0.99)
  const high = Math.max(usual, Math.min(Math.max(...peaks, usual), low + 3 * (usual - low)))
  const pad = Math.max((high - low) * 0.06, 0.01)
  return [Math.max(0, low - pad), high + pad]
}

function quantile(values: readonly number[], share: number): number {
  const sorted = values.toSorted((a, b) => a - b)
  return sorted[Math.min(sorted.length - 1, Math.floor(share * sorted.length))]
}
