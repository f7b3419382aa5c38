// The report of a sweep: one page with perplexity and speed over counted sparsity, the levels of matrices, and all numbers.

import { MATRICES } from '../nn/cuts.js'
import { type Curve, drawCurves } from '../report/curves.js'
import { swatch } from '../report/legend.js'
import { html, type Markup } from '../report/markup.js'
import { fixed, percent, perplexity, ratio } from '../report/numbers.js'
import { figure, renderPage, scrollingTable } from '../report/page.js'
import { visibleLine } from '../report/visible-text.js'
import { METHODS, type MethodName } from './methods.js'
import type { SweepPoint, SweepResults } from './sweep.js'

/** Above this many times the perplexity without cuts a figure shows no points. */
const HIGHEST_PERPLEXITY = 3
/** The level whose matrices are listed. */
const LISTED_LEVEL = 0.5

/** The whole page. Whatever stands in `results` is text here, never markup. */
export function renderSweep(results: SweepResults): string {
  const { dense, heldOut, calibration, machine, model } = results
  return renderPage({
    kicker: 'Flicker sparsify',
    title: 'Sparsity without training',
    version: machine.version,
    lead: html`<p>${visibleLine(model.path)}, cut by ${methodsOf(results)
      .map(name => METHODS[name].title)
      .join(', ')}. All numbers but those
of the model without cuts are of approximations of it.</p>
<p>Thresholds from ${fixed(calibration.tokens, 0)} tokens of calibration text (SHA-256 ${calibration.sha256.slice(0, 16)}…); measured on
${fixed(heldOut.tokens, 0)} held-out tokens in windows of ${heldOut.context}, <b>every position cut</b>. Perplexity without cuts:
${perplexity(dense.perplexity)}.</p>`,
    sections: [
      { id: 'perplexity', title: 'Perplexity', content: perplexityFigure(results) },
      { id: 'speed', title: 'Decoding speed', content: speedFigure(results) },
      { id: 'levels', title: 'Levels of the matrices', content: levelTable(results) },
      { id: 'numbers', title: 'Numbers', content: numberTable(results) },
    ],
    data: { name: 'sparsify-sweep', content: results },
  })
}

function methodsOf({ points }: SweepResults): MethodName[] {
  return [...new Set(points.map(({ method }) => method))]
}

function curvesOf(results: SweepResults, y: (point: SweepPoint) => number): Curve[] {
  return methodsOf(results).map(name => ({
    label: METHODS[name].title,
    points: results.points
      .filter(({ method }) => method === name)
      .map(point => ({ x: point.weightsSkipped, y: y(point) }))
      .toSorted((a, b) => a.x - b.x),
  }))
}

const SPARSITY_AXIS = {
  label: "fraction of the layers' weights not needed",
  range: [0, 1],
  format: (value: number) => percent(value, 0),
} as const

function perplexityFigure(results: SweepResults): Markup {
  const { dense } = results
  const curves = curvesOf(results, ({ perplexity: value }) => value)
  const highest = Math.max(...curves.flatMap(({ points }) => points.map(({ y }) => y)))
  const top = Math.min(highest, HIGHEST_PERPLEXITY * dense.perplexity)
  const range = [dense.perplexity * 0.97, top * 1.03] as const
  return figure({
    id: 'perplexity-figure',
    caption: `Perplexity on held-out text over counted sparsity; without cuts ${perplexity(dense.perplexity)}. Points above ${perplexity(top)} are in the table.`,
    runs: curves,
    draw: options =>
      drawCurves(curves, {
        ...options,
        ariaLabel: 'Perplexity over the fraction of weights not needed, a line for each method',
        x: SPARSITY_AXIS,
        y: { label: 'perplexity', range, format: value => perplexity(value) },
        pointText: ({ x, y }) => `${perplexity(y)} at ${percent(x)}`,
      }),
    data: {
      columns: ['method', 'level', 'weights_skipped', 'perplexity'],
      rows: results.points.map(({ method, level, weightsSkipped, perplexity: value }) => [
        method,
        level,
        weightsSkipped,
        value,
      ]),
    },
  })
}

function speedFigure(results: SweepResults): Markup {
  const curves = curvesOf(results, ({ speedRatio }) => speedRatio)
  const values = curves.flatMap(({ points }) => points.map(({ y }) => y))
  const range = [Math.min(1, ...values) * 0.95, Math.max(1.1, ...values) * 1.05] as const
  return figure({
    id: 'speed-figure',
    caption: `Tokens per second over those of the dense model, decoded alternately on ${visibleLine(results.machine.cpu)} with ${results.machine.threads} threads. Models that fit into the caches gain little.`,
    runs: curves,
    draw: options =>
      drawCurves(curves, {
        ...options,
        ariaLabel: 'Decoding speed over the fraction of weights not needed, a line for each method',
        x: SPARSITY_AXIS,
        y: { label: 'speed over dense', range, format: value => ratio(value) },
        pointText: ({ x, y }) => `${ratio(y)} at ${percent(x)}`,
      }),
    data: {
      columns: ['method', 'level', 'weights_skipped', 'speed_ratio'],
      rows: results.points.map(({ method, level, weightsSkipped, speedRatio }) => [
        method,
        level,
        weightsSkipped,
        speedRatio,
      ]),
    },
  })
}

/** Counted zeros at the input of each matrix of each layer, at the level nearest to LISTED_LEVEL. */
function levelTable(results: SweepResults): Markup {
  const levels = [...new Set(results.points.map(({ level }) => level))]
  const level = levels.toSorted((a, b) => Math.abs(a - LISTED_LEVEL) - Math.abs(b - LISTED_LEVEL))[0]
  const chosen = results.points.filter(point => point.level === level)
  const head = html`<tr><th scope="col">method</th><th scope="col">layer</th>${MATRICES.map(matrix => html`<th scope="col">${matrix}</th>`)}</tr>`
  const rows = chosen.flatMap(({ method, measuredLevels }) =>
    measuredLevels.map(
      (of, layer) =>
        html`<tr><th scope="row">${METHODS[method].title}</th><td>${layer}</td>${MATRICES.map(matrix => {
          const value = of[matrix]
          return html`<td>${value === undefined ? '–' : percent(value)}</td>`
        })}</tr>\n`,
    ),
  )
  return html`${scrollingTable(head, rows)}<p class="note">Zeros at the input of each matrix, counted on held-out text, at level ${level}.</p>`
}

function numberTable(results: SweepResults): Markup {
  const names = methodsOf(results)
  const head = html`<tr><th scope="col">method</th>${['level', 'counts', 'weights not needed', 'perplexity', 'loss', 'speed'].map(title => html`<th scope="col">${title}</th>`)}</tr>`
  const rows = results.points.map((point, i) => {
    const { method, level, weightsSkipped, speedRatio } = point
    return html`<tr><th scope="row">${swatch(names.indexOf(method), `number-key-${i}`)}${METHODS[method].title}</th><td>${fixed(level, 2)}</td><td>${METHODS[method].counts}</td><td>${percent(weightsSkipped)}</td><td>${perplexity(point.perplexity)}</td><td>${fixed(point.loss, 3)}</td><td>${ratio(speedRatio)}</td></tr>\n`
  })
  return scrollingTable(head, rows)
}
