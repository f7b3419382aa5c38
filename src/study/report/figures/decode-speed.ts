// Decoding speed: for every run and weight type a bar for dense and one for sparse decoding, with their ratio.

import * as Plot from '@observablehq/plot'
import type { Markup } from '../../../report/markup.js'
import { rate, ratio } from '../../../report/numbers.js'
import { runStyle } from '../../../report/palette.js'
import { axisX, cut, draw, type FigureOptions, markers, plane, textWidth } from '../../../report/plot.js'
import type { RunResult } from '../../results.js'

type Run = Pick<RunResult, 'label' | 'speed'>

const HEADING = 24
const BAR = 17
const GAP = 6

export function decodeSpeed(runs: readonly Run[], options: FigureOptions): Markup {
  const bars = layOut(runs)
  const height = bars.height + 76
  const fastest = Math.max(1e-9, ...bars.rows.map(row => row.speed ?? 0))
  const room = textWidth('41,200  1.42×') + 8
  const area = plane(
    { width: options.width, height },
    { top: 34, right: room, bottom: 42, left: 84 },
    [0, fastest],
    [bars.height, 0],
  )
  return draw(options.id, `Decoding speed, dense and sparse, for ${runs.map(run => run.label).join(', ')}`, {
    ...area.options,
    marks: [
      axisX(area, { label: 'tokens per second' }, true),
      bars.headings.flatMap(({ run, index, y }) => [
        markers([{ x: area.atX(8), y }], runStyle(index), 5, false),
        Plot.text([cut(run.label, options.width - 24)], {
          x: area.atX(20),
          y,
          text: d => d,
          textAnchor: 'start',
          fill: runStyle(index).color,
          fontWeight: 600,
          stroke: 'var(--page)',
          strokeWidth: 4,
        }),
      ]),
      bars.rows.flatMap(({ index, y, name, speed, dense, kind }) => [
        Plot.text([name], {
          x: area.atX(area.left - 6),
          y: y + BAR / 2,
          text: d => d,
          textAnchor: 'end',
          fill: 'var(--ink-soft)',
        }),
        speed === null
          ? []
          : [
              Plot.rect([speed], {
                x1: 0,
                x2: d => d,
                y1: y + 2,
                y2: y + BAR - 1,
                fill: runStyle(index).color,
                fillOpacity: kind === 'dense' ? 0.2 : 0.9,
                stroke: runStyle(index).color,
              }),
            ],
        Plot.text([speed === null ? 'no exact zeros to skip' : rate(speed)], {
          x: speed ?? 0,
          y: y + BAR / 2 + 0.5,
          text: d => d,
          dx: 6,
          textAnchor: 'start',
          fill: speed === null ? 'var(--ink-soft)' : 'var(--ink)',
          fontVariant: 'tabular-nums',
        }),
        kind === 'dense' || speed === null || dense === 0
          ? []
          : [
              Plot.text([ratio(speed / dense)], {
                x: speed,
                y: y + BAR / 2 + 0.5,
                text: d => d,
                dx: 6 + textWidth(`${rate(speed)} `),
                textAnchor: 'start',
                fill: 'var(--ink)',
                fontWeight: 700,
                fontVariant: 'tabular-nums',
              }),
            ],
      ]),
    ],
  })
}

export function speedCaption(): string {
  return (
    'Greedy decoding of the same prompt, one sequence at a time. Pale: every neuron computed. Solid: rows and ' +
    'columns of inactive neurons skipped, with the same output up to summation order. The ratio compares a ' +
    'run with itself in the same weight type.'
  )
}

interface BarRow {
  readonly index: number
  readonly name: string
  readonly kind: 'dense' | 'sparse'
  /** Tokens per second; null where nothing could be skipped. */
  readonly speed: number | null
  readonly dense: number
  /** Upper edge, px from the top of the frame. */
  readonly y: number
}

function layOut(runs: readonly Run[]) {
  const headings: { run: Run; index: number; y: number }[] = []
  const rows: BarRow[] = []
  let y = 0
  for (const [index, run] of runs.entries()) {
    headings.push({ run, index, y: y + HEADING / 2 })
    y += HEADING
    for (const { dtype, dense, sparse } of run.speed) {
      rows.push({ index, name: `${dtype} dense`, kind: 'dense', speed: dense, dense, y })
      rows.push({ index, name: `${dtype} sparse`, kind: 'sparse', speed: sparse, dense, y: y + BAR })
      y += 2 * BAR + GAP
    }
    y += GAP
  }
  return { headings, rows, height: Math.max(1, y) }
}
