// `flicker serve`: an OpenAI-compatible server over one or several models.

import path from 'node:path'
import { Command } from 'commander'
import { playgroundFile } from '../board/index.js'
import { type LanguageModel, type LoadOptions, load } from '../engine/index.js'
import { OptionError } from '../errors.js'
import { createServer } from '../serve/index.js'
import { templateOf } from './chat-template.js'
import { addressOf, listen } from './listen.js'
import {
  activationTypeOption,
  choiceOption,
  contextOption,
  dtypeOption,
  integer,
  kvOption,
  MODEL_KINDS,
  number,
  threadsOption,
  tokenizerOption,
} from './options.js'
import { log } from './terminal.js'

interface ServeFlags
  extends Pick<LoadOptions, 'dtype' | 'kv' | 'activations' | 'ffn' | 'narrowGate' | 'tokenizer' | 'context'> {
  readonly model: string[]
  readonly host: string
  readonly port: number
  readonly apiKey?: string[]
  readonly cors?: string
  readonly chatTemplate?: string
  readonly strict?: boolean
  readonly maxBatch: number
  readonly maxQueue: number
  readonly promptPiece: number
  readonly cacheMemory?: number
  readonly grace: number
}

export function serveCommand(): Command {
  return new Command('serve')
    .description("serve models over OpenAI's API; texts do not depend on what else is asked")
    .requiredOption('-m, --model <[name=]path>', `${MODEL_KINDS} (repeatable)`, several)
    .option('--host <address>', 'address to listen on; others than this machine need a key', '127.0.0.1')
    .option('--port <n>', 'port to listen on; 0 takes a free one', integer(0), 8080)
    .option('--api-key <key>', 'key that clients must send (repeatable; or FLICKER_API_KEY)', several)
    .option('--cors <origin>', 'origin whose pages may use the server from a browser, or *')
    .option(
      '--chat-template <name|file>',
      "instead of the models' own: a name of one of theirs, or a file with one",
    )
    .option('--strict', 'refuse requests with fields that nothing reads')
    .option('--max-batch <n>', 'sequences decoded together', integer(1), 32)
    .option('--max-queue <n>', 'requests that may wait; more get 429', integer(0), 128)
    .option('--prompt-piece <n>', 'tokens of prompts read between two tokens of the others', integer(1), 128)
    .option(
      '--cache-memory <GB>',
      'for keys and values and kept prompts (default: half of what is free)',
      number,
    )
    .option('--grace <seconds>', 'on SIGTERM or Ctrl-C, time for requests to finish', number, 10)
    .addOption(dtypeOption())
    .addOption(kvOption())
    .addOption(contextOption())
    .addOption(activationTypeOption())
    .addOption(
      choiceOption('--ffn <mode>', 'skip zeros where it is faster', ['auto', 'dense', 'sparse'], 'auto'),
    )
    .addOption(choiceOption('--narrow-gate <mode>', 'prove neurons inactive', ['auto', 'on', 'off'], 'auto'))
    .addOption(tokenizerOption())
    .addOption(threadsOption())
    .addHelpText(
      'after',
      `
Paths: /v1/models, /v1/completions, /v1/chat/completions, /v1/embeddings, /tokenize, /detokenize, /health, /metrics,
/openapi.json; in a browser /playground.

Examples:
  flicker serve --model runs/quick/swift
  flicker serve --model small=runs/quick/swift --model large=model.gguf --port 9000 --api-key "$KEY"
  curl http://127.0.0.1:8080/v1/completions -H 'content-type: application/json' -d '{"prompt": "The ", "max_tokens": 20}'`,
    )
    .action(run)
}

async function run(flags: ServeFlags): Promise<void> {
  const { host, port, cors, chatTemplate, strict, grace, maxBatch, maxQueue, promptPiece, cacheMemory } =
    flags
  const paths = namedPaths(flags.model)
  const ofEnvironment = process.env.FLICKER_API_KEY
  const apiKeys = [...(flags.apiKey ?? []), ...(ofEnvironment ? [ofEnvironment] : [])]
  if (apiKeys.length === 0 && !['127.0.0.1', '::1', 'localhost'].includes(host)) {
    log(
      `flicker: ${host} can be reached from other machines, and there is no --api-key: everyone may use the server`,
    )
  }
  const { dtype, kv, activations, ffn, narrowGate, tokenizer, context } = flags
  const loading: Record<string, Promise<LanguageModel>> = {}
  const listening = new AbortController()
  for (const [name, modelPath] of paths) {
    // After the port is open: until then a model that takes long would be silence.
    loading[name] = opened(listening.signal).then(() =>
      load(modelPath, { dtype, kv, activations, ffn, narrowGate, tokenizer, context }),
    )
    loading[name].catch(() => {})
  }
  const server = createServer({
    models: loading,
    ...(chatTemplate !== undefined && { chatTemplate: templateOf(chatTemplate) }),
    apiKeys,
    cors,
    strict,
    maxBatch,
    maxQueue,
    promptPiece,
    ...(cacheMemory !== undefined && { cacheMemory: cacheMemory * 1e9 }),
    onNotice: notice => log(`flicker: ${notice}`),
  })
  const answer = async (request: Request) => (await playgroundFile(request)) ?? server.fetch(request)
  const http = await listen(answer, host, port)
  log(`flicker: listening on ${addressOf(http, host, port)}`)
  listening.abort()
  const stopped = new Promise<void>(resolve => {
    for (const signal of ['SIGTERM', 'SIGINT'] as const) process.once(signal, () => resolve())
  })
  try {
    // Nothing waits for a model that is no longer wanted.
    await Promise.race([stopped, announced(loading)])
    await stopped
    log(`flicker: stopping; requests have ${grace} s to finish`)
  } finally {
    await server.close(grace)
    await new Promise(resolve => http.close(resolve))
  }
}

async function announced(loading: Readonly<Record<string, Promise<LanguageModel>>>): Promise<void> {
  for (const [name, model] of Object.entries(loading)) {
    const { notes } = await model
    for (const note of notes) log(`flicker: ${name}: ${note}`)
    log(`flicker: ${name} is ready`)
  }
}

function opened(signal: AbortSignal): Promise<void> {
  return new Promise(resolve => signal.addEventListener('abort', () => resolve(), { once: true }))
}

/** `NAME=PATH` or PATH, named after its last part. Throws OptionError MODEL_NAME_TWICE. */
function namedPaths(given: readonly string[]): Map<string, string> {
  const paths = new Map<string, string>()
  for (const text of given) {
    const [, name = path.basename(text).replace(/\.gguf$/i, ''), modelPath = text] =
      /^([^=/]+)=(.+)$/.exec(text) ?? []
    if (paths.has(name)) {
      throw new OptionError(
        'MODEL_NAME_TWICE',
        `two models are called ${name}; name them: --model one=${text}`,
      )
    }
    paths.set(name, modelPath)
  }
  return paths
}

function several(value: string, before: readonly string[] | undefined): string[] {
  return [...(before ?? []), value]
}
