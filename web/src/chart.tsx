// A chart with uPlot: lines of several runs, their switches, zoom by selecting, values under the pointer, and downloads.

import { useEffect, useRef, useState } from 'preact/hooks'
import uPlot from 'uplot'
import { cssColor } from './colors.js'
import { csvOf, type Drawing, pngOf, save, svgOf } from './download.js'
import { joined, type Line, stepPositions } from './series.js'
import type { View } from './view.js'

export interface ChartProps {
  readonly title: string
  readonly unit?: string
  readonly lines: readonly Line[]
  readonly view: View
  readonly onZoom: (from: number | null, to: number | null) => void
}

const X_LABEL = { step: 'step', tokens: 'tokens', seconds: 'seconds of training' } as const

/** The color of a run in the present scheme. */
export function colorOf(index: number): string {
  return cssColor(`--run-${index % 8}`)
}

export function Chart({ title, unit, lines, view, onZoom }: ChartProps) {
  const place = useRef<HTMLDivElement>(null)
  const plot = useRef<uPlot | null>(null)
  const [isSeen, setSeen] = useState(false)
  const shown = useRef({ lines, view })
  shown.current = { lines, view }
  // What makes another chart, not only other data.
  const key = JSON.stringify([
    lines.map(({ label, measured, run }) => [label, measured, run.index]),
    [view.logX, view.logY, view.x],
    matchMedia('(prefers-color-scheme: dark)').matches,
  ])

  // Charts further down are drawn when they come near.
  useEffect(() => {
    const seen = new IntersectionObserver(entries => setSeen(entries.some(entry => entry.isIntersecting)), {
      rootMargin: '300px',
    })
    if (place.current !== null) seen.observe(place.current)
    return () => seen.disconnect()
  }, [])

  useEffect(() => {
    const at = place.current
    if (at === null || !isSeen) return
    const made = new uPlot(options(shown, at.clientWidth, onZoom), data(shown.current.lines), at)
    plot.current = made
    const observer = new ResizeObserver(() =>
      made.setSize({ width: at.clientWidth, height: heightOf(at.clientWidth) }),
    )
    observer.observe(at)
    return () => {
      observer.disconnect()
      made.destroy()
      plot.current = null
    }
  }, [key, isSeen])

  useEffect(() => {
    const made = plot.current
    if (made === null) return
    made.setData(data(lines), view.from === null)
    if (view.from !== null && view.to !== null) made.setScale('x', { min: view.from, max: view.to })
  }, [lines, view.from, view.to])

  const file = title.toLowerCase().replace(/[^a-z0-9]+/g, '-')
  const svg = () => {
    const scales = plot.current?.scales
    const drawing: Drawing = {
      ...{ title, lines, xLabel: X_LABEL[view.x], logX: view.logX, logY: view.logY },
      colors: lines.map(({ run }) => colorOf(run.index)),
      x: [scales?.x.min ?? 0, scales?.x.max ?? 1],
      y: [scales?.y.min ?? 0, scales?.y.max ?? 1],
      ink: cssColor('--ink'),
      page: cssColor('--page'),
    }
    return svgOf(drawing)
  }
  return (
    <section class="chart" aria-label={title}>
      <header>
        <h2>
          {title} {unit !== undefined && <small>{unit}</small>}
        </h2>
        <span class="tools">
          <button
            type="button"
            onClick={() => save(`${file}.csv`, 'text/csv', csvOf(X_LABEL[view.x], lines))}
          >
            CSV
          </button>
          <button type="button" onClick={() => save(`${file}.svg`, 'image/svg+xml', svg())}>
            SVG
          </button>
          <button type="button" onClick={async () => save(`${file}.png`, 'image/png', await pngOf(svg()))}>
            PNG
          </button>
        </span>
      </header>
      <div ref={place} class="plot" />
    </section>
  )
}

function heightOf(width: number): number {
  return Math.round(Math.min(340, Math.max(220, width * 0.5)))
}

function data(lines: readonly Line[]): uPlot.AlignedData {
  const { xs, ys } = joined(lines)
  return [xs, ...ys] as uPlot.AlignedData
}

function options(
  shown: { readonly current: { readonly lines: readonly Line[]; readonly view: View } },
  width: number,
  onZoom: ChartProps['onZoom'],
): uPlot.Options {
  const { lines, view } = shown.current
  const axis = (): uPlot.Axis => ({
    stroke: () => cssColor('--ink-soft'),
    grid: { stroke: () => cssColor('--line'), width: 1 },
    ticks: { stroke: () => cssColor('--line'), width: 1 },
    font: '12px system-ui, sans-serif',
  })
  const number = (value: number | null) =>
    value === null ? '–' : Number(value.toPrecision(4)).toLocaleString('en-US')
  return {
    width,
    height: heightOf(width),
    cursor: { drag: { x: true, y: false }, focus: { prox: 24 }, points: { size: 6 } },
    focus: { alpha: 0.35 },
    legend: { live: true },
    scales: {
      x: { time: false, distr: view.logX ? 3 : 1 },
      y: { distr: view.logY ? 3 : 1 },
    },
    axes: [
      { ...axis(), values: (_, ticks) => ticks.map(short) },
      { ...axis(), size: 58, values: (_, ticks) => ticks.map(short) },
    ],
    series: [
      { label: X_LABEL[view.x], value: (_, value) => number(value) },
      ...lines.map(
        ({ label, run, measured }): uPlot.Series => ({
          label,
          stroke: () => colorOf(run.index),
          // Lines of one pixel are drawn many times as fast as wider ones.
          width: measured ? 1.5 : 1,
          dash: measured ? [6, 3] : undefined,
          points: { show: measured, size: 5 },
          spanGaps: true,
          value: (_, value) => number(value),
        }),
      ),
    ],
    hooks: {
      draw: [
        plot => {
          for (const run of new Set(shown.current.lines.map(line => line.run))) {
            for (const { step } of run.switches)
              drawSwitch(plot, stepPositions(run, view)(step), colorOf(run.index))
          }
        },
      ],
      setSelect: [
        plot => {
          if (plot.select.width < 4) return
          onZoom(
            plot.posToVal(plot.select.left, 'x'),
            plot.posToVal(plot.select.left + plot.select.width, 'x'),
          )
          plot.setSelect({ left: 0, top: 0, width: 0, height: 0 }, false)
        },
      ],
      ready: [plot => plot.over.addEventListener('dblclick', () => onZoom(null, null))],
    },
  }
}

function drawSwitch(plot: uPlot, x: number, color: string): void {
  const { ctx, bbox } = plot
  const at = Math.round(plot.valToPos(x, 'x', true))
  if (at < bbox.left || at > bbox.left + bbox.width) return
  ctx.save()
  ctx.strokeStyle = color
  ctx.setLineDash([4, 4])
  ctx.beginPath()
  ctx.moveTo(at, bbox.top)
  ctx.lineTo(at, bbox.top + bbox.height)
  ctx.stroke()
  ctx.restore()
}

function short(value: number | null): string {
  if (value === null) return ''
  const size = Math.abs(value)
  if (size >= 1e6) return `${Number((value / 1e6).toPrecision(3))}M`
  if (size >= 1e4) return `${Number((value / 1e3).toPrecision(3))}k`
  if (size > 0 && size < 1e-3) return value.toExponential(1)
  return String(Number(value.toPrecision(4)))
}
