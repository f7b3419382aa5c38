// The comparison as a page: quality against diversity with intervals, a row for each way of drawing, where StochA wins and
// loses, and samples side by side.

import * as Plot from '@observablehq/plot'
import type { ConfidenceQuality } from '../eval/repeated-answers.js'
import { html, type Markup } from '../report/markup.js'
import { fixed, MISSING, percent, rate, signed } from '../report/numbers.js'
import { figure, renderPage, scrollingTable } from '../report/page.js'
import { runStyle } from '../report/palette.js'
import {
  axisX,
  axisY,
  draw,
  type FigureOptions,
  hits,
  markers,
  plane,
  type Range,
  series,
} from '../report/plot.js'
import { visibleLine } from '../report/visible-text.js'
import { version } from '../version.js'
import type { SameQuality } from './compare.js'
import { MEASURE_NAMES, MEASURES, type Measure } from './measures.js'
import type { DiversityResults, MeasuredValue, WayResult } from './run.js'

/** The whole page. Whatever stands in `results` is text here, never markup. */
export function renderDiversityPage(results: DiversityResults): string {
  const { title, question, model, n, prompts, maxTokens, deterministic } = results
  const quality: Measure[] = results.hasAnswers ? ['likelihood', 'exact'] : ['likelihood']
  const figures = quality.flatMap(y =>
    (['vendi', 'distinct2'] as const).map(x => qualityFigure(results, x, y)),
  )
  return renderPage({
    kicker: 'Flicker diversity',
    title,
    version,
    lead: html`${question !== undefined && html`<p>${question}</p>`}
<p>${visibleLine(model)}: ${n} samples of each of ${prompts} prompts, up to ${maxTokens} tokens each; likelihoods with ${deterministic}. Intervals of 95 % over prompts.</p>`,
    sections: [
      { id: 'curves', title: 'Quality against diversity', content: html`${figures}` },
      {
        id: 'same-quality',
        title: 'StochA at the same quality',
        content: sameQualityTable(results.sameQuality),
      },
      { id: 'numbers', title: 'Numbers', content: html`${numbersTable(results)}${definitions(results)}` },
      ...(results.hasAnswers
        ? [{ id: 'confidence', title: 'Confidence from agreement', content: confidenceTable(results) }]
        : []),
      { id: 'samples', title: 'Samples', content: samples(results) },
    ],
    data: { name: 'diversity-results', content: results },
  })
}

export function familiesOf({ ways }: DiversityResults): string[] {
  return [...new Set(ways.map(({ way }) => way.family))]
}

function qualityFigure(results: DiversityResults, x: Measure, y: Measure): Markup {
  const families = familiesOf(results)
  return figure({
    id: `figure-${y}-${x}`,
    caption: `${MEASURES[y].title} (${MEASURES[y].about}) against ${MEASURES[x].title} (${MEASURES[x].about}). Up and to the right is better. Lines join the ways of one family; bars are intervals of 95 %.`,
    runs: families.map(label => ({ label })),
    draw: options => qualityAgainstDiversity(results, x, y, options),
    data: {
      columns: ['way', 'family', x, `${x} low`, `${x} high`, y, `${y} low`, `${y} high`],
      rows: results.ways.map(({ way, measures }) => [
        way.label,
        way.family,
        ...ends(measures[x]),
        ...ends(measures[y]),
      ]),
    },
  })
}

function ends(value: MeasuredValue | undefined): (number | null)[] {
  return [value?.mean ?? null, value?.interval?.low ?? null, value?.interval?.high ?? null]
}

interface WayPoint {
  readonly x: number
  readonly y: number
  readonly x1: number
  readonly x2: number
  readonly y1: number
  readonly y2: number
  readonly label: string
}

function qualityAgainstDiversity(
  results: DiversityResults,
  x: Measure,
  y: Measure,
  options: FigureOptions,
): Markup {
  const families = familiesOf(results)
  const points = families.map(family =>
    results.ways.filter(({ way }) => way.family === family).flatMap(way => pointOf(way, x, y)),
  )
  const all = points.flat()
  const area = plane(
    { width: options.width, height: options.width >= 600 ? 420 : 320 },
    { top: 34, right: 22, bottom: 42, left: 58 },
    padded(all.flatMap(({ x1, x2 }) => [x1, x2])),
    padded(all.flatMap(({ y1, y2 }) => [y1, y2])),
  )
  const text = (measure: Measure) => (value: number) => fixed(value, MEASURES[measure].decimals)
  return draw(options.id, `${MEASURES[y].title} against ${MEASURES[x].title}, for ${families.join(', ')}`, {
    ...area.options,
    marks: [
      axisY(area, { label: MEASURES[y].title, format: text(y) }, true),
      axisX(area, { label: MEASURES[x].title, format: text(x) }),
      points.flatMap((family, i) => {
        const { color } = runStyle(i)
        const bar = { className: series(i), stroke: color, strokeOpacity: 0.45 }
        return [
          Plot.line(
            family.toSorted((a, b) => a.x - b.x),
            { className: series(i), x: 'x', y: 'y', stroke: color, strokeDasharray: runStyle(i).dash },
          ),
          Plot.ruleX(family, { ...bar, x: 'x', y1: 'y1', y2: 'y2' }),
          Plot.ruleY(family, { ...bar, y: 'y', x1: 'x1', x2: 'x2' }),
          markers(family, runStyle(i), 4.5, series(i)),
          hits(family, series(i), point => `${point.label}: ${text(y)(point.y)} at ${text(x)(point.x)}`),
        ]
      }),
    ],
  })
}

function pointOf({ way, measures }: WayResult, x: Measure, y: Measure): WayPoint[] {
  const [atX, atY] = [measures[x], measures[y]]
  if (atX === undefined || atY === undefined) return []
  return [
    {
      ...{ x: atX.mean, y: atY.mean, label: visibleLine(way.label) },
      ...{ x1: atX.interval?.low ?? atX.mean, x2: atX.interval?.high ?? atX.mean },
      ...{ y1: atY.interval?.low ?? atY.mean, y2: atY.interval?.high ?? atY.mean },
    },
  ]
}

function padded(values: readonly number[]): Range {
  const [low, high] = [Math.min(...values), Math.max(...values)]
  const pad = Math.max((high - low) * 0.06, 1e-3)
  return [low - pad, high + pad]
}

/** Measures that these results have, in the order of tables. */
function measuresOf({ ways }: DiversityResults): Measure[] {
  return MEASURE_NAMES.filter(name => ways[0].measures[name] !== undefined)
}

function numbersTable(results: DiversityResults): Markup {
  const names = measuresOf(results)
  const families = familiesOf(results)
  const cell = (name: Measure, value: MeasuredValue | undefined) => {
    if (value === undefined) return MISSING
    const { decimals } = MEASURES[name]
    if (value.interval === null) return fixed(value.mean, decimals)
    return `${fixed(value.mean, decimals)} ± ${fixed((value.interval.high - value.interval.low) / 2, decimals)}`
  }
  const head = html`<tr><th scope="col">way</th>${names.map(name => html`<th scope="col">${MEASURES[name].title} ${MEASURES[name].higherIsBetter ? '' : '↓'}</th>`)}<th scope="col">tokens/s</th></tr>`
  const rows = [...results.ways]
    .sort((a, b) => families.indexOf(a.way.family) - families.indexOf(b.way.family))
    .map(
      ({ way, measures, tokensPerSecond }) =>
        html`<tr><th scope="row">${visibleLine(way.label)}</th>${names.map(name => html`<td>${cell(name, measures[name])}</td>`)}<td>${tokensPerSecond === null ? MISSING : rate(tokensPerSecond)}</td></tr>\n`,
    )
  return scrollingTable(head, rows)
}

function definitions(results: DiversityResults): Markup {
  return html`<ul>${measuresOf(results).map(name => html`<li>${MEASURES[name].title}: ${MEASURES[name].about}</li>`)}</ul>`
}

/** `wins`, `loses`, or neither, by the interval of the difference. */
export function verdictOf({ measure, difference, interval }: SameQuality): string {
  if (difference === null) return 'its likelihood is outside the other curve'
  if (interval === null) return 'no interval: too few resamplings reach the other curve'
  if (interval.low <= 0 && interval.high >= 0) return 'no difference seen'
  return difference > 0 === MEASURES[measure].higherIsBetter
    ? 'StochA is more diverse'
    : 'StochA is less diverse'
}

function sameQualityTable(rows: readonly SameQuality[]): Markup {
  if (rows.length === 0) return html`<p>Needs a way with p, and two of another family.</p>`
  const head = html`<tr><th scope="col">way</th><th scope="col">against</th><th scope="col">measure</th><th scope="col">at log-likelihood</th><th scope="col">difference</th><th scope="col">95 %</th><th scope="col"></th></tr>`
  return scrollingTable(
    head,
    rows.map(row => {
      const { decimals, title } = MEASURES[row.measure]
      const { difference, interval } = row
      const range =
        interval === null
          ? MISSING
          : `${signed(interval.low, decimals)} to ${signed(interval.high, decimals)}`
      return html`<tr><th scope="row">${visibleLine(row.way)}</th><td>${row.family}</td><td>${title}</td><td>${fixed(row.likelihood, 3)}</td><td>${difference === null ? MISSING : signed(difference, decimals)}</td><td>${range}</td><td>${verdictOf(row)}</td></tr>\n`
    }),
  )
}

function confidenceTable({ ways, deterministicConfidence }: DiversityResults): Markup {
  const number = (value: number | null | undefined) =>
    value === null || value === undefined ? MISSING : fixed(value, 3)
  const head = html`<tr><th scope="col">confidence</th><th scope="col">right</th><th scope="col">AUROC</th><th scope="col">95 %</th><th scope="col">calibration error ↓</th></tr>`
  const row = (label: string, right: number | undefined, quality: ConfidenceQuality | null) => {
    const range = quality?.aurocInterval ?? null
    const interval = range === null ? MISSING : `${fixed(range.low, 3)} to ${fixed(range.high, 3)}`
    return html`<tr><th scope="row">${visibleLine(label)}</th><td>${right === undefined ? MISSING : percent(right)}</td><td>${number(quality?.auroc)}</td><td>${interval}</td><td>${number(quality?.calibrationError)}</td></tr>\n`
  }
  return html`${scrollingTable(head, [
    row('entropy of one deterministic pass', deterministicConfidence?.exact, deterministicConfidence),
    ...ways.map(({ way, measures, confidence }) =>
      row(`agreement, ${way.label}`, measures.majority?.mean, confidence),
    ),
  ])}
<p class="note">AUROC: the probability that a right answer has more confidence than a wrong one. Agreement: the fraction of samples that give the most frequent answer.</p>`
}

function samples({ ways }: DiversityResults): Markup {
  return html`${ways[0].samples.map(
    ({ prompt }, i) =>
      html`<h3>${visibleLine(prompt).slice(0, 200)}</h3>${ways.map(
        ({ way, samples }) =>
          html`<p><b>${visibleLine(way.label)}</b></p><ol>${(samples[i]?.texts ?? []).map(text => html`<li>${visibleLine(text)}</li>`)}</ol>`,
      )}`,
  )}`
}
