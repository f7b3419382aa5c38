// Checkpoint directories: what `transformers` finds there, what comes back, and what is refused with which words.

import fs from 'node:fs'
import path from 'node:path'
import { afterAll, describe, expect, it } from 'vitest'
import { CheckpointError, FlickerError, StorageError } from '../../src/errors.js'
import { readCheckpoint, writeCheckpoint } from '../../src/formats/huggingface/index.js'
import { openSafetensors, writeSafetensors } from '../../src/formats/safetensors.js'
import type { ModelConfig } from '../../src/nn/config.js'
import { parameterShapes } from '../../src/nn/parameters.js'
import { contentOf, product, temporaryDirectory, tinyConfig, variedTensors } from './tiny-model.js'

const root = temporaryDirectory()
afterAll(() => fs.rmSync(root, { recursive: true }))
let directoriesMade = 0
const newDirectory = () => path.join(root, `model-${directoriesMade++}`)

function written(config: ModelConfig, more = {}): string {
  const dir = newDirectory()
  writeCheckpoint(dir, contentOf(config, more))
  return dir
}

function configOf(dir: string): Record<string, unknown> {
  return JSON.parse(fs.readFileSync(path.join(dir, 'config.json'), 'utf8'))
}

/** A checkpoint whose config.json has these fields changed; undefined removes one. */
function withConfig(changes: Record<string, unknown>, config = tinyConfig): string {
  const dir = written(config)
  fs.writeFileSync(path.join(dir, 'config.json'), JSON.stringify({ ...configOf(dir), ...changes }))
  return dir
}

function refusal(action: () => unknown): FlickerError {
  try {
    action()
  } catch (error) {
    expect(error).toBeInstanceOf(FlickerError)
    expect((error as Error).message).not.toMatch(/\n/)
    return error as FlickerError
  }
  throw new Error('nothing was refused')
}

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

  it('with a plain FFN is of a type that transformers refuses', () => {
    expect(configOf(written({ ...tinyConfig, ffn: 'plain' }))).toMatchObject({
      architectures: ['FlickerForCausalLM'],
      model_type: 'flicker',
    })
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

describe('the rotation that a config.json describes', () => {
  // As transformers reads it (modeling_rope_utils.py): what stands in the dictionary counts before what stands beside it.
  it.each<[string, Record<string, unknown>, Pick<ModelConfig, 'ropeTheta' | 'ropeScaling'>]>([
    [
      'θ in rope_parameters and beside it',
      { rope_theta: 1e4, rope_parameters: { rope_type: 'default', rope_theta: 5e5 } },
      { ropeTheta: 5e5 },
    ],
    [
      'θ in rope_scaling and beside it',
      { rope_theta: 1e4, rope_scaling: { type: 'default', rope_theta: 5e5 } },
      { ropeTheta: 5e5 },
    ],
    [
      'θ beside rope_parameters',
      { rope_theta: 2e4, rope_parameters: { rope_type: 'default' } },
      { ropeTheta: 2e4 },
    ],
    [
      'rope_type null beside the older type',
      { rope_scaling: { type: 'linear', rope_type: null, factor: 4 } },
      { ropeTheta: 1e4, ropeScaling: { type: 'linear', factor: 4 } },
    ],
    [
      'the same in both fields',
      {
        rope_scaling: { type: 'linear', factor: 4 },
        rope_parameters: { rope_type: 'linear', factor: 4, rope_theta: 3e4 },
      },
      { ropeTheta: 3e4, ropeScaling: { type: 'linear', factor: 4 } },
    ],
    [
      'parameters of one type of layers',
      { rope_parameters: { full_attention: { rope_type: 'linear', factor: 8, rope_theta: 1e6 } } },
      { ropeTheta: 1e6, ropeScaling: { type: 'linear', factor: 8 } },
    ],
    [
      'equal parameters of two types of layers',
      {
        rope_parameters: {
          full_attention: { rope_type: 'default', rope_theta: 1e6 },
          sliding_attention: { rope_type: 'default', rope_theta: 1e6 },
        },
      },
      { ropeTheta: 1e6 },
    ],
    ['an empty dictionary', { rope_theta: 7e4, rope_scaling: {} }, { ropeTheta: 7e4 }],
    ['a factor of 1 without a type', { rope_scaling: { factor: 1 } }, { ropeTheta: 1e4 }],
  ])('is read with %s', (_, changes, expected) => {
    const checkpoint = readCheckpoint(
      withConfig({ rope_theta: undefined, rope_scaling: undefined, ...changes }),
    )
    checkpoint.close()
    expect(checkpoint.config.ropeTheta).toBe(expected.ropeTheta)
    expect(checkpoint.config.ropeScaling).toEqual(expected.ropeScaling)
  })

  it('leaves fields that change nothing alone', () => {
    const neutral = {
      mlp_bias: false,
      logit_scale: 1,
      clip_qkv: null,
      layer_types: ['full_attention'],
      is_causal: true,
    }
    const checkpoint = readCheckpoint(withConfig(neutral))
    checkpoint.close()
    expect(checkpoint.config).toEqual(tinyConfig)
  })
})

describe('a config.json that does not fit is refused by its field', () => {
  // Every field that changes the forward pass and is not read, with a value that models of transformers have for it.
  it.each([
    ['mlp_bias', true],
    ['rope_interleaved', true],
    ['attention_out_bias', true],
    ['qk_norm', true],
    ['use_qk_norm', true],
    ['qk_layernorm', true],
    ['clip_qkv', 8],
    ['alibi', true],
    ['is_causal', false],
    ['use_bidirectional_attention', true],
    ['parallel_attn', true],
    ['no_rope_layers', [1, 0]],
    ['no_rope_layer_interval', 4],
    ['attn_logit_softcapping', 50],
    ['final_logit_softcapping', 30],
    ['logit_scale', 0.0625],
    ['logits_scaling', 8],
    ['embedding_multiplier', 12],
    ['residual_multiplier', 0.22],
    ['attention_multiplier', 0.0078125],
    ['scale_emb', 12],
    ['scale_depth', 1.4],
    ['num_experts', 8],
    ['num_local_experts', 8],
    ['n_routed_experts', 64],
  ])('%s', (field, value) => {
    expect(() => readCheckpoint(withConfig({ [field]: value }))).toThrow(
      expect.objectContaining({
        code: 'CONFIG_INVALID',
        message: expect.stringMatching(new RegExp(`config\\.json: ${field}: .* would change the results`)),
      }),
    )
  })

  it.each([
    [{ hidden_size: '8' }, 'CONFIG_INVALID', /config\.json: hidden_size: must be a number, not "8"/],
    [{ num_hidden_layers: 1.5 }, 'CONFIG_INVALID', /num_hidden_layers/],
    [{ num_hidden_layers: 1e9 }, 'CONFIG_INVALID', /num_hidden_layers must be an integer from 1 to 10000/],
    [{ vocab_size: undefined }, 'CONFIG_INVALID', /vocab_size/],
    [
      { tie_word_embeddings: 'yes' },
      'CONFIG_INVALID',
      /tie_word_embeddings: must be true or false, not "yes"/,
    ],
    [
      { hidden_size: 9, head_dim: null },
      'CONFIG_INVALID',
      /hidden_size \(9\) is not a multiple of num_attention_heads \(2\)/,
    ],
    [{ num_attention_heads: 8, num_key_value_heads: 8, head_dim: 1 }, 'CONFIG_INVALID', /is odd/],
    [
      { num_attention_heads: 4, num_key_value_heads: 3, head_dim: 2 },
      'CONFIG_INVALID',
      /num_key_value_heads \(3\)/,
    ],
    [{ head_dim: 3 }, 'CONFIG_INVALID', /head_dim \(3\) is odd/],
    [{ mlp_bias: true }, 'CONFIG_INVALID', /mlp_bias: "true" would change the results/],
    [{ is_causal: false }, 'CONFIG_INVALID', /is_causal: "false" .* supported: true/],
    [
      { layer_types: ['full_attention', 'linear_attention'] },
      'CONFIG_INVALID',
      /layer_types: .*linear_attention/,
    ],
    [{ partial_rotary_factor: 0.5 }, 'CONFIG_INVALID', /partial_rotary_factor 0\.5 is not supported/],
    [{ rope_scaling: { factor: 4 } }, 'CONFIG_INVALID', /rope_scaling: factor 4 without a rope_type/],
    [
      { rope_scaling: { rope_type: 'linear', type: 'llama3', factor: 4 } },
      'CONFIG_INVALID',
      /rope_type "linear" contradicts type "llama3"/,
    ],
    [
      { rope_scaling: { type: 'linear', factor: 4 }, rope_parameters: { rope_type: 'default' } },
      'CONFIG_INVALID',
      /rope_parameters and rope_scaling describe different rotations/,
    ],
    [
      {
        rope_parameters: {
          full_attention: { rope_type: 'linear', factor: 8, rope_theta: 1e6 },
          sliding_attention: { rope_type: 'default', rope_theta: 1e4 },
        },
      },
      'CONFIG_INVALID',
      /rope_parameters\.full_attention and rope_parameters\.sliding_attention describe different rotations/,
    ],
    [
      { rope_parameters: { full_attention: { rope_type: 5 } } },
      'CONFIG_INVALID',
      /rope_parameters\.full_attention: rope_type: must be a text, not 5/,
    ],
    [
      { rope_scaling: { rope_type: 'yarn' } },
      'CONFIG_INVALID',
      /rope_type "yarn" is not supported; supported: /,
    ],
    [
      { rope_scaling: { rope_type: 'llama3', factor: 8 } },
      'CONFIG_INVALID',
      /rope_scaling: rope_type llama3: low_freq_factor: is missing \(a number\)/,
    ],
    [
      { rope_scaling: { type: 'linear', factor: -2 } },
      'CONFIG_INVALID',
      /rope_scaling\.factor must be above 0, not -2/,
    ],
    [
      { rope_parameters: { rope_type: 'default', partial_rotary_factor: 0.5 } },
      'CONFIG_INVALID',
      /partial_rotary_factor 0\.5 is not supported/,
    ],
    [{ rope_interleaved: true }, 'CONFIG_INVALID', /rope_interleaved/],
    [
      { quantization_config: { quant_method: 'awq' } },
      'CONFIG_INVALID',
      /quantized by "awq" are not supported/,
    ],
    [{ rope_theta: 0 }, 'CONFIG_INVALID', /rope_theta must be above 0/],
    [
      { architectures: ['GPT2LMHeadModel'], model_type: 'gpt2' },
      'ARCHITECTURE_UNSUPPORTED',
      /"GPT2LMHeadModel".*supported: LlamaForCausalLM \(llama\), MistralForCausalLM \(mistral\), /,
    ],
    [{ architectures: undefined, model_type: 'mamba' }, 'ARCHITECTURE_UNSUPPORTED', /model_type "mamba"/],
    [{ architectures: undefined, model_type: undefined }, 'ARCHITECTURE_UNSUPPORTED', /"none"/],
    [{ model_type: 'mistral' }, 'ARCHITECTURE_UNSUPPORTED', /model_type "mistral"/],
    [
      { hidden_act: 'quick_gelu', flicker: undefined },
      'ACTIVATION_UNSUPPORTED',
      /hidden_act "quick_gelu" is not supported; supported: silu, swish, relu/,
    ],
    [
      { hidden_act: 'fatrelu', flicker: undefined },
      'ACTIVATION_UNSUPPORTED',
      /hidden_act "fatrelu" needs its threshold in hidden_act_param/,
    ],
    [{ hidden_act: 'relu' }, 'CONFIG_INVALID', /hidden_act "relu" contradicts flicker\.activation "silu"/],
    [
      { flicker: { version: 1, activation: 'silo', ffn: 'gated' } },
      'ACTIVATION_UNSUPPORTED',
      /flicker\.activation: .*Did you mean "silu"/,
    ],
    [
      { flicker: { version: 2, activation: 'silu', ffn: 'gated' } },
      'CHECKPOINT_VERSION',
      /flicker\.version is 2.*update/,
    ],
    [
      { flicker: { version: 1, activation: 'silu', ffn: 'plain' } },
      'CONFIG_INVALID',
      /"plain" contradicts LlamaForCausalLM/,
    ],
    [{ flicker: { version: 1, activation: 'silu', ffn: 'wide' } }, 'CONFIG_INVALID', /flicker\.ffn/],
    ...[8, 0, 2.5].map(
      width =>
        [
          {
            architectures: ['FlickerForCausalLM'],
            model_type: 'flicker',
            flicker: { version: 1, activation: 'silu', ffn: 'spark', spark_predictor_width: width },
          },
          'CONFIG_INVALID',
          /spark_predictor_width/,
        ] as const,
    ),
    [
      { flicker: { version: 1, activation: 'silu', ffn: 'gated', spark_predictor_width: 4 } },
      'CONFIG_INVALID',
      /spark_predictor_width is for ffn spark alone/,
    ],
    [
      { architectures: ['FlickerForCausalLM'], model_type: 'flicker', flicker: undefined },
      'CONFIG_INVALID',
      /flicker: missing/,
    ],
  ] as const)('%j', (changes, code, message) => {
    const error = refusal(() => readCheckpoint(withConfig(changes)))
    expect(error).toBeInstanceOf(CheckpointError)
    expect(error.code).toBe(code)
    expect(error.message).toMatch(message)
  })

  it('or for not being JSON, or missing', () => {
    const dir = written(tinyConfig)
    fs.writeFileSync(path.join(dir, 'config.json'), '{"hidden_size": 8,')
    expect(refusal(() => readCheckpoint(dir)).message).toMatch(/config\.json is not valid JSON/)
    fs.rmSync(path.join(dir, 'config.json'))
    expect(refusal(() => readCheckpoint(dir)).message).toMatch(/config\.json is missing/)
    expect(refusal(() => readCheckpoint(path.join(root, 'nowhere'))).code).toBe('CHECKPOINT_MISSING')
  })
})

describe('weights that do not fit are refused by the tensor', () => {
  function withTensors(
    change: (tensors: ReturnType<typeof variedTensors>) => ReturnType<typeof variedTensors>,
  ) {
    const dir = written(tinyConfig)
    const file = path.join(dir, 'model.safetensors')
    const tensors = change(variedTensors(tinyConfig))
    fs.rmSync(file)
    writeSafetensors(file, tensors, tensors)
    return dir
  }
  const further = (name: string, shape = [2]) => ({ name, shape, data: new Float32Array(product(shape)) })

  it('missing', () => {
    const dir = withTensors(tensors => tensors.filter(({ name }) => !name.includes('up_proj')))
    const error = refusal(() => readCheckpoint(dir))
    expect(error.code).toBe('TENSOR_MISSING')
    expect(error.message).toMatch(/"model\.layers\.0\.mlp\.up_proj\.weight" of shape \[12, 8\] is missing/)
  })

  it('wrongly shaped', () => {
    const dir = withTensors(tensors =>
      tensors.map(t => (t.name.includes('up_proj') ? { ...t, shape: [8, 12] } : t)),
    )
    const error = refusal(() => readCheckpoint(dir))
    expect(error.code).toBe('TENSOR_SHAPE')
    expect(error.message).toMatch(/up_proj\.weight" must have shape \[12, 8\], but in .* it is \[8, 12\]/)
  })

  it('truncated', () => {
    const dir = written(tinyConfig)
    const file = path.join(dir, 'model.safetensors')
    fs.truncateSync(file, fs.statSync(file).size - 100)
    const error = refusal(() => readCheckpoint(dir))
    expect(error.code).toBe('SAFETENSORS_TRUNCATED')
    expect(error.message).toContain(file)
  })

  it('absent', () => {
    const dir = written(tinyConfig)
    fs.rmSync(path.join(dir, 'model.safetensors'))
    expect(refusal(() => readCheckpoint(dir)).message).toMatch(/model\.safetensors is missing/)
  })

  it('unknown, but for those that config.json already fixes', () => {
    const dir = withTensors(tensors => [...tensors, further('model.layers.1.mlp.up_proj.weight')])
    const error = refusal(() => readCheckpoint(dir))
    expect(error.code).toBe('TENSOR_UNKNOWN')
    expect(error.message).toMatch(/"model\.layers\.1\.mlp\.up_proj\.weight" do not belong/)
    const ignorable = withTensors(tensors => [
      ...tensors,
      further('model.layers.0.self_attn.rotary_emb.inv_freq'),
      further('model.layers.0.self_attn.rotary_emb.cos_cached'),
      further('model.layers.0.self_attn.rotary_emb.sin_cached'),
      further('model.rotary_emb.inv_freq'),
      further('lm_head.weight', [11, 8]),
    ])
    readCheckpoint(ignorable).close()
  })
})

describe('shards', () => {
  /** The tiny model in two shards, with these names more in the index. */
  function sharded(more: string[]): string {
    const dir = written(tinyConfig)
    fs.rmSync(path.join(dir, 'model.safetensors'))
    const tensors = variedTensors(tinyConfig)
    const files = ['model-00001-of-00002.safetensors', 'model-00002-of-00002.safetensors']
    const parts = [tensors.slice(0, 4), tensors.slice(4)]
    for (const [i, part] of parts.entries()) writeSafetensors(path.join(dir, files[i]), part, part)
    const weight_map = Object.fromEntries([
      ...parts.flatMap((part, i) => part.map(({ name }) => [name, files[i]])),
      ...more.map(name => [name, files[0]]),
    ])
    fs.writeFileSync(path.join(dir, 'model.safetensors.index.json'), JSON.stringify({ weight_map }))
    return dir
  }

  it('may lack rotary tables that the index still names', () => {
    const checkpoint = readCheckpoint(sharded(['model.layers.0.self_attn.rotary_emb.inv_freq']))
    for (const { name, data } of variedTensors(tinyConfig)) expect(checkpoint.tensor(name)).toEqual(data)
    checkpoint.close()
  })

  it('may lack nothing else', () => {
    const error = refusal(() => readCheckpoint(sharded(['model.layers.1.mlp.up_proj.weight'])))
    expect(error.code).toBe('TENSOR_MISSING')
    expect(error.message).toMatch(/model-00001-of-00002\.safetensors has no tensor "model\.layers\.1/)
  })

  it('are not the pickles of PyTorch, which are named', () => {
    const dir = written(tinyConfig)
    fs.renameSync(path.join(dir, 'model.safetensors'), path.join(dir, 'pytorch_model.bin'))
    expect(refusal(() => readCheckpoint(dir)).message).toMatch(/pytorch_model\.bin beside it is a pickle/)
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
