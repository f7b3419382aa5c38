// Checkpoint directories: what `transformers` finds there, what comes back, and how they are written.

import fs from 'node:fs'
import path from 'node:path'
import { describe, expect, it } from 'vitest'
import { StorageError } from '../../src/errors.js'
import { readCheckpoint, writeCheckpoint } from '../../src/formats/huggingface/index.js'
import { openSafetensors } from '../../src/formats/safetensors.js'
import type { ModelConfig } from '../../src/nn/config.js'
import { parameterShapes } from '../../src/nn/parameters.js'
import { configOf, newDirectory, refusal, root, withConfig, written } from './checkpoint-directory.js'
import { contentOf, product, tinyConfig, variedTensors } from './tiny-model.js'

describe('the parameters of a model', () => {
  it('have the names and shapes of LlamaForCausalLM', () => {
    const shapes = parameterShapes({
      ...tinyConfig,
      hiddenSize: 2048,
      intermediateSize: 8192,
      vocabSize: 128_256,
      numHiddenLayers: 16,
      numAttentionHeads: 32,
      numKeyValueHeads: 8,
    })
    const byName = Object.fromEntries(shapes.map(({ name, shape }) => [name, shape]))
    expect(byName).toMatchObject({
      'model.embed_tokens.weight': [128_256, 2048],
      'model.layers.15.self_attn.q_proj.weight': [2048, 2048],
      'model.layers.15.self_attn.k_proj.weight': [512, 2048],
      'model.layers.15.self_attn.v_proj.weight': [512, 2048],
      'model.layers.15.self_attn.o_proj.weight': [2048, 2048],
      'model.layers.15.mlp.gate_proj.weight': [8192, 2048],
      'model.layers.15.mlp.up_proj.weight': [8192, 2048],
      'model.layers.15.mlp.down_proj.weight': [2048, 8192],
      'model.layers.15.input_layernorm.weight': [2048],
      'model.layers.15.post_attention_layernorm.weight': [2048],
      'model.norm.weight': [2048],
    })
    expect(shapes).toHaveLength(1 + 16 * 9 + 1)
    // The published number of parameters of Llama 3.2 1B, which has this shape.
    expect(shapes.reduce((sum, { shape }) => sum + product(shape), 0)).toBe(1_235_814_400)
  })

  it('have no gate in a plain FFN and a head of their own when untied', () => {
    const names = parameterShapes({ ...tinyConfig, ffn: 'plain', tieWordEmbeddings: false }).map(
      ({ name }) => name,
    )
    expect(names.filter(name => name.includes('gate_proj'))).toEqual([])
    expect(names.at(-1)).toBe('lm_head.weight')
  })
})

describe('a checkpoint', () => {
  it.each([
    ['gated, tied, silu', {}],
    ['plain, untied, relu', { ffn: 'plain', tieWordEmbeddings: false, activation: 'relu' }],
    ['two layers, stocha', { numHiddenLayers: 2, numKeyValueHeads: 2, activation: 'stocha:p=0.7' }],
    ['another θ and ε', { ropeTheta: 500_000, rmsNormEps: 1e-6 }],
    ['a head dimension of its own', { headDim: 6 }],
    ['biases on q, k and v', { attentionBias: 'qkv' }],
    ['biases on all of attention', { attentionBias: 'qkvo' }],
    ['biases on q, k and v, with dReLU', { attentionBias: 'qkv', ffn: 'drelu', activation: 'relu' }],
    ['Spark', { ffn: 'spark', activation: 'stat-topk:k=0.08' }],
    ['Spark, split elsewhere', { ffn: 'spark', activation: 'relu', sparkPredictorWidth: 3 }],
    ['linear rope scaling', { ropeScaling: { type: 'linear', factor: 2 } }],
    ['rope factors', { ropeScaling: { type: 'factors', factors: [1, 2.5] } }],
    [
      'Llama 3 rope scaling',
      {
        ropeScaling: {
          type: 'llama3',
          factor: 8,
          lowFreqFactor: 1,
          highFreqFactor: 4,
          originalMaxPositionEmbeddings: 8192,
        },
      },
    ],
  ] as [string, Partial<ModelConfig>][])('comes back equal: %s', (_, changes) => {
    const config = { ...tinyConfig, ...changes }
    const checkpoint = readCheckpoint(written(config))
    expect(checkpoint.config).toEqual(config)
    for (const { name, data } of variedTensors(config)) expect(checkpoint.tensor(name)).toEqual(data)
    expect(() => checkpoint.tensor('model.norm.weigth')).toThrow(/Did you mean "model\.norm\.weight"\?/)
    checkpoint.close()
  })

  it('is for transformers an ordinary Llama when it is one', () => {
    const dir = written({ ...tinyConfig, activation: 'relu' }, { dtype: 'bf16' })
    expect(configOf(dir)).toMatchObject({
      architectures: ['LlamaForCausalLM'],
      model_type: 'llama',
      vocab_size: 11,
      hidden_size: 8,
      intermediate_size: 12,
      num_hidden_layers: 1,
      num_attention_heads: 2,
      num_key_value_heads: 1,
      head_dim: 4,
      hidden_act: 'relu',
      max_position_embeddings: 32,
      rms_norm_eps: 1e-5,
      rope_theta: 10_000,
      tie_word_embeddings: true,
      attention_bias: false,
      mlp_bias: false,
      bos_token_id: null,
      eos_token_id: null,
      torch_dtype: 'bfloat16',
      flicker: { version: 1, activation: 'relu', ffn: 'gated' },
    })
    const weights = openSafetensors(path.join(dir, 'model.safetensors'))
    expect(weights.info('model.norm.weight').dtype).toBe('BF16')
    weights.close()
  })

  it('with a stochastic activation says relu to transformers and the exact one to us', () => {
    const dir = written({ ...tinyConfig, activation: 'stocha:p=0.3,positive=silu' })
    expect(configOf(dir)).toMatchObject({
      model_type: 'llama',
      hidden_act: 'relu',
      flicker: { activation: 'stocha:p=0.3,positive=silu' },
    })
  })

  it('with a plain FFN is an Arcee, whatever its activation is', () => {
    expect(configOf(written({ ...tinyConfig, ffn: 'plain' }))).toMatchObject({
      architectures: ['ArceeForCausalLM'],
      model_type: 'arcee',
      hidden_act: 'silu',
    })
  })

  it('with a block that no architecture has is of a type that transformers refuses, and comes back', () => {
    const config: ModelConfig = {
      ...tinyConfig,
      ffn: 'drelu',
      normPlacement: 'both',
      qkNorm: 'projection',
      logitScale: 0.5,
    }
    const dir = written(config)
    expect(configOf(dir)).toMatchObject({
      architectures: ['FlickerForCausalLM'],
      flicker: { ffn: 'drelu', block: { normPlacement: 'both', qkNorm: 'projection', logitScale: 0.5 } },
    })
    const checkpoint = readCheckpoint(dir)
    expect(checkpoint.config).toEqual(config)
    checkpoint.close()
  })

  it('with a Spark FFN says where its input is split, and is of a type that transformers refuses', () => {
    expect(configOf(written({ ...tinyConfig, ffn: 'spark', activation: 'gelu' }))).toMatchObject({
      architectures: ['FlickerForCausalLM'],
      flicker: { ffn: 'spark', spark_predictor_width: 4 },
    })
  })

  it('has its tokenizer, its end-of-text id and whatever is added', () => {
    const tokenizer = {
      model: { type: 'BPE' },
      added_tokens: [{ id: 10, content: '<|endoftext|>', special: true }],
    }
    const dir = written(tinyConfig, {
      tokenizer,
      generation: { temperature: 0.8 },
      flicker: { strategy: 'swift', version: 99 },
      files: {
        'notes.txt': 'é',
        'raw.bin': Uint8Array.of(1, 2),
        'extra.safetensors': [{ name: 'x', shape: [1], data: Float32Array.of(5) }],
      },
    })
    const json = (name: string) => JSON.parse(fs.readFileSync(path.join(dir, name), 'utf8'))
    expect(json('tokenizer.json')).toEqual(tokenizer)
    expect(json('tokenizer_config.json')).toMatchObject({
      tokenizer_class: 'PreTrainedTokenizerFast',
      eos_token: '<|endoftext|>',
      bos_token: '<|endoftext|>',
    })
    expect(json('generation_config.json')).toEqual({ bos_token_id: 10, eos_token_id: 10, temperature: 0.8 })
    expect(json('config.json')).toMatchObject({ bos_token_id: 10, eos_token_id: 10 })
    expect(fs.readFileSync(path.join(dir, 'notes.txt'), 'utf8')).toBe('é')
    expect(fs.readFileSync(path.join(dir, 'raw.bin'))).toEqual(Buffer.of(1, 2))
    const checkpoint = readCheckpoint(dir)
    expect(checkpoint.flicker).toMatchObject({ strategy: 'swift', version: 1 })
    checkpoint.close()
  })

  it('of another program needs no flicker key, and defaults are those of LlamaConfig', () => {
    const dir = withConfig(
      {
        flicker: undefined,
        num_key_value_heads: undefined,
        head_dim: undefined,
        rope_theta: undefined,
        rms_norm_eps: undefined,
        rope_scaling: undefined,
        max_position_embeddings: undefined,
        hidden_act: 'swish',
        rope_parameters: { rope_theta: 5e5, rope_type: 'default' },
      },
      { ...tinyConfig, numKeyValueHeads: 2 },
    )
    const checkpoint = readCheckpoint(dir)
    expect(checkpoint.config).toEqual({
      ...tinyConfig,
      numKeyValueHeads: 2,
      ropeTheta: 5e5,
      rmsNormEps: 1e-6,
      maxPositionEmbeddings: 2048,
    })
    expect(checkpoint.flicker).toEqual({})
    checkpoint.close()
  })
})

describe('writing', () => {
  it('refuses a model whose numbers do not fit, before it touches the disk', () => {
    const dir = newDirectory()
    const config = { ...tinyConfig, numAttentionHeads: 3 }
    expect(() => writeCheckpoint(dir, { config, tensors: [] })).toThrow(/hiddenSize \(8\) is not a multiple/)
    expect(fs.existsSync(dir)).toBe(false)
  })

  it('leaves nothing when a tensor is missing or does not fit', () => {
    const dir = newDirectory()
    const tensors = variedTensors(tinyConfig)
    expect(() => writeCheckpoint(dir, { config: tinyConfig, tensors: tensors.slice(1) })).toThrow(
      /embed_tokens/,
    )
    expect(fs.readdirSync(root).filter(name => name.includes(path.basename(dir)))).toEqual([])
  })

  it('replaces a checkpoint whole', () => {
    const dir = written(tinyConfig, { files: { 'notes.json': '{}' } })
    writeCheckpoint(dir, contentOf({ ...tinyConfig, activation: 'relu' }))
    expect(fs.existsSync(path.join(dir, 'notes.json'))).toBe(false)
    const checkpoint = readCheckpoint(dir)
    expect(checkpoint.config.activation).toBe('relu')
    checkpoint.close()
  })

  it('never replaces a directory with other files in it', () => {
    const documents = newDirectory()
    fs.mkdirSync(documents)
    fs.writeFileSync(path.join(documents, 'thesis.tex'), 'years of work')
    const error = refusal(() => writeCheckpoint(documents, contentOf(tinyConfig)))
    expect(error).toBeInstanceOf(StorageError)
    expect(error.code).toBe('NOT_A_CHECKPOINT')
    expect(error.message).toMatch(/"thesis\.tex"/)
    expect(fs.readdirSync(documents)).toEqual(['thesis.tex'])

    const annotated = written(tinyConfig)
    fs.writeFileSync(path.join(annotated, 'README.md'), 'mine')
    expect(refusal(() => writeCheckpoint(annotated, contentOf(tinyConfig))).message).toMatch(/"README\.md"/)
  })

  it.each(['config.json', 'model.safetensors', '../up', 'a/b', ''])(
    'refuses a further file named %j',
    name => {
      const error = refusal(() =>
        writeCheckpoint(newDirectory(), contentOf(tinyConfig, { files: { [name]: 'x' } })),
      )
      expect(error.code).toBe('FILE_NAME')
    },
  )

  it('refuses a number that JSON cannot hold', () => {
    const generation = { temperature: Number.NaN }
    expect(() => writeCheckpoint(newDirectory(), contentOf(tinyConfig, { generation }))).toThrow(
      /"temperature" is NaN/,
    )
  })
})
