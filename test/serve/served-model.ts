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

/** Calls of tools as Hermes and Qwen write them, by a template of the same structure. */
export const toolTemplate =
  '{% if tools %}tools:{% for tool in tools %} {{ tool.function | tojson }}{% endfor %}\n{% endif %}' +
  '{% for m in messages %}{{ m.role }}: {{ m.content }}' +
  "{% for call in m.tool_calls or [] %}{% if not loop.first %}{{ '\n' }}{% endif %}" +
  '<call>\n{"name": "{{ call.function.name }}", "arguments": {{ call.function.arguments | tojson }}}\n</call>{% endfor %}' +
  "\n{% endfor %}{% if add_generation_prompt %}{{ 'assistant: ' }}{% endif %}"

export function servedModel(chatTemplate = template, config = servedConfig): LanguageModel {
  const weights = config === servedConfig ? tensors : randomTensors(config, 9)
  return new LanguageModel(new EngineModel(config, tensorOf(weights)), tokenizer, {
    chat: { templates: new Map([['default', chatTemplate]]), specialTokens: {} },
  })
}
