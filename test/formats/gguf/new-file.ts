// GGUF files that tests write, of a small model, in a directory that goes with the test file.

import fs from 'node:fs'
import path from 'node:path'
import { afterAll, expect } from 'vitest'
import { writeGguf } from '../../../src/formats/gguf/index.js'
import type { WrittenDtype } from '../../../src/formats/index.js'
import type { ModelConfig } from '../../../src/nn/config.js'
import { temporaryDirectory, tinyConfig, variedTensors } from '../tiny-model.js'

export const directory = temporaryDirectory()
afterAll(() => fs.rmSync(directory, { recursive: true }))
let made = 0
export const newFile = () => path.join(directory, `model-${made++}.gguf`)

/** Wide enough for blocks of 32. */
export const config: ModelConfig = { ...tinyConfig, hiddenSize: 64, intermediateSize: 96, numHiddenLayers: 2 }

export function write(of: ModelConfig, dtype: WrittenDtype = 'f32') {
  const tensors = new Map(variedTensors(of).map(({ name, data }) => [name, data]))
  const file = newFile()
  const written = writeGguf(file, { config: of, tokenizer: null, dtype, tensor: name => tensors.get(name)! })
  return { file, tensors, written }
}

/** Bit for bit; toEqual takes its time over typed arrays. */
export function expectSame(actual: Float32Array, expected: Float32Array, name: string) {
  expect(actual.length, name).toBe(expected.length)
  expect(bytesOf(actual).equals(bytesOf(expected)), name).toBe(true)
}

function bytesOf(values: Float32Array): Buffer {
  return Buffer.from(values.buffer, values.byteOffset, values.byteLength)
}
