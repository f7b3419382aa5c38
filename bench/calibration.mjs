// How long flicker sparsify takes to calibrate a model of a real shape, and how much memory: random weights in bf16, written to a
// directory of their own; text that is random words. Nothing is measured on held-out text.
//   node bench/calibration.mjs [--shape sparselm-0.5b] [--method teal] [--tokens 4096] [--threads N]

import fs from 'node:fs'
import os from 'node:os'
import path from 'node:path'
import { parseArgs } from 'node:util'
import { DECODE_SHAPES } from '../dist/bench/random-model.js'
import { bytesTokenizer } from '../dist/data/tokenizers/byte-pair.js'
import { openModel, writeCheckpoint } from '../dist/formats/index.js'
import { setThreads } from '../dist/kernels/index.js'
import { fillNormal, Purpose } from '../dist/kernels/philox.js'
import { parameterShapes } from '../dist/nn/parameters.js'
import { readTexts, Sparsifier } from '../dist/sparsify/sparsify.js'

const { values } = parseArgs({
  options: {
    shape: { type: 'string', default: 'sparselm-0.5b' },
    method: { type: 'string', default: 'teal' },
    tokens: { type: 'string', default: '4096' },
    threads: { type: 'string' },
  },
})
const shape = DECODE_SHAPES[values.shape]
if (shape === undefined) throw new Error(`--shape is one of ${Object.keys(DECODE_SHAPES).join(', ')}`)
const config = {
  ...shape,
  maxPositionEmbeddings: 2048,
  rmsNormEps: 1e-5,
  ropeTheta: 100_000,
  ffn: 'gated',
  activation: 'silu',
}
const directory = fs.mkdtempSync(path.join(os.tmpdir(), 'flicker-calibration-'))
process.on('exit', () => fs.rmSync(directory, { recursive: true, force: true }))
const model = path.join(directory, 'model')

/** Normal values of standard deviation 0.02; norms 1. One pool serves all. */
function* tensors() {
  const pool = new Float32Array(2 ** 22)
  fillNormal(pool, { seed: 1, purpose: Purpose.init, stream: 0 }, 0, 0.02)
  for (const { name, shape } of parameterShapes(config)) {
    const data = new Float32Array(shape.reduce((a, b) => a * b))
    if (shape.length === 1) data.fill(1)
    else
      for (let at = 0; at < data.length; at += pool.length) data.set(pool.subarray(0, data.length - at), at)
    yield { name, shape, data }
  }
}
writeCheckpoint(model, { config, tensors: tensors(), dtype: 'bf16', tokenizer: bytesTokenizer().toJSON() })
const bytes = fs.statSync(path.join(model, 'model.safetensors')).size
const text = path.join(directory, 'text.txt')
const words = ['time', 'sea', 'of', 'and', 'the', 'ship', 'was', 'storm', 'a', 'long']
const count = Number(values.tokens)
fs.writeFileSync(text, Array.from({ length: count }, (_, i) => words[(i * i + (i >> 3)) % 10]).join(' '))

if (values.threads !== undefined) setThreads(Number(values.threads))
const source = openModel(model)
const texts = readTexts(source.tokenizer(), source.config, {
  calibrate: text,
  tokens: count,
  measureTokens: 1,
})
const layers = []
let last = performance.now()
let most = 0
const sparsifier = new Sparsifier(source, texts, {
  onProgress: (_, layer) => {
    const now = performance.now()
    if (layer > 0) layers.push((now - last) / 1000)
    last = now
    most = Math.max(most, process.memoryUsage().rss)
  },
})
const started = performance.now()
sparsifier.calibrate([values.method], [0.5])
const seconds = (performance.now() - started) / 1000
layers.push((performance.now() - last) / 1000)
most = Math.max(most, process.memoryUsage().rss, process.resourceUsage().maxRSS * 1024)
source.close()
const rate = count / seconds
console.log(`${values.shape}, bf16, ${(bytes / 1e9).toFixed(2)} GB; ${values.method} on ${count} tokens`)
console.log(
  `calibration ${seconds.toFixed(1)} s (${rate.toFixed(0)} tokens/s), layers ${layers.map(s => s.toFixed(1)).join(', ')} s`,
)
console.log(`65,536 tokens at this rate: ${(65536 / rate / 60).toFixed(1)} minutes`)
console.log(`memory at most ${(most / 1e9).toFixed(2)} GB`)
