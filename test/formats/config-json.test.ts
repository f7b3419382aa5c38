// config.json: the rotation that it describes, and what is refused with which words.

import fs from 'node:fs'
import path from 'node:path'
import { describe, expect, it } from 'vitest'
import { CheckpointError } from '../../src/errors.js'
import { readCheckpoint } from '../../src/formats/huggingface/index.js'
import type { ModelConfig } from '../../src/nn/config.js'
import { refusal, root, withConfig, written } from './checkpoint-directory.js'
import { tinyConfig } from './tiny-model.js'

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
    [
      { rope_scaling: { rope_type: 'a'.repeat(5000) } },
      'CONFIG_INVALID',
      /rope_type "a{200}…" is not supported; supported: default, linear/,
    ],
    [
      { num_hidden_layers: 1e9 },
      'CONFIG_INVALID',
      /num_hidden_layers: must be at most 10000, not 1000000000/,
    ],
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
      /rope_parameters describe different rotations, which is not supported for LlamaForCausalLM/,
    ],
    [
      { rope_parameters: { full_attention: { rope_type: 5 } } },
      'CONFIG_INVALID',
      /rope_parameters\.full_attention: rope_type: must be a text, not 5/,
    ],
    [
      { rope_scaling: { rope_type: 'ntk' } },
      'CONFIG_INVALID',
      /rope_type "ntk" is not supported; supported: /,
    ],
    [
      { rope_scaling: { rope_type: 'yarn' } },
      'CONFIG_INVALID',
      /rope_scaling: rope_type yarn: factor: must be given/,
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
      { architectures: ['BloomForCausalLM'], model_type: 'bloom' },
      'ARCHITECTURE_UNSUPPORTED',
      /"BloomForCausalLM".*supported: .*LlamaForCausalLM \(llama\), MistralForCausalLM \(mistral\), /,
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
