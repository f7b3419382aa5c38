// Zeros of each layer at each measurement of one run: the darker, the more.

import { save } from './download.js'
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
