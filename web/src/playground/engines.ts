// What generates: the engine in this page, or a `flicker serve` behind it. Both give tokens one by one.

import { load, type ModelInput, type WebModel } from '../../../dist/browser/index.js'
import type { Settings } from './settings.js'

/** A token that could have stood at a position. */
export interface Alternative {
  readonly text: string
  readonly logprob: number
}

export interface ShownToken {
  /** Which of the texts side by side. */
  readonly text: number
  readonly shown: string
  readonly logprob: number
  readonly alternatives: readonly Alternative[]
  /** layers × neurons: 0 inactive, 1 positive, 2 negative; null where it is not known. */
  readonly neurons: Uint8Array | null
  /** Mean fraction of active neurons; null where it is not known. */
  readonly active: number | null
  /** Bytes of weights that the step read and did not read, for all texts together. */
  readonly bytesRead: number | null
  readonly bytesSkipped: number | null
}

export interface Engine {
  readonly name: string
  /** For a line under the name. */
  readonly about: string
  readonly layers: number
  readonly neurons: number
  readonly notes: readonly string[]
  generate(settings: Settings, signal: AbortSignal): AsyncGenerator<ShownToken>
  dispose(): void
}

/** Alternatives that are asked for. */
const ALTERNATIVES = 8

export interface LoadOptions {
  readonly tokenizer: string
  readonly backend: 'wasm' | 'webgpu' | 'portable' | undefined
  readonly onProgress: (file: string, received: number, total: number | null) => void
  readonly signal: AbortSignal
}

export async function pageEngine(input: ModelInput, name: string, options: LoadOptions): Promise<Engine> {
  const model = await load(input, {
    ...(options.tokenizer !== '' && { tokenizer: options.tokenizer }),
    ...(options.backend !== undefined && { backend: options.backend }),
    signal: options.signal,
    onProgress: ({ file, received, total }) => options.onProgress(file, received, total),
  })
  const { config } = model
  const size = `${config.numHiddenLayers} layers × ${config.intermediateSize} neurons, width ${config.hiddenSize}`
  return {
    name,
    about: `${size}; ${model.activation}; ${model.backend}`,
    layers: config.numHiddenLayers,
    neurons: config.intermediateSize,
    notes: model.notes,
    generate: (settings, signal) => generateHere(model, settings, signal),
    dispose: () => model.dispose(),
  }
}

const sum = (values: Float64Array) => values.reduce((a, b) => a + b, 0)

async function* generateHere(
  model: WebModel,
  { prompt, maxTokens, temperature, topP, seed, n, p }: Settings,
  signal: AbortSignal,
): AsyncGenerator<ShownToken> {
  const { numHiddenLayers, intermediateSize } = model.config
  const tokens = model.generateMany(prompt, {
    maxTokens,
    temperature,
    ...(temperature > 0 && { topP }),
    seed,
    n,
    topLogprobs: ALTERNATIVES,
    neurons: true,
    signal,
    ...(p !== null && { activation: `stocha:p=${p}` }),
  })
  for await (const { sequence, text, logprob, topLogprobs, neurons, activeNeurons, pass } of tokens) {
    yield {
      text: sequence,
      shown: text,
      logprob,
      alternatives: (topLogprobs ?? []).map(other => ({ text: other.text, logprob: other.logprob })),
      neurons: neurons ?? null,
      active: activeNeurons.reduce((a, b) => a + b, 0) / (numHiddenLayers * intermediateSize),
      bytesRead: sum(pass.ffnBytesRead) + pass.otherBytesRead,
      bytesSkipped: sum(pass.ffnBytesSkipped) + pass.attentionBytesSkipped,
    }
  }
}

/** A model of the server behind this page. */
export interface ServerModel {
  readonly name: string
  readonly layers: number
  /** Of a layer; null where the server does not tell which are active. */
  readonly neurons: number | null
  readonly activation: string
}

/** The models of a `flicker serve` at this address; none where there is no server. */
export async function serverModels(): Promise<ServerModel[]> {
  try {
    const response = await fetch('/v1/models')
    if (!response.ok) return []
    const { data } = (await response.json()) as {
      data: { id: string; meta?: { n_layers?: number; n_neurons?: number | null; activation?: string } }[]
    }
    return data.map(({ id, meta = {} }) => ({
      name: id,
      layers: meta.n_layers ?? 0,
      neurons: meta.n_neurons ?? null,
      activation: meta.activation ?? '',
    }))
  } catch {
    return []
  }
}

interface CompletionChunk {
  readonly choices: readonly {
    readonly index: number
    readonly text: string
    readonly logprobs?: {
      readonly tokens: readonly string[]
      readonly token_logprobs: readonly (number | null)[]
      readonly top_logprobs: readonly (Readonly<Record<string, number>> | null)[] | null
    } | null
    /** Of the token that the part brings. */
    readonly neurons?: {
      readonly layers: number
      readonly neurons: number
      readonly active: string
      readonly negative: string | null
      readonly bytes_read: number
      readonly bytes_skipped: number
    }
  }[]
  readonly error?: { readonly message: string }
}

export function serverEngine({ name, layers, neurons, activation }: ServerModel): Engine {
  const size = neurons === null ? '' : `${layers} layers × ${neurons} neurons; `
  return {
    name,
    about: `${size}${activation}; on the server`,
    layers: neurons === null ? 0 : layers,
    neurons: neurons ?? 0,
    notes: neurons === null ? ['The server does not tell which neurons of this model are active.'] : [],
    generate: (settings, signal) => generateThere(name, neurons !== null, settings, signal),
    dispose: () => {},
  }
}

async function* generateThere(
  model: string,
  neurons: boolean,
  { prompt, maxTokens, temperature, topP, seed, n, p }: Settings,
  signal: AbortSignal,
): AsyncGenerator<ShownToken> {
  const body = {
    model,
    prompt,
    max_tokens: maxTokens,
    temperature,
    ...(temperature > 0 && { top_p: topP }),
    seed,
    n,
    logprobs: 5,
    stream: true,
    ...(neurons && { neurons }),
    ...(p !== null && { activation: `stocha:p=${p}` }),
  }
  let response: Response
  try {
    response = await fetch('/v1/completions', {
      method: 'POST',
      headers: { 'content-type': 'application/json' },
      body: JSON.stringify(body),
      signal,
    })
  } catch (error) {
    if (signal.aborted) return
    throw error
  }
  if (!response.ok || response.body === null) {
    const failed = (await response.json().catch(() => null)) as CompletionChunk | null
    throw new Error(failed?.error?.message ?? `the server answered ${response.status}`)
  }
  const reader = response.body.pipeThrough(new TextDecoderStream()).getReader()
  let rest = ''
  for (;;) {
    const piece = await reader.read().catch(error => {
      if (signal.aborted) return { done: true, value: undefined } as const
      throw error
    })
    if (piece.done) return
    rest += piece.value
    const events = rest.split('\n\n')
    rest = events.pop() ?? ''
    for (const event of events) {
      const data = event.replace(/^data: ?/, '')
      if (data === '[DONE]' || data.startsWith(':')) continue
      const chunk = JSON.parse(data) as CompletionChunk
      if (chunk.error !== undefined) throw new Error(chunk.error.message)
      for (const choice of chunk.choices) yield* tokensOf(choice)
    }
  }
}

/** A bit per neuron. */
const bitsOf = (base64: string) => Uint8Array.from(atob(base64), character => character.charCodeAt(0))

type Told = Pick<ShownToken, 'neurons' | 'active' | 'bytesRead' | 'bytesSkipped'>

/** What a part of the stream tells of its token's neurons. */
function toldOf({ neurons: told }: CompletionChunk['choices'][number]): Told {
  if (told === undefined) return { neurons: null, active: null, bytesRead: null, bytesSkipped: null }
  const [active, negative] = [bitsOf(told.active), told.negative === null ? null : bitsOf(told.negative)]
  const neurons = new Uint8Array(told.layers * told.neurons)
  let count = 0
  for (let i = 0; i < neurons.length; i++) {
    const isActive = (active[i >> 3] >> (i & 7)) & 1
    neurons[i] = isActive + (negative === null ? 0 : (negative[i >> 3] >> (i & 7)) & 1)
    count += isActive
  }
  return {
    neurons,
    active: count / neurons.length,
    bytesRead: told.bytes_read,
    bytesSkipped: told.bytes_skipped,
  }
}

function* tokensOf(choice: CompletionChunk['choices'][number]): Generator<ShownToken> {
  const { index, text, logprobs } = choice
  const told = toldOf(choice)
  const tokens = logprobs?.tokens ?? []
  if (tokens.length === 0) {
    if (text !== '') yield { text: index, shown: text, logprob: Number.NaN, alternatives: [], ...told }
    return
  }
  for (const [i, token] of tokens.entries()) {
    const top = logprobs?.top_logprobs?.[i] ?? {}
    yield {
      text: index,
      shown: tokens.length === 1 ? text : token,
      logprob: logprobs?.token_logprobs[i] ?? Number.NaN,
      alternatives: Object.entries(top).map(([other, logprob]) => ({ text: other, logprob })),
      ...told,
    }
  }
}
