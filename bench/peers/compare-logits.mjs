// Our logits of a checkpoint beside PyTorch's. Run: `node bench/peers/compare-logits.mjs MODEL [--python python3]`.

import { execFileSync } from 'node:child_process'
import { fileURLToPath } from 'node:url'
import { parseArgs } from 'node:util'
import { load, resolveModelDirectory } from '../../dist/index.js'

const { values, positionals } = parseArgs({
  options: { python: { type: 'string', default: 'python3' } },
  allowPositionals: true,
})
const directory = resolveModelDirectory(positionals[0] ?? 'runs/quick/swift')
const model = await load(directory)
const { vocabSize, maxPositionEmbeddings } = model.config
const tokens = Array.from(
  { length: Math.min(64, maxPositionEmbeddings) },
  (_, i) => (i * 389 + 7) % vocabSize,
)
const ours = model.logits(tokens).subarray(-vocabSize)
model.dispose()

const script = fileURLToPath(new URL('torch_logits.py', import.meta.url))
const theirs = JSON.parse(execFileSync(values.python, [script, directory, JSON.stringify(tokens)]).toString())
const largest = Math.max(...theirs.map(Math.abs))
const difference = Math.max(...theirs.map((x, i) => Math.abs(x - ours[i])))
console.log(
  `${directory}: largest logit ${largest.toFixed(4)}, largest difference ${difference.toExponential(2)}`,
)
console.log(`relative: ${(difference / largest).toExponential(2)}`)
process.exitCode = difference / largest < 1e-4 ? 0 : 1
