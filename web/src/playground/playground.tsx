// The page: a model, a prompt, texts as they are generated, and the neurons that each token took.

import { useCallback, useEffect, useRef, useState } from 'preact/hooks'
import { Controls } from './controls.js'
import {
  type Engine,
  pageEngine,
  type ServerModel,
  type ShownToken,
  serverEngine,
  serverModels,
} from './engines.js'
import { HeatMap } from './heat-map.js'
import { ModelPicker } from './model-picker.js'
import {
  keepModel,
  keepSettings,
  type LastModel,
  readModel,
  readSettings,
  type Settings,
} from './settings.js'
import { type Choice, Texts } from './texts.js'

interface Loading {
  readonly file: string
  readonly received: number
  readonly total: number | null
}

interface Result {
  readonly prompt: string
  readonly texts: readonly (readonly ShownToken[])[]
  readonly tokensPerSecond: number | null
  readonly firstTokenMs: number | null
}

const NOTHING: Result = { prompt: '', texts: [], tokensPerSecond: null, firstTokenMs: null }

export function Playground() {
  const [engine, setEngine] = useState<Engine | null>(null)
  const [servers, setServers] = useState<readonly ServerModel[]>([])
  const [loading, setLoading] = useState<Loading | null>(null)
  const [problem, setProblem] = useState('')
  const [settings, setSettings] = useState<Settings>(readSettings)
  const [result, setResult] = useState<Result>(NOTHING)
  const [chosen, setChosen] = useState<Choice | null>(null)
  const [running, setRunning] = useState(false)
  const loads = useRef<AbortController | null>(null)
  const runs = useRef<AbortController | null>(null)
  const used = useRef<Engine | null>(null)

  useEffect(() => {
    void serverModels().then(setServers)
  }, [])
  const change = useCallback((part: Partial<Settings>) => {
    setSettings(before => {
      const after = { ...before, ...part }
      keepSettings(after)
      return after
    })
  }, [])

  const use = useCallback((next: Engine) => {
    used.current?.dispose()
    used.current = next
    setEngine(next)
    setResult(NOTHING)
    setChosen(null)
  }, [])

  const load = useCallback(
    async (input: string | readonly File[], name: string, tokenizer: string, backend: string) => {
      loads.current?.abort()
      const controller = new AbortController()
      loads.current = controller
      setProblem('')
      setLoading({ file: name, received: 0, total: null })
      try {
        const loaded = await pageEngine(input, name, {
          tokenizer,
          backend: backend === '' ? undefined : (backend as 'webgpu' | 'portable'),
          signal: controller.signal,
          onProgress: (file, received, total) => setLoading({ file, received, total }),
        })
        use(loaded)
        return true
      } catch (error) {
        if (!controller.signal.aborted) setProblem((error as Error).message)
        return false
      } finally {
        if (loads.current === controller) setLoading(null)
      }
    },
    [use],
  )
  const loadUrl = useCallback(
    async (model: LastModel, backend: string) => {
      const name = model.url.split('/').filter(Boolean).at(-1) ?? model.url
      if (await load(model.url, name, model.tokenizer, backend)) keepModel(model)
    },
    [load],
  )
  const loadFiles = useCallback(
    (files: readonly File[], tokenizer: string, backend: string) =>
      void load(
        files,
        files.find(({ name }) => name.endsWith('.gguf'))?.name ?? files[0].name,
        tokenizer,
        backend,
      ),
    [load],
  )
  // What was loaded last is in the browser's storage: loaded again at once.
  const [last] = useState(readModel)
  useEffect(() => {
    if (last.url !== '') void loadUrl(last, '')
  }, [last, loadUrl])

  const start = async () => {
    if (engine === null) return
    const controller = new AbortController()
    runs.current = controller
    const texts: ShownToken[][] = Array.from({ length: settings.n }, () => [])
    const started = performance.now()
    let first = Number.NaN
    let count = 0
    setProblem('')
    setChosen(null)
    setRunning(true)
    const show = () =>
      setResult({
        prompt: settings.prompt,
        texts: texts.map(tokens => [...tokens]),
        firstTokenMs: Number.isNaN(first) ? null : first - started,
        tokensPerSecond:
          count > settings.n ? ((count - settings.n) * 1000) / (performance.now() - first) : null,
      })
    show()
    let drawn = 0
    try {
      for await (const token of engine.generate(settings, controller.signal)) {
        if (Number.isNaN(first)) first = performance.now()
        count++
        texts[token.text]?.push(token)
        // As often as a screen shows it.
        if (performance.now() - drawn < 15) continue
        drawn = performance.now()
        show()
      }
    } catch (error) {
      if (!controller.signal.aborted) setProblem((error as Error).message)
    }
    show()
    setRunning(false)
  }

  const at = chosen ?? { text: 0, token: (result.texts[0]?.length ?? 0) - 1 }
  const token = result.texts[at.text]?.[at.token]
  return (
    <main>
      <header class="top">
        <h1>Flicker playground</h1>
        <p class="state" role="status">
          {loading !== null
            ? `Loading ${loading.file}…`
            : engine === null
              ? 'No model is loaded.'
              : `${engine.name}: ${engine.about}`}
        </p>
      </header>
      <ModelPicker
        last={last}
        busy={loading !== null}
        servers={servers}
        loadUrl={loadUrl}
        loadFiles={loadFiles}
        useServer={model => use(serverEngine(model))}
      />
      {loading !== null && (
        <div class="loading">
          <progress
            aria-label={`Download of ${loading.file}`}
            {...(loading.total !== null && { max: loading.total, value: loading.received })}
          />
          <span>{(loading.received / 1e6).toFixed(1)} MB</span>
          <button type="button" onClick={() => loads.current?.abort()}>
            Stop loading
          </button>
        </div>
      )}
      {problem !== '' && (
        <p class="problem" role="alert">
          {problem}
        </p>
      )}
      {engine?.notes.map(note => (
        <p class="note" key={note}>
          {note}
        </p>
      ))}
      <Controls
        settings={settings}
        change={change}
        ready={engine !== null}
        running={running}
        start={() => void start()}
        stop={() => runs.current?.abort()}
      />
      <Figures result={result} token={token} running={running} />
      {result.texts.length > 0 && (
        <Texts prompt={result.prompt} texts={result.texts} chosen={chosen} choose={setChosen} />
      )}
      {engine !== null && engine.layers > 0 && (
        <HeatMap layers={engine.layers} neurons={engine.neurons} activity={token?.neurons ?? null} />
      )}
    </main>
  )
}

interface FiguresProps {
  readonly result: Result
  readonly token: ShownToken | undefined
  readonly running: boolean
}

function Figures({ result, token, running }: FiguresProps) {
  const { tokensPerSecond, firstTokenMs, texts } = result
  const megabytes = (bytes: number | null | undefined) =>
    bytes === null || bytes === undefined ? '–' : `${(bytes / 1e6).toFixed(bytes < 1e6 ? 3 : 1)} MB`
  const whole = (token?.bytesRead ?? 0) + (token?.bytesSkipped ?? 0)
  const skipped = token?.bytesSkipped ?? null
  const figures: readonly [label: string, value: string][] = [
    ['tokens', String(texts.reduce((sum, tokens) => sum + tokens.length, 0))],
    ['tokens/s', tokensPerSecond === null ? '–' : tokensPerSecond.toFixed(1)],
    ['first token', firstTokenMs === null ? '–' : `${firstTokenMs.toFixed(0)} ms`],
    ['active', token?.active === null || token === undefined ? '–' : `${(100 * token.active).toFixed(1)} %`],
    ['read', megabytes(token?.bytesRead)],
    [
      'skipped',
      skipped === null || whole === 0
        ? '–'
        : `${megabytes(skipped)} (${((100 * skipped) / whole).toFixed(0)} %)`,
    ],
  ]
  return (
    <dl class="figures" aria-label={running ? 'Figures, generating' : 'Figures'}>
      {figures.map(([label, value]) => (
        <div key={label}>
          <dt>{label}</dt>
          <dd>{value}</dd>
        </div>
      ))}
    </dl>
  )
}
