// What is measured after every epoch, one line per variant.

import type { Markup } from '../../report/markup.js'
import { percent } from '../../report/numbers.js'
import { runStyle } from '../../report/palette.js'
import type { FigureOptions, Range } from '../../report/plot.js'
import { spreadPerEpoch } from '../../statistics.js'
import { type Curve, convergedVariants, type LabResults } from '../results.js'
import { bandLines, settledRange } from './band-lines.js'

interface CurveLook {
  /** File name of the figure. */
  readonly name: string
  readonly title: string
  readonly where: string
  readonly yLabel: string
  readonly share: boolean
}

export const curveLooks: Readonly<Record<Curve, CurveLook>> = {
  trainLoss: {
    name: 'train_loss',
    title: 'Training loss',
    where: 'mean over the batches of each epoch',
    yLabel: 'cross-entropy (nats)',
    share: false,
  },
  validationLoss: {
    name: 'val_loss',
    title: 'Validation loss',
    where: 'after each epoch',
    yLabel: 'cross-entropy (nats)',
    share: false,
  },
  accuracy: {
    name: 'accuracy',
    title: 'Accuracy on the validation set',
    where: 'after each epoch',
    yLabel: 'right answers',
    share: true,
  },
  sparsity: {
    name: 'sparsity',
    title: 'Sparsity on the validation set',
    where: 'all hidden layers, after each epoch',
    yLabel: 'exact zeros among hidden activations',
    share: true,
  },
}

export function curveFigure(results: LabResults, curve: Curve, options: FigureOptions): Markup {
  const { variants, seeds } = results
  const look = curveLooks[curve]
  const lines = variants.map((variant, i) => ({
    label: variant.label,
    style: runStyle(i),
    points: spreadPerEpoch(variant.runs.map(run => run[curve])).map((spread, epoch) => ({
      x: epoch + 1,
      ...spread,
    })),
  }))
  const converged = convergedVariants(results)
  const [low, high] = settledRange(lines.filter((_, i) => converged.includes(variants[i])))
  const y: Range = curve === 'sparsity' ? [0, Math.min(1, Math.max(0.1, high))] : [Math.max(0, low), high]
  return bandLines(lines, {
    ...options,
    title: look.title,
    subtitle: `${look.where}; ${overRuns(seeds.length)}`,
    ariaLabel: `${look.title} over epochs, for ${variants.map(({ label }) => label).join(', ')}`,
    xLabel: 'epoch',
    x: [1, Math.max(1, ...variants.map(({ epochs }) => epochs))],
    yLabel: look.yLabel,
    y: look.share ? [y[0], Math.min(1, y[1])] : y,
    ...(look.share && { yFormat: (share: number) => percent(share, y[1] - y[0] < 0.1 ? 1 : 0) }),
  })
}

/** `mean ± standard deviation over 10 runs`. */
export function overRuns(runs: number): string {
  return runs === 1 ? 'one run' : `mean ± standard deviation over ${runs} runs`
}
