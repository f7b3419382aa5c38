// Serving sparselm-0.5b's shape (random weights, q8_0, 90 % zeros): tokens per second of one streaming client and of 16, each in
// another process than the server, and what a token takes over the library. Run after `npm run build`:
//   node bench/serve.mjs [--clients 16] [--tokens 48] [--shape sparselm-0.5b] [--dtype q8_0] [--activations f32] [--json]

import { spawn } from 'node:child_process'
import http from 'node:http'
import { fileURLToPath } from 'node:url'
import { parseArgs } from 'node:util'
import { serve } from '@hono/node-server'

/** Targets: total over one client, and added milliseconds per token. */
const SPEEDUP = 4
const ADDED_MS = 1
const ROUNDS = 3
const PAIRS = 4

const { values } = parseArgs({
  options: {
    clients: { type: 'string', default: '16' },
    tokens: { type: 'string', default: '48' },
    shape: { type: 'string', default: 'sparselm-0.5b' },
    dtype: { type: 'string', default: 'q8_0' },
    activations: { type: 'string', default: 'f32' },
    json: { type: 'boolean', default: false },
    /** What a client process does: streams from this port. */
    port: { type: 'string' },
  },
})
const [clients, tokens] = [Number(values.clients), Number(values.tokens)]
const request = seed => ({
  prompt: `Request ${seed}: `,
  max_tokens: tokens,
  seed,
  temperature: 0.8,
  ignore_eos: true,
})

/**
 * The milliseconds between the events of a stream, one for each token. Plain sockets: what a client does itself takes the
 * cores of a small machine from the server.
 */
function stream(port, seed) {
  const body = JSON.stringify({ ...request(seed), stream: true })
  const options = { host: '127.0.0.1', port, path: '/v1/completions', method: 'POST' }
  return new Promise((resolve, reject) => {
    const sent = http.request({ ...options, headers: { 'content-type': 'application/json' } }, response => {
      const times = []
      response.on('data', () => times.push(performance.now()))
      response.on('end', () => resolve(intervalsOf(times.slice(0, tokens))))
      response.on('error', reject)
    })
    sent.on('error', reject)
    sent.end(body)
  })
}

function intervalsOf(times) {
  return times.slice(1).map((time, i) => time - times[i])
}

async function clientProcess(port) {
  const started = performance.now()
  const streams = await Promise.all(Array.from({ length: clients }, (_, i) => stream(port, i)))
  const seconds = (performance.now() - started) / 1000
  process.stdout.write(JSON.stringify({ seconds, streams }))
}

function clientsOf(port, count) {
  const args = [
    fileURLToPath(import.meta.url),
    '--port',
    String(port),
    '--clients',
    String(count),
    '--tokens',
    String(tokens),
  ]
  return new Promise((resolve, reject) => {
    const child = spawn(process.execPath, args, { stdio: ['ignore', 'pipe', 'inherit'] })
    let output = ''
    child.stdout.on('data', data => {
      output += data
    })
    child.on('close', code =>
      code === 0 ? resolve(JSON.parse(output)) : reject(new Error(`client ended with ${code}`)),
    )
  })
}

const median = list => [...list].sort((a, b) => a - b)[Math.floor(list.length / 2)]

async function benchmark() {
  const { EngineModel, LanguageModel } = await import('../dist/engine/index.js')
  const { createServer } = await import('../dist/serve/index.js')
  const { decodeShape, randomConfig, randomWeights } = await import('../dist/bench/random-model.js')
  const { machineInfo } = await import('../dist/index.js')
  const shape = decodeShape(values.shape)
  // 90 % of normal pre-activations are below 1.28 standard deviations.
  const deviation = 0.02 * Math.sqrt(shape.hiddenSize)
  const config = randomConfig(shape, 1.28 * deviation, 512)
  const engine = new EngineModel(config, randomWeights(config, values.dtype), {
    activations: values.activations,
  })
  const model = new LanguageModel(engine, paddedBytes(config.vocabSize))
  const server = createServer({ models: { model }, onNotice: notice => console.error(notice) })
  const listening = await new Promise(resolve => {
    const opened = serve({ fetch: server.fetch, port: 0, hostname: '127.0.0.1' }, () => resolve(opened))
  })
  const { port } = listening.address()
  await clientsOf(port, clients)
  const rounds = []
  // In turns, and the medians of single tokens: a pass takes more or less time from one second to the next.
  const [inLibrary, served] = [[], []]
  for (let round = 0; round < ROUNDS; round++) {
    for (let pair = 0; pair < PAIRS; pair++) {
      const library = await libraryIntervals(model)
      const one = await clientsOf(port, 1)
      inLibrary.push(...library)
      served.push(...one.streams[0])
    }
    const one = await clientsOf(port, 1)
    const many = await clientsOf(port, clients)
    rounds.push({
      oneRate: tokens / one.seconds,
      manyRate: (clients * tokens) / many.seconds,
      speedup: (clients * one.seconds) / many.seconds,
    })
  }
  await server.close()
  listening.close()
  const of = key => median(rounds.map(round => round[key]))
  const [libraryMs, oneMs] = [median(inLibrary), median(served)]
  const { cpu, cores, isa, version } = machineInfo()
  const processor = `${cpu}, ${cores} cores, ${isa}`
  const result = {
    version,
    processor,
    shape: values.shape,
    dtype: values.dtype,
    clients,
    tokens,
    rounds,
    libraryMs,
    oneMs,
  }
  if (values.json) return console.log(JSON.stringify(result, null, 2))
  console.log(
    `flicker ${version}, ${processor}, ${values.shape} ${values.dtype}, activations ${values.activations}, ${tokens} tokens a client, medians of ${ROUNDS} rounds`,
  )
  console.log(
    `one client: ${of('oneRate').toFixed(1)} tokens/s; ${oneMs.toFixed(2)} ms a token, library ${libraryMs.toFixed(2)} ms, medians of ${served.length} tokens`,
  )
  console.log(`added latency: ${(oneMs - libraryMs).toFixed(2)} ms a token (target: at most ${ADDED_MS})`)
  console.log(
    `${clients} clients: ${of('manyRate').toFixed(1)} tokens/s, ${of('speedup').toFixed(2)} times one (target: at least ${SPEEDUP})`,
  )
}

async function libraryIntervals(model) {
  const { prompt, seed } = request(0)
  const times = []
  const options = { maxTokens: tokens, seed, temperature: 0.8, ignoreEos: true }
  for await (const _ of model.generate(prompt, options)) times.push(performance.now())
  return intervalsOf(times)
}

/** A tokenizer for a vocabulary of any size: the first 256 ids are bytes, the others the letter a. */
function paddedBytes(vocabSize) {
  return {
    name: 'padded bytes',
    vocabSize,
    endOfText: null,
    encode: text => Int32Array.from(Buffer.from(text)),
    decode: ids => Buffer.from(Array.from(ids, id => (id < 256 ? id : 97))).toString(),
    tokenBytes: id => Uint8Array.of(id < 256 ? id : 97),
    toJSON: () => ({}),
  }
}

if (values.port !== undefined) await clientProcess(Number(values.port))
else await benchmark()
