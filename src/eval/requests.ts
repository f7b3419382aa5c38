// From prompt and continuation to tokens, as lm-evaluation-harness cuts them: prompt + continuation is encoded as a whole
// and cut after the prompt's own length; what does not fit into the model's context is dropped from the left and counted.

import type { Tokenizer } from '../data/tokenizers/tokenizer.js'
import { TokenizerError } from '../errors.js'

/** Tokens of which the last are scored. */
export interface ScoredTokens {
  /** At least two: the first is only read. */
  readonly tokens: readonly number[]
  /** How many of the last are scored, at least one. */
  readonly scored: number
  /** Tokens that were dropped from the left, as the context is too short for all. */
  readonly dropped: number
}

/** The token that stands before an empty prompt: the start of a text, else its end. Throws TokenizerError PREFIX_TOKEN_MISSING. */
export function prefixToken(tokenizer: Tokenizer): number {
  const token = tokenizer.startOfText ?? tokenizer.endOfText
  if (token !== null) return token
  throw new TokenizerError(
    'PREFIX_TOKEN_MISSING',
    `tokenizer ${tokenizer.name} has neither a token that starts a text nor one that ends it, and an empty prompt needs one`,
  )
}

/** `text` after the token that starts a text, where the tokenizer has one and the text does not begin with it. */
export function encodePrompt(tokenizer: Tokenizer, text: string): number[] {
  const ids = [...tokenizer.encode(text)]
  const start = tokenizer.startOfText ?? null
  return start === null || start === ids[0] ? ids : [start, ...ids]
}

/**
 * The tokens of prompt and continuation, at most `context` + 1 of them: the last is not read. Null for a continuation
 * without a token. Throws TokenizerError PREFIX_TOKEN_MISSING.
 */
export function scoredTokens(
  tokenizer: Tokenizer,
  prompt: string,
  continuation: string,
  context: number,
): ScoredTokens | null {
  let [before, after] = cut(tokenizer, prompt, continuation)
  // A text may already begin with the token that stands before it; then that one is not scored.
  if (before.length === 0) {
    const prefix = prefixToken(tokenizer)
    ;[before, after] = after[0] === prefix ? [after.slice(0, 1), after.slice(1)] : [[prefix], after]
  }
  if (after.length === 0) return null
  const all = [...before, ...after]
  const tokens = all.slice(-(context + 1))
  return {
    tokens,
    scored: Math.min(after.length, tokens.length - 1),
    dropped: all.length - tokens.length,
  }
}

function cut(tokenizer: Tokenizer, prompt: string, continuation: string): [number[], number[]] {
  if (prompt === '') return [[], [...tokenizer.encode(continuation)]]
  const stripped = prompt.trimEnd()
  // Spaces at the end of the prompt belong to the first word that follows.
  const moved = prompt.slice(stripped.length) + continuation
  if (stripped === '') return [[], [...tokenizer.encode(moved)]]
  const before = encodePrompt(tokenizer, stripped)
  return [before, encodePrompt(tokenizer, stripped + moved).slice(before.length)]
}

/**
 * A document in windows of at most `context` tokens: the first is predicted from the prefix token, later ones are disjoint
 * and condition on the one token before them. Throws TokenizerError PREFIX_TOKEN_MISSING.
 */
export function rollingWindows(tokenizer: Tokenizer, text: string, context: number): ScoredTokens[] {
  const ids = [prefixToken(tokenizer), ...tokenizer.encode(text)]
  const windows: ScoredTokens[] = []
  for (let start = 1; start < ids.length; start += context) {
    const end = Math.min(ids.length, start + context)
    // The last window is as long as the others where it can be: it re-reads tokens, and scores only the new ones.
    const from = windows.length === 0 ? start : Math.max(1, end - context)
    windows.push({ tokens: ids.slice(from - 1, end), scored: end - start, dropped: 0 })
  }
  return windows
}
