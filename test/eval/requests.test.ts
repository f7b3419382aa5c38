// Where prompt and continuation are cut, and windows of documents: against the harness's published cases and by hand.

import { describe, expect, it } from 'vitest'
import type { Tokenizer } from '../../src/data/tokenizers/tokenizer.js'
import { encodePrompt, rollingWindows, scoredTokens } from '../../src/eval/requests.js'

/** One token for each character, its code; `ab` is a token of its own, 1. Optionally 2 starts a text and 3 ends it. */
function tokenizer(special: { startOfText?: number; endOfText?: number } = {}): Tokenizer {
  return {
    name: 'characters',
    vocabSize: 128,
    startOfText: special.startOfText ?? null,
    endOfText: special.endOfText ?? null,
    encode: text => Int32Array.from([...text.replaceAll('ab', '\u0001')], c => c.charCodeAt(0)),
    decode: ids => String.fromCharCode(...Array.from(ids)),
    tokenBytes: id => Uint8Array.of(id),
    toJSON: () => ({}),
  }
}
const codes = (text: string) => [...text].map(c => c.charCodeAt(0))

describe('prompt and continuation', () => {
  it('are encoded as a whole and cut after the length of the prompt alone', () => {
    // Alone the prompt is x, a: two tokens. The whole is x, ab, c: the third is what is scored.
    expect(scoredTokens(tokenizer(), 'xa', 'bc', 100)).toEqual({
      tokens: [...codes('xa'), ...codes('c')],
      scored: 1,
      dropped: 0,
    })
  })

  it('spaces at the end of the prompt belong to the continuation', () => {
    expect(scoredTokens(tokenizer(), 'x ', 'y', 100)).toEqual({ tokens: codes('x y'), scored: 2, dropped: 0 })
  })

  it('an empty prompt is one token: the start of a text, else its end', () => {
    const both = scoredTokens(tokenizer({ startOfText: 2, endOfText: 3 }), '', ' y', 100)
    expect(both).toEqual({ tokens: [2, ...codes(' y')], scored: 2, dropped: 0 })
    const end = scoredTokens(tokenizer({ endOfText: 3 }), '', ' y', 100)
    expect(end).toEqual({ tokens: [3, ...codes(' y')], scored: 2, dropped: 0 })
    expect(() => scoredTokens(tokenizer(), '', ' y', 100)).toThrow(
      /neither a token that starts a text nor one/,
    )
  })

  it('a text starts with the token that starts it, once', () => {
    const start = tokenizer({ startOfText: 2 })
    expect(encodePrompt(start, 'x')).toEqual([2, ...codes('x')])
    expect(encodePrompt(start, '\u0002x')).toEqual([2, ...codes('x')])
    expect(scoredTokens(start, 'x', ' y', 100)).toEqual({
      tokens: [2, ...codes('x y')],
      scored: 2,
      dropped: 0,
    })
  })

  it('what does not fit is dropped from the left: context tokens are read, and one more is predicted', () => {
    expect(scoredTokens(tokenizer(), 'uvwx', 'yz', 3)).toEqual({
      tokens: codes('wxyz'),
      scored: 2,
      dropped: 2,
    })
    // A continuation that is longer than the context loses its beginning too.
    expect(scoredTokens(tokenizer(), 'x', 'bcdefgh', 3)).toEqual({
      tokens: codes('efgh'),
      scored: 3,
      dropped: 4,
    })
  })

  it('a continuation without a token is none', () => {
    expect(scoredTokens(tokenizer(), 'x', '', 100)).toBeNull()
  })
})

it('windows of a document are those of the harness (tests/test_utils.py, version 1 and disjoint)', () => {
  // 34 tokens, windows of 10, one token of context; the prefix token is 2.
  const text = String.fromCharCode(...Array.from({ length: 34 }, (_, i) => 40 + i))
  const windows = rollingWindows(tokenizer({ startOfText: 2 }), text, 10)
  const range = (from: number, to: number) => Array.from({ length: to - from }, (_, i) => 40 + from + i)
  expect(windows).toEqual([
    { tokens: [2, ...range(0, 10)], scored: 10, dropped: 0 },
    { tokens: range(9, 20), scored: 10, dropped: 0 },
    { tokens: range(19, 30), scored: 10, dropped: 0 },
    { tokens: range(23, 34), scored: 4, dropped: 0 },
  ])
  expect(rollingWindows(tokenizer({ startOfText: 2 }), 'xyz', 10)).toEqual([
    { tokens: [2, ...codes('xyz')], scored: 3, dropped: 0 },
  ])
})
