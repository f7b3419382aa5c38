// The kinds of model that config.json can announce, all of them the Llama block with small differences. The facts are
// those of transformers and of the models' own code (modeling_sparsellama.py, modeling_bamboo.py, TwELL's
// sparse_models.py).

import type { ModelConfig } from '../../nn/config.js'

export interface Architecture {
  /** As in `architectures` of config.json. */
  readonly name: string
  readonly modelType: string
  /** `config`: as its `attention_bias` says. */
  readonly attentionBias: 'none' | 'qkv' | 'config'
  /** Whether attention sees a sliding window of past tokens: always when one is given, or when it is switched on. */
  readonly slidingWindow: 'none' | 'given' | 'switched'
  /** `sparselm`: gated or plain by its own key, always with relu, whatever `hidden_act` says. */
  readonly ffn: ModelConfig['ffn'] | 'sparselm'
  /** Tensors beside the model's, which exact decoding has no use for. */
  readonly ignored?: RegExp
}

const llama = { attentionBias: 'config', slidingWindow: 'none', ffn: 'gated' } as const

export const LLAMA: Architecture = { name: 'LlamaForCausalLM', modelType: 'llama', ...llama }
export const QWEN2: Architecture = {
  name: 'Qwen2ForCausalLM',
  modelType: 'qwen2',
  attentionBias: 'qkv',
  slidingWindow: 'switched',
  ffn: 'gated',
}
/** What transformers has no name for, described under `flicker` in config.json; transformers refuses to load it. */
export const FLICKER: Architecture = { name: 'FlickerForCausalLM', modelType: 'flicker', ...llama }

export const ARCHITECTURES: readonly Architecture[] = [
  LLAMA,
  {
    name: 'MistralForCausalLM',
    modelType: 'mistral',
    attentionBias: 'none',
    slidingWindow: 'given',
    ffn: 'gated',
  },
  QWEN2,
  // ProSparse.
  { name: 'SparseLlamaForCausalLM', modelType: 'sparsellama', ...llama },
  // SparseLM, of "Sparser, Faster, Lighter Transformer Language Models".
  { name: 'SparseLlamaForCausalLM', modelType: 'llama_sparse_relu', ...llama, ffn: 'sparselm' },
  { ...QWEN2, name: 'SparseQwen2ForCausalLM', modelType: 'qwen2_sparse_relu', ffn: 'sparselm' },
  // Bamboo and TurboSparse-Mistral, with the predictors that PowerInfer needs and we do not.
  {
    name: 'BambooForCausalLM',
    modelType: 'bamboo',
    attentionBias: 'none',
    slidingWindow: 'given',
    ffn: 'drelu',
    ignored: /\.mlp\.predictor\./,
  },
  FLICKER,
]

/** The architecture of these names; a missing name goes by the other, undefined when the two name none together. */
export function findArchitecture(
  name: string | undefined,
  modelType: string | undefined,
): Architecture | undefined {
  if (name === undefined && modelType === undefined) return undefined
  return ARCHITECTURES.find(
    known =>
      known.name === (name ?? known.name) &&
      known.modelType === (modelType ?? ARCHITECTURES.find(first => first.name === name)?.modelType),
  )
}

/** `LlamaForCausalLM (llama), …`, for messages. */
export function supportedArchitectures(): string {
  return ARCHITECTURES.map(({ name, modelType }) => `${name} (${modelType})`).join(', ')
}
