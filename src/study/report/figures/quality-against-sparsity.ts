// What zeros cost: final validation loss against final sparsity, a named marker per run.

import * as Plot from '@observablehq/plot'
import type { Markup } from '../../../report/markup.js'
import { loss, percent } from '../../../report/numbers.js'
import { runStyle } from '../../../report/palette.js'
import {
  axisX,
  axisY,
  cut,
  draw,
  type FigureOptions,
  hits,
  markers,
  type Point,
  plane,
  series,
  TEXT_SIZE,
  textWidth,
} from '../../../report/plot.js'
import { visibleLine } from '../../../report/visible-text.js'
import { mean } from '../../../statistics.js'
import type { RunResult } from '../../results.js'

type Run = Pick<RunResult, 'label' | 'final' | 'perSeed'>

export interface QualityOptions extends FigureOptions {
  /** Index of the run whose loss is drawn as a line to compare with. */
  readonly baseline: number
}

const MARKER = 5.5

export function qualityAgainstSparsity(runs: readonly Run[], options: QualityOptions): Markup {
  const losses = runs.flatMap(run => seedsOf(run).map(({ y }) => y))
  const [low, high] = losses.length === 0 ? [0, 1] : [Math.min(...losses), Math.max(...losses)]
  const pad = Math.max((high - low) * 0.18, 0.005)
  const area = plane(
    { width: options.width, height: options.width >= 600 ? 340 : 300 },
    { top: 34, right: 22, bottom: 42, left: 54 },
    [0, 1],
    [low - pad, high + pad],
  )
  const points = runs.map(run => ({ x: mean(run.final.sparsity), y: run.final.loss }))
  const labels = placeLabels(
    points.map(({ x, y }, i) => ({
      x: area.px(x),
      y: area.py(y),
      label: cut(runs[i].label, options.width * 0.45),
    })),
    area,
  )
  const reference = points[options.baseline]
  return draw(
    options.id,
    `Validation loss against mean sparsity, for ${runs.map(run => run.label).join(', ')}`,
    {
      ...area.options,
      marks: [
        axisY(area, { label: 'validation loss (nats per token)', format: loss }, true),
        axisX(area, {
          label: 'zeros among hidden activations, mean of layers',
          format: share => percent(share, 0),
          ticks: [0, 0.2, 0.4, 0.6, 0.8, 1],
        }),
        reference === undefined || runs.length < 2
          ? []
          : [
              Plot.ruleY([reference.y], {
                stroke: 'var(--run-0)',
                strokeOpacity: 0.7,
                strokeDasharray: '1 4',
              }),
            ],
        runs.flatMap((run, i) => [
          Plot.dot(seedsOf(run), {
            className: series(i),
            x: 'x',
            y: 'y',
            r: 2.5,
            fill: runStyle(i).color,
            fillOpacity: run.perSeed === undefined ? 0 : 0.55,
          }),
          markers([points[i]], runStyle(i), MARKER, series(i)),
          hits(
            [points[i]],
            series(i),
            ({ x, y }) => `${visibleLine(run.label)}: ${loss(y)} at ${percent(x)} zeros`,
          ),
        ]),
        labels.map(({ x, y, anchor, label }, i) =>
          Plot.text([label], {
            className: series(i),
            x: area.atX(x),
            y: area.atY(y),
            text: d => d,
            textAnchor: anchor,
            fill: runStyle(i).color,
            fontWeight: 600,
            stroke: 'var(--page)',
            strokeWidth: 4,
          }),
        ),
      ],
    },
  )
}

export function qualityCaption(baselineLabel: string, several: boolean): string {
  return (
    (several ? 'Small dots: the seeds; large: their mean. ' : '') +
    'Lower is better text prediction, further right is less to compute per token. A run that lies right of ' +
    `${baselineLabel} and hardly above its dotted line got its zeros nearly for free.`
  )
}

/** Each seed as a point; a run of one seed is one. */
function seedsOf({
  final,
  perSeed = [{ final }],
}: Pick<Run, 'final'> & { perSeed?: readonly { final: Run['final'] }[] }): Point[] {
  return perSeed.map(seed => ({ x: mean(seed.final.sparsity), y: seed.final.loss }))
}

interface Placed {
  readonly x: number
  readonly y: number
  readonly anchor: 'start' | 'middle' | 'end'
  readonly label: string
}

/** Beside, above or below each marker: the first place that is inside the frame and free, in px. */
export function placeLabels(
  markers: readonly { x: number; y: number; label: string }[],
  frame: { left: number; right: number; top: number; bottom: number },
): Placed[] {
  const taken: Box[] = markers.map(({ x, y }) => box(x - MARKER, y - MARKER, 2 * MARKER, 2 * MARKER))
  return markers.map(({ x, y, label }) => {
    const width = textWidth(label)
    const candidates: (Placed & { box: Box })[] = []
    for (const dy of [0, -14, 14, -20, 20, -34, 34, -48, 48, -62, 62, -76, 76]) {
      const top = y + dy - TEXT_SIZE / 2
      candidates.push(
        { label, anchor: 'start', x: x + 11, y: y + dy, box: box(x + 11, top, width, TEXT_SIZE) },
        { label, anchor: 'end', x: x - 11, y: y + dy, box: box(x - 11 - width, top, width, TEXT_SIZE) },
        { label, anchor: 'middle', x, y: y + dy, box: box(x - width / 2, top, width, TEXT_SIZE) },
      )
    }
    const inside = candidates.filter(
      ({ box }) =>
        box.left >= frame.left - 4 &&
        box.right <= frame.right + 18 &&
        box.top >= frame.top - 10 &&
        box.bottom <= frame.bottom,
    )
    const place =
      inside.find(({ box }) => !taken.some(other => overlap(box, other))) ?? inside[0] ?? candidates[0]
    taken.push(place.box)
    return place
  })
}

interface Box {
  readonly left: number
  readonly right: number
  readonly top: number
  readonly bottom: number
}

function box(left: number, top: number, width: number, height: number): Box {
  return { left, right: left + width, top, bottom: top + height }
}

function overlap(a: Box, b: Box): boolean {
  return a.left < b.right && b.left < a.right && a.top < b.bottom && b.top < a.bottom
}
