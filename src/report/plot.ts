// What all figures share: drawing with Plot on the server, the plane between pixels and data, room for text.

import * as Plot from '@observablehq/plot'
import { parseHTML } from 'linkedom'
import { html, Markup } from './markup.js'
import type { RunStyle } from './palette.js'
import { displayWidth, shorten, visibleLine } from './visible-text.js'

export interface FigureOptions {
  /** Width to draw for, in px; text keeps its size, so a phone and a wide page take a drawing each. */
  readonly width: number
  /** Unique in the page: ids inside the figure start with it. */
  readonly id: string
}

export const TEXT_SIZE = 12
/** Below this width runs are told by a legend, not by labels at their lines. */
const WIDE = 600

export function isWide(options: FigureOptions): boolean {
  return options.width >= WIDE
}

/**
 * Draws with Plot and returns the SVG: an image with a text alternative (without one, silent to screen readers), no
 * style sheet, no script.
 */
export function draw(id: string, ariaLabel: string, options: Plot.PlotOptions): Markup {
  const { document } = parseHTML('<html><body></body></html>')
  const svg = Plot.plot({ ...options, document, className: 'plot' })
  // Plot's own style sheet fixes a white background; the page's style takes its place.
  svg.querySelector('style')?.remove()
  if (ariaLabel === '') {
    svg.setAttribute('aria-hidden', 'true')
  } else {
    svg.setAttribute('role', 'img')
    // linkedom writes attributes as they are, but for quotes; a figure that is a file must be XML.
    svg.setAttribute('aria-label', visibleLine(ariaLabel).replace(/&/g, '&amp;').replace(/</g, '&lt;'))
  }
  svg.setAttribute('font-size', String(TEXT_SIZE))
  // Plot numbers clip paths over the life of the process; the same results shall give the same page.
  for (const [i, clip] of [...svg.querySelectorAll('[id]')].entries()) {
    const old = clip.getAttribute('id')
    for (const user of svg.querySelectorAll('[clip-path]')) {
      if (user.getAttribute('clip-path') === `url(#${old})`)
        user.setAttribute('clip-path', `url(#${id}-${i})`)
    }
    clip.setAttribute('id', `${id}-${i}`)
  }
  return new Markup(svg.outerHTML)
}

export interface Point {
  readonly x: number
  readonly y: number
}

export type Range = readonly [low: number, high: number]

/** A linear plane of given pixels over given data: also places things beside the frame, where scales end. */
export interface Plane {
  readonly left: number
  readonly right: number
  readonly top: number
  readonly bottom: number
  /** Data to pixels. */
  readonly px: (x: number) => number
  readonly py: (y: number) => number
  /** Pixels to data. */
  readonly atX: (px: number) => number
  readonly atY: (py: number) => number
  /** Size, margins and scales for Plot. */
  readonly options: Plot.PlotOptions
}

export function plane(
  size: { width: number; height: number },
  margin: { top: number; right: number; bottom: number; left: number },
  x: Range,
  y: Range,
): Plane {
  const [left, right] = [margin.left, size.width - margin.right]
  const [top, bottom] = [margin.top, size.height - margin.bottom]
  const perX = (right - left) / (x[1] - x[0])
  const perY = (bottom - top) / (y[1] - y[0])
  return {
    left,
    right,
    top,
    bottom,
    px: value => left + (value - x[0]) * perX,
    py: value => bottom - (value - y[0]) * perY,
    atX: px => x[0] + (px - left) / perX,
    atY: py => y[0] + (bottom - py) / perY,
    options: {
      ...size,
      marginTop: margin.top,
      marginRight: margin.right,
      marginBottom: margin.bottom,
      marginLeft: margin.left,
      x: { domain: [...x], axis: null },
      y: { domain: [...y], axis: null },
    },
  }
}

export interface Axis {
  /** What is shown, with its unit. */
  readonly label: string
  readonly format?: (value: number) => string
  /** Chosen for the room there is by default. */
  readonly ticks?: readonly number[]
}

const AXIS = { color: 'var(--ink-soft)', tickSize: 0, labelArrow: 'none' } as const
const GRID = { stroke: 'var(--line)', strokeOpacity: 1 }

/** The axis of a plane's x with its line; `grid` draws light lines at its ticks. */
export function axisX(area: Plane, { label, format, ticks }: Axis, grid = false): Plot.Markish[] {
  const at = ticks?.slice() ?? Math.max(2, Math.floor((area.right - area.left) / 90))
  return [
    grid ? Plot.gridX({ ...GRID, ticks: at }) : [],
    Plot.ruleY([area.atY(area.bottom)], { stroke: 'var(--ink-soft)' }),
    Plot.axisX({ ...AXIS, ticks: at, tickFormat: format, label, labelAnchor: 'right', labelOffset: 34 }),
  ]
}

/** The axis of a plane's y, its label above it. */
export function axisY(area: Plane, { label, format, ticks }: Axis, grid = false): Plot.Markish[] {
  const at = ticks?.slice() ?? 6
  return [
    grid ? Plot.gridY({ ...GRID, ticks: at }) : [],
    Plot.axisY({ ...AXIS, ticks: at, tickFormat: format, label, labelOffset: area.left - 2 }),
  ]
}

/** Class of everything that is drawn of the run at `index`: the legend hides and shows it. */
export function series(index: number): string {
  return `series-${index}`
}

/** A run's marker at given points. */
export function markers(points: readonly Point[], style: RunStyle, r: number, className?: string): Plot.Dot {
  return Plot.dot(points, {
    className,
    x: 'x',
    y: 'y',
    r,
    symbol: style.symbol,
    fill: style.hollow ? 'var(--page)' : style.color,
    stroke: style.hollow ? style.color : 'var(--page)',
    strokeWidth: style.hollow ? 1.5 : 0.75,
  })
}

/** Points that cannot be seen, with a text for the pointer. */
export function hits<T extends Point>(
  points: readonly T[],
  className: string,
  text: (point: T) => string,
): Plot.Dot {
  return Plot.dot(points, {
    className: `${className} hits`,
    x: 'x',
    y: 'y',
    r: 5,
    fill: 'transparent',
    title: text,
  })
}

/** A generous estimate of the width of `text` in px: fonts differ between machines. */
export function textWidth(text: string, size: number = TEXT_SIZE): number {
  return displayWidth(text) * size * 0.56
}

/** `text` on one line, cut to fit `px`. */
export function cut(text: string, px: number, size: number = TEXT_SIZE): string {
  return shorten(visibleLine(text), Math.max(2, Math.floor(px / (size * 0.56))))
}

/**
 * Moves `positions` apart until neighbors keep `gap`, as little as is needed and inside [low, high] where they all
 * fit. Returns them in the order given.
 */
export function spread(positions: readonly number[], gap: number, low: number, high: number): number[] {
  const order = positions.map((_, i) => i).sort((a, b) => positions[a] - positions[b])
  const placed = [...positions]
  let floor = low
  for (const i of order) {
    placed[i] = Math.max(placed[i], floor)
    floor = placed[i] + gap
  }
  let ceiling = high
  for (const i of order.toReversed()) {
    placed[i] = Math.min(placed[i], ceiling)
    ceiling = placed[i] - gap
  }
  return placed
}

export interface SideBySideOptions extends FigureOptions {
  readonly panelWidth: number
  readonly ariaLabel: string
}

/** Several drawings as one: beside each other where there is room, else one below the other. */
export function sideBySide(drawings: readonly Markup[], options: SideBySideOptions): Markup {
  const { width, panelWidth } = options
  const wide = isWide(options)
  const heights = drawings.map(drawing => Number(/\bheight="(\d+)"/.exec(drawing.toString())?.[1] ?? 0))
  const height = wide ? Math.max(...heights) : heights.reduce((sum, each) => sum + each, 0)
  const gap = drawings.length > 1 ? (width - panelWidth * drawings.length) / (drawings.length - 1) : 0
  const placed = drawings.map((drawing, i) => {
    const x = wide ? i * (panelWidth + gap) : 0
    const y = wide ? 0 : heights.slice(0, i).reduce((sum, each) => sum + each, 0)
    return new Markup(drawing.toString().replace('<svg', `<svg x="${x}" y="${y}"`))
  })
  return html`<svg class="plot" role="img" aria-label="${visibleLine(options.ariaLabel)}" width="${width}" height="${height}" viewBox="0 0 ${width} ${height}" font-size="${TEXT_SIZE}">${placed}</svg>`
}
