// What a learned gate settled on: the mean weights of ReLU and SiLU over training, and how the weights of all neurons
// and samples are distributed.

import * as Plot from '@observablehq/plot'
import type { Markup } from '../../report/markup.js'
import { fixed } from '../../report/numbers.js'
import { runStyle } from '../../report/palette.js'
import { axisX, axisY, draw, type FigureOptions, isWide, plane, sideBySide } from '../../report/plot.js'
import { visibleLine } from '../../report/visible-text.js'
import { mean, spreadPerEpoch } from '../../statistics.js'
import { GATE_BINS, GATE_QUANTILES } from '../metrics.js'
import type { VariantResult } from '../results.js'
import { type BandLine, bandLines, HEAD, heading } from './band-lines.js'
import { overRuns } from './curves.js'

type Gate = NonNullable<VariantResult['runs'][number]['gate']>

/** Columns of the distribution: more would make the picture large and say no more. */
const MOST_COLUMNS = 50
const TICKS = [0, 0.25, 0.5, 0.75, 1]
const weight = (value: number) => fixed(value, 2)

export function gateFigure(variant: VariantResult, options: FigureOptions): Markup {
  const gates = variant.runs.flatMap(({ gate }) => (gate === undefined ? [] : [gate]))
  const panelWidth = isWide(options) ? Math.floor(options.width / 2) - 8 : options.width
  const drawings = [
    meanWeights(variant, gates, { width: panelWidth, id: `${options.id}-mean` }),
    distribution(variant, gates, { width: panelWidth, id: `${options.id}-spread` }),
  ]
  return sideBySide(drawings, {
    ...options,
    panelWidth,
    ariaLabel: `Gate weights of ${variant.label} over epochs: means, and their distribution`,
  })
}

function meanWeights(variant: VariantResult, gates: readonly Gate[], options: FigureOptions): Markup {
  const relu = spreadPerEpoch(gates.map(gate => gate.mean)).map((spread, epoch) => ({
    x: epoch + 1,
    ...spread,
  }))
  const silu = relu.map(point => ({ ...point, mean: 1 - point.mean }))
  const lines: BandLine[] = [
    { label: 'ReLU', style: runStyle(2), points: relu },
    { label: 'SiLU', style: runStyle(1), points: silu },
  ]
  return bandLines(lines, {
    ...options,
    title: `Gate weights of ${visibleLine(variant.label)}`,
    subtitle: overRuns(gates.length),
    ariaLabel: '',
    xLabel: 'epoch',
    x: [1, Math.max(1, variant.epochs)],
    yLabel: 'mean weight',
    y: [0, 1],
    yTicks: TICKS,
    yFormat: weight,
    namesAtLines: true,
  })
}

function distribution(variant: VariantResult, gates: readonly Gate[], options: FigureOptions): Markup {
  const epochs = Math.max(1, variant.epochs)
  const area = plane(
    { width: options.width, height: 330 },
    { top: HEAD, right: 14, bottom: 42, left: 54 },
    [0.5, epochs + 0.5],
    [0, 1],
  )
  const perColumn = Math.ceil(epochs / MOST_COLUMNS)
  const cells: { x1: number; x2: number; y1: number; y2: number; share: number }[] = []
  for (let first = 0; first < epochs; first += perColumn) {
    const last = Math.min(epochs, first + perColumn)
    for (let bin = 0; bin < GATE_BINS; bin++) {
      const share = mean(
        gates.flatMap(({ histogram }) => histogram.slice(first, last).map(bins => bins[bin])),
      )
      if (share < 0.002) continue
      const [y1, y2] = [bin / GATE_BINS, (bin + 1) / GATE_BINS]
      cells.push({ x1: first + 0.5, x2: last + 0.5, y1, y2, share })
    }
  }
  const quantile = (i: number) =>
    spreadPerEpoch(gates.map(gate => gate.quantiles.map(each => each[i]))).map((spread, epoch) => ({
      x: epoch + 1,
      y: spread.mean,
    }))
  const lines = GATE_QUANTILES.map((share, i) => ({ share, points: quantile(i) }))
  return draw(options.id, '', {
    ...area.options,
    marks: [
      heading(
        area,
        {
          title: 'Their distribution',
          subtitle: 'hidden neurons × validation samples; lines: quantiles 5 to 95 %',
          xLabel: 'epoch',
          yLabel: 'weight of ReLU',
        },
        options.width,
      ),
      axisY(area, { label: '', ticks: TICKS, format: weight }),
      axisX(area, { label: '' }),
      Plot.rect(cells, {
        x1: 'x1',
        x2: 'x2',
        y1: 'y1',
        y2: 'y2',
        fill: 'var(--heat)',
        // Shares differ by orders of magnitude; their square root is seen.
        fillOpacity: d => Math.round(100 * Math.min(1, Math.sqrt(d.share) * 1.2)) / 100,
        insetLeft: 0,
        insetRight: 0,
      }),
      lines.map(({ share, points }) =>
        Plot.line(points, {
          x: 'x',
          y: 'y',
          stroke: 'var(--run-2)',
          strokeWidth: share === 0.5 ? 2 : 1,
          strokeDasharray: share === 0.5 ? undefined : share === 0.25 || share === 0.75 ? '5 3' : '2 3',
        }),
      ),
    ],
  })
}
