// The page of an experiment: one file without scripts, links or fonts from elsewhere, for light and dark.

import { createHash } from 'node:crypto'
import { stringify } from 'yaml'
import { legend, swatch } from '../../study/report/figures/index.js'
import { html, Markup } from '../../study/report/markup.js'
import { duration } from '../../study/report/numbers.js'
import { PAGE_STYLE } from '../../study/report/page-style.js'
import { visibleLine } from '../../study/report/visible-text.js'
import type { LabResults } from '../results.js'
import { overRuns } from './curves.js'
import type { LabFigure } from './figures.js'
import { tableColumns } from './table.js'

/** Widths that figures are drawn for, px. */
const WIDE = 1000
const NARROW = 358

/** The whole page with these figures. Whatever stands in `results` is text here, never markup. */
export function renderLabPage(results: LabResults, figures: readonly LabFigure[]): string {
  const { data, machine, variants, config } = results
  const hash = createHash('sha256').update(PAGE_STYLE).digest('base64')
  // The policy allows this page's own style sheet and nothing else: no script, no request.
  return html`<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta http-equiv="Content-Security-Policy" content="default-src 'none'; style-src 'sha256-${new Markup(hash)}'; base-uri 'none'; form-action 'none'">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="color-scheme" content="light dark">
<meta name="generator" content="Flicker ${visibleLine(machine.version)}">
<title>${visibleLine(results.title)}</title>
<style>${new Markup(PAGE_STYLE)}</style>
</head>
<body>
<main>
<header>
<p class="kicker">Flicker lab “${visibleLine(results.name)}”</p>
<h1>${visibleLine(results.title)}</h1>
${config.question !== undefined && html`<p>${config.question}</p>`}
<p>${visibleLine(data.description)}.</p>
<p>Layers ${[...new Set(variants.map(({ widths }) => widths.join('→')))].join('; ')}; ${results.seeds.length} ${results.seeds.length === 1 ? 'run' : 'runs'} each with seeds ${results.seeds[0]} to ${results.seeds[results.seeds.length - 1]}; trained in ${duration(results.seconds)} on ${visibleLine(machine.cpu)}, ${machine.cores} cores (${machine.isa}).</p>
<nav aria-label="Parts of this page"><a href="#numbers">Numbers</a> <a href="#figures">Figures</a> <a href="#again">Run it again</a></nav>
</header>
<section id="numbers"><h2>Numbers</h2>${table(results)}</section>
<section id="figures"><h2>Figures</h2>${figures.map(figure => drawn(figure, results))}</section>
<section id="again"><h2>Run it again</h2>${again(results)}</section>
</main>
</body>
</html>
`.toString()
}

function table(results: LabResults): Markup {
  const columns = tableColumns(results)
  return html`<div class="scroll" role="region" aria-label="Table of measured numbers" tabindex="0"><table>
<thead><tr><th scope="col">activation</th>${columns.map(({ title }) => html`<th scope="col">${title}</th>`)}</tr></thead>
<tbody>${results.variants.map(
    (variant, i) =>
      html`<tr><th scope="row">${swatch(i, `table-key-${i}`)}${visibleLine(variant.label)}</th>${columns.map(
        ({ cells }) => html`<td>${cells[i]}</td>`,
      )}</tr>\n`,
  )}</tbody></table></div>
<p class="note">After the last epoch, ${overRuns(results.seeds.length)}. Losses in nats.</p>`
}

/** Drawn twice, for wide and narrow windows; names stand at the lines of the wide drawing. */
function drawn(figure: LabFigure, { variants }: LabResults): Markup {
  const id = `figure-${figure.name.replace(/[^a-z0-9-]/gi, '-')}`
  const short = variants.every(({ label }) => visibleLine(label).length <= 24)
  return html`<figure id="${id}" class="${short ? 'labeled' : ''}">${figure.byVariant && legend(variants, id)}
<div class="drawing wide">${figure.draw({ width: WIDE, id: `${id}-wide` })}</div>
<div class="drawing narrow">${figure.draw({ width: NARROW, id: `${id}-narrow` })}</div>
<figcaption>${figure.caption}</figcaption></figure>`
}

function again({ config, name, machine }: LabResults): Markup {
  return html`<p>As <code>${visibleLine(name)}.yaml</code>, for <code>flicker mlp ${visibleLine(name)}.yaml --plots</code>:</p>
<pre>${stringify(config)}</pre>
<p class="note">Flicker ${visibleLine(machine.version)}, Node ${visibleLine(machine.node)}. The same options give the same numbers on the same kernels, for any number of workers.</p>`
}
