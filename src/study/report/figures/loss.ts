// Loss: curves over training steps, with the switch of activation ruled; and, for many runs, their final losses ranked.

import * as Plot from '@observablehq/plot'
import { describeSwitches, runLines } from '../../../report/lines.js'
import type { Markup } from '../../../report/markup.js'
import { fixed, loss, percent } from '../../../report/numbers.js'
import { runStyle } from '../../../report/palette.js'
import { cut, draw, type FigureOptions, isWide, plane, type Range, textWidth } from '../../../report/plot.js'
import { visibleLine } from '../../../report/visible-text.js'
import { mean } from '../../../statistics.js'
import type { Evaluation, RunResult } from '../../results.js'
import { seedPoint } from './seed-point.js'

type CurveRun = Pick<RunResult, 'label' | 'curve' | 'evaluations' | 'switchStep' | 'steps' | 'perSeed'>

type CaptionRun = CurveRun & Pick<RunResult, 'final'>

/** `whole`: from the first step. `end`: from a little before the first switch, at least the last 30 %. */
export type LossPart = 'whole' | 'end'

export function lossCurves(runs: readonly CurveRun[], part: LossPart, options: FigureOptions): Markup {
  const steps = stepRange(runs, part)
  return runLines(
    runs.map((run, i) => ({
      label: run.label,
      style: runStyle(i),
      measured: run.evaluations
        .filter(({ step }) => step >= steps[0])
        .map(evaluation => seedPoint(run, evaluation, ({ loss }) => loss)),
      background: run.curve
        .filter(({ step }) => step >= steps[0])
        .map(({ step, loss }) => ({ x: step, y: loss })),
      switchStep: run.switchStep,
    })),
    {
      ...options,
      ariaLabel: `Training and validation loss over training steps${part === 'end' ? ', last part' : ''}, for ${runs
        .map(run => run.label)
        .join(', ')}`,
      steps,
      range: lossRange(runs, steps),
      yLabel: 'loss (nats per token)',
      valueText: loss,
    },
  )
}

export function lossCaption(runs: readonly CaptionRun[], part: LossPart): string {
  const lines =
    'Thin: training loss, the mean of a few steps each. Marked: validation loss on text never trained on.'
  if (part === 'end') return `The end of training, enlarged. ${curveAgainstTable(runs)}`.trim()
  const switches = describeSwitches(runs)
  const above = runs.some(run =>
    run.curve.some(({ loss }) => loss > lossRange(runs, stepRange(runs, part))[1]),
  )
  return [
    lines,
    ...(above ? ['The first steps lie above the frame.'] : []),
    ...(switches === '' ? [] : [`Dashed rule: the activation changes (${switches}).`, aroundSwitches(runs)]),
  ]
    .filter(sentence => sentence !== '')
    .join(' ')
}

/** What the validation loss did at each switch, as it was measured. */
function aroundSwitches(runs: readonly CaptionRun[]): string {
  const changes = runs.flatMap(({ label, switchStep, evaluations }) => {
    const before = evaluations.findLast(({ step }) => switchStep !== null && step <= switchStep)
    const after = evaluations.find(({ step }) => switchStep !== null && step > switchStep)
    if (before === undefined || after === undefined) return []
    const change = after.loss - before.loss
    const way = Math.abs(change) < 0.0005 ? 'is unchanged' : change > 0 ? 'rises' : 'falls'
    return [
      `${visibleLine(label)} ${way} from ${loss(before.loss)} (step ${fixed(before.step, 0)}, measured with ` +
        `${measuredWith(before)}) to ${loss(after.loss)} (step ${fixed(after.step, 0)}, ${measuredWith(after)})`,
    ]
  })
  return changes.length === 0 ? '' : `Validation loss around the switch: ${changes.join('; ')}.`
}

/** The activation of a measurement, and whether it was drawn while measuring. */
function measuredWith({ activation, drawnPer }: Evaluation): string {
  return visibleLine(activation) + (drawnPer === null ? '' : `, drawn per ${drawnPer}`)
}

/** Why the last point of a curve differs from the table's loss; empty when it does not. */
export function curveAgainstTable(runs: readonly CaptionRun[]): string {
  const pairs = runs.flatMap(({ evaluations, final }) => {
    const last = evaluations.at(-1)
    return last === undefined ? [] : [{ last, final }]
  })
  const apart = Math.max(0, ...pairs.map(({ last, final }) => Math.abs(last.loss - final.loss)))
  if (apart < 0.0005) return ''
  const during = [...new Set(pairs.map(({ last }) => fixed(last.tokens, 0)))].join(' or ')
  const atEnd = [...new Set(pairs.map(({ final }) => fixed(final.tokens, 0)))].join(' or ')
  return (
    `The curves are measured on ${during} held-out tokens and the table on ${atEnd}, so a curve’s last point and the ` +
    `table’s loss differ, here by up to ${loss(apart)}; the table’s is the more exact.`
  )
}

/** Steps shown: up to the longest run. */
export function stepRange(runs: readonly CurveRun[], part: LossPart): Range {
  const last = Math.max(1, ...runs.map(run => run.steps))
  if (part === 'whole') return [0, last]
  const switches = runs.flatMap(run => (run.switchStep === null ? [] : [run.switchStep]))
  return [Math.max(0, Math.floor(Math.min(0.7 * last, ...switches.map(step => step - 0.1 * last)))), last]
}

/**
 * Losses shown: from the lowest up to a high quantile, so that the first steps do not flatten the rest, and up to
 * the peak after a switch unless that would take more than twice the height of everything else.
 */
export function lossRange(runs: readonly CurveRun[], [from]: Range): Range {
  const training = runs.flatMap(run => run.curve.filter(({ step }) => step >= from))
  const validation = runs.flatMap(run => run.evaluations.filter(({ step }) => step >= from))
  const all = [...training, ...validation].map(({ loss }) => loss)
  if (all.length === 0) return [0, 1]
  const peaks = runs.flatMap(({ curve, evaluations, switchStep }) =>
    switchStep === null
      ? []
      : [...curve, ...evaluations]
          .filter(({ step }) => step > Math.max(from, switchStep))
          .map(({ loss }) => loss),
  )
  const low = Math.min(...all)
  const usual = quantile(all, from === 0 ? 0.9 : 0.99)
  const high = Math.max(usual, Math.min(Math.max(...peaks, usual), low + 3 * (usual - low)))
  const pad = Math.max((high - low) * 0.06, 0.01)
  return [Math.max(0, low - pad), high + pad]
}

function quantile(values: readonly number[], share: number): number {
  const sorted = values.toSorted((a, b) => a - b)
  return sorted[Math.min(sorted.length - 1, Math.floor(share * sorted.length))]
}

type FinalRun = Pick<RunResult, 'label' | 'final' | 'perSeed'>

const ROW = 18
/** Room for the bar of zeros and its number, px. */
const ZEROS = 170

/** Lowest loss on top. */
export function lossRanking(runs: readonly FinalRun[], options: FigureOptions): Markup {
  const wide = isWide(options)
  const rows = runs
    .map(run => ({
      label: run.label,
      loss: run.final.loss,
      seeds: (run.perSeed ?? [run]).map(({ final }) => final.loss),
      zeros: mean(run.final.sparsity),
    }))
    .filter(row => Number.isFinite(row.loss))
    .sort((a, b) => a.loss - b.loss)
  const longest = Math.max(60, ...rows.map(row => textWidth(row.label)))
  const left = Math.min(longest, options.width * (wide ? 0.3 : 0.38)) + 14
  const [low, high] = rankedRange(rows.map(row => row.loss))
  const height = rows.length * ROW
  const area = plane(
    { width: options.width, height: height + 78 },
    { top: 34, right: ZEROS * (wide ? 1 : 0.6), bottom: 44, left },
    [low, high],
    [rows.length, 0],
  )
  const zerosAt = area.right + 16
  const zerosWidth = options.width - zerosAt - 48
  const at = (i: number) => i + 0.5
  const inside = (value: number) => Math.min(high, Math.max(low, value))
  return draw(
    options.id,
    `Final validation loss of ${rows.length} runs, lowest first: ${rows.map(row => row.label).join(', ')}`,
    {
      ...area.options,
      marks: [
        Plot.gridX({ stroke: 'var(--line)', strokeOpacity: 1, ticks: wide ? 6 : 3 }),
        Plot.axisX({
          color: 'var(--ink-soft)',
          tickSize: 0,
          ticks: wide ? 6 : 3,
          tickFormat: loss,
          label: 'validation loss (nats per token)',
          labelAnchor: 'left',
          labelArrow: 'none',
          labelOffset: 34,
        }),
        Plot.text(['zeros'], {
          x: area.atX(zerosAt),
          y: area.atY(area.top - 12),
          text: d => d,
          textAnchor: 'start',
          fill: 'var(--ink-soft)',
        }),
        rows.flatMap((row, i) => [
          Plot.text([cut(row.label, left - 14)], {
            x: area.atX(left - 8),
            y: at(i),
            text: d => d,
            textAnchor: 'end',
            fill: 'var(--ink)',
          }),
          Plot.ruleY([row], {
            x1: inside(Math.min(...row.seeds)),
            x2: inside(Math.max(...row.seeds)),
            y: at(i),
            stroke: 'var(--run-1)',
            strokeOpacity: 0.45,
            strokeWidth: 5,
          }),
          Plot.dot([row], {
            x: inside(row.loss),
            y: at(i),
            r: 4,
            fill: 'var(--run-1)',
            // A loss beyond the frame is an arrow at its edge.
            symbol: row.loss > high ? 'triangle' : 'circle',
            rotate: row.loss > high ? 90 : 0,
            title: () => describeRow(row),
          }),
          row.zeros === 0
            ? []
            : Plot.rect([row], {
                x1: area.atX(zerosAt),
                x2: area.atX(zerosAt + row.zeros * zerosWidth),
                y1: i + 0.25,
                y2: i + 0.75,
                fill: 'var(--run-2)',
              }),
          Plot.text([row.zeros === 0 ? '0' : percent(row.zeros, 0)], {
            x: area.atX(zerosAt + row.zeros * zerosWidth + 5),
            y: at(i),
            text: d => d,
            textAnchor: 'start',
            fill: 'var(--ink-soft)',
          }),
        ]),
      ],
    },
  )
}

export function lossRankingCaption(several: boolean): string {
  return (
    'Lowest loss on top. Bars at the right: fraction of exact zeros among the hidden activations, mean of the layers.' +
    (several ? ' The band behind a dot reaches from the lowest to the highest seed.' : '') +
    ' A triangle at the right edge stands for a loss beyond it.'
  )
}

function describeRow({
  label,
  loss: value,
  zeros,
  seeds,
}: {
  label: string
  loss: number
  zeros: number
  seeds: number[]
}): string {
  const range = seeds.length > 1 ? `\nseeds: ${loss(Math.min(...seeds))} to ${loss(Math.max(...seeds))}` : ''
  return `${visibleLine(label)}: ${loss(value)}, ${percent(zeros, 0)} zeros${range}`
}

/** What most losses lie in: one run that failed shall not press all others together. */
function rankedRange(losses: readonly number[]): [low: number, high: number] {
  if (losses.length === 0) return [0, 1]
  const low = losses[0]
  const middle = losses[losses.length >> 1]
  const high = Math.min(losses[losses.length - 1], middle + 4 * Math.max(middle - low, 0.02))
  const pad = Math.max((high - low) * 0.06, 0.004)
  return [low - pad, high + pad]
}
