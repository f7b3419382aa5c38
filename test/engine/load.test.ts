// Models from files: memory holds the values of the file, in the type of the options.

import fs from 'node:fs'
import os from 'node:os'
import path from 'node:path'
import { afterAll, describe, expect, it } from 'vitest'
import { parseActivation } from '../../src/activations/index.js'
import { bytesTokenizer } from '../../src/data/tokenizers/byte-pair.js'
import { EngineModel, load } from '../../src/engine/index.js'
import { type ModelSource, openModel, writeCheckpoint, writeGguf } from '../../src/formats/index.js'
import { encodeStored } from '../../src/formats/stored.js'
import { readBlocks, type WeightType, weightTypeOf } from '../../src/kernels/index.js'
import type { ModelConfig } from '../../src/nn/config.js'
import { parameterShapes } from '../../src/nn/parameters.js'
import { bitsOf, relativeDifference } from './bits.js'
import {
  naiveForward,
  randomTensors,
  roundedToBf16,
  roundedToBlocks,
  roundedToF16,
  smallConfig,
  type Tensors,
  tensorOf,
} from './naive-model.js'

const tokenizer = bytesTokenizer()
const config: ModelConfig = {
  ...smallConfig,
  vocabSize: tokenizer.vocabSize,
  hiddenSize: 64,
  intermediateSize: 96,
  attentionBias: 'qkv',
  maxPositionEmbeddings: 64,
}
const tensors = randomTensors(config, 12)
const tokens = [...tokenizer.encode('From a file.')]
const directory = fs.mkdtempSync(path.join(os.tmpdir(), 'flicker-load-'))
afterAll(() => fs.rmSync(directory, { recursive: true }))

const stored = ['f32', 'f16', 'bf16', 'q8_0', 'q4_0'] as const
type Stored = (typeof stored)[number]

function gguf(dtype: Stored): string {
  const file = path.join(directory, `${dtype}.gguf`)
  if (!fs.existsSync(file)) writeGguf(file, { config, tokenizer, dtype, tensor: tensorOf(tensors) })
  return file
}

/** The values of the file. */
function read(source: ModelSource): Tensors {
  return new Map(parameterShapes(config).map(({ name }) => [name, source.tensor(name)]))
}

function expectLogits(model: EngineModel, weights: Tensors): void {
  const expected = naiveForward(config, weights, tokens, { activation: parseActivation('relu') })
  expect(relativeDifference(model.logits(tokens), expected.logits.flat())).toBeLessThan(1e-4)
}

/** The values that weights of `type` represent. */
function rounded(weights: Tensors, type: WeightType): Tensors {
  if (type === 'f32') return weights
  if (type === 'q8_0' || type === 'q4_0') return roundedToBlocks(config, weights, type)
  return type === 'bf16' ? roundedToBf16(weights) : roundedToF16(weights)
}

describe('a GGUF file', () => {
  it.each(stored)('of %s keeps its type', dtype => {
    const source = openModel(gguf(dtype))
    const model = new EngineModel(config, source, {})
    const type = dtype
    const { embedding, head, layers } = model.weights
    // 4 bits of the other direction are not rounded to 4 bits again.
    const down = dtype === 'q4_0' ? 'q8_0' : type
    for (const { qkv, output, gate, up, neurons } of layers) {
      expect(qkv).toHaveLength(1)
      for (const matrix of [qkv[0].weights, output, gate]) expect(weightTypeOf(matrix)).toBe(type)
      expect(weightTypeOf(neurons as never)).toBe(down)
      expect(up === null ? null : weightTypeOf(up)).toBe(down === type ? null : type)
    }
    // The file has those two in 8 bits where the others have 4.
    const vocabulary = dtype === 'q4_0' ? 'q8_0' : type
    expect([embedding, head].map(weightTypeOf)).toEqual([vocabulary, vocabulary])
    const weights = read(source)
    if (dtype === 'q4_0' || dtype === 'q8_0') {
      // Taken over as they are: only down_proj has its groups along the neurons.
      const again = rounded(weights, down)
      for (const name of weights.keys()) if (name.includes('down_proj')) weights.set(name, again.get(name)!)
      expectLogits(model, weights)
      const rows = new Uint8Array(source.stored('model.layers.1.mlp.gate_proj.weight').bytes)
      const width = rows.length / 96
      for (let row = 0; row < 96; row++) {
        const blocks = new Uint8Array(width)
        const { gate } = layers[1]
        if (!('type' in gate)) expect.fail('not quantized')
        readBlocks({ ...gate, type: dtype }, row, blocks, 64)
        expect(blocks).toEqual(rows.subarray(row * width, (row + 1) * width))
      }
    } else expectLogits(model, rounded(weights, type))
    source.close()
  })

  it('whose q, k and v are partly f16 and partly bf16 loses nothing', () => {
    const half = openModel(gguf('f16'))
    const bfloat = openModel(gguf('bf16'))
    const of = (name: string) => (name.includes('k_proj') ? half : bfloat)
    const mixed = {
      names: half.names,
      info: (name: string) => of(name).info(name),
      stored: (name: string) => of(name).stored(name),
    }
    const model = new EngineModel(config, mixed)
    expect(model.weights.layers[0].qkv.map(({ weights }) => weightTypeOf(weights))).toEqual([
      'bf16',
      'f16',
      'bf16',
    ])
    expectLogits(model, new Map([...half.names].map(name => [name, of(name).tensor(name)])))
    half.close()
    bfloat.close()
  })
})

describe('another type', () => {
  const pairs = stored.flatMap(from =>
    (['f32', 'bf16', 'f16', 'q8_0', 'q4_0'] as const).map(to => [from, to] as const),
  )
  it.each(pairs)('of a file in %s: %s', (from, dtype) => {
    const source = openModel(gguf(from))
    const model = new EngineModel(config, source, { dtype })
    const weights = read(source)
    const again = rounded(weights, dtype)
    const kept = from === dtype
    for (const { name } of parameterShapes(config)) {
      // Blocks that stay what they are need no rounding; and 4 bits for the embedding only if it has no more.
      if (kept && !name.includes('down_proj')) again.set(name, tensorOf(weights)(name))
    }
    expectLogits(model, again)
    source.close()
  })
})

describe('with q4_0', () => {
  it('an embedding of 4 bits keeps them, another has 8', () => {
    const named = (name: string) => ({
      names: parameterShapes(config).map(parameter => parameter.name),
      info: (asked: string) => ({ dtype: asked === name ? ('q4_0' as const) : ('f32' as const), shape: [] }),
      stored: (asked: string) => {
        const values = tensorOf(tensors)(asked)
        const dtype = asked === name ? 'q4_0' : 'f32'
        return { dtype, shape: [values.length], bytes: encodeStored(dtype, values) } as const
      },
    })
    const types = (name: string) => {
      const { embedding, head } = new EngineModel(config, named(name), { dtype: 'q4_0' }).weights
      return [embedding, head].map(weightTypeOf)
    }
    expect(types('model.embed_tokens.weight')).toEqual(['q4_0', 'q8_0'])
    expect(types('lm_head.weight')).toEqual(['q8_0', 'q4_0'])
  })
})

describe('laying out', () => {
  it('puts the up row and the down column of every neuron side by side, also of a large matrix', () => {
    const [d, h] = [64, 1100]
    const wide: ModelConfig = { ...config, intermediateSize: h, numHiddenLayers: 1 }
    const values = tensorOf(randomTensors(wide, 3))
    const { neurons } = new EngineModel(wide, values, {}).weights.layers[0]
    const [up, down] = ['up_proj', 'down_proj'].map(name => values(`model.layers.0.mlp.${name}.weight`))
    const expected = new Float32Array(2 * h * d)
    for (let i = 0; i < h; i++) {
      for (let k = 0; k < d; k++) {
        expected[2 * i * d + k] = up[i * d + k]
        expected[(2 * i + 1) * d + k] = down[k * h + i]
      }
    }
    expect(bitsOf(neurons as Float32Array)).toEqual(bitsOf(expected))
  })

  it('reads every tensor once, and no other', () => {
    const source = openModel(gguf('bf16'))
    const asked: string[] = []
    const recording = {
      names: source.names,
      info: (name: string) => source.info(name),
      stored: (name: string) => {
        asked.push(name)
        return source.stored(name)
      },
    }
    new EngineModel(config, recording)
    expect(asked.toSorted()).toEqual([...source.names].toSorted())
    source.close()
  })

  it('takes a Hugging Face directory and a GGUF file for the same model', async () => {
    const hf = path.join(directory, 'hf')
    const named = parameterShapes(config).map(({ name, shape }) => ({
      name,
      shape,
      data: tensorOf(tensors)(name),
    }))
    writeCheckpoint(hf, { config, tensors: named, dtype: 'bf16', tokenizer: tokenizer.toJSON() })
    const source = openModel(hf)
    const copy = path.join(directory, 'copy.gguf')
    writeGguf(copy, { config, tokenizer, dtype: 'bf16', tensor: name => source.tensor(name) })
    source.close()
    const options = { activation: 'stocha:p=0.3' }
    const [a, b] = [await load(hf, options), await load(copy, options)]
    expect(bitsOf(a.logits(tokens))).toEqual(bitsOf(b.logits(tokens)))
    const compact = path.join(directory, 'calibration.txt')
    fs.writeFileSync(compact, 'aaaa')
    const c = await load(hf, { ...options, activation: 'relu', compact })
    expect(c.engine.compaction?.tokens).toBe(4)
    expect(c.engine.notes).toEqual([expect.stringMatching(/ % of the neurons stayed inactive on 4 tokens/)])
    await expect(load(hf, { compact: path.join(directory, 'nowhere.txt') })).rejects.toMatchObject({
      code: 'COMPACT_TEXT',
      message: expect.stringContaining('nowhere.txt'),
    })
    for (const model of [a, b, c]) model.dispose()
  })
})
