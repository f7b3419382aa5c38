// A text without words, as vocabularies of SentencePiece have it, is cut where no merge joins anything: with the ids of
// @huggingface/tokenizers, which merges the whole of it.

import { Tokenizer as HuggingFaceTokenizer } from '@huggingface/tokenizers'
import fc from 'fast-check'
import { expect, it } from 'vitest'
import { tokenizerFromJson } from '../../../src/data/tokenizers/tokenizer-json.js'

/** A BPE over whole texts. ▁▁ joins runs of spaces; `b▁` reaches from one word into the next; 🙂 is outside the first plane. */
function json(changes: object = {}) {
  const merges = ['a b', '▁ a', '▁ab c', '▁ ▁', '▁▁ ▁▁', 'b ▁', 'c 🙂', 'c c', 'cc cc', '▁a b', 'b c']
  const characters = ['a', 'b', 'c', '▁', '🙂', '!']
  const bytes = Array.from({ length: 256 }, (_, b) => `<0x${b.toString(16).toUpperCase().padStart(2, '0')}>`)
  const tokens = [
    ...new Set(['<unk>', ...bytes, ...characters, ...merges.map(merge => merge.replace(' ', ''))]),
  ]
  return {
    version: '1.0',
    truncation: null,
    padding: null,
    added_tokens: [],
    normalizer: { type: 'Replace', pattern: { String: ' ' }, content: '▁' },
    pre_tokenizer: null,
    post_processor: null,
    decoder: null,
    model: {
      type: 'BPE',
      dropout: null,
      unk_token: '<unk>',
      continuing_subword_prefix: null,
      end_of_word_suffix: null,
      fuse_unk: true,
      byte_fallback: true,
      ignore_merges: false,
      vocab: Object.fromEntries(tokens.map((token, id) => [token, id])),
      merges,
      ...changes,
    },
  }
}

const longTexts = fc
  .array(fc.constantFrom('a', 'b', 'c', ' ', '  ', '🙂', '!', 'é', '$&'), { minLength: 130, maxLength: 600 })
  .map(parts => parts.join(''))

it.each([
  ['with bytes for what it lacks', {}],
  ['with one unknown token for a run of what it lacks', { byte_fallback: false }],
  ['with one unknown token for each', { byte_fallback: false, fuse_unk: false }],
])('a long text has the ids of the whole, %s', (_, changes) => {
  const ours = tokenizerFromJson(json(changes), 'test')
  const theirs = new HuggingFaceTokenizer(json(changes), {})
  fc.assert(
    fc.property(longTexts, text => {
      expect([...ours.encode(text)]).toEqual(theirs.encode(text, { add_special_tokens: false }).ids)
    }),
    { numRuns: 60 },
  )
})
