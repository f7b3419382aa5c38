// Which tokens a sequence can read: in the vocabulary, within the context.

import { OptionError, TokenizerError } from '../../errors.js'
import type { ModelConfig } from '../../nn/config.js'
import { received, requireTokenList } from '../option-checks.js'

/**
 * Throws OptionError OPTION_TYPE, PROMPT_EMPTY, CONTEXT_OVERFLOW, TokenizerError TOKEN_OUT_OF_VOCABULARY unless a sequence
 * that has read `position` tokens can read these.
 */
export function requireReadable(tokens: ArrayLike<number>, config: ModelConfig, position: number): void {
  const { maxPositionEmbeddings } = config
  requireTokenList('tokens', tokens)
  if (tokens.length === 0) {
    throw new OptionError('PROMPT_EMPTY', 'there are no tokens to read; give at least one')
  }
  if (position + tokens.length > maxPositionEmbeddings) {
    throw new OptionError(
      'CONTEXT_OVERFLOW',
      `the sequence would be ${position + tokens.length} tokens long, but the model's context is ` +
        `${maxPositionEmbeddings}; shorten the prompt`,
    )
  }
  checkTokens(tokens, config, position)
}

/** Throws TokenizerError TOKEN_OUT_OF_VOCABULARY, naming the position in a sequence of `position` tokens so far. */
export function checkTokens(tokens: ArrayLike<number>, config: ModelConfig, position: number): void {
  const { vocabSize } = config
  for (let i = 0; i < tokens.length; i++) {
    const token = tokens[i]
    if (Number.isInteger(token) && token >= 0 && token < vocabSize) continue
    throw new TokenizerError(
      'TOKEN_OUT_OF_VOCABULARY',
      `token ${received(token)} at position ${position + i} is outside the model's vocabulary of ${vocabSize}`,
    )
  }
}
