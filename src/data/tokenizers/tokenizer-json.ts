// Tokenizers from a tokenizer.json: checked as a file from outside, then given to the fast encoders when it is a plain
// byte-level BPE or a character vocabulary, and to the pipeline of its components when it is anything else.

import { z } from 'zod'
import { BYTE_CHARACTERS, fromByteLevel, GPT2_SPLIT, KNOWN_SPLITS } from './byte-level.js'
import { BytePairTokenizer } from './byte-pair.js'
import { CharTokenizer } from './characters.js'
import { type CheckedJson, checkJson, type Frame, type TokenizerConfig } from './checked-json.js'
import { mergesOf } from './pipeline/models.js'
import { PipelineTokenizer } from './pipeline/pipeline-tokenizer.js'
import { END_OF_TEXT, type Tokenizer } from './tokenizer.js'

const plainByteLevel = z.looseObject({
  type: z.literal('ByteLevel'),
  add_prefix_space: z.literal(false),
  use_regex: z.boolean().default(true),
})
const splitThenByteLevel = z.looseObject({
  type: z.literal('Sequence'),
  pretokenizers: z.tuple([
    z.looseObject({
      type: z.literal('Split'),
      pattern: z.strictObject({ Regex: z.string() }),
      behavior: z.literal('Isolated'),
      invert: z.literal(false),
    }),
    plainByteLevel.extend({ use_regex: z.literal(false) }),
  ]),
})

/**
 * A tokenizer from the content of a tokenizer.json. source: where it comes from, for messages; config: what stands in
 * the tokenizer_config.json beside it. Throws TokenizerError.
 */
export function tokenizerFromJson(content: unknown, source: string, config: TokenizerConfig = {}): Tokenizer {
  const checked = checkJson(content, source, config)
  return (
    charTokenizer(checked) ?? bytePairTokenizer(checked, source) ?? new PipelineTokenizer(checked, source)
  )
}

/** Options of a BPE; any other is for the pipeline to refuse. */
const BPE_OPTIONS = new Set([
  'type',
  'dropout',
  'unk_token',
  'continuing_subword_prefix',
  'end_of_word_suffix',
  'fuse_unk',
  'byte_fallback',
  'ignore_merges',
  'vocab',
  'merges',
])

/** Whether the model is a BPE with nothing beside vocabulary and merges. */
function isPlainBpe({ model, normalizer }: Frame): boolean {
  return (
    (model.type ?? 'BPE') === 'BPE' &&
    Array.isArray(model.merges) &&
    !normalizer &&
    !model.dropout &&
    !model.byte_fallback &&
    !model.continuing_subword_prefix &&
    !model.end_of_word_suffix &&
    Object.keys(model).every(option => BPE_OPTIONS.has(option))
  )
}

/** The character vocabularies that CharTokenizer writes; null for anything else. */
function charTokenizer({ json, tokens, added, endOfText }: CheckedJson): Tokenizer | null {
  if (!isPlainBpe(json) || (json.model.merges as unknown[]).length > 0) return null
  if (json.pre_tokenizer || json.decoder?.type !== 'Fuse') return null
  const last = tokens.length - 1
  if (added.size > 1 || (added.size === 1 && added.get(last) !== END_OF_TEXT)) return null
  const characters = tokens.slice(0, added.size === 1 ? last : tokens.length)
  const single = (token: string | undefined) => token !== undefined && [...token].length === 1
  if (!characters.every(single)) return null
  return new CharTokenizer(characters as string[], { endOfText: endOfText !== null })
}

/** The fast encoder for a plain byte-level BPE; null for what only the pipeline knows. */
function bytePairTokenizer(checked: CheckedJson, source: string): Tokenizer | null {
  const { json, tokens, modelIds, added, addedTokens, startOfText, endOfText, name } = checked
  const split = splitOf(json.pre_tokenizer)
  if (!isPlainBpe(json) || split === undefined || json.decoder?.type !== 'ByteLevel') return null
  if (addedTokens.some(token => token.lstrip || token.rstrip || token.singleWord)) return null
  // Tokens looked for in the text as given come before those looked for in the normalized text.
  if (new Set(addedTokens.map(token => token.normalized)).size > 1) return null

  const encoder = new TextEncoder()
  const bytes: Uint8Array[] = []
  for (const [at, token] of tokens.entries()) {
    const special = added.get(at)
    const spelled =
      special !== undefined
        ? encoder.encode(special)
        : token === undefined
          ? new Uint8Array(0)
          : fromByteLevel(token)
    if (spelled === null) return null
    bytes.push(spelled)
  }
  const byteIds = BYTE_CHARACTERS.map(character => modelIds.get(character))
  if (byteIds.includes(undefined)) return null

  return new BytePairTokenizer({
    name,
    tokens: bytes,
    byteIds: Int32Array.from(byteIds as number[]),
    merges: mergesOf(json.model.merges as unknown[], modelIds, source),
    split,
    wholeWords: json.model.ignore_merges === true,
    addedTokens: [...added].map(([at, text]) => ({ id: at, content: text })),
    startOfText,
    endOfText,
    json: () => json,
  })
}

/** The word pattern of a pre-tokenizer, null for none (the text is one word), undefined for an unknown one. */
function splitOf(preTokenizer: unknown): RegExp | null | undefined {
  const simple = plainByteLevel.safeParse(preTokenizer)
  if (simple.success) return simple.data.use_regex ? GPT2_SPLIT : null
  const sequence = splitThenByteLevel.safeParse(preTokenizer)
  return sequence.success ? KNOWN_SPLITS.get(sequence.data.pretokenizers[0].pattern.Regex) : undefined
}
