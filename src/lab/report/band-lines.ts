// Lines with bands: the mean over runs, and one standard deviation to each side; names at the ends of the lines.

import * as Plot from '@observablehq/plot'
import { endLabels } from '../../report/lines.js'
import type { Markup } from '../../report/markup.js'
import { fixed } from '../../report/numbers.js'
import type { RunStyle } from '../../report/palette.js'
import {
  axisX,
  axisY,
  cut,
  draw,
  type FigureOptions,
  hits,
  isWide,
  type Plane,
  plane,
  type Range,
  series,
  TEXT_SIZE,
  textWidth,
} from '../../report/plot.js'
import { visibleLine } from '../../report/visible-text.js'

export interface BandPoint {
  readonly x: number
  readonly mean: number
  readonly std: number
}

export interface BandLine {
  readonly label: string
  readonly style: RunStyle
  readonly points: readonly BandPoint[]
}

export interface BandLinesOptions extends FigureOptions, Heading {
  readonly ariaLabel: string
  readonly x: Range
  readonly xTicks?: readonly number[]
  /** Drawn over the logarithm of x; ticks are at `xTicks`. */
  readonly logX?: boolean
  readonly y: Range
  readonly yFormat?: (value: number) => string
  readonly yTicks?: readonly number[]
  /** By default where there is room; else a legend must tell the lines. */
  readonly namesAtLines?: boolean
}

const LONGEST_LABEL = 190
const TITLE_SIZE = 15
/** Room above the plane: title, subtitle, the label of y. */
export const HEAD = 76

export interface Heading {
  readonly title: string
  readonly subtitle: string
  /** What the axes show, with units. */
  readonly xLabel: string
  readonly yLabel?: string
}

/** Title, subtitle and the vertical axis's label above a plane, the horizontal one's below. */
export function heading(
  area: Plane,
  { title, subtitle, xLabel, yLabel = '' }: Heading,
  width: number,
): Plot.Markish[] {
  const line = (text: string, py: number, size: number, fill: string, fontWeight: number) =>
    Plot.text([cut(text, width - 8, size)], {
      x: area.atX(4),
      y: area.atY(py),
      text: d => d,
      textAnchor: 'start',
      fontSize: size,
      fontWeight,
      fill,
    })
  return [
    line(title, 12, TITLE_SIZE, 'var(--ink)', 600),
    line(subtitle, 31, TEXT_SIZE, 'var(--ink-soft)', 400),
    line(yLabel, area.top - 16, TEXT_SIZE, 'var(--ink-soft)', 400),
    Plot.text([xLabel], {
      x: area.atX(area.right),
      y: area.atY(area.bottom + 34),
      text: d => d,
      textAnchor: 'end',
      fill: 'var(--ink-soft)',
    }),
  ]
}

export function bandLines(lines: readonly BandLine[], options: BandLinesOptions): Markup {
  const named = options.namesAtLines ?? isWide(options)
  const room = named
    ? Math.min(LONGEST_LABEL, Math.max(24, ...lines.map(line => nameWidth(line.label)))) + 28
    : 14
  const at = options.logX === true ? Math.log10 : (x: number) => x
  const [from, to] = options.x
  const area = plane(
    { width: options.width, height: isWide(options) ? 420 : 330 },
    { top: HEAD, right: room, bottom: 42, left: 54 },
    // A single epoch still needs a width.
    from === to ? [at(from) - 0.5, at(to) + 0.5] : [at(from), at(to)],
    options.y,
  )
  return draw(options.id, options.ariaLabel, {
    ...area.options,
    marks: [
      heading(area, options, options.width),
      axisY(area, { label: '', format: options.yFormat, ticks: options.yTicks }, true),
      axisX(area, {
        label: '',
        ticks: options.xTicks?.map(at),
        format: options.logX === true ? value => String(Math.round(10 ** value)) : undefined,
      }),
      bands(lines, at),
      lines.map(({ label, points }, i) =>
        hits(
          thinned(points).map(point => ({ ...point, data: point, x: at(point.x), y: point.mean })),
          series(i),
          ({ data }) => describePoint(label, data, options),
        ),
      ),
      named
        ? endLabels(
            lines.flatMap(({ label, style, points }) => {
              const end = points.at(-1)
              return end === undefined ? [] : [{ label, style, end: { x: at(end.x), y: end.mean } }]
            }),
            area,
            (options.width - area.right - 22) / 1.1,
          )
        : [],
    ],
  })
}

/** Points for the pointer: more than a page can be wide are of no use. */
const MOST_HITS = 60

function thinned(points: readonly BandPoint[]): BandPoint[] {
  const stride = Math.max(1, Math.ceil(points.length / MOST_HITS))
  return points.filter((_, i) => (points.length - 1 - i) % stride === 0)
}

function describePoint(label: string, { x, mean, std }: BandPoint, options: BandLinesOptions): string {
  const text = options.yFormat ?? ((value: number) => fixed(value, 3))
  const spread = std === 0 ? '' : ` ± ${text(std)}`
  return `${visibleLine(label)}, ${options.xLabel} ${x}: ${text(mean)}${spread}`
}

/** Bands below, lines above them all. */
export function bands(lines: readonly BandLine[], at: (x: number) => number = x => x): Plot.Markish[] {
  return [
    ...lines.map(({ points, style }, i) =>
      Plot.areaY(points, {
        className: series(i),
        x: d => at(d.x),
        y1: d => d.mean - d.std,
        y2: d => d.mean + d.std,
        fill: style.color,
        fillOpacity: 0.13,
        clip: true,
      }),
    ),
    ...lines.map(({ points, style }, i) =>
      Plot.line(points, {
        className: series(i),
        x: d => at(d.x),
        y: 'mean',
        stroke: style.color,
        strokeWidth: 2,
        strokeDasharray: style.dash,
        clip: true,
      }),
    ),
  ]
}

/** Names are bold, and fonts of files wider than those of pages. */
export function nameWidth(label: string): number {
  return textWidth(visibleLine(label)) * 1.22
}

/** All of `lines` with their bands after the first tenth, which shall not flatten the rest; a little room around. */
export function settledRange(lines: readonly Pick<BandLine, 'points'>[]): Range {
  const settled = lines.flatMap(({ points }) => points.slice(Math.floor(points.length / 10)))
  return roomAround(settled.flatMap(({ mean, std }) => [mean - std, mean + std]))
}

/** From the lowest to the highest, with a little room. */
export function roomAround(values: readonly number[]): Range {
  const finite = values.filter(Number.isFinite)
  if (finite.length === 0) return [0, 1]
  const [low, high] = [Math.min(...finite), Math.max(...finite)]
  const pad = Math.max((high - low) * 0.06, Math.abs(high) * 0.01, 1e-4)
  return [low - pad, high + pad]
}
