// Where the variants end: validation loss after the last epoch, a dot per run, a rule at the mean.

import * as Plot from '@observablehq/plot'
import type { Markup } from '../../report/markup.js'
import { fixed } from '../../report/numbers.js'
import { runStyle } from '../../report/palette.js'
import { axisX, cut, draw, type FigureOptions, isWide, plane, series } from '../../report/plot.js'
import { visibleLine } from '../../report/visible-text.js'
import type { Spread } from '../../statistics.js'
import { convergedVariants, finalNumbers, type LabResults } from '../results.js'
import { HEAD, heading, nameWidth } from './band-lines.js'
import { overRuns } from './curves.js'

const ROW = 34

export function finalLossFigure(results: LabResults, options: FigureOptions): Markup {
  const { variants, seeds } = results
  const converged = convergedVariants(results)
  const rows = variants.map((variant, i) => ({
    label: visibleLine(variant.label),
    style: runStyle(i),
    values: variant.runs.map(({ validationLoss }) => validationLoss[validationLoss.length - 1]),
    spread: finalNumbers(variant).validationLoss,
  }))
  const all = rows.flatMap(({ values }, i) => (converged.includes(variants[i]) ? values : []))
  const [low, high] = [Math.min(...all), Math.max(...all)]
  const pad = Math.max((high - low) * 0.08, 0.002)
  const wide = isWide(options)
  const left = Math.min(options.width * 0.4, Math.max(40, ...rows.map(({ label }) => nameWidth(label))) + 16)
  const area = plane(
    { width: options.width, height: HEAD - 18 + ROW * rows.length + 42 },
    { top: HEAD - 18, right: wide ? 100 : 14, bottom: 42, left },
    [low - pad, high + pad],
    [rows.length - 0.5, -0.5],
  )
  return draw(
    options.id,
    `Validation loss after the last epoch, for ${rows.map(({ label }) => label).join(', ')}`,
    {
      ...area.options,
      marks: [
        heading(
          area,
          {
            title: 'Validation loss after the last epoch',
            xLabel: 'cross-entropy (nats)',
            subtitle: wide
              ? `a dot per run; tick and number: ${overRuns(seeds.length)}`
              : 'a dot per run, a tick at their mean',
          },
          options.width,
        ),
        axisX(area, { label: '', format: value => fixed(value, high - low < 0.05 ? 3 : 2) }, true),
        rows.flatMap(({ label, style, values, spread }, i) => [
          Plot.dot(values, {
            x: d => d,
            y: i,
            r: 3.5,
            fill: style.color,
            fillOpacity: 0.45,
            clip: true,
            className: series(i),
            title: d => `${label}: ${fixed(d, 3)}`,
          }),
          Plot.link([0], {
            x1: spread.mean - spread.std,
            x2: spread.mean + spread.std,
            y1: i,
            y2: i,
            stroke: style.color,
            strokeWidth: 1.5,
            clip: true,
          }),
          Plot.link([0], {
            x1: spread.mean,
            x2: spread.mean,
            y1: area.atY(area.py(i) - 9),
            y2: area.atY(area.py(i) + 9),
            stroke: style.color,
            strokeWidth: 2.5,
            clip: true,
          }),
          Plot.text([cut(label, (left - 12) / 1.15)], {
            x: area.atX(left - 8),
            y: i,
            text: d => d,
            textAnchor: 'end',
            fill: style.color,
            fontWeight: 600,
          }),
          Plot.text(wide ? [atEnd(spread, converged.includes(variants[i]))] : [], {
            x: area.atX(area.right + 6),
            y: i,
            text: d => d,
            textAnchor: 'start',
            fill: 'var(--ink-soft)',
            fontSize: 11,
          }),
        ]),
      ],
    },
  )
}

function atEnd({ mean, std }: Spread, converged: boolean): string {
  return converged ? `${fixed(mean, 3)} ± ${fixed(std, 3)}` : 'diverged'
}
