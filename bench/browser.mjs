// What a browser gets: the WebAssembly kernels beside portable TypeScript, dense and with 90 % zeros, with one thread and with
// several, decoding the same random model in this V8; and in Chromium, from a warm cache, the time from `load` to the first
// token of a small model.
//
//   node bench/browser.mjs [--model model.bin --tokenizer tokenizer.bin] [--tokens 24] [--rounds 7] [--threads 2] [--json]
//
// --model, --tokenizer: for Chromium, which is left out without; FLICKER_CHROMIUM names another than /usr/bin/chromium
// --dtypes f32,q8_0; --no-portable leaves TypeScript out

import { readFileSync } from 'node:fs'
import { createServer } from 'node:http'
import { arch, availableParallelism, cpus } from 'node:os'
import { extname, join, resolve } from 'node:path'
import { parseArgs } from 'node:util'

const { values: options } = parseArgs({
  options: {
    model: { type: 'string' },
    tokenizer: { type: 'string' },
    tokens: { type: 'string', default: '24' },
    rounds: { type: 'string', default: '7' },
    threads: { type: 'string', default: String(availableParallelism()) },
    dtypes: { type: 'string', default: 'f32,q8_0' },
    portable: { type: 'boolean', default: true },
    json: { type: 'boolean', default: false },
  },
  allowNegative: true,
})
process.env.FLICKER_BACKEND = 'wasm'
const tokens = Number(options.tokens)
const rounds = Number(options.rounds)
const threads = Number(options.threads)
const dist = resolve(import.meta.dirname, '..', 'dist')
const from = name => import(join(dist, name))

const [{ EngineModel }, kernels, { randomConfig, randomWeights }, { calibrate }, { nativeKernels }, wasm] =
  await Promise.all([
    from('engine/engine-model.js'),
    from('kernels/index.js'),
    from('bench/random-model.js'),
    from('bench/calibrate-sparsity.js'),
    from('kernels/native/training.js'),
    from('kernels/wasm/instance.js'),
  ])
const { portableKernels } = kernels
// Chosen here, so that weights lie in WebAssembly's memory.
kernels.kernels()
kernels.setThreads(threads)
await wasm.wasmKernels().threads.ready()
const median = values => values.toSorted((a, b) => a - b)[values.length >> 1]

/** A quarter of a gigabyte in f32, in the feed-forward layers mostly: beyond any cache. */
const shape = {
  hiddenSize: 1024,
  intermediateSize: 4096,
  numHiddenLayers: 4,
  numAttentionHeads: 16,
  numKeyValueHeads: 16,
  vocabSize: 4096,
  tieWordEmbeddings: true,
}
const CONTEXT = 1024

/** Milliseconds per token of each of `variants`, which run alternately; medians over rounds. */
function decode(variants) {
  const running = variants.map(({ model, threads = 1 }) => {
    const session = model.session()
    session.prefill([1, 2, 3, 4])
    return { session, threads, times: [] }
  })
  for (let round = 0; round < rounds + 1; round++) {
    for (const { session, threads, times } of running) {
      kernels.setThreads(threads)
      const started = performance.now()
      for (let i = 0; i < tokens; i++) session.prefill([(7 * i + round) % shape.vocabSize])
      if (round > 0) times.push((performance.now() - started) / tokens)
    }
  }
  return running.map(({ times }) => median(times))
}

const results = []
for (const dtype of options.dtypes.split(',')) {
  const { config, weights } = sparseModel(dtype)
  const simd = nativeKernels(wasm.WASM_ISA)
  const model = (laidOut, using, ffn) =>
    new EngineModel(config, laidOut, { kernels: using, ffn, narrowGate: 'off' })
  // Not alternately with the others: it takes seconds, in which their memory would leave the caches of the system.
  const [portableDense] = options.portable
    ? decode([{ model: model(copied(weights), portableKernels(), 'dense') }])
    : [Number.NaN]
  const modes = ['dense', 'sparse'].map(ffn => model(weights, simd, ffn))
  const [dense, sparse, denseThreads, sparseThreads] = decode([
    ...modes.map(of => ({ model: of })),
    ...modes.map(of => ({ model: of, threads })),
  ])
  results.push({ dtype, portableDense, dense, sparse, denseThreads, sparseThreads })
}

/** The same weights in memory of their own, as portable code has them. */
function copied(value) {
  if (ArrayBuffer.isView(value)) return value.slice()
  if (Array.isArray(value)) return value.map(copied)
  if (typeof value !== 'object' || value === null) return value
  return Object.fromEntries(Object.entries(value).map(([name, part]) => [name, copied(part)]))
}

/** Weights, and the activation with which nine tenths of the neurons are exactly 0. */
function sparseModel(dtype) {
  const weights = randomWeights(randomConfig(shape, 0, CONTEXT), dtype)
  const perLayer = Array(shape.numHiddenLayers).fill(0.9)
  const { threshold } = calibrate(shape, weights, perLayer, dtype)
  return { config: randomConfig(shape, threshold, CONTEXT), weights }
}

const browser = options.model === undefined ? null : await inChromium()

/** Milliseconds from `load` to the first token, the model in the cache and the page new. */
async function inChromium() {
  const { chromium } = await import('playwright-core')
  const files = { '/models/model.bin': options.model, '/models/tokenizer.bin': options.tokenizer }
  const server = createServer((request, response) => {
    const { pathname } = new URL(request.url, 'http://localhost')
    if (pathname === '/') {
      // Cross-origin isolated: with threads.
      response.setHeader('cross-origin-opener-policy', 'same-origin')
      response.setHeader('cross-origin-embedder-policy', 'require-corp')
      return response.setHeader('content-type', 'text/html').end('<!doctype html>')
    }
    const file =
      files[pathname] ?? (pathname.startsWith('/dist/') ? join(dist, pathname.slice(6)) : undefined)
    if (file === undefined) return response.writeHead(404).end()
    if (extname(file) === '.js') response.setHeader('content-type', 'text/javascript')
    response.end(readFileSync(file))
  })
  await new Promise(done => server.listen(0, '127.0.0.1', done))
  const executablePath = process.env.FLICKER_CHROMIUM || '/usr/bin/chromium'
  const started = await chromium.launch({ executablePath, args: ['--no-sandbox', '--disable-gpu'] })
  const context = await started.newContext()
  const measured = []
  for (let round = 0; round < 2 * rounds + 2; round++) {
    const used = round % 2 === 0 ? 1 : threads
    const page = await context.newPage()
    await page.goto(`http://127.0.0.1:${server.address().port}/`)
    const [first, rate] = await page.evaluate(`(async () => {
      const { load } = await import('/dist/browser/index.js')
      const started = performance.now()
      const model = await load('/models/model.bin', { threads: ${used} })
      let first = 0
      for await (const _ of model.generate('', { maxTokens: 1, temperature: 0 })) first = performance.now() - started
      const { stats } = await model.complete('', { maxTokens: 200, temperature: 0 })
      return [first, stats.tokensPerSecond]
    })()`)
    await page.close()
    // The first rounds fill the cache.
    if (round > 1) measured.push({ used, first, rate })
  }
  const version = started.version()
  await started.close()
  server.close()
  const byThreads = [1, threads].map(number => {
    const own = measured.filter(({ used }) => used === number)
    const [firstTokenMs, tokensPerSecond] = ['first', 'rate'].map(name => median(own.map(each => each[name])))
    return { threads: number, firstTokenMs, tokensPerSecond }
  })
  return { version, byThreads }
}

const machine = { cpu: cpus()[0]?.model, arch: arch(), node: process.version, v8: process.versions.v8 }
if (options.json) {
  console.log(JSON.stringify({ machine, shape, tokens, rounds, results, browser }, null, 2))
} else {
  console.log(
    `${machine.cpu}, Node ${machine.node} (V8 ${machine.v8}), medians of ${rounds} rounds of ${tokens} tokens`,
  )
  for (const { dtype, portableDense, dense, sparse, denseThreads, sparseThreads } of results) {
    console.log(
      `${dtype}, one thread: TypeScript ${portableDense.toFixed(1)} ms/token, WebAssembly ${dense.toFixed(1)} (${(portableDense / dense).toFixed(2)} x), ` +
        `with 90 % zeros skipped ${sparse.toFixed(1)} (${(dense / sparse).toFixed(2)} x over dense)`,
    )
    console.log(
      `${dtype}, ${threads} threads: WebAssembly ${denseThreads.toFixed(1)} (${(dense / denseThreads).toFixed(2)} x over one), ` +
        `with 90 % zeros skipped ${sparseThreads.toFixed(1)} (${(sparse / sparseThreads).toFixed(2)} x over one)`,
    )
  }
  if (browser !== null) {
    for (const { threads, firstTokenMs, tokensPerSecond } of browser.byThreads) {
      console.log(
        `Chromium ${browser.version}, warm cache, threads: ${threads}: first token ${firstTokenMs.toFixed(0)} ms after load, ` +
          `then ${tokensPerSecond.toFixed(0)} tokens/s`,
      )
    }
  }
}
