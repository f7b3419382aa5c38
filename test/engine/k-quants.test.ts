// A file in llama.cpp's mix Q4_K_M: matrices are decoded as they are stored, down_proj is held along neurons in a type that
// is finer, and the results are those of the values that these types stand for.

import fs from 'node:fs'
import os from 'node:os'
import path from 'node:path'
import { afterAll, describe, expect, it } from 'vitest'
import { parseActivation } from '../../src/activations/index.js'
import { bytesTokenizer } from '../../src/data/tokenizers/byte-pair.js'
import { EngineModel, weightTypesText } from '../../src/engine/index.js'
import { openModel, writeGguf } from '../../src/formats/index.js'
import {
  allocateRows,
  type QuantizedType,
  readRow,
  storeRow,
  weightBytes,
  weightTypeOf,
} from '../../src/kernels/index.js'
import type { ModelConfig } from '../../src/nn/config.js'
import { parameterShapes } from '../../src/nn/parameters.js'
import { bitsOf, relativeDifference } from './bits.js'
import {
  naiveForward,
  randomTensors,
  roundedToBlocks,
  smallConfig,
  type Tensors,
  tensorOf,
} from './naive-model.js'

const tokenizer = bytesTokenizer()
const config: ModelConfig = {
  ...smallConfig,
  vocabSize: tokenizer.vocabSize,
  hiddenSize: 256,
  intermediateSize: 256,
  numHiddenLayers: 2,
  attentionBias: 'qkv',
  maxPositionEmbeddings: 64,
}
const tokens = [...tokenizer.encode('From a file.')]
const directory = fs.mkdtempSync(path.join(os.tmpdir(), 'flicker-k-quants-'))
afterAll(() => fs.rmSync(directory, { recursive: true }))
const file = path.join(directory, 'mix.gguf')
writeGguf(file, { config, tokenizer, dtype: 'q4_k_m', tensor: tensorOf(randomTensors(config, 12)) })

/** The values of the file, down_proj of each layer rounded once more along its neurons. */
function held(downs: readonly QuantizedType[]): Tensors {
  const source = openModel(file)
  const values: Tensors = new Map(parameterShapes(config).map(({ name }) => [name, source.tensor(name)]))
  source.close()
  for (const [layer, type] of downs.entries()) {
    const name = `model.layers.${layer}.mlp.down_proj.weight`
    values.set(name, requantized(tensorOf(values)(name), type))
  }
  return values
}

/** A matrix (d, h) whose columns are rounded as they are while a model is loaded: one candidate for each scale. */
function requantized(matrix: Float32Array, type: QuantizedType): Float32Array {
  const { hiddenSize: d, intermediateSize: h } = config
  const out = matrix.slice()
  const row = allocateRows(type, weightBytes(type, d))
  for (let i = 0; i < h; i++) {
    const column = Float32Array.from({ length: d }, (_, k) => matrix[k * h + i])
    storeRow(row, 0, column, 'one')
    readRow(row, 0, column)
    for (let k = 0; k < d; k++) out[k * h + i] = column[k]
  }
  return out
}

describe('a Q4_K_M file', () => {
  it('is held as it is, all but down_proj', () => {
    const source = openModel(file)
    const { layers, embedding } = new EngineModel(config, source).weights
    source.close()
    const types = layers.map(({ qkv, output, gate, up, neurons }) => ({
      qkv: qkv.map(({ weights }) => weightTypeOf(weights)),
      others: [output, gate, up].map(matrix => weightTypeOf(matrix as never)),
      down: weightTypeOf(neurons as never),
    }))
    // In the last eighth of the layers, here the second of two, v and down have 6 bits in the file.
    expect(types).toEqual([
      { qkv: ['q4_k'], others: ['q4_k', 'q4_k', 'q4_k'], down: 'q6_k' },
      { qkv: ['q4_k', 'q4_k', 'q6_k'], others: ['q4_k', 'q4_k', 'q4_k'], down: 'q8_0' },
    ])
    expect(weightTypeOf(embedding)).toBe('q4_k')
  })

  it('says which types it has in memory', () => {
    const source = openModel(file)
    expect(weightTypesText(new EngineModel(config, source).weights)).toBe(
      'q4_k (q, k, v, o, gate, up, embedding); q6_k (down, v, head); q8_0 (down)',
    )
    source.close()
  })

  it('gives the logits of those values, whether inactive neurons are skipped or not', () => {
    const source = openModel(file)
    const dense = new EngineModel(config, source, { ffn: 'dense' }).logits(tokens)
    const sparse = new EngineModel(config, source, { ffn: 'sparse' }).logits(tokens)
    source.close()
    const expected = naiveForward(config, held(['q6_k', 'q8_0']), tokens, {
      activation: parseActivation('relu'),
    })
    expect(relativeDifference(dense, expected.logits.flat())).toBeLessThan(1e-4)
    expect(bitsOf(sparse)).toEqual(bitsOf(dense))
  })

  it('reads one token at a time with the bits of a pass over all of them', () => {
    const source = openModel(file)
    const model = new EngineModel(config, source)
    source.close()
    const together = model.logits(tokens)
    const session = model.session()
    const alone = tokens.flatMap(token => [...session.step(token)])
    expect(bitsOf(Float32Array.from(alone))).toEqual(bitsOf(together))
  })
})

it.each(['q4_k', 'q5_k', 'q6_k'] as const)('--dtype %s rounds every matrix to it once', dtype => {
  const tensors = randomTensors(config, 5)
  const model = new EngineModel(config, tensorOf(tensors), { dtype })
  const rounded = roundedToBlocks(config, tensors, dtype)
  const expected = naiveForward(config, rounded, tokens, { activation: parseActivation('relu') })
  expect(relativeDifference(model.logits(tokens), expected.logits.flat())).toBeLessThan(1e-4)
})
