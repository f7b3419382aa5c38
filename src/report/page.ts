// The skeleton of every page: one self-contained HTML file with a header, links to its parts, sections, figures drawn for
// wide and narrow windows, and tables that scroll.

import { createHash } from 'node:crypto'
import { legend } from './legend.js'
import { html, Markup } from './markup.js'
import { PAGE_SCRIPT } from './page-script.js'
import { PAGE_STYLE } from './page-style.js'
import type { FigureOptions } from './plot.js'
import { visibleLine } from './visible-text.js'

/** Widths that figures are drawn for, px. */
const WIDE = 1000
export const NARROW = 358
/** Longer labels stand in the legend, not at the lines of a wide drawing. */
const LONGEST_LABEL_AT_LINE = 24

export interface PageSection {
  readonly id: string
  readonly title: string
  readonly content: Markup
}

export interface Page {
  /** What kind of page it is, above the title. */
  readonly kicker: string
  readonly title: string
  /** Flicker's version. */
  readonly version: string
  /** What stands below the title. */
  readonly lead: Markup
  readonly sections: readonly PageSection[]
  /** Everything behind the page, embedded as JSON with a button that saves it as `name`.json. */
  readonly data: { readonly name: string; readonly content: unknown }
}

/** The whole page. Strings are text, never markup. */
export function renderPage({ kicker, title, version, lead, sections, data }: Page): string {
  const hash = (text: string) => new Markup(createHash('sha256').update(text).digest('base64'))
  // The policy allows this page's own style sheet and script and nothing else: no request, no other code.
  return html`<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta http-equiv="Content-Security-Policy" content="default-src 'none'; style-src 'sha256-${hash(PAGE_STYLE)}'; script-src 'sha256-${hash(PAGE_SCRIPT)}'; base-uri 'none'; form-action 'none'">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="color-scheme" content="light dark">
<meta name="generator" content="Flicker ${visibleLine(version)}">
<title>${visibleLine(title)}</title>
<style>${new Markup(PAGE_STYLE)}</style>
</head>
<body>
<main>
<header>
<p class="kicker">${visibleLine(kicker)}</p>
<h1>${visibleLine(title)}</h1>
${lead}
<nav aria-label="Parts of this page">${sections.map(section => html`<a href="#${section.id}">${section.title}</a> `)}</nav>
</header>
${sections.map(
  section => html`<section id="${section.id}"><h2>${section.title}</h2>
${section.content}
</section>
`,
)}
<p class="tools"><button type="button" data-json="page-data" data-name="${fileName(data.name)}">Save all data (JSON)</button></p>
</main>
${json('page-data', data.content)}
<script>${new Markup(PAGE_SCRIPT)}</script>
</body>
</html>
`.toString()
}

export interface Figure {
  /** Unique in the page. */
  readonly id: string
  readonly caption: string
  /** Runs of the legend, in the order of their styles; none for a figure that names its runs itself. */
  readonly runs: readonly { readonly label: string }[]
  readonly draw: (options: FigureOptions) => Markup
  /** The values behind the drawing, for a button that saves them as CSV. */
  readonly data: FigureData
}

export interface FigureData {
  readonly columns: readonly string[]
  readonly rows: readonly (readonly (string | number | null)[])[]
}

/**
 * A figure drawn twice, for wide and narrow windows, with its legend and caption. Labels stand at the lines in the wide
 * drawing, where they fit; the legend is for the narrow one.
 */
export function figure({ id, caption, runs, draw, data }: Figure): Markup {
  const fits = runs.every(run => visibleLine(run.label).length <= LONGEST_LABEL_AT_LINE)
  return html`<figure id="${id}" class="${fits ? 'labeled' : ''}">${runs.length > 0 && legend(runs, id)}
<div class="drawing wide">${draw({ width: WIDE, id: `${id}-wide` })}</div>
<div class="drawing narrow">${draw({ width: NARROW, id: `${id}-narrow` })}</div>
<figcaption>${caption} ${saveCsv(id, data)}</figcaption></figure>
`
}

/** A button that saves `data` as `id`.csv, and the data. */
export function saveCsv(id: string, data: FigureData): Markup {
  return html`<button type="button" class="csv" data-csv="${id}-data" data-name="${fileName(id)}">Save as CSV</button>${json(`${id}-data`, data)}`
}

/** A value as JSON in the page; it cannot end its element, whatever it holds. */
function json(id: string, value: unknown): Markup {
  const text = JSON.stringify(value).replace(/[<>&\u2028\u2029]/g, unsafe => {
    return `\\u${unsafe.charCodeAt(0).toString(16).padStart(4, '0')}`
  })
  return html`<script type="application/json" id="${id}">${new Markup(text)}</script>`
}

function fileName(name: string): string {
  return name.replace(/[^a-z0-9._-]+/gi, '-')
}

/** A table of measured values that scrolls sideways where the window is narrower than it. */
export function scrollingTable(head: Markup, rows: readonly Markup[]): Markup {
  return html`<div class="scroll" role="region" aria-label="Table of measured values" tabindex="0"><table>
<thead>${head}</thead>
<tbody>${rows}</tbody></table></div>
<p class="hint">The table scrolls sideways.</p>`
}
