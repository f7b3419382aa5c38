// A heat map: rows of values from 0 to 1 as the opacity of one color.

import * as Plot from '@observablehq/plot'
import type { Markup } from './markup.js'
import { axisX, cut, draw, type FigureOptions, isWide, plane } from './plot.js'
import { visibleLine } from './visible-text.js'

export interface HeatMapOptions extends FigureOptions {
  readonly ariaLabel: string
  readonly rowLabels: readonly string[]
  readonly xLabel: string
  /** A cell as the pointer shows it. */
  readonly cellText: (row: number, column: number) => string
  /** Height of a row, px. Default 22. */
  readonly rowHeight?: number
  /** Where columns are numbered; default: chosen for the room. */
  readonly xFormat?: (column: number) => string
}

/** values: rows of one length, 0 to 1. The first row stands at the top. */
export function heatMap(values: readonly (readonly number[])[], options: HeatMapOptions): Markup {
  const columns = values[0]?.length ?? 0
  const rowHeight = options.rowHeight ?? 22
  const left = isWide(options) ? 110 : 64
  const area = plane(
    { width: options.width, height: rowHeight * values.length + 16 + 42 },
    { top: 16, right: 14, bottom: 42, left },
    [0, columns],
    [values.length, 0],
  )
  const cells = values.flatMap((row, y) => row.map((value, x) => ({ x, y, value })))
  return draw(options.id, options.ariaLabel, {
    ...area.options,
    marks: [
      Plot.rect(cells, {
        x1: 'x',
        x2: cell => cell.x + 1,
        y1: 'y',
        y2: cell => cell.y + 1,
        fill: 'var(--heat)',
        fillOpacity: cell => Number(Math.max(0, Math.min(1, cell.value)).toFixed(3)),
        title: cell => options.cellText(cell.y, cell.x),
      }),
      Plot.text(options.rowLabels, {
        x: area.atX(left - 8),
        y: (_, i) => i + 0.5,
        text: label => cut(visibleLine(label), left - 12),
        textAnchor: 'end',
        fill: 'var(--ink-soft)',
      }),
      axisX(area, { label: options.xLabel, format: options.xFormat }),
    ],
  })
}
