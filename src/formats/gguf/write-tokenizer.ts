// A tokenizer as GGUF holds it. Where llama.cpp knows a way that gives the same ids, that way; else no tokenizer for
// llama.cpp (`none`), and the whole tokenizer.json for us.

import { z } from 'zod'
import { BYTE_CHARACTERS } from '../../data/tokenizers/byte-level.js'
import { type Piece, PieceType, SentencePieceBpe } from '../../data/tokenizers/sentencepiece.js'
import { requireVocabularyFits, type Tokenizer } from '../../data/tokenizers/tokenizer.js'
import { quoted } from '../safetensors.js'
import type { MetadataEntry } from './config.js'
import { preTokenizerName } from './pre-tokenizers.js'
import { HUGGING_FACE_JSON } from './read-tokenizer.js'

export interface WrittenTokenizer {
  readonly entries: readonly MetadataEntry[]
  /** Whether llama.cpp can use it. */
  readonly known: boolean
  /** Where llama.cpp gives other ids with it than Flicker, in a sentence each; often empty. */
  readonly notes: readonly string[]
}

/** `vocabSize`: rows of the model, up to which the vocabulary is filled. Throws TokenizerError VOCABULARY_MISMATCH. */
export function tokenizerMetadata(tokenizer: Tokenizer, vocabSize: number): WrittenTokenizer {
  requireVocabularyFits(tokenizer, vocabSize)
  const json = tokenizer.toJSON()
  const found =
    tokenizer instanceof SentencePieceBpe ? fromPieces(tokenizer) : (scored(json) ?? byteLevel(json))
  const endOfText = tokenizer.endOfText
  // llama.cpp takes a token of its own choice for an end of text that is not given.
  if (found === null || endOfText === null || hasDuplicates(found.pieces)) {
    return {
      entries: [
        ['tokenizer.ggml.model', 'string', 'none'],
        [HUGGING_FACE_JSON, 'string', JSON.stringify(json)],
      ],
      known: false,
      notes: [],
    }
  }
  const pieces = [...found.pieces]
  for (let id = pieces.length; id < vocabSize; id++) {
    pieces.push({ text: `[PAD${id}]`, score: 0, type: PieceType.unused })
  }
  const start = tokenizer.startOfText ?? null
  const unknown = pieces.findIndex(({ type }) => type === PieceType.unknown)
  const entries: MetadataEntry[] = [
    ['tokenizer.ggml.model', 'string', found.model],
    ['tokenizer.ggml.pre', 'string', found.pre],
    ['tokenizer.ggml.tokens', 'strings', pieces.map(({ text }) => text)],
    ['tokenizer.ggml.token_type', 'i32s', pieces.map(({ type }) => type)],
    ['tokenizer.ggml.bos_token_id', 'u32', start ?? endOfText],
    ['tokenizer.ggml.eos_token_id', 'u32', endOfText],
    ['tokenizer.ggml.add_bos_token', 'bool', start !== null],
    ['tokenizer.ggml.add_eos_token', 'bool', false],
  ]
  if (found.model === 'llama') {
    entries.push(['tokenizer.ggml.scores', 'f32s', pieces.map(({ score }) => score)])
    entries.push(['tokenizer.ggml.add_space_prefix', 'bool', found.spacePrefix])
    if (unknown >= 0) entries.push(['tokenizer.ggml.unknown_token_id', 'u32', unknown])
  } else {
    entries.push(['tokenizer.ggml.merges', 'strings', found.merges])
  }
  const notes = [...found.notes, ...flagNotes(json)]
  if (notes.length > 0) entries.push([HUGGING_FACE_JSON, 'string', JSON.stringify(json)])
  return { entries, known: true, notes }
}

interface Found {
  readonly model: 'llama' | 'gpt2'
  readonly pre: string
  readonly pieces: readonly Piece[]
  readonly merges: readonly string[]
  readonly spacePrefix: boolean
  /** What the tokenizer.json says and llama.cpp does not do; the file then holds the tokenizer.json too. */
  readonly notes: readonly string[]
}

/** llama.cpp knows neither spaces as suffixes nor user-defined symbols inside words. */
function fromPieces({ vocabulary }: SentencePieceBpe): Found | null {
  const { pieces, spacePrefix, spaceSuffix = false, userDefinedSymbols = false } = vocabulary
  const hasSymbols = userDefinedSymbols && pieces.some(({ type }) => type === PieceType.userDefined)
  if (hasSymbols || (spacePrefix && spaceSuffix)) return null
  return { model: 'llama', pre: 'default', pieces, merges: [], spacePrefix, notes: [] }
}

const flag = z.boolean().default(false)
const token = z.looseObject({
  id: z.int(),
  content: z.string(),
  special: flag,
  single_word: flag,
  lstrip: flag,
  rstrip: flag,
  normalized: z.boolean().optional(),
})
const flagged = z.looseObject({ added_tokens: z.array(token), normalizer: z.unknown() })

/** What llama.cpp does not know of added tokens, one note per flag. */
function flagNotes(json: object): string[] {
  const { added_tokens, normalizer } = flagged.parse(json)
  const effects = [
    ['single_word', 'as a part of a word'],
    ['lstrip', 'behind white space'],
    ['rstrip', 'before white space'],
  ] as const
  const notes = effects.flatMap(([name, where]) => {
    const tokens = added_tokens.filter(added => added[name])
    if (tokens.length === 0) return []
    return [`llama.cpp does not know "${name}" and gives other ids for ${named(tokens)} ${where}`]
  })
  const normalized = added_tokens.filter(added => added.normalized ?? !added.special)
  if (normalizer && normalized.length > 0) {
    notes.push(
      `llama.cpp finds ${named(normalized)} in the text as given, not in the normalized text, and may give other ids`,
    )
  }
  return notes
}

function named(tokens: readonly { content: string }[]): string {
  const texts = tokens.slice(0, 3).map(({ content }) => quoted(content))
  return texts.join(', ') + (tokens.length > 3 ? ` and ${tokens.length - 3} more` : '')
}

const bpe = z.looseObject({
  added_tokens: z.array(token),
  normalizer: z.unknown(),
  pre_tokenizer: z.unknown(),
  decoder: z.unknown(),
  model: z.looseObject({
    type: z.literal('BPE').default('BPE'),
    vocab: z.record(z.string(), z.int()),
    merges: z.array(z.union([z.string(), z.tuple([z.string(), z.string()])])),
    unk_token: z.string().nullish(),
    byte_fallback: z.boolean().default(false),
    ignore_merges: z.boolean().nullish(),
    dropout: z.number().nullish(),
    continuing_subword_prefix: z.string().nullish(),
    end_of_word_suffix: z.string().nullish(),
  }),
})
type Bpe = z.infer<typeof bpe>

/** A BPE without anything that changes what its merges do. */
function plainBpe(json: object): Bpe | null {
  const parsed = bpe.safeParse(json)
  if (!parsed.success) return null
  const { dropout, continuing_subword_prefix, end_of_word_suffix } = parsed.data.model
  return dropout || continuing_subword_prefix || end_of_word_suffix ? null : parsed.data
}

/** A byte-level BPE whose words llama.cpp cuts the same way. Unicode normalization is beyond it. */
function byteLevel(json: object): Found | null {
  const found = plainBpe(json)
  if (found === null || found.model.byte_fallback || Object(found.decoder).type !== 'ByteLevel') return null
  const { normalizer, model } = found
  const normalizes = normalizer !== null && normalizer !== undefined
  if (normalizes && Object(normalizer).type !== 'NFC') return null
  const pre = preTokenizerName(found.pre_tokenizer, model.ignore_merges === true)
  if (pre === null || !BYTE_CHARACTERS.every(character => Object.hasOwn(model.vocab, character))) return null
  return {
    model: 'gpt2',
    pre,
    pieces: piecesOf(found),
    merges: pairsOf(found).map(([left, right]) => `${left} ${right}`),
    spacePrefix: false,
    notes: normalizes
      ? ['llama.cpp does not normalize text and gives other ids for text that is not in the form NFC']
      : [],
  }
}

/**
 * A BPE that came from a SentencePiece model: the score of a piece is its rank among the merges. This is the same only
 * when a piece's merges stand together and none of them is missing.
 */
function scored(json: object): Found | null {
  const found = plainBpe(json)
  if (found?.model.byte_fallback !== true || found.pre_tokenizer) return null
  const spacePrefix = sentencePieceNormalizer(found.normalizer)
  if (spacePrefix === null || found.model.ignore_merges) return null
  const { vocab } = found.model
  const ranks = new Map<string, number>()
  const merged = new Map<string, number>()
  let previous = ''
  for (const [left, right] of pairsOf(found)) {
    const union = left + right
    if (union !== previous && ranks.has(union)) return null
    if (!ranks.has(union)) ranks.set(union, ranks.size)
    merged.set(union, (merged.get(union) ?? 0) + 1)
    previous = union
  }
  const special = new Set(found.added_tokens.map(({ content }) => content))
  const ordinary = (text: string) => Object.hasOwn(vocab, text) && !special.has(text) && !isByte(text)
  const pieces = piecesOf(found).map((piece): Piece => {
    if (piece.type !== PieceType.normal) return piece
    if (isByte(piece.text)) return { ...piece, type: PieceType.byte }
    return { ...piece, score: ranks.has(piece.text) ? -ranks.get(piece.text)! : -ranks.size }
  })
  for (const { text, type } of pieces) {
    if (type !== PieceType.normal) continue
    let ways = 0
    for (let cut = 1; cut < text.length; cut++) {
      if (ordinary(text.slice(0, cut)) && ordinary(text.slice(cut))) ways++
    }
    if (ways !== (merged.get(text) ?? 0)) return null
  }
  const unknown = found.model.unk_token ?? '<unk>'
  const withUnknown = pieces.map(piece =>
    piece.text === unknown ? { ...piece, type: PieceType.unknown } : piece,
  )
  return { model: 'llama', pre: 'default', pieces: withUnknown, merges: [], spacePrefix, notes: [] }
}

const replaceSpace = z.looseObject({
  type: z.literal('Replace'),
  pattern: z.looseObject({ String: z.literal(' ') }),
  content: z.literal('\u2581'),
})
const prepend = z.looseObject({ type: z.literal('Prepend'), prepend: z.literal('\u2581') })
const prefixed = z.looseObject({ type: z.literal('Sequence'), normalizers: z.tuple([prepend, replaceSpace]) })
const unprefixed = z.union([
  replaceSpace,
  z.looseObject({ type: z.literal('Sequence'), normalizers: z.tuple([replaceSpace]) }),
])

/** Whether a SentencePiece normalizer puts a space before the text; null when it is none. */
function sentencePieceNormalizer(normalizer: unknown): boolean | null {
  if (prefixed.safeParse(normalizer).success) return true
  return unprefixed.safeParse(normalizer).success ? false : null
}

function isByte(text: string): boolean {
  return /^<0x[0-9A-F]{2}>$/.test(text)
}

function pairsOf({ model }: Bpe): [left: string, right: string][] {
  return model.merges.map(merge => {
    if (typeof merge !== 'string') return merge
    const space = merge.indexOf(' ', 1)
    return [merge.slice(0, space), merge.slice(space + 1)]
  })
}

/** Every id's text; ids that no token has are filled up. */
function piecesOf({ model, added_tokens }: Bpe): Piece[] {
  const pieces: (Piece | undefined)[] = []
  for (const [text, id] of Object.entries(model.vocab))
    pieces[id] = { text, score: 0, type: PieceType.normal }
  for (const { id, content, special } of added_tokens) {
    pieces[id] = { text: content, score: 0, type: special ? PieceType.control : PieceType.userDefined }
  }
  return Array.from(pieces, (piece, id) => piece ?? { text: `[PAD${id}]`, score: 0, type: PieceType.unused })
}

/** llama.cpp refuses a vocabulary in which a text stands twice. */
function hasDuplicates(pieces: readonly Piece[]): boolean {
  return new Set(pieces.map(({ text }) => text)).size < pieces.length
}
