// Tensors that are read piece by piece become the same matrices as those that are read as a whole.

import { createHash } from 'node:crypto'
import fs from 'node:fs'
import path from 'node:path'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { WeightLayout } from '../../../src/engine/model/weight-layout.js'
import type { LayerWeights } from '../../../src/engine/model/weights.js'
import { storedNeurons } from '../../../src/engine/model/weights.js'
import { openFileBytes } from '../../../src/formats/file-bytes.js'
import { openModel, writeCheckpoint, writeGguf } from '../../../src/formats/index.js'
import { bytesOf, type Weights } from '../../../src/kernels/index.js'
import { readOnThreads } from '../../../src/kernels/native/read-file.js'
import { contentOf, temporaryDirectory, tinyConfig, variedTensors } from '../../formats/tiny-model.js'
import { RandomInputs } from '../../kernels/random-inputs.js'

// Rows so wide that the matrices of the FFN are several pieces.
const config = {
  ...tinyConfig,
  vocabSize: 300,
  hiddenSize: 768,
  intermediateSize: 4608,
  numAttentionHeads: 8,
}

let directory = ''
beforeAll(() => {
  directory = temporaryDirectory()
})
afterAll(() => fs.rmSync(directory, { recursive: true }))

function matrices({ qkv, output, gate, up, ...rest }: LayerWeights): Weights[] {
  return [
    ...qkv.map(({ weights }) => weights),
    output,
    gate,
    ...(up === null ? [] : [up]),
    storedNeurons(rest),
  ]
}

function expectSame(file: string, dtype: 'auto' | 'q8_0' = 'auto'): void {
  const source = openModel(file)
  const layout = new WeightLayout(source.config, source, dtype)
  const { names } = source
  let pieces = 0
  const counted = {
    names,
    info: source.info,
    stored: source.stored,
    reader(name: string) {
      const reader = source.reader?.(name) ?? null
      if (reader === null) return null
      return (offset: number, into: Uint8Array) => {
        pieces++
        reader(offset, into)
      }
    },
  }
  const byPieces = matrices(new WeightLayout(source.config, counted, dtype).layer(0))
  const whole = new WeightLayout(source.config, { names, info: source.info, stored: source.stored }, dtype)
  const wholly = matrices(whole.layer(0))
  const digest = (w: Weights) => createHash('sha256').update(bytesOf(w)).digest('hex')
  expect(byPieces.map(digest)).toEqual(wholly.map(digest))
  expect(digest(layout.embedding)).toBe(digest(whole.embedding))
  expect(pieces).toBeGreaterThan(4)
  source.close()
}

describe('layers of a file', () => {
  const byName = new Map(variedTensors(config).map(({ name, data }) => [name, data]))

  it.each(['f32', 'f16', 'q8_0', 'q4_0', 'q4_k_m'] as const)('GGUF in %s', dtype => {
    const file = path.join(directory, `${dtype}.gguf`)
    writeGguf(file, { config, tokenizer: null, dtype, tensor: name => byName.get(name)! })
    expectSame(file)
  })

  it('safetensors in bf16, and rounded to q8_0', () => {
    const checkpoint = path.join(directory, 'bf16')
    writeCheckpoint(checkpoint, contentOf(config, { dtype: 'bf16' }))
    expectSame(checkpoint)
    expectSame(checkpoint, 'q8_0')
  })
})

describe('a file read on several threads', () => {
  const size = 5_000_001

  it('has the same bytes, from anywhere to anywhere', () => {
    const file = path.join(directory, 'random')
    const bytes = Buffer.from(new RandomInputs(Float32Array, 1).normal(size / 4 + 1).buffer).subarray(0, size)
    fs.writeFileSync(file, bytes)
    const open = openFileBytes(file, 'CUT')
    for (const [from, length] of [
      [0, size],
      [1, size - 1],
      [12_345, 3 << 20],
      [size - (1 << 20) - 3, (1 << 20) + 2],
    ]) {
      expect(Buffer.compare(open.read(from, length), bytes.subarray(from, from + length))).toBe(0)
    }
    // Shorter than when it was opened.
    fs.truncateSync(file, size - 10)
    expect(() => open.read(0, size)).toThrow(/ends before its data does/)
    open.close()
    const closed = fs.openSync(file, 'r')
    fs.closeSync(closed)
    expect(readOnThreads(closed, 0, new Uint8Array(1 << 20))).toBe(false)
  })
})
