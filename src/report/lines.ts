// Lines over training steps, one per run: measured values marked, seeds as a band, the switch of activation ruled, names
// at the ends.

import * as Plot from '@observablehq/plot'
import type { Markup } from './markup.js'
import { fixed } from './numbers.js'
import type { RunStyle } from './palette.js'
import {
  axisX,
  axisY,
  cut,
  draw,
  type FigureOptions,
  hits,
  isWide,
  markers,
  type Plane,
  type Point,
  plane,
  type Range,
  series,
  spread,
  TEXT_SIZE,
  textWidth,
} from './plot.js'
import { visibleLine } from './visible-text.js'

export interface SeedPoint extends Point {
  readonly low?: number
  readonly high?: number
}

export interface RunLine {
  readonly label: string
  readonly style: RunStyle
  /** Held-out measurements: the line with markers; where several seeds were trained, the lowest and the highest too. */
  readonly measured: readonly SeedPoint[]
  /** A noisy curve behind it, drawn thin. */
  readonly background: readonly Point[]
  readonly switchStep: number | null
}

export interface RunLinesOptions extends FigureOptions {
  readonly ariaLabel: string
  readonly steps: Range
  readonly range: Range
  readonly yLabel: string
  readonly yFormat?: (value: number) => string
  /** A value as the pointer shows it. */
  readonly valueText: (value: number) => string
  readonly yTicks?: readonly number[]
}

const LONGEST_LABEL = 190
/** More markers than this on one line hide it. */
const MOST_MARKERS = 20

export function runLines(lines: readonly RunLine[], options: RunLinesOptions): Markup {
  const wide = isWide(options)
  const room = wide
    ? Math.min(LONGEST_LABEL, Math.max(60, ...lines.map(line => textWidth(visibleLine(line.label))))) + 28
    : 12
  const switches = switchGroups(lines)
  const area = plane(
    { width: options.width, height: wide ? 400 : 300 },
    { top: 40, right: room, bottom: 42, left: 50 },
    options.steps,
    options.range,
  )
  return draw(options.id, options.ariaLabel, {
    ...area.options,
    marks: [
      axisY(area, { label: options.yLabel, format: options.yFormat, ticks: options.yTicks }, true),
      axisX(area, { label: 'training step' }),
      switches.flatMap((group, row) => switchMarks(group, row, switches.length, area, options)),
      lines.map(({ measured, style }, i) =>
        Plot.areaY(
          measured.filter(({ low }) => low !== undefined),
          {
            x: 'x',
            y1: 'low',
            y2: 'high',
            fill: style.color,
            fillOpacity: 0.13,
            clip: true,
            className: series(i),
          },
        ),
      ),
      lines.map(({ background, style }, i) =>
        Plot.line(background, {
          className: series(i),
          x: 'x',
          y: 'y',
          stroke: style.color,
          strokeWidth: 1,
          strokeOpacity: 0.4,
          clip: true,
        }),
      ),
      lines.flatMap(({ label, measured, style }, i) => [
        Plot.line(measured, {
          className: series(i),
          x: 'x',
          y: 'y',
          stroke: style.color,
          strokeWidth: 2,
          strokeDasharray: style.dash,
          clip: true,
        }),
        markers(thinned(inside(measured, options), MOST_MARKERS), style, 4, series(i)),
        beyond(measured, area, style, series(i)),
        hits(inside(measured, options), series(i), ({ x, y, low, high }) =>
          [
            `${visibleLine(label)}, step ${fixed(x, 0)}: ${options.valueText(y)}`,
            ...(low === undefined || high === undefined
              ? []
              : [`seeds: ${options.valueText(low)} to ${options.valueText(high)}`]),
          ].join('\n'),
        ),
      ]),
      wide
        ? endLabels(
            lines.flatMap(line => {
              const end = line.measured.at(-1) ?? line.background.at(-1)
              return end === undefined ? [] : [{ ...line, end }]
            }),
            area,
            options.width - area.right - 22,
          )
        : [],
    ],
  })
}

interface SwitchGroup {
  readonly step: number
  readonly lines: RunLine[]
}

/** Runs by the step of their switch, first switch first. */
function switchGroups(lines: readonly RunLine[]): SwitchGroup[] {
  const groups = new Map<number, RunLine[]>()
  for (const line of lines) {
    if (line.switchStep === null) continue
    groups.set(line.switchStep, [...(groups.get(line.switchStep) ?? []), line])
  }
  return [...groups].map(([step, lines]) => ({ step, lines })).sort((a, b) => a.step - b.step)
}

/** Which run switches where, for captions: `Swi+FT and StochA at step 720`; empty when none does. */
export function describeSwitches(runs: readonly { label: string; switchStep: number | null }[]): string {
  const groups = switchGroups(runs as readonly RunLine[])
  return groups
    .map(
      ({ step, lines }) =>
        `${lines.map(line => visibleLine(line.label)).join(' and ')} at step ${fixed(step, 0)}`,
    )
    .join('; ')
}

function switchMarks(
  { step, lines }: SwitchGroup,
  row: number,
  groups: number,
  area: Plane,
  options: FigureOptions,
): Plot.Markish[] {
  const at = area.px(step)
  if (at < area.left - 1 || at > area.right + 1) return []
  const color = lines.length === 1 && groups > 1 ? lines[0].style.color : 'var(--ink-soft)'
  const leftwards = at - area.left > (area.right - area.left) * 0.45
  const room = leftwards ? at - area.left : area.right - at
  const names = lines.map(line => visibleLine(line.label)).join(', ')
  const text =
    groups > 3 ? fixed(step, 0) : `switch at ${fixed(step, 0)}${isWide(options) ? `: ${names}` : ''}`
  return [
    Plot.ruleX([step], {
      stroke: color,
      strokeWidth: 1.25,
      strokeDasharray: '5 4',
      ariaLabel: 'switch of activation',
    }),
    Plot.text([cut(text, room - 8)], {
      x: step,
      y: area.atY(area.top + 8 + row * (TEXT_SIZE + 4)),
      text: d => d,
      textAnchor: leftwards ? 'end' : 'start',
      dx: leftwards ? -6 : 6,
      fill: color,
      stroke: 'var(--page)',
      strokeWidth: 4,
    }),
  ]
}

interface EndedLine {
  readonly label: string
  readonly style: RunStyle
  /** Where the line ends, in units of the data. */
  readonly end: Point
}

/** A line's name where it ends, cut to `room` px, moved apart from its neighbors, with a leader to the line. */
export function endLabels(lines: readonly EndedLine[], area: Plane, room: number): Plot.Markish[] {
  const heights = lines.map(({ end }) => Math.min(area.bottom, Math.max(area.top, area.py(end.y))))
  const placed = spread(heights, TEXT_SIZE + 4, area.top, area.bottom)
  return lines.flatMap(({ label, style, end }, i) => [
    Plot.link([0], {
      className: series(i),
      x1: end.x,
      y1: area.atY(heights[i]),
      x2: area.atX(area.right + 18),
      y2: area.atY(placed[i]),
      stroke: style.color,
      strokeOpacity: 0.6,
    }),
    Plot.text([cut(label, room)], {
      className: series(i),
      x: area.atX(area.right + 22),
      y: area.atY(placed[i]),
      text: d => d,
      textAnchor: 'start',
      fill: style.color,
      fontWeight: 600,
    }),
  ])
}

/** The points that lie inside the frame: a marker on its edge stays whole. */
function inside(points: readonly SeedPoint[], { range }: { range: Range }): SeedPoint[] {
  return points.filter(({ y }) => y >= range[0] && y <= range[1])
}

/**
 * Small triangles at the edges of the frame, where it is left for the last time: filled for a line, open for a band whose
 * line stays inside.
 */
function beyond(
  points: readonly SeedPoint[],
  area: Plane,
  style: RunStyle,
  className: string,
): Plot.Markish[] {
  const mark = (leaves: (value: number) => boolean, outer: (point: SeedPoint) => number, down: boolean) => {
    const line = points.findLast(({ y }) => leaves(y))
    const last = line ?? points.findLast(point => leaves(outer(point)))
    if (last === undefined) return []
    return [
      Plot.dot([last], {
        className,
        x: 'x',
        y: area.atY(down ? area.bottom - 4 : area.top + 4),
        symbol: 'triangle',
        rotate: down ? 180 : 0,
        r: 4,
        stroke: style.color,
        fill: line === undefined ? 'none' : style.color,
      }),
    ]
  }
  return [
    ...mark(
      value => area.py(value) < area.top,
      ({ y, high = y }) => high,
      false,
    ),
    ...mark(
      value => area.py(value) > area.bottom,
      ({ y, low = y }) => low,
      true,
    ),
  ]
}

function thinned(points: readonly Point[], most: number): Point[] {
  const stride = Math.max(1, Math.ceil(points.length / most))
  return points.filter((_, i) => (points.length - 1 - i) % stride === 0)
}
