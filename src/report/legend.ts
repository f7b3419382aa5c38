// A figure's legend in HTML, so that long names wrap: every run's line and marker beside its name. A click hides or shows
// the marks of class `series-INDEX`.

import * as Plot from '@observablehq/plot'
import { html, type Markup } from './markup.js'
import { runStyle } from './palette.js'
import { draw, markers } from './plot.js'
import { visibleLine } from './visible-text.js'

export function legend(runs: readonly { readonly label: string }[], id: string): Markup {
  return html`<ul class="legend">${runs.map(
    (run, i) =>
      html`<li><button type="button" data-series="${i}" aria-pressed="true">${swatch(i, `${id}-key-${i}`)} ${visibleLine(run.label)}</button></li>`,
  )}</ul>`
}

/** Line and marker of one run; silent to screen readers, as the name follows. */
export function swatch(index: number, id: string): Markup {
  const style = runStyle(index)
  const line = [0, 34].map(x => ({ x, y: 0 }))
  return draw(id, '', {
    width: 34,
    height: 14,
    margin: 0,
    x: { domain: [0, 34], axis: null },
    y: { domain: [-7, 7], axis: null },
    marks: [
      Plot.line(line, { x: 'x', y: 'y', stroke: style.color, strokeWidth: 2, strokeDasharray: style.dash }),
      markers([{ x: 17, y: 0 }], style, 4),
    ],
  })
}
