// The token that texts begin with, wherever a tokenizer's files say so.

import { describe, expect, it } from 'vitest'
import { bytesTokenizer } from '../../../src/data/tokenizers/byte-pair.js'
import { loadTokenizer } from '../../../src/data/tokenizers/load.js'
import { temporaryDirectories } from '../temporary.js'

const directory = temporaryDirectories()

/** A byte vocabulary with <s> added, and what its two files say. */
function startOf(postProcessor: object | null, config?: object): number | null | undefined {
  const json = bytesTokenizer().toJSON() as { added_tokens: object[]; model: { vocab: object } }
  const id = 257
  const content = {
    ...json,
    added_tokens: [...json.added_tokens, { ...json.added_tokens[0], id, content: '<s>' }],
    model: { ...json.model, vocab: { ...json.model.vocab, '<s>': id } },
    post_processor: postProcessor,
  }
  const files: Record<string, string> = { 'tokenizer.json': JSON.stringify(content) }
  if (config !== undefined) files['tokenizer_config.json'] = JSON.stringify(config)
  return loadTokenizer(directory(files)).startOfText
}

const text = { Sequence: { id: 'A', type_id: 0 } }
const start = { SpecialToken: { id: '<s>', type_id: 0 } }
const template = { type: 'TemplateProcessing', single: [start, text], pair: [], special_tokens: {} }
const byteLevel = { type: 'ByteLevel', add_prefix_space: false, trim_offsets: true, use_regex: true }

describe('texts begin with <s>', () => {
  it.each<[string, Parameters<typeof startOf>, number | null]>([
    ['when the template of tokenizer.json puts it there', [template], 257],
    [
      'when that stands among other steps, as in Llama 3',
      [{ type: 'Sequence', processors: [byteLevel, template] }],
      257,
    ],
    ['when tokenizer_config.json adds it', [byteLevel, { add_bos_token: true, bos_token: '<s>' }], 257],
    ['as an object too', [byteLevel, { add_bos_token: true, bos_token: { content: '<s>' } }], 257],
    [
      'not when tokenizer_config.json says not to',
      [template, { add_bos_token: false, bos_token: '<s>' }],
      null,
    ],
    ['not when the template puts it behind', [{ ...template, single: [text, start] }], null],
    ['not when nothing says so', [byteLevel, { bos_token: '<s>' }], null],
    ['not when the token does not exist', [byteLevel, { add_bos_token: true, bos_token: '<begin>' }], null],
  ])('%s', (_, given, expected) => {
    expect(startOf(...given)).toBe(expected)
  })
})
