// Decoding speed: for every run and weight type a bar for dense and one for sparse decoding, with their ratio.

import * as Plot from '@observablehq/plot'
import type { Markup } from '../../../report/markup.js'
import { interval, rate, ratio } from '../../../report/numbers.js'
import { runStyle } from '../../../report/palette.js'
import { axisX, cut, draw, type FigureOptions, markers, plane, textWidth } from '../../../report/plot.js'
import { visibleLine } from '../../../report/visible-text.js'
import type { DecodeSpeed, RunResult } from '../../results.js'

type Run = Pick<RunResult, 'label' | 'speed'>

const HEADING = 24
const BAR = 17
const GAP = 6

export function decodeSpeed(runs: readonly Run[], options: FigureOptions): Markup {
  const bars = layOut(runs)
  const height = bars.height + 76
  const fastest = Math.max(1e-9, ...bars.rows.map(row => row.speed ?? 0))
  const room = textWidth(options.width >= 600 ? '41,200  1.42× (1.38–1.46)' : '41,200  1.42×') + 8
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
        markers([{ x: area.atX(8), y }], runStyle(index), 5),
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
      bars.rows.flatMap(({ index, y, name, speed, measured }) => [
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
                fillOpacity: name.endsWith('dense') ? 0.2 : 0.9,
                stroke: runStyle(index).color,
                title: d =>
                  `${visibleLine(runs[index].label)}, ${name}: ${rate(d)} tokens/s${measured === null ? '' : `\n${ratio(measured.median)} of dense, 95 % interval ${interval(measured)}`}`,
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
        speed === null || measured === null
          ? []
          : [
              Plot.text(
                [
                  options.width >= 600
                    ? `${ratio(measured.median)} (${interval(measured)})`
                    : ratio(measured.median),
                ],
                {
                  x: speed,
                  y: y + BAR / 2 + 0.5,
                  text: d => d,
                  dx: 6 + textWidth(`${rate(speed)} `),
                  textAnchor: 'start',
                  fill: 'var(--ink)',
                  fontWeight: 700,
                  fontVariant: 'tabular-nums',
                },
              ),
            ],
      ]),
    ],
  })
}

export function speedCaption(runs: readonly Run[]): string {
  const passes = [...new Set(runs.flatMap(run => run.speed.map(speed => speed.passes)))].join(' or ')
  return (
    'Greedy decoding of the same prompt, one sequence at a time. Pale: every neuron computed. Solid: rows and ' +
    'columns of inactive neurons skipped, with the same output to the bit. Dense and sparse passes alternate; bars are ' +
    `medians, and the ratio is the median over ${passes} pairs of passes with its 95 % interval. Compare a run with ` +
    'itself: runs are measured one after another, and the machine is not equally fast all the time.'
  )
}

interface BarRow {
  readonly index: number
  readonly name: string
  /** Tokens per second; null where nothing could be skipped. */
  readonly speed: number | null
  /** Of sparse rows: the ratio to dense. */
  readonly measured: DecodeSpeed['ratio']
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
    for (const { dtype, dense, sparse, ratio } of run.speed) {
      rows.push({ index, name: `${dtype} dense`, speed: dense, measured: null, y })
      rows.push({ index, name: `${dtype} sparse`, speed: sparse, measured: ratio, y: y + BAR })
      y += 2 * BAR + GAP
    }
    y += GAP
  }
  return { headings, rows, height: Math.max(1, y) }
}
