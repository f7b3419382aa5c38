// The page: what is shown, the runs, their curves, and the layers and samples of one.

import { useCallback, useEffect, useMemo, useState } from 'preact/hooks'
import { Chart, colorOf } from './chart.js'
import { HeatMap } from './heat-map.js'
import { follow, lastStep, type Run, type Store, secondsLeft, tokensPerSecond } from './runs.js'
import { evaluationLine, type Line, stepLine } from './series.js'
import { readView, type View, writeView } from './view.js'

let store: Store | null = null

/** News come in bursts, one event for each run: drawn together. */
const DRAW_EVERY_MS = 200

/** The store, and a number that changes with it, a few times a second at most. */
function useStore(): [Store, number] {
  const [version, setVersion] = useState(0)
  const [used] = useState(() => {
    let waiting = false
    let drawn = Number.NEGATIVE_INFINITY
    store ??= follow(() => {
      if (waiting) return
      const draw = () => {
        waiting = false
        drawn = performance.now()
        setVersion(before => before + 1)
      }
      waiting = true
      // At once after a quiet time.
      setTimeout(draw, Math.max(0, drawn + DRAW_EVERY_MS - performance.now()))
    })
    return store
  })
  return [used, version]
}

const mean = (values: readonly number[]) =>
  values.reduce((sum, value) => sum + value, 0) / Math.max(1, values.length)

export function App() {
  const [{ runs, directory, connected }, version] = useStore()
  const [view, setView] = useState<View>(readView)
  const change = useCallback((part: Partial<View>) => setView(before => ({ ...before, ...part })), [])
  useEffect(() => writeView(view), [view])
  useEffect(() => {
    const read = () => setView(readView())
    addEventListener('hashchange', read)
    return () => removeEventListener('hashchange', read)
  }, [])
  useEffect(() => {
    document.title = directory === '' ? 'Flicker board' : `${directory} · Flicker board`
  }, [directory])

  const all = [...runs.values()]
  const visible = all.filter(({ name }) => !view.hidden.includes(name))
  const charts = useMemo(() => chartsOf(visible, view), [version, view])
  const onZoom = useCallback((from: number | null, to: number | null) => change({ from, to }), [change])
  const one = runs.get(view.run) ?? visible[0]
  return (
    <main>
      <header class="top">
        <h1>{directory || 'Flicker board'}</h1>
        <p class={connected ? 'state' : 'state lost'}>{connected ? 'following' : 'not connected'}</p>
      </header>
      <Controls view={view} change={change} />
      {all.length === 0 ? (
        <p class="note">There are no runs in this directory yet; they appear when training begins.</p>
      ) : (
        <RunTable runs={all} view={view} change={change} />
      )}
      <div class="charts">
        {charts.map(({ title, unit, lines }) => (
          <Chart key={title} title={title} unit={unit} lines={lines} view={view} onZoom={onZoom} />
        ))}
        {one !== undefined && <HeatMap run={one} />}
      </div>
      {one !== undefined && <Samples run={one} />}
    </main>
  )
}

interface Figure {
  readonly title: string
  readonly unit?: string
  readonly lines: Line[]
}

function chartsOf(runs: readonly Run[], view: View): Figure[] {
  const steps = (column: Parameters<typeof stepLine>[1], value?: (x: number, run: Run) => number) =>
    runs.map(run => stepLine(run, column, view, value))
  const measured = (value: (e: Run['evaluations'][number]) => number) =>
    runs.map(run => evaluationLine(run, run.name, view, value))
  const figures: Figure[] = [
    {
      title: 'Loss',
      unit: 'nats per token: training, and dashed on held-out text',
      lines: [
        ...steps('loss'),
        ...runs.map(run => evaluationLine(run, `${run.name} (held out)`, view, ({ loss }) => loss)),
      ],
    },
    {
      title: 'Zeros',
      unit: '% of the hidden activations, on held-out text',
      lines: measured(e => 100 * mean(e.sparsity)),
    },
    {
      title: 'Learning rate',
      lines: runs.map(run => stepLine(run, 'learningRate', { ...view, smoothing: 0 })),
    },
    { title: 'Gradient norm', lines: steps('gradNorm') },
    {
      title: 'Tokens per second',
      lines: steps('seconds', (seconds, { tokensPerStep }) => (tokensPerStep ?? Number.NaN) / seconds),
    },
    {
      title: 'Active neurons',
      unit: '% in the training batch, of penalized runs',
      lines: steps('active', x => 100 * x),
    },
    {
      title: 'Dead neurons',
      unit: '% that never fired on held-out text',
      lines: runs.map(run =>
        evaluationLine(run, run.name, view, e => {
          const of = (run.hiddenNeurons ?? Number.NaN) * e.sparsity.length
          return e.deadNeurons === undefined
            ? Number.NaN
            : (100 * e.deadNeurons.reduce((a, b) => a + b, 0)) / of
        }),
      ),
    },
  ]
  const hasValues = ({ ys }: Line) => Array.prototype.some.call(ys, (y: number) => Number.isFinite(y))
  return figures
    .map(figure => ({ ...figure, lines: figure.lines.filter(hasValues) }))
    .filter(({ lines }) => lines.length > 0)
}

interface Changing {
  readonly view: View
  readonly change: (part: Partial<View>) => void
}

function Controls({ view, change }: Changing) {
  return (
    <form class="controls" onSubmit={event => event.preventDefault()}>
      <label>
        smoothing
        <input
          type="range"
          min="0"
          max="0.99"
          step="0.01"
          value={view.smoothing}
          onInput={event => change({ smoothing: Number(event.currentTarget.value) })}
        />
        <output>{view.smoothing.toFixed(2)}</output>
      </label>
      <label>
        x
        <select
          value={view.x}
          onChange={event => change({ x: event.currentTarget.value as View['x'], from: null, to: null })}
        >
          <option value="step">steps</option>
          <option value="tokens">tokens</option>
          <option value="seconds">time</option>
        </select>
      </label>
      <label>
        <input
          type="checkbox"
          checked={view.logY}
          onChange={event => change({ logY: event.currentTarget.checked })}
        />
        log y
      </label>
      <label>
        <input
          type="checkbox"
          checked={view.logX}
          onChange={event => change({ logX: event.currentTarget.checked })}
        />
        log x
      </label>
      {view.from !== null && (
        <button type="button" onClick={() => change({ from: null, to: null })}>
          whole range
        </button>
      )}
    </form>
  )
}

function RunTable({ runs, view, change }: Changing & { readonly runs: readonly Run[] }) {
  const toggle = (name: string) =>
    change({
      hidden: view.hidden.includes(name) ? view.hidden.filter(one => one !== name) : [...view.hidden, name],
    })
  return (
    <div class="scroll">
      <table>
        <thead>
          <tr>
            <th>run</th>
            <th>step</th>
            <th>loss</th>
            <th>held out</th>
            <th>zeros</th>
            <th>tokens/s</th>
            <th>left</th>
            <th>strategy</th>
          </tr>
        </thead>
        <tbody>
          {runs.map(run => {
            const last = run.evaluations.at(-1)
            const loss = mean([...run.columns.loss.values.slice(-50)])
            const left = secondsLeft(run)
            return (
              <tr key={run.name} class={view.run === run.name ? 'chosen' : ''}>
                <th>
                  <input
                    type="checkbox"
                    aria-label={`show ${run.name}`}
                    checked={!view.hidden.includes(run.name)}
                    onChange={() => toggle(run.name)}
                  />
                  <i class="mark" style={{ background: colorOf(run.index) }} />
                  <button
                    type="button"
                    onClick={() => change({ run: run.name })}
                    title="show its layers and samples"
                  >
                    {run.name}
                  </button>
                </th>
                <td>
                  {lastStep(run)}
                  {run.steps !== null && ` / ${run.steps}`}
                </td>
                <td>{run.columns.loss.length > 0 ? loss.toFixed(3) : '–'}</td>
                <td>{last?.loss.toFixed(3) ?? '–'}</td>
                <td>{last === undefined ? '–' : `${(100 * mean(last.sparsity)).toFixed(1)} %`}</td>
                <td>{Math.round(tokensPerSecond(run) ?? 0).toLocaleString('en-US') || '–'}</td>
                <td>{left === null ? '–' : duration(left)}</td>
                <td class="about">{run.strategy}</td>
              </tr>
            )
          })}
        </tbody>
      </table>
    </div>
  )
}

function duration(seconds: number): string {
  if (seconds < 90) return `${Math.round(seconds)} s`
  if (seconds < 5400) return `${Math.round(seconds / 60)} min`
  return `${(seconds / 3600).toFixed(1)} h`
}

function Samples({ run }: { readonly run: Run }) {
  const { samples } = run
  if (samples.length === 0) return null
  return (
    <section class="samples">
      <h2>
        Samples <small>{run.name}, the newest first</small>
      </h2>
      {samples
        .slice(-20)
        .reverse()
        .map(({ step, prompt, text }) => (
          <figure key={`${step}-${prompt}`}>
            <figcaption>step {step}</figcaption>
            <pre>
              <b>{prompt}</b>
              {text}
            </pre>
          </figure>
        ))}
    </section>
  )
}
