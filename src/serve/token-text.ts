// How the API shows single tokens.

import type { Tokenizer } from '../data/tokenizers/tokenizer.js'

/** Text of one token; bytes that are no whole character as OpenAI has them: `bytes:\xe2\x80`. */
export function tokenText(tokenizer: Tokenizer, id: number): string {
  const bytes = tokenizer.tokenBytes(id)
  try {
    return new TextDecoder('utf-8', { fatal: true, ignoreBOM: true }).decode(bytes)
  } catch {
    return `bytes:${Array.from(bytes, byte => `\\x${byte.toString(16).padStart(2, '0')}`).join('')}`
  }
}

/** A token with its log-probability, as chat completions list them. */
export function tokenEntry(tokenizer: Tokenizer, id: number, logprob: number) {
  return { token: tokenText(tokenizer, id), logprob, bytes: Array.from(tokenizer.tokenBytes(id)) }
}
