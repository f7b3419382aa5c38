// Lines of measured points over any quantity, one per series, names at their ends.

import * as Plot from '@observablehq/plot'
import { endLabels } from './lines.js'
import type { Markup } from './markup.js'
import { runStyle } from './palette.js'
import {
  type Axis,
  axisX,
  axisY,
  draw,
  type FigureOptions,
  hits,
  isWide,
  markers,
  type Point,
  plane,
  type Range,
  series,
  textWidth,
} from './plot.js'
import { visibleLine } from './visible-text.js'

export interface Curve {
  readonly label: string
  /** In the order of x. */
  readonly points: readonly Point[]
}

export interface CurvesOptions extends FigureOptions {
  readonly ariaLabel: string
  readonly x: Axis & { readonly range: Range }
  readonly y: Axis & { readonly range: Range }
  /** A point as the pointer shows it, after the name of its curve. */
  readonly pointText: (point: Point) => string
}

/** The curves in the order of their styles; what lies above the range is cut at the frame. */
export function drawCurves(curves: readonly Curve[], options: CurvesOptions): Markup {
  const wide = isWide(options)
  const names = curves.map(({ label }) => visibleLine(label))
  const area = plane(
    { width: options.width, height: wide ? 380 : 300 },
    {
      top: 40,
      right: wide ? Math.max(60, ...names.map(name => textWidth(name))) + 28 : 14,
      bottom: 42,
      left: 54,
    },
    options.x.range,
    options.y.range,
  )
  const inside = (points: readonly Point[]) =>
    points.filter(({ y }) => y >= options.y.range[0] && y <= options.y.range[1])
  return draw(options.id, options.ariaLabel, {
    ...area.options,
    marks: [
      axisY(area, options.y, true),
      axisX(area, options.x),
      curves.flatMap(({ points }, i) => {
        const style = runStyle(i)
        return [
          Plot.line(points, {
            className: series(i),
            x: 'x',
            y: 'y',
            stroke: style.color,
            strokeWidth: 2,
            strokeDasharray: style.dash,
            clip: true,
          }),
          markers(inside(points), style, 4, series(i)),
          hits(inside(points), series(i), point => `${names[i]}: ${options.pointText(point)}`),
        ]
      }),
      wide
        ? endLabels(
            curves.flatMap(({ label, points }, i) => {
              const end = inside(points).at(-1)
              return end === undefined ? [] : [{ label, style: runStyle(i), end }]
            }),
            area,
            options.width - area.right - 22,
          )
        : [],
    ],
  })
}
