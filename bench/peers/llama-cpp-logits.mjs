// Whether llama.cpp computes what we compute: tiny random models of every architecture that it knows, written by us as GGUF
// in f32, and the log-probabilities that both give after each token of a prompt. node-llama-cpp is not a dependency; install
// it anywhere (`npm i node-llama-cpp@3.21.1`) and give the directory:
//   node bench/peers/llama-cpp-logits.mjs --node-llama-cpp DIR [--only NAME]
// Exits with 1 where they differ by more than the limit. llama.cpp evaluates GELU by a table of f16: its models have a
// wider limit.

import { mkdtempSync, rmSync } from 'node:fs'
import { createRequire } from 'node:module'
import { tmpdir } from 'node:os'
import { join, resolve } from 'node:path'
import { pathToFileURL } from 'node:url'
import { parseArgs } from 'node:util'
import { trainBpe } from '../../dist/data/tokenizers/train-byte-pair.js'
import { openModel, writeGguf } from '../../dist/formats/index.js'
import { load } from '../../dist/index.js'
import { RandomStream } from '../../dist/kernels/philox.js'
import { parameterShapes } from '../../dist/nn/parameters.js'

const { values: flags } = parseArgs({
  options: { 'node-llama-cpp': { type: 'string' }, only: { type: 'string' } },
})
if (flags['node-llama-cpp'] === undefined) {
  console.error('give --node-llama-cpp DIR, the directory in which `npm i node-llama-cpp` was run')
  process.exit(2)
}
const require = createRequire(join(resolve(flags['node-llama-cpp']), 'package.json'))
const { getLlama } = await import(pathToFileURL(require.resolve('node-llama-cpp')).href)
const llama = await getLlama({ gpu: false, build: 'never', logLevel: 'error' })
const directory = mkdtempSync(join(tmpdir(), 'flicker-llama-cpp-'))

const tokenizer = trainBpe(['Once upon a time there was a model of many names. '], 300)
const base = {
  vocabSize: tokenizer.vocabSize,
  hiddenSize: 64,
  intermediateSize: 96,
  numHiddenLayers: 3,
  numAttentionHeads: 4,
  numKeyValueHeads: 2,
  maxPositionEmbeddings: 256,
  rmsNormEps: 1e-5,
  ropeTheta: 500,
  tieWordEmbeddings: false,
  ffn: 'gated',
  activation: 'silu',
}
const original = { originalMaxPositionEmbeddings: 64 }
const plain = { ffn: 'plain', norm: 'layer', ffnBias: true, attentionBias: 'qkvo' }
const tanh = 'gelu:form=tanh'
const gemma = {
  activation: tanh,
  embeddingScale: 8,
  tieWordEmbeddings: true,
  headDim: 32,
  normPlacement: 'both',
  slidingWindow: 9,
}
const layers = count => Array.from({ length: count }, (_, layer) => layer)
/** Name, general.architecture, what differs from Llama, options of ours. */
const MODELS = [
  ['llama', 'llama', {}],
  [
    'llama-3.2',
    'llama',
    {
      tieWordEmbeddings: true,
      ropeScaling: { type: 'llama3', factor: 8, lowFreqFactor: 1, highFreqFactor: 4, ...original },
    },
  ],
  ['llama-yarn', 'llama', { ropeScaling: { type: 'yarn', factor: 4, ...original } }],
  ['qwen2', 'qwen2', { attentionBias: 'qkv' }],
  ['qwen3', 'qwen3', { qkNorm: 'head', headDim: 24 }],
  ['smollm3', 'smollm3', { numHiddenLayers: 5, ropeLayers: layers(5).map(layer => layer !== 3) }],
  ['arcee', 'arcee', { ffn: 'plain', activation: 'relu2' }],
  ['gemma', 'gemma', { ...gemma, normPlacement: undefined, slidingWindow: undefined }],
  [
    'gemma2',
    'gemma2',
    { ...gemma, attentionSoftcap: 2, finalSoftcap: 3, windowLayers: layers(3).map(layer => layer % 2 === 0) },
  ],
  [
    'gemma3',
    'gemma3',
    {
      ...gemma,
      qkNorm: 'head',
      numHiddenLayers: 7,
      windowLayers: layers(7).map(layer => layer !== 5),
      localRopeTheta: 50,
      ropeScaling: { type: 'linear', factor: 2 },
    },
  ],
  [
    'phi3',
    'phi3',
    {
      rotaryDim: 12,
      maxPositionEmbeddings: 1024,
      ropeScaling: {
        type: 'longrope',
        factor: 4,
        // llama.cpp makes contexts of 256 tokens at least, and takes the short factors up to this.
        originalMaxPositionEmbeddings: 256,
        shortFactors: [1, 1.05, 1.1, 1.2, 1.3, 1.5],
        longFactors: [1, 1.5, 2, 3, 4, 6],
      },
    },
  ],
  [
    'phi3, text beyond the original context',
    'phi3',
    {
      rotaryDim: 12,
      maxPositionEmbeddings: 512,
      ropeScaling: {
        type: 'longrope',
        factor: 16,
        originalMaxPositionEmbeddings: 32,
        shortFactors: [1, 1.05, 1.1, 1.2, 1.3, 1.5],
        longFactors: [1, 1.5, 2, 3, 4, 6],
      },
    },
  ],
  [
    'phi3, context beyond the original',
    'phi3',
    {
      rotaryDim: 12,
      maxPositionEmbeddings: 512,
      ropeScaling: {
        type: 'longrope',
        factor: 4,
        // llama.cpp takes the long factors from the first token on: its context is longer than this.
        originalMaxPositionEmbeddings: 128,
        shortFactors: [1, 1.05, 1.1, 1.2, 1.3, 1.5],
        longFactors: [1, 1.5, 2, 3, 4, 6],
      },
    },
    { context: 256 },
  ],
  ['mixtral', 'llama', { experts: { count: 4, perToken: 2, normalized: true } }],
  [
    'qwen3moe',
    'qwen3moe',
    { qkNorm: 'head', headDim: 24, experts: { count: 6, perToken: 3, normalized: true } },
  ],
  [
    'olmoe',
    'olmoe',
    { numKeyValueHeads: 4, qkNorm: 'projection', experts: { count: 4, perToken: 2, normalized: false } },
  ],
  ['olmo2', 'olmo2', { normPlacement: 'after', qkNorm: 'projection' }],
  [
    'granite',
    'granite',
    { embeddingScale: 3, residualScale: 0.4, attentionScale: 0.2, logitScale: 0.5, tieWordEmbeddings: true },
  ],
  ['starcoder2', 'starcoder2', { ...plain, activation: tanh, tieWordEmbeddings: true }],
  [
    'gpt2',
    'gpt2',
    {
      ...plain,
      activation: tanh,
      numKeyValueHeads: 4,
      learnedPositions: { offset: 0 },
      tieWordEmbeddings: true,
    },
  ],
  [
    'gptneox',
    'gptneox',
    { ...plain, activation: 'gelu', numKeyValueHeads: 4, rotaryDim: 4, parallelBranches: 'twoNorms' },
  ],
  [
    'falcon-7b',
    'falcon',
    { ffn: 'plain', norm: 'layer', activation: 'gelu', numKeyValueHeads: 1, parallelBranches: 'oneNorm' },
  ],
  ['falcon-40b', 'falcon', { ffn: 'plain', norm: 'layer', activation: 'gelu', parallelBranches: 'twoNorms' }],
  ['nemotron', 'nemotron', { ffn: 'plain', norm: 'layer', activation: 'relu2', rotaryDim: 8 }],
  ['stablelm', 'stablelm', { norm: 'layer', attentionBias: 'qkv', rotaryDim: 4 }],
  ['stablelm-parallel', 'stablelm', { norm: 'layer', rotaryDim: 4, parallelBranches: 'oneNorm' }],
  ['phi2', 'phi2', { ...plain, activation: tanh, rotaryDim: 8, headBias: true, parallelBranches: 'oneNorm' }],
]
/** Of the difference between log-probabilities, which are of the size of 5. */
const LIMIT = 2e-4
const GELU_LIMIT = 2e-2

let failed = false
for (const [name, expected, differences, options] of MODELS) {
  if (flags.only !== undefined && flags.only !== name) continue
  const config = { ...base, ...differences }
  const file = join(directory, `${name.replaceAll(/\W+/g, '-')}.gguf`)
  const { architecture } = writeGguf(file, { config, tokenizer, dtype: 'f32', tensor: randomTensors(config) })
  if (architecture !== expected) {
    failed = true
    console.log(`${name}: written as ${architecture}, not ${expected}`)
    continue
  }
  const tokens = layers(40).map(i => (i * 37 + 11) % config.vocabSize)
  const ours = await ourLogProbabilities(file, tokens, options)
  const theirs = await theirLogProbabilities(file, tokens).catch(error => error)
  if (theirs instanceof Error) {
    failed = true
    console.log(`${name} (${architecture}): llama.cpp: ${theirs.message}`)
    continue
  }
  let [worst, largest] = [0, 0]
  for (const [position, row] of theirs.entries()) {
    for (const [token, value] of row) {
      worst = Math.max(worst, Math.abs(value - ours[position][token]))
      largest = Math.max(largest, Math.abs(value))
    }
  }
  const limit = config.activation.startsWith('gelu') ? GELU_LIMIT : LIMIT
  if (!(worst <= limit)) failed = true
  console.log(
    `${name} (${architecture}): largest difference ${worst.toExponential(1)}, ${(worst / largest).toExponential(1)} of the ` +
      `largest value; limit ${limit}${worst <= limit ? '' : ' WRONG'}`,
  )
}
await llama.dispose()
rmSync(directory, { recursive: true })
process.exit(failed ? 1 : 0)

/** [position][token]. */
async function ourLogProbabilities(file, tokens, options) {
  openModel(file).close()
  const model = await load(file, { dtype: 'f32', ...options })
  const logits = model.logits(tokens)
  const { vocabSize } = model.config
  model.dispose()
  return tokens.map((_, position) => {
    const row = logits.subarray(position * vocabSize, (position + 1) * vocabSize)
    const largest = row.reduce((a, b) => Math.max(a, b))
    const total = Math.log(row.reduce((sum, x) => sum + Math.exp(x - largest), 0)) + largest
    return Array.from(row, x => x - total)
  })
}

/** Of each position the most likely tokens with their log-probabilities. */
async function theirLogProbabilities(file, tokens) {
  const model = await llama.loadModel({ modelPath: file })
  const context = await model.createContext({
    contextSize: 64,
    threads: 1,
    flashAttention: false,
    experimentalKvCacheKeyType: 'F32',
    experimentalKvCacheValueType: 'F32',
  })
  const options = {
    generateNext: { probabilities: true, options: { temperature: 1, topK: 0, topP: 1, minP: 0 } },
  }
  const results = await context.getSequence().controlledEvaluate(tokens.map(token => [token, options]))
  await model.dispose()
  return results.map(({ next }) =>
    [...next.probabilities].filter(([, p]) => p > 1e-6).map(([token, p]) => [token, Math.log(p)]),
  )
}

/** Weights large enough that every part matters to the logits. */
function randomTensors(config) {
  const shapes = new Map(
    parameterShapes(config).map((parameter, stream) => [parameter.name, { ...parameter, stream }]),
  )
  return name => {
    const { shape, stream } = shapes.get(name)
    const random = new RandomStream({ seed: 1, purpose: 0, stream })
    const size = shape.reduce((a, b) => a * b)
    const isNorm = /norm\.weight$/.test(name)
    const embeds = name.includes('embed')
    // Tied to the head, an embedding predicts its own token; not so much that nothing else counts.
    const width = config.tieWordEmbeddings ? 0.3 : 1
    const scale = shape.length === 1 ? 0.5 : embeds ? width : Math.sqrt(3 / shape[1])
    return Float32Array.from({ length: size }, () => (isNorm ? 1 : 0) + scale * (2 * random.uniform() - 1))
  }
}
