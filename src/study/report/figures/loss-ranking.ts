// Many runs by their final loss: a dot per run with the deviation between its seeds, and beside it how sparse it is.

import * as Plot from '@observablehq/plot'
import type { RunResult } from '../../results.js'
import { deviation } from '../../seeds.js'
import type { Markup } from '../markup.js'
import { loss, mean, percent } from '../numbers.js'
import { cut, draw, type FigureOptions, isWide, plane, textWidth } from './figure.js'

type Run = Pick<RunResult, 'label' | 'final' | 'perSeed'>

const ROW = 18
/** Room for the bar of zeros and its number, px. */
const ZEROS = 170

/** Lowest loss on top. */
export function lossRanking(runs: readonly Run[], options: FigureOptions): Markup {
  const wide = isWide(options)
  const rows = runs
    .map(run => ({
      label: run.label,
      loss: run.final.loss,
      spread: deviation((run.perSeed ?? []).map(({ final }) => final.loss)),
      zeros: mean(run.final.sparsity),
    }))
    .filter(row => Number.isFinite(row.loss))
    .sort((a, b) => a.loss - b.loss)
  const longest = Math.max(60, ...rows.map(row => textWidth(row.label)))
  const left = Math.min(longest, options.width * (wide ? 0.3 : 0.38)) + 14
  const [low, high] = range(rows.map(row => row.loss))
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
            x1: inside(row.loss - row.spread),
            x2: inside(row.loss + row.spread),
            y: at(i),
            stroke: 'var(--run-1)',
            strokeOpacity: 0.45,
            strokeWidth: 5,
          }),
          Plot.dot([row], { x: inside(row.loss), y: at(i), r: 4, fill: 'var(--run-1)' }),
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
    'Lowest loss on top. Bars at the right: share of exact zeros among the hidden activations, mean of the layers.' +
    (several ? ' The band behind a dot is the standard deviation between seeds.' : '') +
    ' A dot at the right edge stands for a loss beyond it.'
  )
}

/** What most losses lie in: one run that failed shall not press all others together. */
function range(losses: readonly number[]): [low: number, high: number] {
  if (losses.length === 0) return [0, 1]
  const low = losses[0]
  const middle = losses[losses.length >> 1]
  const high = Math.min(losses[losses.length - 1], middle + 4 * Math.max(middle - low, 0.02))
  const pad = Math.max((high - low) * 0.06, 0.004)
  return [low - pad, high + pad]
}
