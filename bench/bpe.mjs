// Speed of byte-level BPE: learning a vocabulary of 4,096 from 10 MB of text, encoding the same text, and decoding
// it. Run: `npx tsc -p tsconfig.build.json && node bench/bpe.mjs [--json] [--corpus PATH] [--build DIR]`.

import { cpus } from 'node:os'
import { resolve } from 'node:path'
import { pathToFileURL } from 'node:url'
import { parseArgs } from 'node:util'

const MEGABYTES = 10
const VOCABULARY = 4096
const RUNS = 3
/** Set in the project's plan: 10 MB to 4,096 tokens in under a minute; encoding at 3 MB/s or more. */
const TRAINING_LIMIT_SECONDS = 60
const ENCODING_LIMIT = 3

const { values } = parseArgs({
  options: {
    json: { type: 'boolean', default: false },
    corpus: { type: 'string', default: '../shared/data/corpus/classic-books' },
    build: { type: 'string', default: 'dist' },
  },
})
const room = file => import(pathToFileURL(resolve(values.build, 'data', file)).href)
const { loadCorpus } = await room('corpus.js')
const { trainBpe } = await room('tokenizers/train-byte-pair.js')

const text = firstBytes(loadCorpus(values.corpus).documents, MEGABYTES * 1e6)
const megabytes = Buffer.byteLength(text.join('')) / 1e6

const training = []
const encoding = []
const decoding = []
let tokens = 0
for (let run = 0; run < RUNS; run++) {
  let tokenizer
  training.push(seconds(() => (tokenizer = trainBpe(text, VOCABULARY))))
  let ids
  encoding.push(seconds(() => (ids = text.map(part => tokenizer.encode(part)))))
  decoding.push(seconds(() => ids.map(part => tokenizer.decode(part))))
  tokens = ids.reduce((sum, part) => sum + part.length, 0)
}

const result = {
  machine: `${cpus()[0].model}, ${cpus().length} cores`,
  node: process.version,
  corpus: values.corpus,
  megabytes,
  vocabulary: VOCABULARY,
  runs: RUNS,
  trainingSeconds: median(training),
  trainingLimitSeconds: TRAINING_LIMIT_SECONDS,
  encodingMegabytesPerSecond: megabytes / median(encoding),
  encodingLimit: ENCODING_LIMIT,
  decodingMegabytesPerSecond: megabytes / median(decoding),
  bytesPerToken: (megabytes * 1e6) / tokens,
}
if (values.json) {
  console.log(JSON.stringify(result))
} else {
  console.log(
    `${result.machine}, Node ${result.node}; ${result.corpus}, ${megabytes.toFixed(1)} MB; median of ${RUNS}`,
  )
  console.log(
    `train a BPE of ${VOCABULARY}  ${result.trainingSeconds.toFixed(2)} s     limit ${TRAINING_LIMIT_SECONDS} s`,
  )
  console.log(
    `encode               ${result.encodingMegabytesPerSecond.toFixed(1)} MB/s  limit ${ENCODING_LIMIT} MB/s`,
  )
  console.log(`decode               ${result.decodingMegabytesPerSecond.toFixed(1)} MB/s`)
  console.log(`bytes per token      ${result.bytesPerToken.toFixed(2)}`)
}

function firstBytes(documents, limit) {
  const parts = []
  let left = limit
  for (const { text } of documents) {
    if (left <= 0) break
    parts.push(text.slice(0, left))
    left -= text.length
  }
  return parts
}

function seconds(work) {
  const start = performance.now()
  work()
  return (performance.now() - start) / 1e3
}

function median(values) {
  return values.toSorted((a, b) => a - b)[values.length >> 1]
}
