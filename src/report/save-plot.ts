// Figures as files of their own: SVG, and PNG by resvg with the fonts of `dejavu-fonts-ttf`, so that a machine without
// any font letters them like every other.

import { createRequire } from 'node:module'
import path from 'node:path'
import { Resvg } from '@resvg/resvg-js'
import { OptionError } from '../errors.js'
import { writeFileAtomic } from '../formats/atomic.js'
import type { Markup } from './markup.js'
import { PAGE_COLORS, RUN_COLORS } from './palette.js'

/** Pixels of a PNG per px of the drawing. */
const PNG_ZOOM = 2
const FONT_FAMILY = 'DejaVu Sans'
const FONT_FILES = [
  'DejaVuSans',
  'DejaVuSans-Bold',
  'DejaVuSans-Oblique',
  'DejaVuSans-BoldOblique',
  'DejaVuSansMono',
]

export type PlotFormat = 'svg' | 'png'

/** The format that the ending of `file` names. Throws OptionError. */
export function plotFormat(file: string): PlotFormat {
  const ending = path.extname(file).slice(1).toLowerCase()
  if (ending === 'svg' || ending === 'png') return ending
  throw new OptionError(
    'PLOT_FORMAT',
    `${file}: a plot is written as .svg or .png; end the name with one of these`,
  )
}

/**
 * Writes one figure to `file`, as SVG or PNG by its ending. `svg` is a drawing for a page (`draw` of figures/figure.ts):
 * it is given a page, the light colors and a font of its own. Throws OptionError for another ending, StorageError.
 */
export function savePlot(svg: Markup | string, file: string): void {
  const format = plotFormat(file)
  const drawing = standaloneSvg(svg)
  writeFileAtomic(file, format === 'svg' ? `${withDarkScheme(drawing)}\n` : rasterize(drawing))
}

/** A drawing that needs no page around it: namespace, background, font, and colors instead of the page's variables. */
export function standaloneSvg(svg: Markup | string): string {
  const text = String(svg)
  const start = /^\s*<svg\b((?:[^>"]|"[^"]*")*)>/.exec(text)
  if (start === null) throw new TypeError('a drawing must start with <svg>')
  // The description holds names and formulas, and XML is stricter than HTML about what stands in an attribute.
  let attributes = start[1].replaceAll('<', '&lt;')
  if (!/\bxmlns=/.test(attributes)) attributes += ' xmlns="http://www.w3.org/2000/svg"'
  if (!/\bfont-family=/.test(attributes)) attributes += ` font-family="${FONT_FAMILY}, system-ui, sans-serif"`
  const background = `<rect width="100%" height="100%" fill="${PAGE_COLORS.light.page}"/>`
  return withColors(shortNumbers(`<svg${attributes}>${background}${text.slice(start[0].length)}`))
}

/** Positions and sizes to a hundredth of a px: files of half the size, and nobody sees it. */
function shortNumbers(svg: string): string {
  return svg.replace(/ (?:d|x|y|x1|x2|y1|y2|cx|cy|r|width|height|transform)="[^"]*"/g, attribute =>
    attribute.replace(/(\.\d\d)\d+/g, '$1'),
  )
}

/** `var(--ink)` and `var(--run-1)` as the colors of the light page. */
function withColors(svg: string): string {
  const page: Record<string, string> = PAGE_COLORS.light
  return svg.replace(/var\(--([a-z0-9-]+)\)/g, (whole, name: string) => {
    const run = /^run-(\d+)$/.exec(name)
    return (run === null ? page[name] : RUN_COLORS.light[Number(run[1])]) ?? whole
  })
}

/**
 * The same drawing with the dark page's colors where the reader prefers them: colors stay attributes, which every viewer
 * understands, and a style sheet replaces those that occur.
 */
export function withDarkScheme(svg: string): string {
  const [light, dark] = [colorsOf('light'), colorsOf('dark')]
  const seen = new Set<string>()
  const rules = light.flatMap((color, i) => {
    if (seen.has(color)) return []
    seen.add(color)
    return ['fill', 'stroke'].flatMap(property =>
      svg.includes(`${property}="${color}"`) ? [`[${property}="${color}"]{${property}:${dark[i]}}`] : [],
    )
  })
  const style = `<style>@media (prefers-color-scheme:dark){${rules.join('')}}</style>`
  return rules.length === 0 ? svg : svg.replace(/^<svg(?:[^>"]|"[^"]*")*>/, start => start + style)
}

/** Of runs first: of two names for one light color, a line's counts. */
function colorsOf(scheme: 'light' | 'dark'): string[] {
  return [...RUN_COLORS[scheme], ...Object.values(PAGE_COLORS[scheme])]
}

/** The drawing as PNG, two pixels per px. */
function rasterize(svg: string): Uint8Array {
  const fonts = path.join(
    path.dirname(createRequire(import.meta.url).resolve('dejavu-fonts-ttf/package.json')),
    'ttf',
  )
  const resvg = new Resvg(svg, {
    fitTo: { mode: 'zoom', value: PNG_ZOOM },
    font: {
      loadSystemFonts: false,
      fontFiles: FONT_FILES.map(name => path.join(fonts, `${name}.ttf`)),
      defaultFontFamily: FONT_FAMILY,
      sansSerifFamily: FONT_FAMILY,
      monospaceFamily: 'DejaVu Sans Mono',
    },
  })
  return resvg.render().asPng()
}
