// A small model with random weights and a tokenizer of bytes: what tests of generated text run.

import { bytesTokenizer } from '../../src/data/tokenizers/byte-pair.js'
import {
  EngineModel,
  type EngineOptions,
  type GeneratedToken,
  type GenerateOptions,
  LanguageModel,
} from '../../src/engine/index.js'
import { randomTensors, smallConfig, tensorOf } from './naive-model.js'

export const tokenizer = bytesTokenizer()
export const config = { ...smallConfig, vocabSize: tokenizer.vocabSize, maxPositionEmbeddings: 64 }
export const tensors = randomTensors(config, 9)

export function languageModel(options: EngineOptions = {}): LanguageModel {
  return new LanguageModel(new EngineModel(config, tensorOf(tensors), options), tokenizer)
}

export async function generate(
  model: LanguageModel,
  options: GenerateOptions = {},
  prompt: string | number[] = 'Once',
): Promise<GeneratedToken[]> {
  const tokens: GeneratedToken[] = []
  for await (const token of model.generate(prompt, { maxTokens: 24, ignoreEos: true, ...options })) {
    tokens.push(token)
  }
  return tokens
}

export async function text(model: LanguageModel, options: GenerateOptions = {}): Promise<string> {
  return (await generate(model, options)).map(token => token.text).join('')
}

/** What a token is, apart from whom it was computed with. */
export function withoutPass(tokens: readonly GeneratedToken[]) {
  return tokens.map(({ pass: _, ...token }) => token)
}
