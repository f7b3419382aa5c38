// report.html: a study as one page, for a phone and a wide screen.

import { swatch } from '../../report/legend.js'
import { html, type Markup } from '../../report/markup.js'
import { duration } from '../../report/numbers.js'
import { figure, NARROW, type PageSection, renderPage, saveCsv, scrollingTable } from '../../report/page.js'
import { visibleLine } from '../../report/visible-text.js'
import type { RunResult, StudyResults } from '../results.js'
import { finalData, layerData, lossData, sparsityData, speedData } from './figure-data.js'
import { decodeSpeed, speedCaption } from './figures/decode-speed.js'
import { lossCaption, lossCurves, lossRanking, lossRankingCaption } from './figures/loss.js'
import { qualityAgainstSparsity, qualityCaption } from './figures/quality-against-sparsity.js'
import {
  layerSparsity,
  layerSparsityCaption,
  layerSparsityScale,
  sparsityCaption,
  sparsityOverTraining,
} from './figures/sparsity.js'
import { findings } from './findings.js'
import { rerun } from './rerun.js'
import { samplesOf } from './samples.js'
import { type Column, describeStudy, type Summary, seedsOf, summarize, TASKS_NOTE } from './summary.js'

/** With more runs than this, lines on top of each other and a panel for each tell nothing: they are ranked instead. */
const MOST_LINES = 12

/** The whole page. Whatever stands in `results` is text here, never markup. */
export function renderStudyPage(results: StudyResults): string {
  const { runs } = results
  const summary = summarize(results)
  const sections: PageSection[] = [
    { id: 'numbers', title: 'Numbers', content: numbers(results, summary) },
    ...(runs.length > MOST_LINES ? [ranking(runs)] : figures(runs, summary)),
    ...(runs.some(run => run.samples.length > 0) ? [samples(runs)] : []),
    { id: 'again', title: 'Run it again', content: rerun(results) },
  ]
  return renderPage({
    kicker: `Flicker study “${results.name}”`,
    title: results.title,
    version: results.version,
    lead: html`${describeStudy(results).map(paragraph => html`<p>${paragraph}</p>\n`)}
<ul class="findings">${findings(results).map(sentence => html`<li>${sentence}</li>`)}</ul>`,
    sections,
    data: { name: `${results.name}-results`, content: results },
  })
}

function samples(runs: readonly RunResult[]): PageSection {
  return {
    id: 'samples',
    title: 'Samples',
    content: html`<p class="note">Bold: the prompt. Gray: what a seed’s text has in common with the greedy one before they part. With the activation drawn while decoding, seeds differ even at temperature 0.</p>
${runs.map(samplesOf)}`,
  }
}

function ranking(runs: readonly RunResult[]): PageSection {
  const several = runs.some(run => run.perSeed !== undefined)
  return {
    id: 'loss',
    title: 'Loss',
    content: figure({
      id: 'loss-ranking',
      runs: [],
      caption: lossRankingCaption(several),
      data: finalData(runs),
      draw: options => lossRanking(runs, options),
    }),
  }
}

function figures(runs: readonly RunResult[], { baseline, baselineLabel }: Summary): PageSection[] {
  return [
    {
      id: 'loss',
      title: 'Loss',
      content: html`${(['whole', 'end'] as const).map(part =>
        figure({
          id: `loss-${part}`,
          runs,
          caption: lossCaption(runs, part),
          data: lossData(runs),
          draw: options => lossCurves(runs, part, options),
        }),
      )}`,
    },
    {
      id: 'sparsity',
      title: 'Sparsity',
      content: html`${figure({
        id: 'sparsity-mean',
        runs,
        caption: sparsityCaption(runs),
        data: sparsityData(runs),
        draw: options => sparsityOverTraining(runs, options),
      })}${layers(runs)}`,
    },
    {
      id: 'quality',
      title: 'Quality against sparsity',
      content: figure({
        id: 'quality-sparsity',
        runs,
        caption: qualityCaption(
          baselineLabel,
          runs.some(run => run.perSeed !== undefined),
        ),
        data: finalData(runs),
        draw: options => qualityAgainstSparsity(runs, { ...options, baseline }),
      }),
    },
    {
      id: 'speed',
      title: 'Decoding speed',
      content: figure({
        id: 'decode-speed',
        runs: [],
        caption: speedCaption(runs),
        data: speedData(runs),
        draw: options => decodeSpeed(runs, options),
      }),
    },
  ]
}

function layers(runs: readonly RunResult[]): Markup {
  return html`<h3>Per layer</h3><figure id="sparsity-layers"><div class="panels">${runs.map(
    (run, i) => html`<div><h3>${swatch(i, `layers-key-${i}`)} ${visibleLine(run.label)}</h3>
<div class="drawing wide">${layerSparsity(run, { width: 490, id: `layers-${i}-wide` })}</div>
<div class="drawing narrow">${layerSparsity(run, { width: NARROW, id: `layers-${i}-narrow` })}</div></div>`,
  )}</div>
${layerSparsityScale({ width: 220, id: 'layers-scale' })}
<figcaption>${layerSparsityCaption()} ${saveCsv('sparsity-layers', layerData(runs))}</figcaption></figure>`
}

function numbers({ runs }: StudyResults, { baselineLabel, quality, tasks, speed }: Summary): Markup {
  const tables = [quality, tasks, speed]
    .filter(columns => columns.length > 0)
    .map(columns => table(runs, columns))
  return html`${tables}
<p class="note">Measured on held-out text after the last step with the activation that inference uses. ${
    runs.length > 1 &&
    html`Differences are to ${baselineLabel}. ${marked([...quality, ...speed])}${oneSeedEach(runs)}`
  } Sparsity: fraction of exact zeros in the FFN’s hidden vector, mean of the layers. Dense and sparse: every neuron computed, or inactive ones skipped.${tasks.length > 0 && ` ${TASKS_NOTE}`}</p>
<ul class="runs">${runs.map(
    (run, i) =>
      html`<li>${runs.length <= MOST_LINES && swatch(i, `run-key-${i}`)} <b>${visibleLine(run.label)}</b>: ${visibleLine(run.description)} (${duration(run.trainSeconds)} of training)</li>`,
  )}</ul>`
}

function table(runs: readonly RunResult[], columns: readonly Column[]): Markup {
  const id = columns[0].title.replace(/\W+/g, '-')
  const rows = runs.map(
    (run, i) =>
      html`<tr><th scope="row">${runs.length <= MOST_LINES && swatch(i, `table-${id}-${i}`)}${visibleLine(run.label)}</th>${columns.map(
        (column, c) => cell(column, i, startsGroup(columns, c)),
      )}</tr>\n`,
  )
  return scrollingTable(tableHead(columns), rows)
}

function marked(columns: readonly Column[]): string {
  return columns.some(({ cells }) => cells.some(({ best }) => best))
    ? 'Marked: the best of a column, where it is better than others beyond noise (95 %). '
    : ''
}

function oneSeedEach(runs: readonly RunResult[]): string {
  const several = new Set(runs.map(run => run.label)).size < runs.length
  if (runs.some(run => run.perSeed !== undefined)) {
    return `Means over the seeds ${seedsOf(runs).join(', ')}; ±: standard deviation between them.`
  }
  return several
    ? ''
    : 'Every run has one seed, so how far a loss moves from seed to seed is not known from here, and no loss is marked as the best.'
}

function startsGroup(columns: readonly Column[], c: number): boolean {
  return columns[c].group !== '' && columns[c - 1]?.group !== columns[c].group
}

/** Two rows: groups above, titles below; a column of its own spans both. */
function tableHead(columns: readonly Column[]): Markup {
  const grouped = columns.some(column => column.group !== '')
  const rows = grouped ? html` rowspan="2"` : ''
  const upper = columns.flatMap((column, c) => {
    if (column.group === '') return [html`<th scope="col"${rows}>${column.title}</th>`]
    if (!startsGroup(columns, c)) return []
    const size = columns.filter(other => other.group === column.group).length
    return [html`<th scope="colgroup" colspan="${size}" class="group">${column.group}</th>`]
  })
  const lower = columns.flatMap((column, c) =>
    column.group === ''
      ? []
      : [html`<th scope="col"${startsGroup(columns, c) && html` class="group"`}>${column.title}</th>`],
  )
  return html`<tr><th scope="col"${rows}>run</th>${upper}</tr>${grouped && html`<tr>${lower}</tr>`}`
}

function cell(column: Column, row: number, first: boolean): Markup {
  const { text, best } = column.cells[row]
  const name = [best ? 'best' : '', first ? 'group' : ''].filter(Boolean).join(' ')
  const shown = best ? html`<b>${text}</b><span class="hidden"> (best)</span>` : text
  return name === '' ? html`<td>${shown}</td>` : html`<td class="${name}">${shown}</td>`
}
