// Every architecture that is read, each in a file of its own, and those that are refused by name.

import { ARCEE } from './arcee.js'
import type { Architecture, GgufForm, HuggingFaceForm } from './architecture.js'
import { FALCON } from './falcon.js'
import { GEMMA, GEMMA2, GEMMA3 } from './gemma.js'
import { GPT_NEOX } from './gpt-neox.js'
import { GPT2 } from './gpt2.js'
import { GRANITE, MINICPM } from './granite.js'
import { LLAMA } from './llama.js'
import { MIXTRAL } from './mixtral.js'
import { NEMOTRON } from './nemotron.js'
import { OLMO2 } from './olmo2.js'
import { OLMOE } from './olmoe.js'
import { OPT } from './opt.js'
import { PHI } from './phi.js'
import { PHI3 } from './phi3.js'
import { QWEN2 } from './qwen2.js'
import { QWEN3 } from './qwen3.js'
import { QWEN3_MOE } from './qwen3-moe.js'
import { SMOLLM3 } from './smollm3.js'
import { STABLELM } from './stablelm.js'
import { STARCODER2 } from './starcoder2.js'

/** In the order in which a model is written: the first that describes it. */
const ARCHITECTURES: readonly Architecture[] = [
  QWEN2,
  LLAMA,
  MIXTRAL,
  QWEN3,
  QWEN3_MOE,
  SMOLLM3,
  ARCEE,
  GEMMA,
  GEMMA2,
  GEMMA3,
  PHI3,
  OLMO2,
  OLMOE,
  GRANITE,
  MINICPM,
  STARCODER2,
  GPT2,
  GPT_NEOX,
  FALCON,
  NEMOTRON,
  STABLELM,
  PHI,
  OPT,
]

export const HUGGING_FACE_FORMS: readonly HuggingFaceForm[] = ARCHITECTURES.flatMap(
  ({ huggingFace = [] }) => huggingFace,
)
export const GGUF_FORMS: readonly GgufForm[] = ARCHITECTURES.flatMap(({ gguf }) =>
  gguf === undefined ? [] : [gguf],
)

/** What is known and refused: by model_type or general.architecture, with what it is. */
const REFUSED: readonly (readonly [names: RegExp, what: string])[] = [
  [
    /^(qwen3_next|qwen3next|qwen3_5\w*|qwen35\w*|kimi[-_]linear|minimax\w*|olmo_hybrid|bailingmoe3)$/,
    'layers of linear attention',
  ],
  [
    /^(mamba2?|falcon[-_]mamba|falcon[-_]h1|jamba|bamba|zamba2?|nemotron[-_]h\w*|granitemoehybrid|granitehybrid|plamo2|recurrent_gemma|lfm2\w*|rwkv\w*|arwkv7|xlstm)$/,
    'recurrent layers (Mamba, RWKV or convolutions)',
  ],
  [
    /(moe|mixtral|deepseek|gpt[-_]oss|dbrx|arctic|llama4)/,
    'mixtures of experts of another kind (shared experts, groups or biases)',
  ],
  [/^(bert|t5|bart|roberta|whisper|clip|modernbert)/, 'encoders'],
]

/** Why an architecture that is not supported is not, and the nearest way out; empty where that is not known. */
export function refusalOf(name: string): string {
  const found = REFUSED.find(([names]) => names.test(name.toLowerCase()))
  return found === undefined
    ? ''
    : `; it has ${found[1]}, which are not supported: use llama.cpp or transformers for it`
}
