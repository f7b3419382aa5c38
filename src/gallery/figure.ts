// The picture of one activation: the function, its slope in the backward pass, and draws where it draws.

import * as Plot from '@observablehq/plot'
import type { Activation } from '../activations/index.js'
import type { Markup } from '../report/markup.js'
import { draw } from '../report/plot.js'
import { curvesOf } from './curves.js'

const AXIS = { color: 'var(--ink-soft)', tickSize: 0, labelArrow: 'none' } as const
const COLORS = { value: 'var(--run-1)', slope: 'var(--run-2)', drawn: 'var(--run-3)' }
const MARGIN = { marginTop: 30, marginRight: 14, marginBottom: 40, marginLeft: 40 }
/** A slope beyond this is a pole or a jump, not something to scale the picture by. */
const STEEPEST = 6

/** For a page (`savePlot` writes it to a file of its own); `width` × 0.62·`width` px. */
export function activationFigure(act: Activation, width = 420): Markup {
  const { x, value, slope, drawn } = curvesOf(act, 161)
  const points = (values: Float64Array) => Array.from(values, (y, i) => ({ x: x[i], y }))
  const curves = [...value, ...drawn.flatMap(d => [...d]), ...slope].filter(Number.isFinite)
  const shown = curves.filter(y => Math.abs(y) <= STEEPEST)
  const [low, high] = [Math.min(-0.5, ...shown), Math.max(1, ...shown)]
  const pad = (high - low) * 0.05
  const key = [
    { name: drawn.length > 0 ? 'mean of f' : 'f', color: COLORS.value },
    { name: drawn.length > 0 ? "mean of f'" : "f' (backward)", color: COLORS.slope },
    ...(drawn.length > 0 ? [{ name: 'draws', color: COLORS.drawn }] : []),
  ]
  const pxToX = (px: number) =>
    x[0] +
    ((px - MARGIN.marginLeft) / (width - MARGIN.marginLeft - MARGIN.marginRight)) * (x[x.length - 1] - x[0])
  return draw(`act-${act.name}`, `${act.spec}: ${act.formula}`, {
    width,
    height: Math.round(width * 0.62),
    ...MARGIN,
    x: { domain: [x[0], x[x.length - 1]], axis: null },
    y: { domain: [low - pad, high + pad], axis: null },
    marks: [
      Plot.gridY({ stroke: 'var(--line)', strokeOpacity: 1, ticks: 5 }),
      Plot.gridX({ stroke: 'var(--line)', strokeOpacity: 1, ticks: 9 }),
      Plot.axisY({ ...AXIS, ticks: 5, label: 'f(x), f′(x)', labelAnchor: 'center' }),
      Plot.axisX({ ...AXIS, ticks: 9, label: 'x, the pre-activation', labelAnchor: 'center' }),
      Plot.ruleY([0], { stroke: 'var(--ink-soft)' }),
      Plot.ruleX([0], { stroke: 'var(--ink-soft)' }),
      drawn.map(values =>
        Plot.dot(thinned(points(values)), { x: 'x', y: 'y', r: 1.6, fill: COLORS.drawn, clip: true }),
      ),
      Plot.line(broken(points(slope)), {
        x: 'x',
        y: 'y',
        stroke: COLORS.slope,
        strokeWidth: 1.5,
        strokeDasharray: '5 3',
        clip: true,
      }),
      Plot.line(broken(points(value)), {
        x: 'x',
        y: 'y',
        stroke: COLORS.value,
        strokeWidth: 2.2,
        clip: true,
      }),
      key.map(({ name, color }, i) =>
        Plot.text([name], {
          x: pxToX(MARGIN.marginLeft + 4 + i * 108),
          frameAnchor: 'top',
          dy: -14,
          text: d => d,
          textAnchor: 'start',
          fill: color,
          fontWeight: 600,
        }),
      ),
    ],
  })
}

interface Point {
  readonly x: number
  readonly y: number
}

function thinned(points: readonly Point[]): Point[] {
  return points.filter((_, i) => i % 3 === 0)
}

/** A gap where the curve jumps, so that a step is not drawn as a slope. */
function broken(points: readonly Point[]): Point[] {
  return points.flatMap((point, i) => {
    const before = points[i - 1]
    const jumps = before !== undefined && Math.abs(point.y - before.y) > 20 * Math.abs(point.x - before.x)
    return jumps ? [{ x: point.x, y: Number.NaN }, point] : [point]
  })
}
