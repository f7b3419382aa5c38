// Several drawings as one: beside each other where there is room, else one below the other.

import { type FigureOptions, isWide, TEXT_SIZE } from '../../study/report/figures/figure.js'
import { html, Markup } from '../../study/report/markup.js'
import { visibleLine } from '../../study/report/visible-text.js'

export interface SideBySideOptions extends FigureOptions {
  readonly panelWidth: number
  readonly ariaLabel: string
}

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
