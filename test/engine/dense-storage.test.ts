// A quantized model whose activation is exactly 0 nowhere: nothing can be skipped, so down_proj stays as the file has it.

import fs from 'node:fs'
import os from 'node:os'
import path from 'node:path'
import { afterAll, describe, expect, it } from 'vitest'
import { parseActivation } from '../../src/activations/index.js'
import { bytesTokenizer } from '../../src/data/tokenizers/byte-pair.js'
import {
  bytesRead,
  EngineModel,
  type EngineOptions,
  Session,
  weightTypesText,
} from '../../src/engine/index.js'
import { openModel, writeGguf } from '../../src/formats/index.js'
import { bytesOf, defaultThreads, setThreads, weightTypeOf } from '../../src/kernels/index.js'
import type { ModelConfig } from '../../src/nn/config.js'
import { parameterShapes } from '../../src/nn/parameters.js'
import { bitsOf, relativeDifference } from './bits.js'
import { naiveForward, randomTensors, smallConfig, type Tensors, tensorOf } from './naive-model.js'

const tokenizer = bytesTokenizer()
const config: ModelConfig = {
  ...smallConfig,
  activation: 'silu',
  vocabSize: tokenizer.vocabSize,
  hiddenSize: 256,
  intermediateSize: 512,
  numHiddenLayers: 2,
  maxPositionEmbeddings: 64,
}
const tokens = [...tokenizer.encode('From a file.')]
const directory = fs.mkdtempSync(path.join(os.tmpdir(), 'flicker-dense-'))
afterAll(() => fs.rmSync(directory, { recursive: true }))
afterAll(() => setThreads(defaultThreads()))

const files = (['q4_k_m', 'q8_0', 'q4_0'] as const).map(dtype => {
  const file = path.join(directory, `${dtype}.gguf`)
  writeGguf(file, { config, tokenizer, dtype, tensor: tensorOf(randomTensors(config, 12)) })
  return [dtype, file] as const
})

function model(file: string, options: EngineOptions = {}): EngineModel {
  const source = openModel(file)
  const opened = new EngineModel(config, source, options)
  source.close()
  return opened
}

function valuesOf(file: string): Tensors {
  const source = openModel(file)
  const values: Tensors = new Map(parameterShapes(config).map(({ name }) => [name, source.tensor(name)]))
  source.close()
  return values
}

describe.each(files)('a SiLU model in %s', (_, file) => {
  it('has the values of the file, down_proj too', () => {
    const logits = model(file).logits(tokens)
    const run = { activation: parseActivation('silu') }
    const expected = naiveForward(config, valuesOf(file), tokens, run).logits.flat()
    // Blocks that are rounded once more differ by a hundred times as much.
    expect(relativeDifference(logits, expected)).toBeLessThan(1e-5)
  })

  it('has them with integers of 16 bits', () => {
    const exact = model(file).logits(tokens)
    const difference = relativeDifference(model(file, { activations: 'int16' }).logits(tokens), exact)
    expect(difference).toBeGreaterThan(0)
    expect(difference).toBeLessThan(1e-3)
  })

  it.each(['f32', 'int16'] as const)(
    'reads prompts, tokens and several texts with the same bits: %s',
    activations => {
      const one = model(file, { activations })
      const whole = one.logits(tokens)
      for (const threads of [1, 2, 3]) {
        setThreads(threads)
        const alone = one.session()
        expect(bitsOf(Float32Array.from(tokens.flatMap(token => [...alone.step(token)])))).toEqual(
          bitsOf(whole),
        )
        const both = [one.session(), one.session()]
        for (const token of tokens) Session.stepTogether(both, [token, token])
        const last = whole.subarray(whole.length - config.vocabSize)
        for (const session of both) expect(bitsOf(session.logits)).toEqual(bitsOf(last))
      }
    },
  )

  it('runs another activation of a session, all neurons of it', () => {
    const one = model(file)
    const run = { activation: parseActivation('stocha:p=0.5'), seed: 3, sequence: 1 }
    const expected = naiveForward(config, valuesOf(file), tokens, run)
    const session = one.session(run)
    session.prefill(tokens)
    expect(relativeDifference(session.logits, expected.logits[tokens.length - 1])).toBeLessThan(1e-4)
    expect([...session.activeNeurons]).toEqual(expected.active.map(layer => layer[tokens.length - 1]))
    expect([...session.stats.pass.ffnBytesSkipped]).toEqual([0, 0])
  })

  it('counts what it reads: every matrix once for a token', () => {
    const one = model(file)
    const session = one.session()
    session.step(tokens[0])
    const { layers, head } = one.weights
    const matrices = layers.flatMap(({ qkv, output, gate, up, down }) => [
      ...qkv.map(({ weights }) => weights),
      ...[output, gate, up, down].map(matrix => matrix ?? expect.fail('a matrix is missing')),
    ])
    const weights = [...matrices, head].reduce((sum, w) => sum + bytesOf(w).byteLength, 0)
    const others = bytesRead(session.stats.pass) - weights
    // The row of the embedding, and the keys and values of a token.
    expect(others).toBeGreaterThan(0)
    expect(others).toBeLessThan(0.02 * weights)
  })

  it('is laid out for zeros where it is loaded with an activation that has them', () => {
    const relu = model(file, { activation: 'relu' })
    expect(relu.weights.layers.map(({ neurons }) => neurons === null)).toEqual([false, false])
    expect(model(file).weights.layers.map(({ neurons }) => neurons === null)).toEqual([true, true])
  })
})

it('says the types of a file as it has them', () => {
  expect(weightTypesText(model(files[0][1]).weights)).toBe(
    'q4_k (q, k, v, o, gate, up, down, embedding); q6_k (v, down, head)',
  )
})

it('matrices of other types stand by neuron', () => {
  const source = tensorOf(randomTensors(config, 12))
  for (const dtype of ['f32', 'bf16', 'f16'] as const) {
    const { layers } = new EngineModel(config, source, { dtype }).weights
    expect(layers.map(({ neurons }) => weightTypeOf(neurons as never))).toEqual([dtype, dtype])
  }
})

it('an approximation that chooses neurons says why it cannot use such weights', () => {
  const { weights } = model(files[0][1])
  expect(() => new EngineModel(config, weights, { activation: 'relu', reuse: 4 })).toThrow(
    expect.objectContaining({ code: 'SELECTOR_STORAGE' }),
  )
})
