// Models of other programs: what is made of the config.json of each family, and that their tensors are found.

import fs from 'node:fs'
import path from 'node:path'
import { afterAll, describe, expect, it } from 'vitest'
import { listActivations, parseActivation } from '../../src/activations/index.js'
import type { CheckpointError } from '../../src/errors.js'
import { activationOfHiddenAct, hiddenActOf } from '../../src/formats/huggingface/hidden-act.js'
import { readCheckpoint, writeCheckpoint } from '../../src/formats/huggingface/index.js'
import { openModel, writeGguf } from '../../src/formats/index.js'
import { type NamedTensor, writeSafetensors } from '../../src/formats/safetensors.js'
import type { ModelConfig } from '../../src/nn/config.js'
import { parameterShapes } from '../../src/nn/parameters.js'
import { product, temporaryDirectory, variedTensors } from './tiny-model.js'

const root = temporaryDirectory()
afterAll(() => fs.rmSync(root, { recursive: true }))

/** The sizes, as small as they go; each family's config.json adds what is its own. */
const sizes = {
  vocab_size: 11,
  hidden_size: 8,
  intermediate_size: 12,
  num_hidden_layers: 1,
  num_attention_heads: 2,
  num_key_value_heads: 1,
  rms_norm_eps: 1e-5,
}
const base: ModelConfig = {
  vocabSize: 11,
  hiddenSize: 8,
  intermediateSize: 12,
  numHiddenLayers: 1,
  numAttentionHeads: 2,
  numKeyValueHeads: 1,
  maxPositionEmbeddings: 4096,
  rmsNormEps: 1e-5,
  ropeTheta: 10_000,
  tieWordEmbeddings: false,
  ffn: 'gated',
  activation: 'silu',
}

let made = 0
function directoryOf(json: object, config: ModelConfig, more: NamedTensor[] = []): string {
  const dir = path.join(root, `model-${made++}`)
  fs.mkdirSync(dir)
  fs.writeFileSync(path.join(dir, 'config.json'), JSON.stringify(json))
  const tensors = [...variedTensors(config), ...more]
  writeSafetensors(path.join(dir, 'model.safetensors'), tensors, tensors)
  return dir
}

/** Reads it as the model that `expected` is, every tensor. */
function expectModel(json: object, expected: ModelConfig, more: NamedTensor[] = []) {
  const checkpoint = readCheckpoint(directoryOf(json, expected, more))
  expect(checkpoint.config).toEqual(expected)
  expect(checkpoint.names).toEqual(parameterShapes(expected).map(({ name }) => name))
  for (const { name, shape, data } of variedTensors(expected)) {
    expect(checkpoint.tensor(name)).toEqual(data)
    expect(checkpoint.info(name)).toEqual({ dtype: 'f32', shape })
  }
  checkpoint.close()
  return checkpoint
}

describe('Llama', () => {
  const llama = { architectures: ['LlamaForCausalLM'], model_type: 'llama', ...sizes }

  it('3.1: scaled rotary frequencies', () => {
    expectModel(
      {
        ...llama,
        hidden_act: 'silu',
        max_position_embeddings: 131_072,
        rope_theta: 500_000.0,
        rope_scaling: {
          factor: 8.0,
          high_freq_factor: 4.0,
          low_freq_factor: 1.0,
          original_max_position_embeddings: 8192,
          rope_type: 'llama3',
        },
      },
      {
        ...base,
        maxPositionEmbeddings: 131_072,
        ropeTheta: 500_000,
        ropeScaling: {
          type: 'llama3',
          factor: 8,
          lowFreqFactor: 1,
          highFreqFactor: 4,
          originalMaxPositionEmbeddings: 8192,
        },
      },
    )
  })

  it('as transformers 5 writes it: the base inside rope_parameters', () => {
    expectModel(
      {
        ...llama,
        max_position_embeddings: 4096,
        rope_parameters: { rope_type: 'linear', rope_theta: 5000, factor: 2 },
      },
      { ...base, ropeTheta: 5000, ropeScaling: { type: 'linear', factor: 2 } },
    )
  })

  it('with attention_bias: biases on all four projections', () => {
    expectModel(
      { ...llama, max_position_embeddings: 4096, attention_bias: true },
      { ...base, attentionBias: 'qkvo' },
    )
  })

  it('with a head_dim of its own', () => {
    expectModel({ ...llama, max_position_embeddings: 4096, head_dim: 6 }, { ...base, headDim: 6 })
  })

  it('ReluLLaMA: the same with relu', () => {
    expectModel(
      { ...llama, max_position_embeddings: 4096, hidden_act: 'relu' },
      { ...base, activation: 'relu' },
    )
  })
})

describe('Mistral', () => {
  const mistral = {
    architectures: ['MistralForCausalLM'],
    model_type: 'mistral',
    ...sizes,
    max_position_embeddings: 32_768,
  }

  it('0.1: a sliding window in every layer', () => {
    const { notes } = expectModel(
      { ...mistral, sliding_window: 4096 },
      { ...base, maxPositionEmbeddings: 32_768, slidingWindow: 4096 },
    )
    expect(notes).toEqual([])
  })

  it('0.2 and later: no window, the whole context', () => {
    const { notes } = expectModel(
      { ...mistral, sliding_window: null },
      { ...base, maxPositionEmbeddings: 32_768 },
    )
    expect(notes).toEqual([])
  })

  it('as Bamboo and TurboSparse: dReLU, its predictors left aside', () => {
    expectModel(
      {
        ...mistral,
        architectures: ['BambooForCausalLM'],
        model_type: 'bamboo',
        hidden_act: 'relu',
        sliding_window: 4096,
      },
      { ...base, maxPositionEmbeddings: 32_768, slidingWindow: 4096, ffn: 'drelu', activation: 'relu' },
      [{ name: 'model.layers.0.mlp.predictor.fc1.weight', shape: [2], data: new Float32Array(2) }],
    )
  })
})

describe('Qwen2', () => {
  const qwen2 = {
    architectures: ['Qwen2ForCausalLM'],
    model_type: 'qwen2',
    ...sizes,
    max_position_embeddings: 32_768,
    rope_theta: 1_000_000.0,
    sliding_window: 4096,
    max_window_layers: 28,
  }
  const expected: ModelConfig = {
    ...base,
    attentionBias: 'qkv',
    maxPositionEmbeddings: 32_768,
    ropeTheta: 1_000_000,
  }

  it('biases on q, k and v; a window that is not used does not count', () => {
    expectModel({ ...qwen2, use_sliding_window: false }, expected)
  })

  it('a window that is used is that of the layers from max_window_layers on', () => {
    expectModel({ ...qwen2, use_sliding_window: true }, expected)
    expectModel(
      { ...qwen2, use_sliding_window: true, max_window_layers: 0 },
      { ...expected, slidingWindow: 4096 },
    )
  })

  it('is written so that transformers loads it as Qwen2', () => {
    const dir = path.join(root, 'written-qwen2')
    writeCheckpoint(dir, { config: expected, tensors: variedTensors(expected) })
    expect(JSON.parse(fs.readFileSync(path.join(dir, 'config.json'), 'utf8'))).toMatchObject({
      architectures: ['Qwen2ForCausalLM'],
      model_type: 'qwen2',
    })
  })
})

describe('SparseLM runs relu although its config says silu', () => {
  const sparselm = {
    architectures: ['SparseLlamaForCausalLM'],
    model_type: 'llama_sparse_relu',
    ...sizes,
    intermediate_size: 999,
    sparsity_new_intermediate_size: 12,
    max_position_embeddings: 4096,
    hidden_act: 'silu',
    rope_interleaved: false,
    rope_theta: 100_000,
    tie_word_embeddings: true,
  }
  const expected: ModelConfig = { ...base, ropeTheta: 100_000, tieWordEmbeddings: true, activation: 'relu' }

  it('gated', () => {
    expectModel({ ...sparselm, sparsity_gated_mlp: true }, expected)
  })

  it('not gated', () => {
    expectModel({ ...sparselm, sparsity_gated_mlp: false }, { ...expected, ffn: 'plain' })
  })

  it('with the transposed down projection of its hybrid kernel it is refused by the shape', () => {
    const tensors = variedTensors(expected).map(tensor =>
      tensor.name.includes('down_proj') ? { ...tensor, shape: [12, 8] } : tensor,
    )
    const dir = directoryOf(sparselm, expected)
    fs.rmSync(path.join(dir, 'model.safetensors'))
    writeSafetensors(path.join(dir, 'model.safetensors'), tensors, tensors)
    expect(() => readCheckpoint(dir)).toThrow(/down_proj.weight" must have shape \[8, 12\].* it is \[12, 8\]/)
  })
})

describe('an architecture that is not ours', () => {
  it.each([
    ['SparseLlamaForCausalLM of sparse attention', ['SparseLlamaForCausalLM'], 'llama'],
    ['Qwen2-MoE, with its shared expert', ['Qwen2MoeForCausalLM'], 'qwen2_moe'],
    ['Qwen3-Next', ['Qwen3NextForCausalLM'], 'qwen3_next'],
    ['Granite 4', ['GraniteMoeHybridForCausalLM'], 'granitemoehybrid'],
  ])('%s is named in the refusal', (_, architectures, model_type) => {
    const dir = directoryOf({ ...sizes, architectures, model_type }, base)
    expect(() => readCheckpoint(dir)).toThrow(
      expect.objectContaining<Partial<CheckpointError>>({
        code: 'ARCHITECTURE_UNSUPPORTED',
        message: expect.stringContaining(architectures[0]),
      }),
    )
  })

  it.each([
    ['qwen3_next', /layers of linear attention, which are not supported: use llama.cpp or transformers/],
    ['falcon_h1', /recurrent layers/],
    ['deepseek_v3', /mixtures of experts of another kind/],
  ])('%s is refused with its reason and what to use instead', (model_type, reason) => {
    const dir = directoryOf({ ...sizes, architectures: ['SomeForCausalLM'], model_type }, base)
    expect(() => readCheckpoint(dir)).toThrow(reason)
  })
})

describe('hidden_act', () => {
  it.each([
    ['silu', null, 'silu'],
    ['swish', null, 'silu'],
    ['relu', null, 'relu'],
    ['relu2', null, 'relu2'],
    ['gelu', null, 'gelu'],
    ['gelu_pytorch_tanh', null, 'gelu:form=tanh'],
    ['gelu_new', null, 'gelu:form=tanh'],
    // ProSparse and MiniCPM-S.
    ['fatrelu', 0.01, 'fatrelu:t=0.01'],
    ['shiftrelu', 0.1, 'shifted-relu:b=0.1'],
  ])('%s with %s is %s, and comes back as the same', (name, parameter, spec) => {
    expect(activationOfHiddenAct(name, parameter)).toEqual({ spec })
    const back = hiddenActOf(spec)
    expect(activationOfHiddenAct(back.hiddenAct, back.parameter)).toEqual({ spec })
  })

  it('of our own is never one that transformers takes for another', () => {
    for (const { spec, name } of listActivations()) {
      const { hiddenAct, knownToTransformers } = hiddenActOf(spec)
      if (knownToTransformers) continue
      const theirs = activationOfHiddenAct(hiddenAct, 0.01)
      if ('spec' in theirs) expect(parseActivation(theirs.spec).name, `${hiddenAct} of ${spec}`).toBe(name)
    }
  })

  it('tells what it does not know from what lacks its threshold, or has an impossible one', () => {
    const problem = (...of: Parameters<typeof activationOfHiddenAct>) => activationOfHiddenAct(...of)
    expect(problem('quick_gelu', null)).toEqual({
      problem: expect.stringMatching(/not supported; supported: silu/),
    })
    expect(problem('fatrelu', null)).toEqual({ problem: 'needs its threshold in hidden_act_param' })
    expect(problem('fatrelu', -1)).toEqual({
      problem: expect.stringMatching(/^with hidden_act_param -1: fatrelu/),
    })
  })
})

describe('ProSparse', () => {
  const prosparse = {
    architectures: ['SparseLlamaForCausalLM'],
    model_type: 'sparsellama',
    ...sizes,
    max_position_embeddings: 4096,
    hidden_act: 'fatrelu',
    hidden_act_param: 0.01,
  }

  it('runs FATReLU with its threshold', () => {
    expectModel(prosparse, { ...base, activation: 'fatrelu:t=0.01' })
  })

  it('is written as what transformers refuses, and read back', () => {
    const dir = path.join(root, 'written-prosparse')
    const config: ModelConfig = { ...base, activation: 'fatrelu:t=0.01' }
    writeCheckpoint(dir, { config, tensors: variedTensors(config) })
    expect(JSON.parse(fs.readFileSync(path.join(dir, 'config.json'), 'utf8'))).toMatchObject({
      architectures: ['FlickerForCausalLM'],
      hidden_act: 'fatrelu',
      hidden_act_param: 0.01,
    })
    const checkpoint = readCheckpoint(dir)
    expect(checkpoint.config).toEqual(config)
    checkpoint.close()
  })
})

describe('an activation that learns', () => {
  const learning: ModelConfig = { ...base, activation: 'prelu:shared=neuron', trainedActivations: ['xielu'] }

  it('brings its parameters, as directory and as GGUF', () => {
    const dir = path.join(root, 'learning')
    writeCheckpoint(dir, { config: learning, tensors: variedTensors(learning) })
    const gguf = path.join(root, 'learning.gguf')
    const checkpoint = readCheckpoint(dir)
    writeGguf(gguf, {
      config: learning,
      tokenizer: null,
      dtype: 'f32',
      tensor: name => checkpoint.tensor(name),
    })
    const file = openModel(gguf)
    expect(file.config).toEqual(learning)
    for (const { name, data } of variedTensors(learning)) {
      expect(checkpoint.tensor(name)).toEqual(data)
      expect(file.tensor(name)).toEqual(data)
    }
    file.close()
    checkpoint.close()
  })

  it('allocates nothing by a size that no tensor has', () => {
    const config = { ...learning, intermediateSize: 2 ** 31 - 1 }
    const dir = path.join(root, 'absurd')
    writeCheckpoint(dir, { config: learning, tensors: variedTensors(learning) })
    const json = path.join(dir, 'config.json')
    const text = fs.readFileSync(json, 'utf8')
    fs.writeFileSync(
      json,
      text.replace('"intermediate_size": 12', `"intermediate_size": ${config.intermediateSize}`),
    )
    expect(() => readCheckpoint(dir)).toThrow(expect.objectContaining({ code: 'TENSOR_SHAPE' }))
  })
})

describe('stored tensors', () => {
  it.each([
    ['f32', 4],
    ['bf16', 2],
    ['f16', 2],
  ] as const)('%s come as they stand in the file', (dtype, width) => {
    const dir = path.join(root, `stored-${dtype}`)
    writeCheckpoint(dir, { config: base, tensors: variedTensors(base), dtype })
    const checkpoint = readCheckpoint(dir)
    const name = 'model.layers.0.mlp.up_proj.weight'
    const stored = checkpoint.stored(name)
    expect(stored).toMatchObject({ dtype, shape: [12, 8] })
    expect(stored.bytes).toHaveLength(product(stored.shape) * width)
    const bits = new DataView(stored.bytes.buffer)
    const first = checkpoint.tensor(name)
    const expected = new DataView(first.buffer)
    for (let i = 0; i < first.length; i++) {
      if (dtype === 'f32') expect(bits.getUint32(4 * i, true)).toBe(expected.getUint32(4 * i, true))
      if (dtype === 'bf16') expect(bits.getUint16(2 * i, true)).toBe(expected.getUint16(4 * i + 2, true))
    }
    checkpoint.close()
  })
})
