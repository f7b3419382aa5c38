// What `flicker inspect` says of a model, against numbers counted by hand from its shape.

import fs from 'node:fs'
import os from 'node:os'
import path from 'node:path'
import { afterAll, expect, it } from 'vitest'
import { writeGguf } from '../../src/formats/index.js'
import type { ModelConfig } from '../../src/nn/config.js'
import { randomTensors, tensorOf } from '../engine/naive-model.js'
import { flickerHere } from './in-process.js'

const root = fs.mkdtempSync(path.join(os.tmpdir(), 'flicker-inspect-'))
afterAll(() => fs.rmSync(root, { recursive: true }))

const config: ModelConfig = {
  vocabSize: 40,
  hiddenSize: 32,
  intermediateSize: 64,
  numHiddenLayers: 2,
  numAttentionHeads: 4,
  numKeyValueHeads: 2,
  maxPositionEmbeddings: 100,
  rmsNormEps: 1e-5,
  ropeTheta: 10_000,
  tieWordEmbeddings: true,
  ffn: 'gated',
  activation: 'relu',
}
// Embedding; per layer q and o, k and v, gate, up and down.
const attention = 2 * 32 * 32 + 2 * 16 * 32
const ffn = 3 * 32 * 64
const matrices = 40 * 32 + 2 * (attention + ffn)
const norms = 2 * 2 * 32 + 32

function written(name: string, changes: Partial<ModelConfig>, dtype: 'f32' | 'q8_0'): string {
  const file = path.join(root, name)
  const own = { ...config, ...changes }
  writeGguf(file, { config: own, tokenizer: null, dtype, tensor: tensorOf(randomTensors(own, 1)) })
  return file
}

it('counts parameters, bytes of the file and of memory', async () => {
  const file = written('dense.gguf', {}, 'f32')
  const { stdout } = await flickerHere(['inspect', file, '--context', '50', '--kv', 'f16', '--json'])
  expect(JSON.parse(stdout)).toMatchObject({
    format: 'gguf',
    parameters: { total: matrices + norms, active: matrices + norms },
    types: { f32: 4 * (matrices + norms) },
    // Keys and values of 2 heads of 8, in 2 layers, 2 bytes each.
    memory: { weights: 4 * matrices, cache: 50 * 2 * 2 * 16 * 2, dtype: 'auto', kv: 'f16', tokens: 50 },
  })
})

it('says it in words, and what another type would take', async () => {
  const file = written('quantized.gguf', {}, 'q8_0')
  const { stdout } = await flickerHere(['inspect', file])
  expect(stdout).toContain(
    '2 layers, hidden 32, 4 heads of 8 (2 of keys and values), gated FFN of 64 with relu',
  )
  expect(stdout).toMatch(/^context +100 tokens$/m)
  const { stdout: json } = await flickerHere(['inspect', file, '--dtype', 'bf16', '--json'])
  expect(JSON.parse(json).memory.weights).toBe(2 * matrices)
  // Blocks of 32 codes and a scale of 2 bytes; norms stay f32.
  expect(JSON.parse(json).types).toEqual({ q8_0: (matrices / 32) * 34, f32: 4 * norms })
})

it('of a mixture tells what a token reads from what there is', async () => {
  const file = written('mixture.gguf', { experts: { count: 4, perToken: 1, normalized: true } }, 'f32')
  const { stdout } = await flickerHere(['inspect', file, '--json'])
  const router = 2 * 4 * 32
  const { total, active } = JSON.parse(stdout).parameters
  expect(total).toBe(40 * 32 + 2 * (attention + 4 * ffn) + router + norms)
  expect(active).toBe(40 * 32 + 2 * (attention + ffn) + router + norms)
})

it('a file that is none is one line', async () => {
  const file = path.join(root, 'none.gguf')
  fs.writeFileSync(file, 'no model')
  const { code, stderr } = await flickerHere(['inspect', file])
  expect([code, stderr.trim().split('\n').length]).toEqual([2, 1])
})
