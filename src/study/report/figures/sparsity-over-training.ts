// How the share of zeros grows: the mean over layers at every measurement, one line per run.

import type { RunResult } from '../../results.js'
import type { Markup } from '../markup.js'
import { mean, percent } from '../numbers.js'
import { runStyle } from '../palette.js'
import type { FigureOptions } from './figure.js'
import { describeSwitches, runLines } from './run-lines.js'

type Run = Pick<RunResult, 'label' | 'evaluations' | 'switchStep' | 'steps'>

export function sparsityOverTraining(runs: readonly Run[], options: FigureOptions): Markup {
  return runLines(
    runs.map((run, i) => ({
      label: run.label,
      style: runStyle(i),
      measured: run.evaluations.map(({ step, sparsity }) => ({ x: step, y: mean(sparsity) })),
      background: [],
      switchStep: run.switchStep,
    })),
    {
      ...options,
      ariaLabel: `Sparsity over training steps, mean of the layers, for ${runs.map(run => run.label).join(', ')}`,
      steps: [0, Math.max(1, ...runs.map(run => run.steps))],
      range: [0, 1],
      yLabel: 'zeros among hidden activations',
      yFormat: share => percent(share, 0),
      yTicks: [0, 0.2, 0.4, 0.6, 0.8, 1],
    },
  )
}

export function sparsityCaption(runs: readonly Run[]): string {
  const switches = describeSwitches(runs)
  const what = 'Share of exact zeros in the FFN’s hidden vector on validation text, mean of the layers.'
  return switches === ''
    ? what
    : `${what} A smooth activation has none; after its switch to ReLU (dashed) a run gets at once what its ` +
        'pre-activations allow, and the steps that are left move it further.'
}
