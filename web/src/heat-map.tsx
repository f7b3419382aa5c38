// Zeros of each layer at each measurement of one run: the darker, the more.

import { cssColor } from './colors.js'
import { pngOf, save } from './download.js'
import type { Run } from './runs.js'

export function HeatMap({ run }: { readonly run: Run }) {
  const { evaluations } = run
  const layers = Math.max(0, ...evaluations.map(({ sparsity }) => sparsity.length))
  if (layers === 0) return <p class="note">No measurements yet.</p>
  const percent = (value: number) => `${(100 * value).toFixed(1)} %`
  const csv = () =>
    [
      'step,layer,zeros,dead_neurons',
      ...evaluations.flatMap(({ step, sparsity, deadNeurons }) =>
        sparsity.map((value, layer) => `${step},${layer},${value},${deadNeurons?.[layer] ?? ''}`),
      ),
    ].join('\n')
  return (
    <section class="chart" aria-label="Zeros per layer">
      <header>
        <h2>
          Zeros per layer <small>{run.name}</small>
        </h2>
        <span class="tools">
          <button type="button" onClick={() => save('zeros-per-layer.csv', 'text/csv', csv())}>
            CSV
          </button>
          <button
            type="button"
            onClick={() => save('zeros-per-layer.svg', 'image/svg+xml', svgOf(run, layers))}
          >
            SVG
          </button>
          <button
            type="button"
            onClick={async () => save('zeros-per-layer.png', 'image/png', await pngOf(svgOf(run, layers)))}
          >
            PNG
          </button>
        </span>
      </header>
      <div
        class="heat"
        style={{ gridTemplateColumns: `2.2rem repeat(${evaluations.length}, minmax(2px, 1fr))` }}
      >
        {Array.from({ length: layers }, (_, up) => layers - 1 - up).map(layer => [
          <span class="layer">{layer}</span>,
          ...evaluations.map(({ step, sparsity, deadNeurons }) => {
            const value = sparsity[layer] ?? 0
            const dead = deadNeurons?.[layer]
            const tells = `step ${step}, layer ${layer}: ${percent(value)} zeros${dead === undefined ? '' : `, ${dead} dead neurons`}`
            return <i key={`${step}-${layer}`} style={{ opacity: value }} title={tells} />
          }),
        ])}
      </div>
      <p class="note">
        layers from below, {evaluations.length} measurements from left to right; the darker, the more zeros
      </p>
    </section>
  )
}

/** The map as a picture; steps stand below its first and last measurement. */
function svgOf({ name, evaluations }: Run, layers: number): string {
  const [width, left, top, row] = [900, 40, 36, 18]
  const cell = (width - left - 16) / evaluations.length
  const height = top + layers * row + 28
  const text = (value: string) => value.replace(/[<>&"]/g, c => `&#${c.charCodeAt(0)};`)
  const cells = evaluations.flatMap(({ sparsity }, i) =>
    sparsity.map((value, layer) => {
      const y = top + (layers - 1 - layer) * row
      const size = `width="${Math.max(0.5, cell - 1).toFixed(2)}" height="${row - 1}"`
      return `<rect x="${(left + i * cell).toFixed(2)}" y="${y}" ${size} fill-opacity="${value.toFixed(4)}"/>`
    }),
  )
  const labels = Array.from(
    { length: layers },
    (_, layer) =>
      `<text x="${left - 8}" y="${top + (layers - 1 - layer) * row + 13}" text-anchor="end">${layer}</text>`,
  )
  const ink = cssColor('--ink')
  return (
    `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 ${width} ${height}" font-family="system-ui,sans-serif" ` +
    `font-size="12" fill="${ink}"><rect width="${width}" height="${height}" fill="${cssColor('--page')}"/>` +
    `<text x="${left}" y="22" font-weight="600">Zeros per layer, ${text(name)}</text>${labels.join('')}` +
    `<text x="${left}" y="${height - 8}">step ${evaluations[0].step}</text>` +
    `<text x="${width - 16}" y="${height - 8}" text-anchor="end">step ${evaluations[evaluations.length - 1].step}</text>` +
    `<g fill="${cssColor('--heat')}">${cells.join('')}</g></svg>`
  )
}
