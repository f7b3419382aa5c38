// Correctness and speed of the WebGPU backend on one device; bench/gpu/run.sh runs it on a machine without Node.
//   node bench/gpu/measure.mjs [--info] [--shape sparselm-1.5b] [--tokens 64] [--quick] [--tiny]
// Prints as it goes and keeps everything in results.json. What does not fit into the time is left out at the end.

import { writeFileSync } from 'node:fs'
import { parseArgs } from 'node:util'
import { benchDeviceDecode } from '../../dist/bench/device-decode.js'
import { decodeShape } from '../../dist/bench/random-model.js'
import { DeviceModel, EngineModel } from '../../dist/engine/index.js'
import { Purpose, RandomStream } from '../../dist/kernels/philox.js'
import { openGpu } from '../../dist/kernels/webgpu/index.js'
import { parameterShapes } from '../../dist/nn/parameters.js'

const { values: flags } = parseArgs({
  options: {
    info: { type: 'boolean', default: false },
    quick: { type: 'boolean', default: false },
    tiny: { type: 'boolean', default: false },
    shape: { type: 'string', default: 'sparselm-1.5b' },
    tokens: { type: 'string', default: '64' },
    seconds: { type: 'string', default: '200' },
  },
})
const started = performance.now()
const results = { checks: [], decode: [] }
const elapsed = () => ((performance.now() - started) / 1000).toFixed(1)
const enough = () => performance.now() - started > 1000 * Number(flags.seconds)
const keep = () => writeFileSync('results.json', JSON.stringify(results, null, 1))

function randomTensors(config, seed) {
  const tensors = new Map()
  for (const [stream, { name, shape }] of parameterShapes(config).entries()) {
    const random = new RandomStream({ seed, purpose: Purpose.init, stream })
    const scale = shape.length === 1 ? 0.5 : Math.sqrt(3 / shape[1]) * (name.includes('embed') ? 3 : 1)
    const offset = shape.length === 1 && !name.endsWith('.bias') ? 1 : 0
    const size = shape.reduce((a, b) => a * b)
    tensors.set(
      name,
      Float32Array.from({ length: size }, () => offset + scale * (2 * random.uniform() - 1)),
    )
  }
  return name => tensors.get(name)
}

function relativeDifference(actual, expected) {
  const largest = expected.reduce((most, value) => Math.max(most, Math.abs(value)), 0)
  return actual.reduce((most, value, i) => Math.max(most, Math.abs(value - expected[i])), 0) / largest
}

const sameBits = (a, b) => Buffer.from(a.buffer).equals(Buffer.from(b.buffer))

const small = {
  vocabSize: 37,
  hiddenSize: 24,
  intermediateSize: 70,
  numHiddenLayers: 2,
  numAttentionHeads: 4,
  numKeyValueHeads: 2,
  maxPositionEmbeddings: 96,
  rmsNormEps: 1e-5,
  ropeTheta: 10_000,
  tieWordEmbeddings: false,
  ffn: 'gated',
  activation: 'relu',
}
const medium = {
  ...small,
  vocabSize: 1000,
  hiddenSize: 768,
  intermediateSize: 2112,
  numAttentionHeads: 12,
  numKeyValueHeads: 4,
}
/** To try the script on a processor. */
const tiny = {
  hiddenSize: 64,
  intermediateSize: 256,
  numHiddenLayers: 4,
  numAttentionHeads: 4,
  numKeyValueHeads: 4,
  vocabSize: 512,
  tieWordEmbeddings: true,
}
const qwen2 = { ...medium, attentionBias: 'qkv', tieWordEmbeddings: true, activation: 'silu' }

async function check(gpu, name, config, dtype) {
  const tensors = randomTensors(config, 9)
  const tokens = [1, 5, 9, 30, 2, 7, 11, 36]
  const cpu = new EngineModel(config, tensors, { dtype })
  const sparse = await DeviceModel.create(config, tensors, { dtype, gpu, ffn: 'sparse' })
  const dense = await DeviceModel.create(config, tensors, { dtype, gpu, ffn: 'dense' })
  const expected = cpu.logits(tokens)
  const [logits, again, other] = [
    await sparse.logits(tokens),
    await sparse.logits(tokens),
    await dense.logits(tokens),
  ]
  const session = sparse.session()
  const steps = new Float32Array(logits.length)
  for (const [i, token] of tokens.entries()) steps.set(await session.step(token), i * config.vocabSize)
  const result = {
    name,
    dtype,
    relative: relativeDifference(logits, expected),
    sparseIsDense: sameBits(logits, other),
    stepsArePrompt: sameBits(logits, steps),
    again: sameBits(logits, again),
  }
  sparse.dispose()
  dense.dispose()
  const good = result.relative <= 1e-5 && result.sparseIsDense && result.stepsArePrompt && result.again
  console.log(`check ${good ? 'ok  ' : 'FAIL'} ${JSON.stringify(result)} (${elapsed()} s)`)
  results.checks.push({ ...result, good })
  keep()
}

/** Texts of drawn activations: the device against the CPU. */
async function checkDraws(gpu) {
  const tensors = randomTensors(small, 9)
  const cpu = new EngineModel(small, tensors, { activation: 'stocha:p=0.5' })
  const model = await DeviceModel.create(small, tensors, { gpu, activation: 'stocha:p=0.5' })
  const texts = { cpu: [], device: [] }
  for (const seed of [0, 1, 2]) {
    const [a, b] = [cpu.session({ seed }), model.session({ seed })]
    let [x, y] = [1, 1]
    for (let i = 0; i < 20; i++) {
      const [logits, own] = [a.step(x), await b.step(y)]
      x = logits.indexOf(Math.max(...logits))
      y = own.indexOf(Math.max(...own))
      texts.cpu.push(x)
      texts.device.push(y)
    }
  }
  model.dispose()
  const good = texts.cpu.join() === texts.device.join()
  console.log(`check ${good ? 'ok  ' : 'FAIL'} texts of stocha:p=0.5, three seeds (${elapsed()} s)`)
  results.checks.push({ name: 'draws', good, ...(!good && texts) })
  keep()
}

async function decode(name, options) {
  if (enough()) return console.log(`left out for time: ${name}`)
  try {
    const result = await benchDeviceDecode({
      shape: flags.tiny ? tiny : decodeShape(flags.shape),
      dtype: 'f16',
      sparsity: 0.9,
      tokens: Number(flags.tokens),
      profile: false,
      ...options,
    })
    results.decode.push({ name, ...result })
    keep()
    const { bandwidth, rows, ratio, ratioLimit, zeros, identical, profile } = result
    console.log(
      `decode ${name}: copy ${(bandwidth.copy / 1e9).toFixed(0)} GB/s, read ${(bandwidth.read / 1e9).toFixed(0)} GB/s, ` +
        `${rows.map(row => `${row.way} ${row.millisecondsPerToken.toFixed(3)} ms (${(100 * row.fractionOfLimit).toFixed(1)} %)`).join(', ')}, ` +
        `ratio ${ratio.median.toFixed(3)} of ${ratioLimit.toFixed(3)}, zeros ${zeros.measured.toFixed(3)}, same bits ${identical} (${elapsed()} s)`,
    )
    for (const { kernel, microsecondsPerToken, microsecondsPerCall } of profile) {
      console.log(
        `  ${microsecondsPerToken.toFixed(0).padStart(7)} µs per token ${microsecondsPerCall.toFixed(2).padStart(8)} per call  ${kernel}`,
      )
    }
  } catch (error) {
    console.log(`decode ${name}: ${error.stack}`)
    results.decode.push({ name, error: String(error.stack) })
    keep()
  }
}

const gpu = await openGpu()
console.log(JSON.stringify(gpu.info), `binding ${gpu.maxBindingBytes}`, JSON.stringify(gpu.workgroup))
if (flags.info) process.exit(0)
await check(gpu, 'llama, small', small, 'f32')
await check(gpu, 'llama, medium', medium, 'f16')
await checkDraws(gpu)
const profile = true
await decode('f16', { profile })
await decode('f16, 8 ahead', { gpu: { ahead: 8 }, profile })
await decode('f16, 1 row together', { gpu: { together: 1 }, profile })
await decode('f16, 16 lanes', { gpu: { lanes: 16 } })
await decode('f16, no subgroups', { gpu: { subgroups: false, lanes: 32 } })
await decode('f16, 95 % zeros', { sparsity: 0.95 })
await decode('f16, half zeros', { sparsity: 0.5 })
if (!flags.tiny) await decode('f16, llama-7b-4-layers', { shape: decodeShape('llama-7b-4-layers') })
for (const dtype of flags.quick ? [] : ['q8_0', 'q4_0', 'bf16', 'f32'])
  await decode(dtype, { dtype, profile })
for (const dtype of flags.quick ? [] : ['f16', 'bf16', 'q8_0', 'q4_0'])
  await check(gpu, 'llama, small', small, dtype)
for (const dtype of flags.quick ? [] : ['f32', 'bf16', 'q8_0', 'q4_0']) {
  await check(gpu, 'qwen2, medium', qwen2, dtype)
}
console.log(`done in ${elapsed()} s`)
process.exit(0)
