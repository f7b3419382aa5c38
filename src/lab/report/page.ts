// The page of an experiment: what was trained, the table, every figure.

import { stringify } from 'yaml'
import { swatch } from '../../report/legend.js'
import { html, type Markup } from '../../report/markup.js'
import { duration } from '../../report/numbers.js'
import { figure, renderPage, scrollingTable } from '../../report/page.js'
import { visibleLine } from '../../report/visible-text.js'
import type { LabResults } from '../results.js'
import { overRuns } from './curves.js'
import type { LabFigure } from './figures.js'
import { tableColumns } from './table.js'

/** The whole page with these figures. Whatever stands in `results` is text here, never markup. */
export function renderLabPage(results: LabResults, figures: readonly LabFigure[]): string {
  const { data, machine, variants, config, seeds } = results
  const widths = [...new Set(variants.map(variant => variant.widths.join('→')))].join('; ')
  return renderPage({
    kicker: `Flicker lab “${results.name}”`,
    title: results.title,
    version: machine.version,
    lead: html`${config.question !== undefined && html`<p>${config.question}</p>`}
<p>${visibleLine(data.description)}.</p>
<p>Layers ${widths}; ${seeds.length} ${seeds.length === 1 ? 'run' : 'runs'} each with seeds ${seeds[0]} to ${seeds[seeds.length - 1]}; ${session(results)}</p>`,
    sections: [
      { id: 'numbers', title: 'Numbers', content: table(results) },
      {
        id: 'figures',
        title: 'Figures',
        content: html`${figures.map(({ name, caption, byVariant, draw, data: values }) =>
          figure({
            id: `figure-${name.replace(/[^a-z0-9-]/gi, '-')}`,
            caption,
            runs: byVariant ? variants : [],
            draw,
            data: values,
          }),
        )}`,
      },
      { id: 'again', title: 'Run it again', content: again(results) },
    ],
    data: { name: `${results.name}-results`, content: results },
  })
}

/** How long what was trained on which machine; runs of earlier sessions have no time here. */
function session({ seconds, foundRuns, seeds, variants, machine }: LabResults): string {
  const trained = variants.length * seeds.length - foundRuns
  const earlier = foundRuns === 0 ? '' : `, ${foundRuns} finished in earlier sessions`
  if (trained === 0) return `all ${foundRuns} finished in earlier sessions.`
  const count = foundRuns === 0 ? '' : `${trained} of them `
  return (
    `${count}trained in ${duration(seconds)} on ${visibleLine(machine.cpu)}, ${machine.cores} cores ` +
    `(${machine.isa})${earlier}.`
  )
}

function table(results: LabResults): Markup {
  const columns = tableColumns(results)
  const head = html`<tr><th scope="col">activation</th>${columns.map(({ title }) => html`<th scope="col">${title}</th>`)}</tr>`
  const rows = results.variants.map(
    (variant, i) =>
      html`<tr><th scope="row">${swatch(i, `table-key-${i}`)}${visibleLine(variant.label)}</th>${columns.map(
        ({ cells }) => html`<td>${cells[i]}</td>`,
      )}</tr>\n`,
  )
  return html`${scrollingTable(head, rows)}
<p class="note">After the last epoch, ${overRuns(results.seeds.length)}. Losses in nats.</p>`
}

function again({ config, name, machine }: LabResults): Markup {
  return html`<p>As <code>${visibleLine(name)}.yaml</code>, for <code>flicker mlp ${visibleLine(name)}.yaml --plots</code>:</p>
<pre>${stringify(config)}</pre>
<p class="note">Flicker ${visibleLine(machine.version)}, Node ${visibleLine(machine.node)}. The same options give the same numbers on the same kernels, for any number of workers.</p>`
}
