// GGUF files: what is written is what llama.cpp's format asks for, and reads back as the same model; files of others
// are read by their description or refused by name.

import fs from 'node:fs'
import path from 'node:path'
import { afterAll, describe, expect, it } from 'vitest'
import { openFileBytes } from '../../../src/formats/file-bytes.js'
import { openGguf, writeGguf } from '../../../src/formats/gguf/index.js'
import { parseGguf } from '../../../src/formats/gguf/parse.js'
import { openModel, type WrittenDtype } from '../../../src/formats/index.js'
import { decodeStored, encodeStored } from '../../../src/formats/stored.js'
import type { WeightType } from '../../../src/kernels/index.js'
import type { ModelConfig } from '../../../src/nn/config.js'
import { parameterShapes } from '../../../src/nn/parameters.js'
import type { RopeScaling } from '../../../src/nn/rope.js'
import { temporaryDirectory, tinyConfig, variedTensors } from '../tiny-model.js'
import {
  int32s,
  type RawGguf,
  type RawTensor,
  type RawValue,
  rawGguf,
  splitGguf,
  texts,
  tinyLlama,
} from './raw-gguf.js'

const directory = temporaryDirectory()
afterAll(() => fs.rmSync(directory, { recursive: true }))
let made = 0
const newFile = () => path.join(directory, `model-${made++}.gguf`)

/** Wide enough for blocks of 32. */
const config: ModelConfig = { ...tinyConfig, hiddenSize: 64, intermediateSize: 96, numHiddenLayers: 2 }
const llama3: RopeScaling = {
  type: 'llama3',
  factor: 32,
  lowFreqFactor: 1,
  highFreqFactor: 4,
  originalMaxPositionEmbeddings: 8192,
}

function write(of: ModelConfig, dtype: WrittenDtype = 'f32') {
  const tensors = new Map(variedTensors(of).map(({ name, data }) => [name, data]))
  const file = newFile()
  const written = writeGguf(file, { config: of, tokenizer: null, dtype, tensor: name => tensors.get(name)! })
  return { file, tensors, written }
}

/** Bit for bit; toEqual takes its time over typed arrays. */
function expectSame(actual: Float32Array, expected: Float32Array, name: string) {
  expect(actual.length, name).toBe(expected.length)
  expect(bytesOf(actual).equals(bytesOf(expected)), name).toBe(true)
}

function bytesOf(values: Float32Array): Buffer {
  return Buffer.from(values.buffer, values.byteOffset, values.byteLength)
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

describe('a file of another program', () => {
  const tiny = tinyLlama()
  const read = (change: Partial<RawGguf>) => {
    const file = newFile()
    fs.writeFileSync(file, rawGguf({ ...tiny, ...change }))
    return openGguf(file)
  }
  /** The tiny model with one value set or removed, or one tensor described otherwise. */
  const value = (key: string, set?: RawValue): Partial<RawGguf> => {
    const others = tiny.values.filter(([name]) => name !== key)
    return { values: set === undefined ? others : [...others, [key, set]] }
  }
  const tensor = (at: number, change: Partial<RawTensor>): Partial<RawGguf> => ({
    tensors: tiny.tensors.map((old, i) => (i === at ? { ...old, ...change } : old)),
  })

  it('is read by its description, with the defaults of the format', () => {
    const source = read({})
    expect(source.config).toEqual({
      vocabSize: 2,
      hiddenSize: 4,
      intermediateSize: 6,
      numHiddenLayers: 1,
      numAttentionHeads: 1,
      numKeyValueHeads: 1,
      maxPositionEmbeddings: 16,
      rmsNormEps: 1e-5,
      ropeTheta: 10_000,
      tieWordEmbeddings: true,
      ffn: 'gated',
      activation: 'silu',
    })
    expect([...source.tensor('model.embed_tokens.weight')]).toEqual([0, 1, 2, 3, 4, 5, 6, 7])
    source.close()
  })

  it('of version 2 and of another alignment is read as well', () => {
    const source = read({
      ...value('general.alignment', { type: 'u32', value: 64 }),
      version: 2,
      alignment: 64,
      tensors: tiny.tensors.map((old, i) => ({ ...old, offset: 256 * i })),
      data: Buffer.concat([tiny.data, Buffer.alloc(4096)]),
    })
    expect(source.tensor('model.norm.weight')).toHaveLength(4)
    source.close()
  })

  it.each<[string, string, Partial<RawGguf>, RegExp]>([
    ['PowerInfer', 'GGUF_INVALID', { magic: 0x49525750 }, /does not begin with "GGUF"/],
    ['version 1', 'GGUF_INVALID', { version: 1 }, /version 1 .* supported: 2, 3/],
    ['big-endian', 'GGUF_INVALID', { version: 0x03000000 }, /big-endian/],
    [
      'another architecture',
      'ARCHITECTURE_UNSUPPORTED',
      value('general.architecture', { type: 'string', value: 'gemma3' }),
      /"gemma3" is not supported; supported: llama, qwen2, flicker/,
    ],
    [
      'a mixture of experts',
      'GGUF_INVALID',
      value('llama.expert_count', { type: 'u32', value: 8 }),
      /llama\.expert_count is 8, which would change the results/,
    ],
    [
      'yarn',
      'GGUF_INVALID',
      value('llama.rope.scaling.type', { type: 'string', value: 'yarn' }),
      /"yarn" is not supported; supported: none, linear/,
    ],
    [
      'a partial rotation',
      'GGUF_INVALID',
      value('llama.rope.dimension_count', { type: 'u32', value: 2 }),
      /rope.dimension_count is 2; supported here: 4/,
    ],
    ['a missing key', 'GGUF_INVALID', value('llama.block_count'), /llama.block_count is missing/],
    [
      'a key of another type',
      'GGUF_INVALID',
      value('llama.block_count', { type: 'string', value: 'one' }),
      /llama.block_count is "one", not a number/,
    ],
    [
      'IQ2_XS',
      'TENSOR_DTYPE',
      tensor(2, { type: 17 }),
      /"blk.0.attn_q.weight" is of type IQ2_XS.*Q4_K_M.*llama-quantize/,
    ],
    [
      'another architecture in a type that is not supported',
      'ARCHITECTURE_UNSUPPORTED',
      { ...value('general.architecture', { type: 'string', value: 'qwen3' }), ...tensor(2, { type: 14 }) },
      /"qwen3" is not supported/,
    ],
    ['no architecture', 'ARCHITECTURE_UNSUPPORTED', value('general.architecture'), /architecture is missing/],
    ['an unknown type', 'TENSOR_DTYPE', tensor(2, { type: 99 }), /is of type 99/],
    [
      'a missing tensor',
      'TENSOR_MISSING',
      { tensors: tiny.tensors.toSpliced(8, 1) },
      /"blk.0.ffn_up.weight"/,
    ],
    ['a wrong shape', 'TENSOR_SHAPE', tensor(8, { dims: [6, 4] }), /must have shape \[6, 4\]/],
    [
      'a tensor too many',
      'TENSOR_UNKNOWN',
      {
        tensors: [
          ...tiny.tensors,
          { name: 'blk.0.attn_q_norm.weight', dims: [4], type: 0, offset: tiny.data.length },
        ],
        data: Buffer.concat([tiny.data, Buffer.alloc(16)]),
      },
      /"blk.0.attn_q_norm.weight" does not belong to this model.*norms of queries and keys/,
    ],
    ['two tensors of one name', 'GGUF_INVALID', tensor(3, { name: tiny.tensors[2].name }), /two tensors/],
    ['overlapping tensors', 'GGUF_INVALID', tensor(3, { offset: tiny.tensors[2].offset }), /overlaps/],
    ['an offset between', 'GGUF_INVALID', tensor(3, { offset: 33 }), /no multiple of the alignment/],
    ['a key twice', 'GGUF_INVALID', { values: [...tiny.values, tiny.values[1]] }, /occurs twice/],
    ['five dimensions', 'GGUF_INVALID', tensor(0, { dims: [1, 1, 1, 1, 1] }), /5 dimensions/],
    ['no dimension', 'GGUF_INVALID', tensor(0, { dims: [] }), /0 dimensions/],
    ['an empty dimension', 'GGUF_INVALID', tensor(0, { dims: [4, 0] }), /shape \[0, 4\]/],
    [
      'half a block',
      'GGUF_INVALID',
      tensor(0, { type: 8, dims: [4, 2] }),
      /rows of q8_0 are whole blocks of 32/,
    ],
    [
      'an alignment that is none',
      'GGUF_INVALID',
      value('general.alignment', { type: 'u32', value: 48 }),
      /general.alignment is 48/,
    ],
    ['more tensors than bytes', 'GGUF_INVALID', { tensorCount: 2n ** 60n }, /more than any file can hold/],
    ['more values than bytes', 'GGUF_INVALID', { valueCount: 1e9 }, /do not fit in the/],
    [
      'a list longer than the file',
      'GGUF_INVALID',
      value('x', { type: 'array', element: 4, count: 2 ** 31, bytes: Buffer.alloc(8) }),
      /values of "x" do not fit/,
    ],
    [
      'a list of lists',
      'GGUF_INVALID',
      value('x', { type: 'array', element: 9, count: 1, bytes: Buffer.alloc(16) }),
      /"x" is a list of values of type 9/,
    ],
    [
      'a value of an unknown type',
      'GGUF_INVALID',
      value('x', { type: 'raw', tag: 77, bytes: Buffer.alloc(8) }),
      /"x" has the unknown type 77/,
    ],
    [
      'a text that is not UTF-8',
      'GGUF_INVALID',
      value('x', {
        type: 'raw',
        tag: 8,
        bytes: Buffer.concat([Buffer.of(2, 0, 0, 0, 0, 0, 0, 0), Buffer.of(0xc3, 0x28)]),
      }),
      /is not UTF-8/,
    ],
    ['data cut off', 'GGUF_TRUNCATED', { data: tiny.data.subarray(0, 100) }, /its tensors take/],
  ])('%s is refused', (_, code, change, message) => {
    expect(() => read(change)).toThrow(
      expect.objectContaining({ code, message: expect.stringMatching(message) }),
    )
  })

  it.each<[string, Partial<RawGguf>, Partial<ModelConfig>]>([
    // llama.cpp: a factor without a type is linear; 0 is no factor; the older key counts where the newer is missing.
    [
      'a rope factor without a type',
      value('llama.rope.scaling.factor', { type: 'f32', value: 4 }),
      { ropeScaling: { type: 'linear', factor: 4 } },
    ],
    [
      'the older name of the rope factor',
      value('llama.rope.scale_linear', { type: 'f32', value: 4 }),
      { ropeScaling: { type: 'linear', factor: 4 } },
    ],
    [
      'both names of the rope factor, of which the newer counts',
      {
        values: [
          ...tiny.values,
          ['llama.rope.scale_linear', { type: 'f32', value: 8 }],
          ['llama.rope.scaling.factor', { type: 'f32', value: 4 }],
        ],
      },
      { ropeScaling: { type: 'linear', factor: 4 } },
    ],
    [
      'a linear factor of 0',
      {
        values: [
          ...tiny.values,
          ['llama.rope.scaling.type', { type: 'string', value: 'linear' }],
          ['llama.rope.scaling.factor', { type: 'f32', value: 0 }],
        ],
      },
      {},
    ],
    [
      'a factor of type none, which is none',
      {
        values: [
          ...tiny.values,
          ['llama.rope.scaling.type', { type: 'string', value: 'none' }],
          ['llama.rope.scaling.factor', { type: 'f32', value: 4 }],
        ],
      },
      {},
    ],
    [
      'counts per layer that are equal',
      value('llama.attention.head_count', int32s([1])),
      { numAttentionHeads: 1, numKeyValueHeads: 1 },
    ],
    ['more counts than layers', value('llama.feed_forward_length', int32s([6, 7])), { intermediateSize: 6 }],
    [
      'a sliding window, up to which it is exact',
      value('llama.attention.sliding_window', { type: 'u32', value: 8 }),
      { maxPositionEmbeddings: 8 },
    ],
    [
      'values that change nothing',
      {
        values: [
          ...tiny.values,
          ['llama.expert_count', { type: 'u32', value: 0 }],
          ['llama.attention.causal', { type: 'bool', value: true }],
          ['llama.logit_scale', { type: 'f32', value: 1 }],
          ['llama.attention.scale', { type: 'f32', value: 0.5 }],
        ],
      },
      {},
    ],
    // ggml-org/llama.cpp#7157: a hash as a 64-bit integer.
    [
      'an integer beyond 2^53',
      value('training.shuffle.samples_hash', { type: 'u64', value: 2n ** 60n + 1n }),
      {},
    ],
  ])('with %s is read as llama.cpp reads it', (_, change, expected) => {
    const source = read(change)
    source.close()
    const { ropeScaling, ...others } = expected
    expect(source.config).toMatchObject(others)
    expect(source.config.ropeScaling).toEqual(ropeScaling)
  })

  it('with a factor and factors divides by both', () => {
    const { tensors, data } = tiny
    const factors = { name: 'rope_freqs.weight', dims: [2], type: 0, offset: data.length }
    const source = read({
      ...value('llama.rope.scaling.factor', { type: 'f32', value: 4 }),
      tensors: [...tensors, factors],
      data: Buffer.concat([data, Buffer.from(Float32Array.of(1, 3).buffer)]),
    })
    source.close()
    expect(source.config.ropeScaling).toEqual({ type: 'factors', factors: [4, 12] })
  })

  const number = (key: string, set: number) => value(`llama.${key}`, { type: 'f32', value: set })
  it.each<[string, Partial<RawGguf>]>([
    ['attention.causal', value('llama.attention.causal', { type: 'bool', value: false })],
    ['use_parallel_residual', value('llama.use_parallel_residual', { type: 'bool', value: true })],
    ['attention.clamp_kqv', number('attention.clamp_kqv', 8)],
    ['attention.max_alibi_bias', number('attention.max_alibi_bias', 8)],
    ['attention.scale', number('attention.scale', 0.25)],
    ['attn_logit_softcapping', number('attn_logit_softcapping', 50)],
    ['final_logit_softcapping', number('final_logit_softcapping', 30)],
    ['embedding_scale', number('embedding_scale', 12)],
    ['logit_scale', number('logit_scale', 0.5)],
    ['residual_scale', number('residual_scale', 0.22)],
    ['rope.scaling.attn_factor', number('rope.scaling.attn_factor', 1.2)],
    ['rope.freq_base_swa', number('rope.freq_base_swa', 5e5)],
    ['expert_count', value('llama.expert_count', int32s([0, 8]))],
    [
      'attention.head_count_kv',
      { ...value('llama.attention.head_count_kv', int32s([1, 2])), ...twoLayers() },
    ],
    ['attention.head_count', value('llama.attention.head_count', int32s([]))],
    [
      'feed_forward_length',
      {
        values: [
          ...value('llama.block_count', { type: 'u32', value: 2 }).values!.filter(
            ([key]) => key !== 'llama.feed_forward_length',
          ),
          ['llama.feed_forward_length', int32s([6])],
        ],
      },
    ],
    ['context_length', value('llama.context_length', { type: 'u64', value: 2n ** 60n })],
  ])('that would run otherwise is refused by the key %s', (key, change) => {
    expect(() => read(change)).toThrow(
      expect.objectContaining({ code: 'GGUF_INVALID', message: expect.stringContaining(`llama.${key} `) }),
    )
  })

  /** `block_count` is told before the tensors are missed. */
  function twoLayers(): Partial<RawGguf> {
    const { values } = value('llama.block_count', { type: 'u32', value: 2 })
    return { values: [...values!, ['llama.attention.head_count_kv', int32s([1, 2])]] }
  }

  it('with a window as long as its context has no window to speak of', () => {
    const source = read(value('llama.attention.sliding_window', { type: 'u32', value: 16 }))
    source.close()
    expect(source.config.maxPositionEmbeddings).toBe(16)
    expect(source.notes).toEqual([])
  })

  it('with a key that is not known here is read, and says so', () => {
    const source = read(value('llama.attention.sinks', { type: 'bool', value: true }))
    source.close()
    expect(source.notes).toEqual([expect.stringContaining('"llama.attention.sinks"')])
    expect(read({}).notes).toEqual([])
  })

  it('with biases in its FFN is refused by that word', () => {
    const bias = { name: 'blk.0.ffn_up.bias', dims: [6], type: 0, offset: tiny.data.length }
    const change = { tensors: [...tiny.tensors, bias], data: Buffer.concat([tiny.data, Buffer.alloc(24)]) }
    expect(() => read(change)).toThrow(/"blk\.0\.ffn_up\.bias" .*biases of the FFN are not supported/)
  })

  it('with the rotary tables of an old converter is read', () => {
    const table = { name: 'blk.0.attn_rot_embd', dims: [2], type: 0, offset: tiny.data.length }
    const source = read({
      tensors: [...tiny.tensors, table],
      data: Buffer.concat([tiny.data, Buffer.alloc(8)]),
    })
    source.close()
    expect(source.names).toEqual(read({}).names)
  })

  it('names the ends of a turn by their keys and by their texts, with or without a template', () => {
    const tokens = texts(['<unk>', '<|im_end|>'])
    const ends = (change: [string, RawValue][]) => {
      const source = read({ values: [...value('tokenizer.ggml.tokens', tokens).values!, ...change] })
      source.close()
      return source.endOfText
    }
    expect(ends([])).toEqual([0, 1])
    // What names no token: llama.cpp's "none" as u32 and as i32, and ids that the model has no rows for.
    const none = (key: string, type: 'u32' | 'i32', set: number): [string, RawValue] => [
      `tokenizer.ggml.${key}_token_id`,
      { type, value: set },
    ]
    expect(
      ends([none('eot', 'u32', 2 ** 32 - 1), none('eom', 'i32', -1), none('fim_pad', 'u32', 2)]),
    ).toEqual([0, 1])
    expect(ends([none('eom', 'u32', 1)])).toEqual([0, 1])
  })

  it.each([2 ** 32 - 1, -1])('has no end of text when its id is %i', id => {
    const source = read(value('tokenizer.ggml.eos_token_id', { type: id < 0 ? 'i32' : 'u32', value: id }))
    source.close()
    expect(source.endOfText).toEqual([])
  })

  it('of `flicker` needs an activation that we have and a form of FFN', () => {
    const { file } = write({ ...config, activation: 'relu' })
    const text = fs.readFileSync(file, 'latin1')
    const broken = newFile()
    fs.writeFileSync(
      broken,
      text.replace('flicker.activation\x08\x00\x00\x00\x04\x00\x00\x00\x00\x00\x00\x00relu', match =>
        match.replace('relu', 'relo'),
      ),
      'latin1',
    )
    expect(() => openGguf(broken)).toThrow(/flicker.activation: there is no activation "relo"/)
  })
})

describe('a model in several files', () => {
  let models = 0
  /** The parts of the tiny model, written under the names of llama-gguf-split. */
  function written(count: number, change: (parts: RawGguf[]) => void = () => {}): string[] {
    const parts = splitGguf(tinyLlama(), count)
    change(parts)
    const folder = path.join(directory, `split-${models++}`)
    fs.mkdirSync(folder)
    return parts.map((part, i) => {
      const file = path.join(folder, `m-0000${i + 1}-of-0000${count}.gguf`)
      fs.writeFileSync(file, rawGguf(part))
      return file
    })
  }
  const whole = () => {
    const file = newFile()
    fs.writeFileSync(file, rawGguf(tinyLlama()))
    return openGguf(file)
  }
  const refusal = (file: string) => {
    try {
      openModel(file).close()
    } catch (error) {
      return error as Error & { code: string }
    }
    throw new Error('nothing was refused')
  }

  it.each([
    [2, 0],
    [2, 1],
    [3, 0],
    [3, 1],
    [3, 2],
  ])('of %i is the same model, whichever part (%i) is opened', (count, given) => {
    const source = openModel(written(count)[given])
    const expected = whole()
    expect(source.config).toEqual(expected.config)
    expect(source.names).toEqual(expected.names)
    for (const name of expected.names) expectSame(source.tensor(name), expected.tensor(name), name)
    source.close()
    expected.close()
  })

  it('that says it is one file of one is one, whatever its name', () => {
    const [file] = written(1)
    const renamed = path.join(path.dirname(file), 'renamed.gguf')
    fs.renameSync(file, renamed)
    const source = openModel(renamed)
    source.close()
    expect(source.names).toEqual(whole().names)
  })

  it.each([0, 1, 2])('lacks a part: it is named (%i)', missing => {
    const files = written(3)
    fs.rmSync(files[missing])
    const error = refusal(files[missing === 0 ? 1 : 0])
    expect(error.code).toBe('GGUF_PART_MISSING')
    expect(error.message).toContain(`${files[missing]} is missing`)
  })

  it('must have the names of its parts', () => {
    const [first] = written(2)
    const renamed = path.join(path.dirname(first), 'model.gguf')
    fs.renameSync(first, renamed)
    expect(refusal(renamed).message).toMatch(/part 1 of a model in 2 parts, and is not named so/)
  })

  it.each<[string, (parts: RawGguf[]) => void, RegExp]>([
    [
      'parts in another order',
      parts => parts.reverse(),
      /00001-of-00002\.gguf: named as part 1 of 2, but says it is part 2/,
    ],
    [
      'the same part twice',
      parts => parts.splice(1, 1, parts[0]),
      /named as part 2 of 2, but says it is part 1/,
    ],
    [
      'a part of a model in more parts',
      parts => {
        parts[1].values = [
          ['split.no', { type: 'u32', value: 1 }],
          ['split.count', { type: 'u32', value: 3 }],
        ]
      },
      /but says it is part 2 of 3/,
    ],
    [
      'a tensor in both',
      parts => {
        parts[1].tensors = [...parts[0].tensors]
        parts[1].data = parts[0].data
      },
      /"token_embd\.weight" is in another part too/,
    ],
    [
      'a tensor less than there were',
      parts => parts[1].tensors.pop(),
      /split\.tensors\.count is 11, but the parts have 10/,
    ],
    [
      'an absurd number of parts',
      parts => parts[0].values.push(['split.count', { type: 'u32', value: 2 ** 31 }]),
      /split\.count/,
    ],
  ])('is refused with %s', (_, change, message) => {
    const error = refusal(written(2, change)[0])
    expect(error.code).toBe('GGUF_INVALID')
    expect(error.message).toMatch(message)
  })
})
