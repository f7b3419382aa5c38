// report.html: one file without scripts, links or fonts from elsewhere, for a phone and a wide screen.

import { createHash } from 'node:crypto'
import type { RunResult, StudyResults } from '../results.js'
import {
  decodeSpeed,
  type FigureOptions,
  layerSparsity,
  layerSparsityCaption,
  layerSparsityScale,
  legend,
  lossCaption,
  lossCurves,
  lossRanking,
  lossRankingCaption,
  qualityAgainstSparsity,
  qualityCaption,
  sparsityCaption,
  sparsityOverTraining,
  speedCaption,
  swatch,
} from './figures/index.js'
import { html, Markup } from './markup.js'
import { duration } from './numbers.js'
import { PAGE_STYLE } from './page-style.js'
import { rerun } from './rerun.js'
import { samplesOf } from './samples.js'
import { type Column, describeStudy, findings, type Summary, seedsOf, summarize } from './summary.js'
import { visibleLine } from './visible-text.js'

/** With more runs than this, lines on top of each other and a panel for each tell nothing: they are ranked instead. */
const MOST_LINES = 12
/** Widths that figures are drawn for, px. */
const WIDE = 1000
const NARROW = 358

/** The whole page. Whatever stands in `results` is text here, never markup. */
export function renderReport(results: StudyResults): string {
  const { runs } = results
  const summary = summarize(results)
  const [what, where] = describeStudy(results)
  const many = runs.length > MOST_LINES
  const sampled = runs.some(run => run.samples.length > 0)
  const parts = [
    ['numbers', 'Numbers'],
    ['loss', 'Loss'],
    ...(many
      ? []
      : [
          ['sparsity', 'Sparsity'],
          ['quality', 'Quality against sparsity'],
          ['speed', 'Speed'],
        ]),
    ...(sampled ? [['samples', 'Samples']] : []),
    ['again', 'Run it again'],
  ]
  const hash = createHash('sha256').update(PAGE_STYLE).digest('base64')
  // The policy allows this page's own style sheet and nothing else: no script, no request.
  const page = html`<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta http-equiv="Content-Security-Policy" content="default-src 'none'; style-src 'sha256-${new Markup(hash)}'; base-uri 'none'; form-action 'none'">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="color-scheme" content="light dark">
<meta name="generator" content="Flicker ${visibleLine(results.version)}">
<title>${visibleLine(results.title)}</title>
<style>${new Markup(PAGE_STYLE)}</style>
</head>
<body>
<main>
<header>
<p class="kicker">Flicker study “${visibleLine(results.name)}”</p>
<h1>${visibleLine(results.title)}</h1>
<p>${what}</p>
<p>${where}</p>
<ul class="findings">${findings(results).map(sentence => html`<li>${sentence}</li>`)}</ul>
<nav aria-label="Parts of this report">${parts.map(([id, title]) => html`<a href="#${id}">${title}</a> `)}</nav>
</header>
<section id="numbers"><h2>Numbers</h2>${numbers(results, summary)}</section>
${many ? ranking(runs) : figures(runs, summary)}
${
  sampled &&
  html`<section id="samples"><h2>Samples</h2>
<p class="note">Bold: the prompt. Gray: what a seed’s text has in common with the greedy one before they part. With the activation drawn while decoding, seeds differ even at temperature 0.</p>
${runs.map(samplesOf)}
</section>`
}
<section id="again"><h2>Run it again</h2>${rerun(results)}</section>
</main>
</body>
</html>
`
  return page.toString()
}

function ranking(runs: readonly RunResult[]): Markup {
  const several = runs.some(run => run.perSeed !== undefined)
  return html`<section id="loss"><h2>Loss</h2>
${figure('loss-ranking', [], options => lossRanking(runs, options), lossRankingCaption(several))}
</section>`
}

function figures(runs: readonly RunResult[], summary: Summary): Markup {
  return html`<section id="loss"><h2>Loss</h2>
${figure('loss-whole', runs, options => lossCurves(runs, 'whole', options), lossCaption(runs, 'whole'))}
${figure('loss-end', runs, options => lossCurves(runs, 'end', options), lossCaption(runs, 'end'))}
</section>
<section id="sparsity"><h2>Sparsity</h2>
${figure('sparsity-mean', runs, options => sparsityOverTraining(runs, options), sparsityCaption(runs))}
${layers(runs)}
</section>
<section id="quality"><h2>Quality against sparsity</h2>
${figure(
  'quality-sparsity',
  runs,
  options => qualityAgainstSparsity(runs, { ...options, baseline: summary.baseline }),
  qualityCaption(summary.baselineLabel),
)}
</section>
<section id="speed"><h2>Decoding speed</h2>
${figure('decode-speed', [], options => decodeSpeed(runs, options), speedCaption())}
</section>
`
}

/**
 * A figure drawn twice, for wide and narrow windows, with its legend and what to look at. Names stand at the lines in
 * the wide drawing, where they fit; the legend is for the narrow one.
 */
function figure(
  id: string,
  runs: readonly RunResult[],
  drawing: (options: FigureOptions) => Markup,
  caption: string,
): Markup {
  const fits = runs.every(run => visibleLine(run.label).length <= 24)
  return html`<figure id="${id}" class="${fits ? 'labeled' : ''}">${runs.length > 0 && legend(runs, id)}
<div class="drawing wide">${drawing({ width: WIDE, id: `${id}-wide` })}</div>
<div class="drawing narrow">${drawing({ width: NARROW, id: `${id}-narrow` })}</div>
<figcaption>${caption}</figcaption></figure>`
}

function layers(runs: readonly RunResult[]): Markup {
  return html`<h3>Per layer</h3><figure id="sparsity-layers"><div class="panels">${runs.map(
    (run, i) => html`<div><h3>${swatch(i, `layers-key-${i}`)} ${visibleLine(run.label)}</h3>
<div class="drawing wide">${layerSparsity(run, { width: 490, id: `layers-${i}-wide` })}</div>
<div class="drawing narrow">${layerSparsity(run, { width: NARROW, id: `layers-${i}-narrow` })}</div></div>`,
  )}</div>
${layerSparsityScale({ width: 220, id: 'layers-scale' })}
<figcaption>${layerSparsityCaption()}</figcaption></figure>`
}

function numbers({ runs }: StudyResults, { baselineLabel, quality, speed }: Summary): Markup {
  const columns = [...quality, ...speed]
  return html`<div class="scroll" role="region" aria-label="Table of measured numbers" tabindex="0"><table>
<thead>${tableHead(columns)}</thead>
<tbody>${runs.map(
    (run, i) =>
      html`<tr><th scope="row">${runs.length <= MOST_LINES && swatch(i, `table-key-${i}`)}${visibleLine(run.label)}</th>${columns.map(
        (column, c) => cell(column, i, startsGroup(columns, c)),
      )}</tr>\n`,
  )}</tbody></table></div>
<p class="note">Measured on held-out text after the last step with the activation that inference uses. ${
    runs.length > 1 &&
    html`Marked: the best of a column. Differences are to ${baselineLabel}. ${oneSeedEach(runs)}`
  } Sparsity: share of exact zeros in the FFN’s hidden vector, mean of the layers. Dense and sparse: every neuron computed, or inactive ones skipped.</p>
<ul class="runs">${runs.map(
    (run, i) =>
      html`<li>${runs.length <= MOST_LINES && swatch(i, `run-key-${i}`)} <b>${visibleLine(run.label)}</b>: ${visibleLine(run.description)} (${duration(run.trainSeconds)} of training)</li>`,
  )}</ul>`
}

function oneSeedEach(runs: readonly RunResult[]): string {
  const several = new Set(runs.map(run => run.label)).size < runs.length
  if (runs.some(run => run.perSeed !== undefined)) {
    return `Means over the seeds ${seedsOf(runs).join(', ')}; ±: standard deviation between them.`
  }
  return several
    ? ''
    : 'Every run has one seed, so how far a loss moves from seed to seed is not known from here.'
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
