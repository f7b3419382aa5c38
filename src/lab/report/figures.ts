// All figures of one experiment, for the page and as files.

import type { Markup } from '../../report/markup.js'
import type { FigureData } from '../../report/page.js'
import type { FigureOptions } from '../../report/plot.js'
import { GATE_QUANTILES } from '../metrics.js'
import { CURVES, type LabResults, type RunRecord } from '../results.js'
import { curveFigure, curveLooks } from './curves.js'
import { finalLossFigure } from './final-loss.js'
import { gateFigure } from './gates.js'
import { uncertaintyFigure } from './uncertainty.js'

export interface LabFigure {
  /** File name without its ending: `val_loss`. */
  readonly name: string
  readonly caption: string
  /** Whether lines stand for variants, so that a legend helps. */
  readonly byVariant: boolean
  draw(options: FigureOptions): Markup
  /** The values behind it, a row per run or more. */
  readonly data: FigureData
}

const captions = {
  trainLoss:
    'While an epoch goes on the network learns, so its training loss lags behind what it can do at the end.',
  validationLoss:
    'Samples that were never trained on. Stochastic activations are drawn here too, unless told otherwise.',
  accuracy: 'Share of validation samples whose largest logit is that of their class.',
  sparsity:
    'Share of hidden activations that are exactly zero. A smooth activation has none; a drawn one has zeros where ReLU was drawn.',
} as const

export function labFigures(results: LabResults): LabFigure[] {
  const gated = results.variants.filter(({ runs }) => runs.every(({ gate }) => gate !== undefined))
  const uncertainty = results.variants.some(({ runs }) => runs.every(run => run.uncertainty !== undefined))
  return [
    ...CURVES.map(curve => ({
      name: curveLooks[curve].name,
      caption: captions[curve],
      byVariant: true,
      draw: (options: FigureOptions) => curveFigure(results, curve, options),
      data: perRun(results, ['epoch', curveLooks[curve].name], run =>
        run[curve].map((value, i) => [i + 1, value]),
      ),
    })),
    {
      name: 'final_loss',
      caption: 'Runs with the same seed start from the same weights and see the samples in the same order.',
      byVariant: true,
      draw: options => finalLossFigure(results, options),
      data: perRun(results, ['val_loss'], ({ validationLoss }) => [
        [validationLoss[validationLoss.length - 1]],
      ]),
    },
    ...gated.map(variant => ({
      name: `gate_weights_${variant.name}`,
      caption:
        'Left: mean weight of either activation. Right: the darker, the more neurons and samples have this weight of ReLU.',
      byVariant: false,
      draw: (options: FigureOptions) => gateFigure(variant, options),
      data: perRun(
        { variants: [variant] },
        ['epoch', 'mean', ...GATE_QUANTILES.map(share => `quantile_${share}`)],
        ({ gate }) => (gate?.mean ?? []).map((value, i) => [i + 1, value, ...(gate?.quantiles[i] ?? [])]),
      ),
    })),
    ...(uncertainty
      ? [
          {
            name: 'uncertainty',
            caption:
              'Left: how far confidence and accuracy are apart (15 bins). Right: probability that a point far from the data gets a higher entropy than a validation sample. Level lines: activations that draw nothing.',
            byVariant: true,
            draw: (options: FigureOptions) => uncertaintyFigure(results, options),
            data: perRun(results, ['draws', 'calibration_error', 'far_auroc'], ({ uncertainty }) =>
              (uncertainty?.atDraws ?? []).map(at => [at.draws, at.calibrationError, at.farAuroc]),
            ),
          },
        ]
      : []),
  ]
}

/** Rows of every run of every variant: variant, seed, and what `rows` gives for `columns`. */
function perRun(
  { variants }: Pick<LabResults, 'variants'>,
  columns: readonly string[],
  rows: (run: RunRecord) => readonly (readonly number[])[],
): FigureData {
  return {
    columns: ['variant', 'seed', ...columns],
    rows: variants.flatMap(({ name, runs }) =>
      runs.flatMap(run => rows(run).map(values => [name, run.seed, ...values])),
    ),
  }
}
