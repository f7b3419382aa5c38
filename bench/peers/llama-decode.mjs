// Tokens per second beside llama.cpp's: one shape, random weights, the same number of threads, interleaved in one run.
// node-llama-cpp is not a dependency (it is large); install it anywhere (`npm i node-llama-cpp`) and give the directory:
//   node bench/peers/llama-decode.mjs --node-llama-cpp DIR [--shape sparselm-1.5b] [--types f16,bf16,q8_0] [--threads 2]
//     [--sparsity 0.9] [--tokens 8] [--rounds 5] [--prompt 256] [--activations f32|int16] [--json]
// Types are those of weights, and q4_k_m, the mix that most files have: for it both read the same file.
// llama.cpp runs SiLU, which its arch knows. Dense is the same file as `flicker generate` loads it; the sparse ways are a model of the
// same type of weights with zeros. Keys and values are f16 in all of them, llama.cpp's default. Needs memory for both models, and disk space for one GGUF file at a time.

import { mkdtempSync, readFileSync, rmSync } from 'node:fs'
import { createRequire } from 'node:module'
import { tmpdir } from 'node:os'
import { join, resolve } from 'node:path'
import { pathToFileURL } from 'node:url'
import { parseArgs } from 'node:util'
import { calibrate, sparsityOfLayers } from '../../dist/bench/calibrate-sparsity.js'
import { writeRandomModel } from '../../dist/bench/load.js'
import { decodeShape, randomConfig, randomWeights } from '../../dist/bench/random-model.js'
import { trainBpe } from '../../dist/data/tokenizers/train-byte-pair.js'
import { bytesRead, EngineModel } from '../../dist/engine/index.js'
import { WeightLayout } from '../../dist/engine/model/weight-layout.js'
import { openModel } from '../../dist/formats/index.js'
import { kernels, measureMachine, narrowable, setThreads } from '../../dist/kernels/index.js'
import { machineInfo } from '../../dist/kernels/machine-info.js'
import { median } from '../../dist/statistics.js'

const { values: flags } = parseArgs({
  options: {
    'node-llama-cpp': { type: 'string' },
    shape: { type: 'string', default: 'sparselm-1.5b' },
    types: { type: 'string', default: 'f16,bf16,q8_0' },
    threads: { type: 'string', default: '2' },
    sparsity: { type: 'string', default: '0.9' },
    tokens: { type: 'string', default: '8' },
    rounds: { type: 'string', default: '5' },
    prompt: { type: 'string', default: '256' },
    activations: { type: 'string', default: 'f32' },
    json: { type: 'boolean', default: false },
  },
})
if (flags['node-llama-cpp'] === undefined) {
  console.error('give --node-llama-cpp DIR, the directory in which `npm i node-llama-cpp` was run')
  process.exit(2)
}
const [threads, tokens, rounds, promptLength] = ['threads', 'tokens', 'rounds', 'prompt'].map(name =>
  Number(flags[name]),
)
const sparsity = Number(flags.sparsity)
const shape = decodeShape(flags.shape)
const context = 16 + (rounds + 1) * tokens + promptLength + 64
const require = createRequire(join(resolve(flags['node-llama-cpp']), 'package.json'))
const { getLlama } = await import(pathToFileURL(require.resolve('node-llama-cpp')).href)
const llama = await getLlama({ gpu: false, build: 'never', logLevel: 'error', maxThreads: threads })
setThreads(threads)
// llama.cpp loads no model without one; none of its tokens are used.
const tokenizer = trainBpe(['a tokenizer is asked for, and none of its tokens are used here'], 280)

const directory = mkdtempSync(join(tmpdir(), 'flicker-llama-decode-'))
process.on('exit', () => rmSync(directory, { recursive: true, force: true }))
const results = []
for (const type of flags.types.split(',')) results.push(await compare(type))
await llama.dispose()
const installed = join(resolve(flags['node-llama-cpp']), 'node_modules/node-llama-cpp/package.json')
const peer = JSON.parse(readFileSync(installed, 'utf8')).version
if (flags.json)
  console.log(
    JSON.stringify(
      { machine: machineInfo(), peer, shape, threads, sparsity, activations: flags.activations, results },
      null,
      2,
    ),
  )
else print()

/** Both engines interleaved, `rounds` times `tokens` tokens each. */
async function compare(type) {
  const file = join(directory, `${type}.gguf`)
  writeRandomModel(file, shape, type, tokenizer, { activation: 'silu', maxPositionEmbeddings: context })
  const llamaModel = await llama.loadModel({ modelPath: file })
  const llamaContext = await llamaModel.createContext({
    contextSize: context,
    threads,
    batchSize: promptLength,
  })
  const sequence = llamaContext.getSequence()
  const start = Array.from({ length: 16 }, (_, i) => 100 + i)

  const ours =
    type === 'q4_k_m'
      ? sessions(file, weightsOf(file), 'auto')
      : sessions(file, randomWeights(randomConfig(shape, 0, context), type), type)
  for (const { session } of ours) session.prefill(start)
  await theirTokens(sequence, start, 2)
  const times = { llama: [], ...Object.fromEntries(ours.map(({ way }) => [way, []])) }
  const bandwidths = []
  for (let round = 0; round < rounds; round++) {
    times.llama.push(...(await theirTokens(sequence, [round + 5], tokens)))
    for (const { way, session } of ours) {
      for (let i = 0; i < tokens; i++) {
        const begin = performance.now()
        session.step((i * 389 + 7) % shape.vocabSize)
        times[way].push(performance.now() - begin)
      }
    }
    bandwidths.push(measureMachine(kernels().isa).bytesPerSecond)
  }
  const bytesPerSecond = Math.max(...bandwidths)
  const theirs = 1000 / median(times.llama)
  const rows = ours.map(({ way, session }) => {
    const tokensPerSecond = 1000 / median(times[way])
    const fractionOfLimit = (tokensPerSecond * bytesRead(session.stats.pass)) / bytesPerSecond
    return { way, tokensPerSecond, ratio: tokensPerSecond / theirs, fractionOfLimit }
  })
  const prompt = await prompts(sequence, ours[0].model)
  await llamaModel.dispose()
  rmSync(file)
  return { type, gigabytesPerSecond: bytesPerSecond / 1e9, llamaTokensPerSecond: theirs, rows, prompt }
}

/** Milliseconds of each token after the first, which also reads what it was given. */
async function theirTokens(sequence, given, count) {
  const times = []
  let begin = performance.now()
  for await (const _ of sequence.evaluate(given, { temperature: 0, yieldEogToken: true })) {
    times.push(performance.now() - begin)
    if (times.length > count) break
    begin = performance.now()
  }
  return times.slice(1)
}

/** Tokens per second of a prompt, both. */
async function prompts(sequence, model) {
  const prompt = Array.from({ length: promptLength }, (_, i) => 200 + ((i * 31) % 1000))
  await sequence.clearHistory()
  let begin = performance.now()
  await sequence.evaluateWithoutGeneratingNewTokens(prompt)
  const theirs = (1000 * promptLength) / (performance.now() - begin)
  const session = model.session()
  begin = performance.now()
  session.prefill(prompt)
  return { tokens: promptLength, llama: theirs, dense: (1000 * promptLength) / (performance.now() - begin) }
}

/** The model in a file, laid out. */
function weightsOf(file) {
  const source = openModel(file)
  const weights = new WeightLayout(source.config, source, 'auto').all()
  source.close()
  return weights
}

/** Our ways: the model in the file, and one of these weights with an activation that is zero as often as is asked for. */
function sessions(file, weights, dtype) {
  const { threshold } = calibrate(shape, weights, sparsityOfLayers(sparsity, shape.numHiddenLayers), dtype)
  const config = randomConfig(shape, threshold, context)
  const source = openModel(file)
  const whole = new EngineModel(source.config, source, { kv: 'f16', activations: flags.activations })
  source.close()
  const dense = { way: 'dense', model: whole, session: whole.session() }
  const ways = { sparse: ['sparse', 'off'], 'sparse, narrow gate': ['sparse', 'on'] }
  const sparse = Object.entries(ways).flatMap(([way, [ffn, narrowGate]]) => {
    if (narrowGate === 'on' && (dtype === 'auto' || !narrowable(dtype))) return []
    const model = new EngineModel(config, weights, {
      ...{ dtype, kv: 'f16', ffn, narrowGate },
      activations: flags.activations,
    })
    return [{ way, model, session: model.session() }]
  })
  return [dense, ...sparse]
}

function print() {
  const { cpu, isa, version } = machineInfo()
  console.log(
    `flicker ${version}, node-llama-cpp ${peer} · ${cpu} · ${isa}, ${threads} threads · ${flags.shape}, activations ${flags.activations}`,
  )
  for (const { type, gigabytesPerSecond, llamaTokensPerSecond, rows, prompt } of results) {
    console.log(
      `\n${type}: llama.cpp ${llamaTokensPerSecond.toFixed(2)} tok/s (reads ${gigabytesPerSecond.toFixed(1)} GB/s)`,
    )
    for (const { way, tokensPerSecond, ratio, fractionOfLimit } of rows) {
      console.log(
        `  ours, ${way}: ${tokensPerSecond.toFixed(2)} tok/s, ${ratio.toFixed(2)} × llama.cpp, ` +
          `${(100 * fractionOfLimit).toFixed(0)} % of the memory limit`,
      )
    }
    console.log(
      `  prompt of ${prompt.tokens}: llama.cpp ${prompt.llama.toFixed(0)} tok/s, ours ${prompt.dense.toFixed(0)} tok/s`,
    )
  }
}
