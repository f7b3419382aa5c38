// The report of `flicker sparsity`: one page with curves and heat maps.

import { drawCurves } from '../../report/curves.js'
import { heatMap } from '../../report/heat-map.js'
import { html, type Markup } from '../../report/markup.js'
import { fixed, percent, perplexity, signedPercent } from '../../report/numbers.js'
import { figure, renderPage, scrollingTable } from '../../report/page.js'
import { visibleLine } from '../../report/visible-text.js'
import { CHOOSING_TOKENS } from './activity.js'
import type { LabResults } from './measure.js'

/** Columns of the heat map of firing rates: neurons in groups of equal size. */
const RATE_COLUMNS = 64

/** The whole page. Whatever stands in `results` is text here, never markup. */
export function renderSparsityLab(results: LabResults): string {
  const { model, machine, text, heldOut, activeWhere } = results
  return renderPage({
    kicker: 'Flicker sparsity lab',
    title: 'What is active, and what could be left out',
    version: machine.version,
    lead: html`<p>${visibleLine(model.path)}: ${model.config.numHiddenLayers} layers of ${fixed(model.config.intermediateSize, 0)} neurons, activation ${visibleLine(model.config.activation)}.</p>
<p>Activity on ${fixed(text.tokens, 0)} tokens (SHA-256 ${text.sha256.slice(0, 16)}…); a neuron is active at a token where ${activeWhere}. Perplexity on
${fixed(heldOut.tokens, 0)} held-out tokens in windows of ${heldOut.context}: ${perplexity(results.perplexity)}. With neurons left out every position is cut.</p>`,
    sections: [
      { id: 'layers', title: 'Layers', content: layerTable(results) },
      {
        id: 'cost',
        title: 'What leaving neurons out costs',
        content: html`${costTable(results)}${costFigure(results)}${errorFigure(results)}`,
      },
      { id: 'rates', title: 'How often neurons are active', content: rateFigure(results) },
      { id: 'tokens', title: 'Tokens', content: tokenTable(results) },
      {
        id: 'windows',
        title: 'Neighboring tokens',
        content: html`${aggregatedFigure(results)}${reuseFigure(results)}`,
      },
      { id: 'decoding', title: 'Approximate decoding', content: decodingTable(results) },
      { id: 'together', title: 'Active together', content: togetherFigures(results) },
    ],
    data: { name: 'sparsity-lab', content: results },
  })
}

function names({ layers }: LabResults): { label: string }[] {
  return layers.map((_, i) => ({ label: `layer ${i}` }))
}

function layerTable({ layers, quantileLevels }: LabResults): Markup {
  const titles = [
    'exact zeros',
    'active',
    'never active',
    'hot',
    ...quantileLevels.map(p => `|h| at ${percent(p, 0)}`),
  ]
  const head = html`<tr><th scope="col">layer</th>${titles.map(title => html`<th scope="col">${title}</th>`)}</tr>`
  const rows = layers.map(
    ({ exactZeros, active, dead, hot, quantiles }, i) =>
      html`<tr><th scope="row">${i}</th>${[exactZeros, active, dead, hot].map(value => html`<td>${percent(value)}</td>`)}${quantiles.map(value => html`<td>${value.toPrecision(3)}</td>`)}</tr>\n`,
  )
  return html`${scrollingTable(head, rows)}<p class="note">Hot: active at half of the tokens or more.</p>`
}

function costTable(results: LabResults): Markup {
  const { perplexity: dense, atRise, byError, byKept } = results
  const head = html`<tr>${['what is left out', 'neurons left out', 'perplexity', 'change'].map(title => html`<th scope="col">${title}</th>`)}</tr>`
  const row = (title: string, point: { sparsity: number; perplexity: number }) =>
    html`<tr><th scope="row">${title}</th><td>${percent(point.sparsity)}</td><td>${perplexity(point.perplexity)}</td><td>${signedPercent(point.perplexity / dense - 1)}</td></tr>\n`
  return scrollingTable(head, [
    ...atRise.map(point =>
      row(`CETT-PPL-${fixed(100 * point.rise, 0)} %: CETT ${fixed(point.error, 3)}`, point),
    ),
    ...byError.map(point => row(`CETT ${fixed(point.error, 2)}`, point)),
    ...byKept.map(point => row(`all but the largest ${percent(point.kept, 0)} by |h|`, point)),
  ])
}

const LEFT_OUT = {
  label: 'fraction of neurons left out',
  range: [0, 1],
  format: (value: number) => percent(value, 0),
} as const

function costFigure(results: LabResults): Markup {
  const { perplexity: dense, byError, byKept } = results
  const curve = (label: string, points: readonly { sparsity: number; perplexity: number }[]) => ({
    label,
    points: points.map(point => ({ x: point.sparsity, y: point.perplexity })).toSorted((a, b) => a.x - b.x),
  })
  const curves = [curve('one CETT for all layers', byError), curve('largest |h| at each token', byKept)]
  const top = Math.min(2 * dense, Math.max(...curves.flatMap(({ points }) => points.map(({ y }) => y))))
  return figure({
    id: 'cost-figure',
    caption: `Perplexity over the neurons left out; with all ${perplexity(dense)}. Points above ${perplexity(top)} are in the table.`,
    runs: curves,
    draw: options =>
      drawCurves(curves, {
        ...options,
        ariaLabel:
          'Perplexity over the fraction of neurons left out, for one CETT and for the largest values',
        x: LEFT_OUT,
        y: { label: 'perplexity', range: [dense * 0.97, top * 1.03], format: value => perplexity(value) },
        pointText: ({ x, y }) => `${perplexity(y)} at ${percent(x)}`,
      }),
    data: {
      columns: ['way', 'setting', 'sparsity', 'perplexity'],
      rows: [
        ...byError.map(({ error, sparsity, perplexity: value }) => ['cett', error, sparsity, value]),
        ...byKept.map(({ kept, sparsity, perplexity: value }) => ['top', kept, sparsity, value]),
      ],
    },
  })
}

/** A line for each layer over x = 1, 2, …, or given fractions. */
function layerLines(
  results: LabResults,
  options: {
    readonly id: string
    readonly caption: string
    readonly xLabel: string
    readonly yLabel: string
    readonly x: (layer: number, i: number) => number
    readonly xRange: readonly [number, number]
    readonly y: readonly (readonly number[])[]
    readonly xFormat?: (value: number) => string
  },
): Markup {
  const curves = options.y.map((values, layer) => ({
    label: `layer ${layer}`,
    points: values.map((y, i) => ({ x: options.x(layer, i), y })),
  }))
  return figure({
    id: options.id,
    caption: options.caption,
    runs: names(results),
    draw: given =>
      drawCurves(curves, {
        ...given,
        ariaLabel: options.caption,
        x: { label: options.xLabel, range: options.xRange, format: options.xFormat },
        y: { label: options.yLabel, range: [0, 1], format: value => percent(value, 0) },
        pointText: ({ x, y }) => `${percent(y)} at ${Number(x.toPrecision(3))}`,
      }),
    data: {
      columns: ['layer', 'x', 'y'],
      rows: curves.flatMap(({ points }, layer) => points.map(({ x, y }) => [layer, x, y])),
    },
  })
}

function errorFigure(results: LabResults): Markup {
  const { layers } = results
  return layerLines(results, {
    id: 'cett-figure',
    caption:
      'CETT, the relative error of the FFN output, over the fraction of neurons left out by the length of their contributions.',
    xLabel: LEFT_OUT.label,
    xFormat: LEFT_OUT.format,
    yLabel: 'CETT',
    xRange: [0, 1],
    x: (layer, i) => layers[layer].errorCurve.fractions[i],
    y: layers.map(({ errorCurve }) => errorCurve.errors),
  })
}

function aggregatedFigure(results: LabResults): Markup {
  const { layers } = results
  return layerLines(results, {
    id: 'aggregated-figure',
    caption:
      'Aggregated sparsity: the fraction of neurons that none of so many consecutive tokens uses. By chance, at the same rates, it would be ' +
      `${layers.map(({ independent }) => percent(independent[15], 0)).join(', ')} after 16 tokens; it is ${layers.map(({ aggregated }) => percent(aggregated[15], 0)).join(', ')}.`,
    xLabel: 'consecutive tokens',
    yLabel: 'unused neurons',
    xRange: [1, layers[0].aggregated.length],
    x: (_, i) => i + 1,
    y: layers.map(({ aggregated }) => aggregated),
  })
}

function reuseFigure(results: LabResults): Markup {
  const { layers } = results
  return layerLines(results, {
    id: 'reuse-figure',
    caption:
      'Re-use: of the neurons active at a token, the fraction that was active at one of so many tokens before it.',
    xLabel: 'tokens before',
    yLabel: 'active before',
    xRange: [1, layers[0].reuse.length],
    x: (_, i) => i + 1,
    y: layers.map(({ reuse }) => reuse),
  })
}

function decodingTable({ decoding, predictor }: LabResults): Markup {
  if (decoding.length === 0) {
    return html`<p>Not measured: it needs an activation that is exactly 0 somewhere, and tokens to decode.</p>`
  }
  const row = (titles: readonly (string | Markup)[]) =>
    html`<tr>${titles.map(title => html`<th scope="col">${title}</th>`)}</tr>`
  const body = decoding.map(
    one =>
      html`<tr><th scope="row">${'reuse' in one ? `re-use, γ = ${one.reuse}` : `predictor of rank ${one.rank}`}</th><td>${perplexity(one.perplexity)}</td><td>${signedPercent(one.perplexity / one.exactPerplexity - 1)}</td><td>${one.divergence.toPrecision(3)}</td><td>${percent(one.ffnBytes)}</td></tr>\n`,
  )
  const head = row([
    'neurons computed',
    'perplexity',
    'change',
    'KL divergence, nats',
    'FFN bytes of exact decoding',
  ])
  const { tokens, exactPerplexity } = decoding[0]
  const layers = (predictor?.layers ?? []).map(
    ({ precision, recall, chosen, active }, layer) =>
      html`<tr><th scope="row">${layer}</th>${[precision, recall, chosen, active].map(value => html`<td>${percent(value)}</td>`)}</tr>\n`,
  )
  return html`${scrollingTable(head, body)}<p class="note">On ${fixed(tokens, 0)} tokens, one at a time, perplexity ${perplexity(exactPerplexity)} exactly. With re-use, γ tokens compute only neurons that the γ before them used, then γ are computed in full.</p>${
    layers.length === 0
      ? ''
      : scrollingTable(row(['layer', 'precision', 'recall', 'taken for active', 'active']), layers)
  }`
}

function rateFigure(results: LabResults): Markup {
  const grouped = results.layers.map(({ rates }) => {
    const sorted = Array.from(rates).toSorted((a, b) => b - a)
    const columns = Math.min(RATE_COLUMNS, sorted.length)
    return Array.from({ length: columns }, (_, i) => {
      const part = sorted.slice(
        Math.floor((i * sorted.length) / columns),
        Math.floor(((i + 1) * sorted.length) / columns),
      )
      return part.reduce((sum, rate) => sum + rate, 0) / part.length
    })
  })
  const columns = grouped[0].length
  return figure({
    id: 'rate-figure',
    caption:
      'Fraction of tokens at which neurons are active, the most active on the left, in groups of equal size: full color is always, page color never.',
    runs: [],
    draw: options =>
      heatMap(grouped, {
        ...options,
        ariaLabel: 'Firing rates of the neurons of each layer, sorted',
        rowLabels: names(results).map(({ label }) => label),
        xLabel: 'neurons, sorted by firing rate',
        xFormat: column => percent(column / columns, 0),
        cellText: (row, column) => `layer ${row}: ${percent(grouped[row][column])} of the tokens`,
      }),
    data: {
      columns: ['layer', 'group', 'rate'],
      rows: grouped.flatMap((row, layer) => row.map((rate, i) => [layer, i, rate])),
    },
  })
}

/** Tokens × layers with the text beside. */
function tokenTable({ shown, layers }: LabResults): Markup {
  const highest = Math.max(...shown.active.flat(), 1e-9)
  const head = html`<tr><th scope="col">position</th><th scope="col">token</th>${layers.map((_, i) => html`<th scope="col">layer ${i}</th>`)}</tr>`
  const rows = shown.texts.map(
    (token, t) =>
      html`<tr><td>${t}</td><th scope="row"><code>${visibleLine(JSON.stringify(token))}</code></th>${shown.active.map(of => html`<td>${bar(of[t] / highest)} ${percent(of[t])}</td>`)}</tr>\n`,
  )
  return html`${scrollingTable(head, rows)}<p class="note">Fraction of the neurons of each layer that are active; the darker, the more.</p>`
}

function bar(value: number): Markup {
  return html`<svg width="14" height="12" aria-hidden="true"><rect width="14" height="12" fill="var(--heat)" fill-opacity="${value.toFixed(2)}"/></svg>`
}

function togetherFigures({ layers }: LabResults): Markup {
  return html`${layers.map(({ together: { neurons, lift } }, layer) => {
    if (neurons.length === 0) {
      return html`<p>Layer ${layer}: no pairs; they are counted after the first ${CHOOSING_TOKENS} tokens.</p>`
    }
    const most = Math.max(1.5, ...lift.flat())
    return figure({
      id: `together-${layer}`,
      caption: `Layer ${layer}: how much more often than by chance its most active neurons are active together; full color is ${fixed(most, 1)} times, chance is ${percent(1 / most, 0)} of it.`,
      runs: [],
      draw: options =>
        heatMap(
          lift.map(row => row.map(value => value / most)),
          {
            ...options,
            rowHeight: 10,
            ariaLabel: `Pairs of neurons of layer ${layer} that are active together`,
            rowLabels: neurons.map(String),
            xLabel: 'the same neurons',
            cellText: (a, b) => `${neurons[a]} and ${neurons[b]}: ${fixed(lift[a][b], 2)} times chance`,
          },
        ),
      data: {
        columns: ['a', 'b', 'lift'],
        rows: lift.flatMap((row, a) => row.map((value, b) => [neurons[a], neurons[b], value])),
      },
    })
  })}`
}
