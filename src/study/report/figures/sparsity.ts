// Sparsity: the mean over the layers during training, one line per run; and per layer, one small heat map per run, where
// darker is more zeros and the final value stands beside.

import * as Plot from '@observablehq/plot'
import { describeSwitches, runLines } from '../../../report/lines.js'
import { html, type Markup } from '../../../report/markup.js'
import { fixed, percent } from '../../../report/numbers.js'
import { runStyle } from '../../../report/palette.js'
import { axisX, axisY, draw, type FigureOptions, plane } from '../../../report/plot.js'
import { mean } from '../../../statistics.js'
import type { RunResult } from '../../results.js'
import { seedPoint } from './seed-point.js'

type Run = Pick<RunResult, 'label' | 'evaluations' | 'final' | 'switchStep' | 'steps' | 'perSeed'>

export function sparsityOverTraining(runs: readonly Run[], options: FigureOptions): Markup {
  return runLines(
    runs.map((run, i) => ({
      label: run.label,
      style: runStyle(i),
      measured: run.evaluations.map(evaluation =>
        seedPoint(run, evaluation, ({ sparsity }) => mean(sparsity)),
      ),
      background: [],
      switchStep: run.switchStep,
    })),
    {
      ...options,
      ariaLabel: `Sparsity over training steps, mean of the layers, for ${runs.map(run => run.label).join(', ')}`,
      steps: [0, Math.max(1, ...runs.map(run => run.steps))],
      range: [0, 1],
      yLabel: 'zeros among hidden activations',
      yFormat: share => percent(share, 0),
      valueText: percent,
      yTicks: [0, 0.2, 0.4, 0.6, 0.8, 1],
    },
  )
}

export function sparsityCaption(runs: readonly Run[]): string {
  const switches = describeSwitches(runs)
  const what = 'Fraction of exact zeros in the FFN’s hidden vector on validation text, mean of the layers.'
  return switches === ''
    ? what
    : `${what} A smooth activation has none; after its switch to ReLU (dashed) a run gets at once what its ` +
        'pre-activations allow, and the steps that are left move it further.'
}

/** Color strength of a fraction of zeros: none is still a visible cell, all is the full color. */
const strength = (share: number) => 0.04 + 0.96 * share

export function layerSparsity(run: Run, options: FigureOptions): Markup {
  const layers = run.final.sparsity.length
  const rows = Math.max(1, layers)
  const rowHeight = Math.min(26, Math.max(7, 220 / rows))
  const area = plane(
    { width: options.width, height: Math.round(rows * rowHeight) + 66 },
    { top: 24, right: 60, bottom: 42, left: 50 },
    [0, Math.max(1, run.steps)],
    // Layer 0, next to the embedding, on top.
    [rows - 0.5, -0.5],
  )
  const every = Math.max(1, Math.ceil((16 * rows) / (rows * rowHeight)))
  const shown = Array.from({ length: layers }, (_, layer) => layer).filter(layer => layer % every === 0)
  return draw(options.id, `Sparsity per layer over training steps, ${run.label}`, {
    ...area.options,
    marks: [
      Plot.rect(cells(run), {
        x1: 'from',
        x2: 'to',
        y1: (d: HeatCell) => d.layer - 0.5,
        y2: (d: HeatCell) => d.layer + 0.5,
        fill: 'var(--heat)',
        fillOpacity: { value: (d: HeatCell) => strength(d.share), scale: null },
        inset: 0.5,
        title: (d: HeatCell) => `layer ${d.layer}, step ${fixed(d.step, 0)}: ${percent(d.share)}`,
      }),
      axisY(area, { label: 'layer', ticks: shown, format: String }),
      axisX(area, { label: 'training step' }),
      run.switchStep === null
        ? []
        : [
            Plot.ruleX([run.switchStep], {
              stroke: 'var(--ink)',
              strokeWidth: 1.25,
              strokeDasharray: '5 4',
              ariaLabel: 'switch of activation',
            }),
          ],
      Plot.text(shown, {
        x: area.atX(area.right + 6),
        y: layer => layer,
        text: layer => percent(run.final.sparsity[layer]),
        textAnchor: 'start',
        fill: 'var(--ink)',
        fontVariant: 'tabular-nums',
      }),
      Plot.text(['final'], {
        x: area.atX(area.right + 6),
        y: area.atY(area.top - 12),
        text: d => d,
        textAnchor: 'start',
        fill: 'var(--ink-soft)',
      }),
    ],
  })
}

export function layerSparsityCaption(): string {
  return (
    'One row per layer, one cell per measurement during training; the stronger the color, the more zeros. ' +
    'Beside each row: the layer’s sparsity at the end. Look for layers that stay behind: the slowest to ' +
    'become sparse bound what decoding can save.'
  )
}

/** The scale of the heat maps: none to all. */
export function layerSparsityScale(options: FigureOptions): Markup {
  const stops = Array.from({ length: 11 }, (_, i) => i / 10)
  const svg = draw(options.id, 'Color scale from 0 % to 100 % zeros', {
    width: options.width,
    height: 14,
    margin: 0,
    x: { domain: [0, stops.length], axis: null },
    y: { axis: null },
    marks: [
      Plot.rectX(stops, {
        x1: share => share * 10,
        x2: share => share * 10 + 1,
        fill: 'var(--heat)',
        fillOpacity: { value: strength, scale: null },
      }),
    ],
  })
  return html`<p class="scale">0 % ${svg} 100 % zeros</p>`
}

interface HeatCell {
  readonly step: number
  readonly from: number
  readonly to: number
  readonly layer: number
  readonly share: number
}

/** A measurement colors the steps nearer to it than to its neighbors. */
function cells({ evaluations, steps }: Run): HeatCell[] {
  return evaluations.flatMap(({ step, sparsity }, i) => {
    const before = evaluations[i - 1]?.step ?? -step
    const after = evaluations[i + 1]?.step ?? 2 * steps - step
    const [from, to] = [Math.max(0, (before + step) / 2), Math.min(steps, (step + after) / 2)]
    return sparsity.map((share, layer) => ({ step, from, to, layer, share }))
  })
}
