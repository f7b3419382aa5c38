// A model small enough to serve in tests: random weights, tokens are bytes.

import { bytesTokenizer } from '../../src/data/tokenizers/byte-pair.js'
import { EngineModel, LanguageModel } from '../../src/engine/index.js'
import type { ModelConfig } from '../../src/nn/config.js'
import { randomTensors, smallConfig, tensorOf } from '../engine/naive-model.js'

export const tokenizer = bytesTokenizer()
export const servedConfig: ModelConfig = {
  ...smallConfig,
  vocabSize: tokenizer.vocabSize,
  maxPositionEmbeddings: 96,
}
const tensors = randomTensors(servedConfig, 9)
const template =
  '{% for m in messages %}{{ m.role }}: {{ m.content }}\n{% endfor %}{% if add_generation_prompt %}assistant: {% endif %}'

export function servedModel(): LanguageModel {
  return new LanguageModel(new EngineModel(servedConfig, tensorOf(tensors)), tokenizer, {
    chat: { templates: new Map([['default', template]]), specialTokens: {} },
  })
}
