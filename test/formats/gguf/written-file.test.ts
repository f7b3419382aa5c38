// What is written as GGUF is what llama.cpp's format asks for, and reads back as the same model.

import fs from 'node:fs'
import { describe, expect, it } from 'vitest'
import { openFileBytes } from '../../../src/formats/file-bytes.js'
import { writeGguf } from '../../../src/formats/gguf/index.js'
import { parseGguf } from '../../../src/formats/gguf/parse.js'
import { openModel } from '../../../src/formats/index.js'
import { decodeStored, encodeStored } from '../../../src/formats/stored.js'
import type { WeightType } from '../../../src/kernels/index.js'
import type { ModelConfig } from '../../../src/nn/config.js'
import { parameterShapes } from '../../../src/nn/parameters.js'
import type { RopeScaling } from '../../../src/nn/rope.js'
import { config, directory, expectSame, write } from './new-file.js'

const llama3: RopeScaling = {
  type: 'llama3',
  factor: 32,
  lowFreqFactor: 1,
  highFreqFactor: 4,
  originalMaxPositionEmbeddings: 8192,
}

function header(file: string) {
  const bytes = openFileBytes(file, 'X')
  const parsed = parseGguf(bytes)
  bytes.close()
  return parsed
}

describe('a written file', () => {
  it.each<[string, Partial<ModelConfig>, string]>([
    ['gated silu, tied', {}, 'llama'],
    ['untied, grouped queries', { tieWordEmbeddings: false, numKeyValueHeads: 1 }, 'llama'],
    ['biases on q, k, v', { attentionBias: 'qkv' }, 'qwen2'],
    ['biases on all of attention', { attentionBias: 'qkvo' }, 'llama'],
    ['biases on q, k, v and a head dimension of its own', { attentionBias: 'qkv', headDim: 16 }, 'llama'],
    ['linear rope scaling', { ropeScaling: { type: 'linear', factor: 4 } }, 'llama'],
    ['Llama 3 rope scaling', { ropeScaling: llama3, ropeTheta: 500_000 }, 'llama'],
    [
      'other rope factors',
      { ropeScaling: { type: 'factors', factors: [1, 1.5, 2, 4] }, headDim: 8 },
      'llama',
    ],
    ['relu', { activation: 'relu' }, 'flicker'],
    ['stocha', { activation: 'stocha:p=0.7,positive=identity' }, 'flicker'],
    ['a plain FFN', { ffn: 'plain' }, 'flicker'],
    ['Spark', { ffn: 'spark', activation: 'stat-topk:k=0.08' }, 'flicker'],
    ['Spark, split elsewhere', { ffn: 'spark', activation: 'silu', sparkPredictorWidth: 21 }, 'flicker'],
    ['dReLU with biases', { ffn: 'drelu', activation: 'relu', attentionBias: 'qkv' }, 'flicker'],
  ])('is the same model: %s, as %s of %s', (_, change, architecture) => {
    const of = { ...config, ...change }
    const { file, tensors, written } = write(of)
    expect(written.architecture).toBe(architecture)
    const source = openModel(file)
    expect(source).toMatchObject({ format: 'gguf', config: of, chatTemplates: new Map() })
    expect(source.names).toEqual(parameterShapes(of).map(({ name }) => name))
    for (const [name, data] of tensors) expectSame(source.tensor(name), data, name)
    source.close()
  })

  it.each<WeightType>(['f32', 'f16', 'bf16', 'q8_0', 'q4_0'])('as %s holds its matrices so', dtype => {
    const { file, tensors } = write(config, dtype)
    const source = openModel(file)
    const finer = dtype === 'q4_0' ? 'q8_0' : dtype
    for (const [name, data] of tensors) {
      const expected = name.includes('norm') ? 'f32' : name.includes('embed') ? finer : dtype
      expect(source.info(name).dtype, name).toBe(expected)
      expectSame(source.tensor(name), decodeStored(expected, encodeStored(expected, data)), name)
      const { bytes } = source.stored(name)
      expectSame(decodeStored(expected, bytes), source.tensor(name), name)
    }
    source.close()
  })

  it('keeps a matrix whose rows are not whole blocks as f16', () => {
    const { file, written } = write({ ...config, intermediateSize: 40 }, 'q8_0')
    const down = (layer: number) => ({
      name: `model.layers.${layer}.mlp.down_proj.weight`,
      columns: 40,
      asked: 'q8_0',
      written: 'f16',
    })
    expect(written.unblocked).toEqual([down(0), down(1)])
    const source = openModel(file)
    expect(source.info('model.layers.0.mlp.down_proj.weight')).toEqual({ dtype: 'f16', shape: [64, 40] })
    expect(source.info('model.layers.0.mlp.up_proj.weight').dtype).toBe('q8_0')
    source.close()
  })

  it('has the keys that llama.cpp asks for', () => {
    const { metadata } = header(write(config, 'q8_0').file)
    expect(Object.fromEntries(metadata)).toMatchObject({
      'general.architecture': 'llama',
      'general.alignment': 32,
      'general.file_type': 7,
      'general.quantization_version': 2,
      'llama.vocab_size': 11,
      'llama.context_length': 32,
      'llama.embedding_length': 64,
      'llama.block_count': 2,
      'llama.feed_forward_length': 96,
      'llama.attention.head_count': 2,
      'llama.attention.head_count_kv': 1,
      'llama.attention.layer_norm_rms_epsilon': Math.fround(1e-5),
      'llama.rope.dimension_count': 32,
      'llama.rope.freq_base': 10_000,
    })
  })

  it('of `llama` has q and k with the rows of a head in pairs, v as it is; of `qwen2` all as they are', () => {
    const row = (bytes: Buffer, { offset }: { offset: number }, index: number) =>
      new Float32Array(bytes.buffer, bytes.byteOffset + offset + 256 * index, 64)
    for (const [of, pairs] of [
      [config, true],
      [{ ...config, attentionBias: 'qkv' as const }, false],
    ] as const) {
      const { file, tensors } = write(of)
      const bytes = Buffer.from(new Uint8Array(fs.readFileSync(file)).buffer)
      const { tensors: found } = header(file)
      for (const [theirs, ours] of [
        ['attn_q', 'q_proj'],
        ['attn_k', 'k_proj'],
        ['attn_v', 'v_proj'],
      ]) {
        const values = tensors.get(`model.layers.1.self_attn.${ours}.weight`)!
        const tensor = found.get(`blk.1.${theirs}.weight`)!
        for (let i = 0; i < 16; i++) {
          for (const half of [0, 1]) {
            // Element i of a half stands at i + 16·half for us, at 2i + half for ggml's rotation of `llama`.
            const stands = pairs && ours !== 'v_proj' ? 2 * i + half : i + 16 * half
            const from = 64 * (i + 16 * half)
            expect(row(bytes, tensor, stands)).toEqual(values.slice(from, from + 64))
          }
        }
      }
    }
  })

  it('of Llama 3 divides its frequencies by rope_freqs.weight: 1 for short wavelengths, the factor for long ones', () => {
    const { file } = write({ ...config, headDim: 64, ropeScaling: llama3, ropeTheta: 500_000 })
    const { tensors } = header(file)
    const { offset, shape, dtype } = tensors.get('rope_freqs.weight')!
    expect([shape, dtype]).toEqual([[32], 'f32'])
    const bytes = fs.readFileSync(file)
    const factors = Array.from({ length: 32 }, (_, i) => bytes.readFloatLE(offset + 4 * i))
    expect(factors[0]).toBe(1)
    expect(factors[31]).toBe(32)
    expect([...factors].sort((a, b) => a - b)).toEqual(factors)
  })

  it('replaces an old one whole, and leaves it as it was when a tensor does not fit', () => {
    const { file } = write(config)
    const before = fs.readFileSync(file)
    const tensor = () => new Float32Array(3)
    expect(() => writeGguf(file, { config, tokenizer: null, dtype: 'f32', tensor })).toThrow(
      /was given 3 values/,
    )
    expect(fs.readFileSync(file).equals(before)).toBe(true)
    expect(fs.readdirSync(directory).filter(name => name.includes('.tmp-'))).toEqual([])
  })
})
