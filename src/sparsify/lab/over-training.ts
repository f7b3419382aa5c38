// The fraction of active neurons over the training of a run: at its measurements on held-out text where the activation has exact
// zeros, and at its checkpoints, as CETT-PPL-1 % where it has none; and the laws fitted to it.

import { parseActivation } from '../../activations/index.js'
import { OptionError } from '../../errors.js'
import type { ModelSource } from '../../formats/index.js'
import { machineInfo } from '../../kernels/machine-info.js'
import { drawCurves } from '../../report/curves.js'
import { html, type Markup } from '../../report/markup.js'
import { fixed, percent } from '../../report/numbers.js'
import { figure, renderPage, scrollingTable } from '../../report/page.js'
import { visibleLine } from '../../report/visible-text.js'
import { METHODS, requireApplicable } from '../methods.js'
import { readTexts, Sparsifier, type TextOptions } from '../sparsify.js'
import { cutsAtError } from './measure.js'
import { type ActivationPoint, fitLaws, LEAST_POINTS, lawAt } from './sparsing-law.js'

/** 400K, 1.8M, 10B. */
const compact = new Intl.NumberFormat('en-US', { notation: 'compact' })

/** Rise of perplexity within which neurons may be left out, and halvings of the search for their error. */
const RISE = 0.01
const SEARCH_STEPS = 9

/**
 * 1 − CETT-PPL-1 %: what is left when one CETT for all layers leaves out as many neurons as a rise of perplexity by 1 % allows.
 * Throws OptionError METHOD_FFN, HELD_OUT_MISSING, CALIBRATION_MEMORY, MODEL_MEMORY; CorpusError.
 */
export function activeWithinRise(source: ModelSource, options: TextOptions): number {
  requireApplicable(METHODS.cett, source.config)
  const texts = readTexts(source.tokenizer(), source.config, options)
  const sparsifier = new Sparsifier(source, texts)
  const dense = sparsifier.measure(null, '')
  if (dense === null) {
    throw new OptionError(
      'HELD_OUT_MISSING',
      'too little text follows the first part to measure on; give --held-out FILE or fewer --tokens',
    )
  }
  const statistics = sparsifier.calibrate(['cett'], [1])
  let [low, high, sparsity] = [0, 1, 0]
  for (let step = 0; step < SEARCH_STEPS; step++) {
    const error = (low + high) / 2
    const { perplexity, levels } = sparsifier.measure(cutsAtError(statistics, error), '') ?? dense
    if (perplexity <= (1 + RISE) * dense.perplexity) {
      low = error
      sparsity = levels.reduce((sum, { down = 0 }) => sum + down, 0) / levels.length
    } else high = error
  }
  return 1 - sparsity
}

export interface OverTraining {
  readonly path: string
  /** What counts as active. */
  readonly activation: string
  readonly points: readonly ActivationPoint[]
}

export type TrainingResults = ReturnType<typeof lawsOf>

/** Throws OptionError LAW_POINTS for fewer than LEAST_POINTS points. */
export function lawsOf({ path, activation, points }: OverTraining) {
  if (points.length < LEAST_POINTS) {
    throw new OptionError(
      'LAW_POINTS',
      `${path} has ${points.length} measurements of ${activation}, and a law needs ${LEAST_POINTS}: train with a smaller ` +
        '--eval-every, or where the activation has no exact zeros with --keep-checkpoints',
    )
  }
  const sorted = points.toSorted((a, b) => a.tokens - b.tokens)
  return {
    kind: 'sparsity-over-training' as const,
    run: path,
    machine: machineInfo(),
    activation,
    activeWhere: parseActivation(activation).exactZeros
      ? ('its hidden value is not exactly 0' as const)
      : ('it is not left out at CETT-PPL-1 %' as const),
    points: sorted,
    laws: fitLaws(sorted),
  }
}

const FORMULAS = { decreasing: 'exp(−c · D^α + b) + A₀', increasing: 'A₀ − c / D^α' } as const

/** A page with the points, both laws and their parameters. */
export function renderOverTraining(results: TrainingResults): string {
  const { run, activation, activeWhere, points, laws, machine } = results
  const last = points[points.length - 1].tokens
  const curves = [
    { label: 'measured', points: points.map(({ tokens, active }) => ({ x: tokens, y: active })) },
    ...laws.map(law => ({
      label: law.law,
      points: points.map(({ tokens }) => ({ x: tokens, y: lawAt(law, tokens, last) })),
    })),
  ]
  const highest = Math.max(...points.map(({ active }) => active))
  const head = html`<tr>${['law', 'A₀', 'α', 'c', 'b', 'error'].map(title => html`<th scope="col">${title}</th>`)}</tr>`
  const cell = (value: number | undefined, interval: readonly [number, number] | undefined): Markup =>
    value === undefined || interval === undefined
      ? html`<td>–</td>`
      : html`<td>${value.toPrecision(3)} (${interval.map(end => end.toPrecision(3)).join(' to ')})</td>`
  const rows = laws.map(
    ({ law, parameters, intervals, error }) =>
      html`<tr><th scope="row">${FORMULAS[law]}</th>${['limit', 'alpha', 'c', 'b'].map(name => cell(parameters[name], intervals[name]))}<td>${percent(error)}</td></tr>\n`,
  )
  return renderPage({
    kicker: 'Flicker sparsity lab',
    title: 'Active neurons over training',
    version: machine.version,
    lead: html`<p>${visibleLine(run)}, activation ${visibleLine(activation)}: a neuron is active where ${activeWhere}; on held-out text, mean over layers.</p>`,
    sections: [
      {
        id: 'law',
        title: 'Two laws',
        content: html`${figure({
          id: 'law-figure',
          caption: `Fraction of active neurons over the tokens of training, and both laws of Sparsing Law fitted to all ${fixed(points.length, 0)} points.`,
          runs: curves,
          draw: options =>
            drawCurves(curves, {
              ...options,
              ariaLabel: 'Fraction of active neurons over tokens, measured and by two laws',
              x: {
                label: 'tokens',
                range: [0, last],
                format: value => compact.format(value),
              },
              y: {
                label: 'active neurons',
                range: [0, Math.min(1, highest * 1.1)],
                format: value => percent(value, 0),
              },
              pointText: ({ x, y }) => `${percent(y)} after ${fixed(x, 0)} tokens`,
            }),
          data: {
            columns: ['series', 'tokens', 'active'],
            rows: curves.flatMap(({ label, points: own }) => own.map(({ x, y }) => [label, x, y])),
          },
        })}${scrollingTable(head, rows)}<p class="note">D: tokens over those of the last point. In brackets: intervals of 95 % from ${200} fits to resampled residuals. Error: root of the mean squared difference.</p>`,
      },
    ],
    data: { name: 'sparsity-over-training', content: results },
  })
}
