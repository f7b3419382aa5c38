// Whether llama.cpp loads what we write and tells the same greedy text. node-llama-cpp is not a dependency; install it
// anywhere (`npm i node-llama-cpp`) and give the directory:
//   node bench/peers/llama-cpp-text.mjs --node-llama-cpp DIR [--model PATH [--tokenizer FILE]] [--tokens 200] [--prompt TEXT]
// Without --model: three models of random weights, with a byte-level BPE. Exits with 1 when the text of f32 differs,
// when llama.cpp cuts a prompt into other tokens, or when it loads what it must refuse. The other types are printed:
// there llama.cpp rounds the hidden state too, and texts of random weights part where two tokens are nearly as likely.

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
  options: {
    'node-llama-cpp': { type: 'string' },
    model: { type: 'string' },
    tokenizer: { type: 'string' },
    tokens: { type: 'string', default: '200' },
    prompt: { type: 'string', default: 'Once upon a time' },
  },
})
if (flags['node-llama-cpp'] === undefined) {
  console.error('give --node-llama-cpp DIR, the directory in which `npm i node-llama-cpp` was run')
  process.exit(2)
}
const require = createRequire(join(resolve(flags['node-llama-cpp']), 'package.json'))
const { getLlama } = await import(pathToFileURL(require.resolve('node-llama-cpp')).href)
const llama = await getLlama({ gpu: false, build: 'never', logLevel: 'error' })
const directory = mkdtempSync(join(tmpdir(), 'flicker-llama-cpp-'))
let failed = false

/** Prompts with what tokenizers stumble over. */
const prompts = [
  flags.prompt,
  ' two  spaces',
  'line\nbreak\n\n',
  "It's 2024, isn't it? 日本 é 🦊",
  '<',
  'x'.repeat(40),
]

for (const model of flags.model === undefined ? randomModels() : [given()]) {
  const { name, config, tokenizer } = model
  for (const dtype of ['f32', 'f16', 'bf16', 'q8_0', 'q6_k', 'q5_k', 'q4_k_m', 'q4_k', 'q4_0']) {
    const file = join(directory, `${name}-${dtype}.gguf`)
    const { architecture, tokenizerKnown } = writeGguf(file, { ...model, dtype })
    if (!tokenizerKnown) throw new Error(`${name}: llama.cpp does not know this tokenizer; give another`)
    const ours = await ourText(file)
    const theirs = await theirText(file)
    const same = ours.ids.findIndex((id, i) => id !== theirs.ids[i])
    const agree = same < 0 ? ours.ids.length : same
    const tokenized = prompts.filter((_, i) => theirs.prompts[i] !== ours.prompts[i])
    if ((dtype === 'f32' && same >= 0) || tokenized.length > 0) failed = true
    console.log(
      `${name} ${architecture} ${dtype}: ${agree} of ${ours.ids.length} greedy tokens the same` +
        (tokenized.length === 0 ? '' : `; other tokens for ${JSON.stringify(tokenized)}`),
    )
    if (dtype === 'f16') console.log(JSON.stringify(tokenizer.decode(ours.ids)).slice(0, 400))
  }
  const relu = join(directory, `${name}-relu.gguf`)
  writeGguf(relu, { ...model, config: { ...config, activation: 'relu' }, dtype: 'f16' })
  const loaded = await llama.loadModel({ modelPath: relu }).then(
    () => true,
    () => false,
  )
  if (loaded) failed = true
  console.log(`${name} with relu: ${loaded ? 'loaded, WRONG' : 'refused, as it should be'}`)
}
await llama.dispose()
rmSync(directory, { recursive: true })
process.exit(failed ? 1 : 0)

/** Greedy tokens after the prompt, and how every prompt is cut. */
async function ourText(file) {
  const model = await load(file, { dtype: 'f32' })
  const ids = []
  const options = { maxTokens: Number(flags.tokens), ignoreEos: true }
  for await (const { id } of model.generate(flags.prompt, options)) ids.push(id)
  const { tokenizer } = model
  model.dispose()
  return { ids, prompts: prompts.map(text => [...tokenizer.encode(text)].join(' ')) }
}

async function theirText(file) {
  const model = await llama.loadModel({ modelPath: file })
  const count = Number(flags.tokens)
  // Keys and values as f32, as ours are: in f16 the texts of random weights part sooner or later.
  const context = await model.createContext({
    contextSize: Math.min(model.trainContextSize, count + 64),
    threads: 1,
    flashAttention: false,
    experimentalKvCacheKeyType: 'F32',
    experimentalKvCacheValueType: 'F32',
  })
  const start = model.tokens.shouldPrependBosToken ? [model.tokens.bos] : []
  const ids = []
  const given = [...start, ...model.tokenize(flags.prompt)]
  for await (const id of context.getSequence().evaluate(given, { temperature: 0, yieldEogToken: true })) {
    ids.push(id)
    if (ids.length === count) break
  }
  const cut = prompts.map(text => model.tokenize(text).join(' '))
  await model.dispose()
  return { ids, prompts: cut }
}

function given() {
  const source = openModel(flags.model, { tokenizer: flags.tokenizer })
  return {
    name: 'model',
    config: source.config,
    tokenizer: source.tokenizer(),
    chatTemplate: source.chatTemplate,
    tensor: name => source.tensor(name),
  }
}

/** Weights large enough that every part matters to the text. */
function randomModels() {
  const tokenizer = trainBpe(
    ["Once upon a time it's 2024 and two  spaces\nbreak the line of the text; isn't it? "],
    300,
  )
  const llamaConfig = {
    vocabSize: tokenizer.vocabSize,
    hiddenSize: 64,
    intermediateSize: 160,
    numHiddenLayers: 3,
    numAttentionHeads: 4,
    numKeyValueHeads: 2,
    maxPositionEmbeddings: 512,
    rmsNormEps: 1e-5,
    ropeTheta: 10_000,
    tieWordEmbeddings: false,
    ffn: 'gated',
    activation: 'silu',
  }
  const ropeScaling = {
    type: 'llama3',
    factor: 8,
    lowFreqFactor: 1,
    highFreqFactor: 4,
    originalMaxPositionEmbeddings: 64,
  }
  const variants = {
    llama: llamaConfig,
    'llama-scaled': {
      ...llamaConfig,
      ropeScaling,
      headDim: 32,
      attentionBias: 'qkvo',
      tieWordEmbeddings: true,
    },
    qwen2: { ...llamaConfig, attentionBias: 'qkv', ropeScaling: { type: 'linear', factor: 2 } },
    // Rows of whole super-blocks.
    'llama-wide': { ...llamaConfig, hiddenSize: 256, intermediateSize: 512, numHiddenLayers: 4 },
  }
  return Object.entries(variants).map(([name, config]) => {
    const shapes = new Map(
      parameterShapes(config).map((parameter, stream) => [parameter.name, { ...parameter, stream }]),
    )
    return {
      name,
      config,
      tokenizer,
      tensor(of) {
        const { shape, stream } = shapes.get(of)
        const random = new RandomStream({ seed: 1, purpose: 0, stream })
        const scale = shape.length === 1 ? 0.5 : Math.sqrt(3 / shape[1])
        const offset = of.endsWith('norm.weight') ? 1 : 0
        const size = shape.reduce((a, b) => a * b)
        return Float32Array.from({ length: size }, () => offset + scale * (2 * random.uniform() - 1))
      },
    }
  })
}
