// /metrics for Prometheus. Names end as those of llama-server and vLLM do, so that their dashboards need a prefix only.

import { Counter, Gauge, Histogram, Registry } from 'prom-client'
import type { Scheduler, SchedulerCounts } from './scheduler.js'

const COUNTERS: readonly [name: string, help: string, count: keyof SchedulerCounts][] = [
  ['prompt_tokens_total', 'Tokens of prompts that were read', 'promptTokens'],
  ['prompt_tokens_cached_total', 'Tokens of prompts that earlier requests had read', 'cachedTokens'],
  ['prompt_seconds_total', 'Seconds of reading prompts', 'promptSeconds'],
  ['tokens_predicted_total', 'Tokens generated', 'generatedTokens'],
  ['generation_tokens_total', 'Tokens generated', 'generatedTokens'],
  ['tokens_predicted_seconds_total', 'Seconds of generating tokens', 'decodeSeconds'],
  ['n_decode_total', 'Passes over the weights that generated tokens', 'passes'],
]

/** The metrics of a server, by model. `schedulers` are asked when the metrics are. */
export class Metrics {
  readonly #registry = new Registry()
  readonly #requests: Counter
  readonly #seconds: Histogram

  constructor(schedulers: ReadonlyMap<string, Scheduler>) {
    const registers = [this.#registry]
    const labelNames = ['model']
    for (const [name, help, count] of COUNTERS) {
      new Counter({
        name: `flicker:${name}`,
        help,
        labelNames,
        registers,
        collect() {
          this.reset()
          for (const [model, { counts }] of schedulers) this.inc({ model }, counts[count])
        },
      })
    }
    const gauge = (name: string, help: string, value: (scheduler: Scheduler) => number) => {
      new Gauge({
        name: `flicker:${name}`,
        help,
        labelNames,
        registers,
        collect() {
          for (const [model, scheduler] of schedulers) this.set({ model }, value(scheduler))
        },
      })
    }
    for (const name of ['requests_processing', 'num_requests_running']) {
      gauge(name, 'Requests that run', ({ load }) => load.running)
    }
    for (const name of ['requests_deferred', 'num_requests_waiting']) {
      gauge(name, 'Requests that wait', ({ load }) => load.waiting)
    }
    gauge('n_busy_slots_per_decode', 'Sequences in a pass over the weights, on average', ({ counts }) =>
      counts.passes === 0 ? 0 : counts.sequences / counts.passes,
    )
    this.#requests = new Counter({
      name: 'flicker:http_requests_total',
      help: 'Requests by path and status',
      labelNames: ['path', 'status'],
      registers,
    })
    this.#seconds = new Histogram({
      name: 'flicker:http_request_duration_seconds',
      help: 'Seconds until a response began',
      labelNames: ['path'],
      registers,
    })
  }

  /** Counts a request; `path` is a route, never what a client made up. */
  observe(path: string, status: number, seconds: number): void {
    this.#requests.inc({ path, status })
    this.#seconds.observe({ path }, seconds)
  }

  get contentType(): string {
    return this.#registry.contentType
  }

  text(): Promise<string> {
    return this.#registry.metrics()
  }
}
