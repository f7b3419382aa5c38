// The runs as the page has them: growing columns of steps, measurements, samples; fed by the server's events.

export const COLUMNS = ['step', 'loss', 'learningRate', 'gradNorm', 'seconds', 'active'] as const
export type Column = (typeof COLUMNS)[number]

export interface Evaluation {
  readonly step: number
  readonly loss: number
  readonly bitsPerByte: number
  readonly sparsity: readonly number[]
  readonly deadNeurons?: readonly number[]
  readonly activation: string
}

export interface Sample {
  readonly step: number
  readonly prompt: string
  readonly text: string
}

export interface Description {
  readonly name: string
  readonly steps: number | null
  readonly tokensPerStep: number | null
  readonly strategy: string
  readonly hiddenNeurons: number | null
}

export interface Run extends Description {
  /** Position among all runs: its color. */
  readonly index: number
  readonly columns: Record<Column, Growing>
  evaluations: Evaluation[]
  samples: Sample[]
  switches: { step: number; activation: string }[]
  /** When news came last, milliseconds of this page; 0 before the first that was not the beginning. */
  news: number
}

/** Numbers that are appended. */
export class Growing {
  #values = new Float32Array(1024)
  length = 0

  push(value: number): void {
    if (this.length === this.#values.length) {
      const larger = new Float32Array(2 * this.length)
      larger.set(this.#values)
      this.#values = larger
    }
    this.#values[this.length++] = value
  }

  clear(): void {
    this.length = 0
  }

  get values(): Float32Array {
    return this.#values.subarray(0, this.length)
  }
}

interface News {
  readonly run: string
  readonly reset: boolean
  readonly rows: string
  readonly evaluations: Evaluation[]
  readonly samples: Sample[]
  readonly switches: { step: number; activation: string }[]
}

export interface Store {
  readonly runs: Map<string, Run>
  directory: string
  connected: boolean
}

/** Follows the server; `changed` is called after every event, at first once for all that there is. */
export function follow(changed: () => void): Store {
  const store: Store = { runs: new Map(), directory: '', connected: false }
  const source = new EventSource('./events')
  // What a page begins with is drawn once, not run by run.
  let isCurrent = false
  const arrived = () => {
    if (isCurrent) changed()
  }
  source.addEventListener('open', () => {
    store.connected = true
    isCurrent = false
  })
  source.addEventListener('current', () => {
    isCurrent = true
    changed()
  })
  source.addEventListener('error', () => {
    store.connected = false
    changed()
  })
  source.addEventListener('runs', event => {
    const { runs, directory } = JSON.parse(event.data) as { runs: Description[]; directory: string }
    store.directory = directory
    for (const [index, description] of runs.entries()) {
      const known = store.runs.get(description.name)
      store.runs.set(description.name, { ...(known ?? empty()), ...description, index })
    }
    arrived()
  })
  source.addEventListener('news', event => {
    const news = JSON.parse(event.data) as News
    const run = store.runs.get(news.run)
    if (run !== undefined) take(run, news)
    arrived()
  })
  return store
}

function empty(): Omit<Run, keyof Description | 'index'> {
  const columns = Object.fromEntries(COLUMNS.map(name => [name, new Growing()])) as Record<Column, Growing>
  return { columns, evaluations: [], samples: [], switches: [], news: 0 }
}

function take(run: Run, { reset, rows, evaluations, samples, switches }: News): void {
  if (reset) {
    for (const column of COLUMNS) run.columns[column].clear()
    run.evaluations = []
    run.samples = []
  } else run.news = Date.now()
  const binary = atob(rows)
  const bytes = new Uint8Array(binary.length)
  for (let i = 0; i < bytes.length; i++) bytes[i] = binary.charCodeAt(i)
  const values = new Float32Array(bytes.buffer)
  for (let i = 0; i < values.length; i++) run.columns[COLUMNS[i % COLUMNS.length]].push(values[i])
  run.evaluations.push(...evaluations)
  run.samples.push(...samples)
  run.switches = switches
}

/** Of the last steps. */
export function tokensPerSecond(run: Run): number | null {
  const seconds = run.columns.seconds.values.slice(-50)
  if (seconds.length === 0 || run.tokensPerStep === null) return null
  return (run.tokensPerStep * seconds.length) / seconds.reduce((sum, value) => sum + value, 0)
}

/** Seconds until the last step at the speed of the last ones; null when it is done or does not run. */
export function secondsLeft(run: Run): number | null {
  const step = lastStep(run)
  const seconds = run.columns.seconds.values.slice(-50)
  const isLive = Date.now() - run.news < 60_000
  if (run.steps === null || step >= run.steps || seconds.length === 0 || !isLive) return null
  return ((run.steps - step) * seconds.reduce((sum, value) => sum + value, 0)) / seconds.length
}

export function lastStep({ columns }: Run): number {
  return columns.step.values.at(-1) ?? 0
}
