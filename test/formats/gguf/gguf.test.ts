// GGUF files of other programs: read by their description, or refused by name.

import fs from 'node:fs'
import { describe, expect, it } from 'vitest'
import { openGguf } from '../../../src/formats/gguf/index.js'
import type { ModelConfig } from '../../../src/nn/config.js'
import { config, newFile, write } from './new-file.js'
import { int32s, type RawGguf, type RawTensor, type RawValue, rawGguf, texts, tinyLlama } from './raw-gguf.js'

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
      value('general.architecture', { type: 'string', value: 'bloom' }),
      /"bloom" is not supported; supported: qwen2, llama, qwen3, .*flicker/,
    ],
    [
      'shared experts',
      'GGUF_INVALID',
      value('llama.expert_shared_count', { type: 'u32', value: 1 }),
      /llama\.expert_shared_count is 1, which would change the results/,
    ],
    [
      'an unknown scaling',
      'GGUF_INVALID',
      value('llama.rope.scaling.type', { type: 'string', value: 'ntk' }),
      /"ntk" is not supported; supported: none, linear, yarn, longrope/,
    ],
    [
      'a rotation of half a pair',
      'GGUF_INVALID',
      value('llama.rope.dimension_count', { type: 'u32', value: 3 }),
      /rotaryDim must be an even integer from 2 to the head's width \(4\), not 3/,
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
      {
        ...value('general.architecture', { type: 'string', value: 'falcon-h1' }),
        ...tensor(2, { type: 14 }),
      },
      /"falcon-h1" is not supported; it has recurrent layers/,
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
      'a sliding window',
      value('llama.attention.sliding_window', { type: 'u32', value: 8 }),
      { slidingWindow: 8 },
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
