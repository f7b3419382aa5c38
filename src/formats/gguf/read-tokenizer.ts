// The tokenizer inside a GGUF file: `llama` (SentencePiece's BPE with scores), `gpt2` (byte-level BPE with merges), or
// a whole tokenizer.json where there is one.

import { type Piece, PieceType, SentencePieceBpe } from '../../data/tokenizers/sentencepiece.js'
import type { Tokenizer } from '../../data/tokenizers/tokenizer.js'
import { tokenizerFromJson } from '../../data/tokenizers/tokenizer-json.js'
import { TokenizerError } from '../../errors.js'
import { quoted } from '../safetensors.js'
import { DEFAULT_PRE_TOKENIZER, preTokenizerJson, whyNotRead } from './pre-tokenizers.js'
import type { Metadata } from './types.js'
import { unigramJson, wordPieceJson } from './word-tokenizers.js'

/** A whole tokenizer.json, which says more than llama.cpp's keys. */
export const HUGGING_FACE_JSON = 'tokenizer.huggingface.json'

/** −1 as an unsigned number of 32 bits, which llama.cpp writes for a token that a vocabulary lacks. */
const NO_TOKEN = 2 ** 32 - 1

const PIECE_TYPES: readonly number[] = Object.values(PieceType)

/** Throws TokenizerError: TOKENIZER_NOT_FOUND (there is none), TOKENIZER_UNSUPPORTED, TOKENIZER_INVALID. */
export function readGgufTokenizer(metadata: Metadata, file: string): Tokenizer {
  const keys = new TokenizerKeys(metadata, file)
  const json = metadata.get(HUGGING_FACE_JSON)
  if (typeof json === 'string') return fromJson(json, keys)
  const model = keys.text('model')
  if (model === 'llama') return sentencePiece(keys)
  if (model === 'gpt2') return byteLevelBpe(keys)
  if (model === 't5') return unigram(keys)
  if (model === 'bert') return wordPiece(keys)
  if (model === undefined || model === 'none' || model === 'no_vocab') {
    throw new TokenizerError(
      'TOKENIZER_NOT_FOUND',
      `tokenizer: ${file} has none in it; give one with --tokenizer`,
    )
  }
  throw new TokenizerError(
    'TOKENIZER_UNSUPPORTED',
    `tokenizer of ${file}: tokenizer.ggml.model ${quoted(model)} is not supported; supported: llama, gpt2, t5, bert; ` +
      'or give one with --tokenizer',
  )
}

/** What a user should know of how the tokenizer was understood. */
export function ggufTokenizerNotes(metadata: Metadata): string[] {
  const says = (key: string) => metadata.has(`tokenizer.ggml.${key}`)
  const isBpe = metadata.get('tokenizer.ggml.model') === 'gpt2'
  if (!isBpe || says('pre') || metadata.has(HUGGING_FACE_JSON)) return []
  return [
    'the file does not say how its tokenizer cuts text into words (tokenizer.ggml.pre is missing): ' +
      "llama.cpp's default is used, which may not be what the model was trained with",
  ]
}

function sentencePiece(keys: TokenizerKeys): Tokenizer {
  const pieces = keys.pieces()
  const [start = 1, end = 2] = [keys.id('bos_token_id', pieces), keys.id('eos_token_id', pieces)]
  return new SentencePieceBpe({
    source: keys.file,
    pieces,
    spacePrefix: keys.flag('add_space_prefix') ?? true,
    startOfText: (keys.flag('add_bos_token') ?? true) ? start : null,
    endOfText: end,
  })
}

function unigram(keys: TokenizerKeys): Tokenizer {
  const pieces = keys.pieces()
  const json = unigramJson(pieces, {
    unknown: unknownPiece(keys, pieces),
    spacePrefix: keys.flag('add_space_prefix') ?? false,
    removesExtraSpaces: keys.flag('remove_extra_whitespaces') ?? false,
    characterMap: keys.base64('precompiled_charsmap') ?? null,
  })
  return tokenizerFromJson(json, keys.file, ends(keys, pieces, false))
}

function wordPiece(keys: TokenizerKeys): Tokenizer {
  const pieces = keys.pieces()
  const unknown = unknownPiece(keys, pieces)
  if (unknown === null) throw keys.invalid('tokenizer.ggml.unknown_token_id is missing')
  return tokenizerFromJson(wordPieceJson(pieces, pieces[unknown].text), keys.file, ends(keys, pieces, true))
}

function unknownPiece(keys: TokenizerKeys, pieces: readonly Piece[]): number | null {
  const id = keys.id('unknown_token_id', pieces)
  if (id !== undefined) return id
  const found = pieces.findIndex(({ type }) => type === PieceType.unknown)
  return found < 0 ? null : found
}

/** With what texts begin and end; `begins`: they do where the file does not say. */
function ends(keys: TokenizerKeys, pieces: readonly Piece[], begins: boolean) {
  const start = (keys.flag('add_bos_token') ?? begins) ? (keys.id('bos_token_id', pieces) ?? null) : null
  const end = keys.id('eos_token_id', pieces) ?? null
  return {
    startOfText: start === null ? null : pieces[start].text,
    endOfText: end === null ? undefined : pieces[end].text,
  }
}

/** By way of the tokenizer.json that says the same. */
function byteLevelBpe(keys: TokenizerKeys): Tokenizer {
  const pieces = keys.pieces()
  const merges = keys.texts('merges')
  if (merges === undefined) throw keys.invalid('tokenizer.ggml.merges is missing')
  const name = keys.text('pre') ?? DEFAULT_PRE_TOKENIZER
  const pre = preTokenizerJson(name)
  if (pre === null) {
    throw new TokenizerError(
      'TOKENIZER_UNSUPPORTED',
      `tokenizer of ${keys.file}: tokenizer.ggml.pre ${quoted(name)} ${whyNotRead(name)}; or give a ` +
        'tokenizer.json with --tokenizer',
    )
  }
  const isAdded = ({ type }: Piece) =>
    type === PieceType.control || type === PieceType.userDefined || type === PieceType.unknown
  const vocab = pieces.flatMap((piece, id) =>
    piece.type === PieceType.unused ? [] : [[piece.text, id] as const],
  )
  return tokenizerFromJson(
    {
      version: '1.0',
      truncation: null,
      padding: null,
      added_tokens: pieces.flatMap((piece, id) =>
        isAdded(piece)
          ? [
              {
                id,
                content: piece.text,
                single_word: false,
                lstrip: false,
                rstrip: false,
                normalized: false,
                special: piece.type !== PieceType.userDefined,
              },
            ]
          : [],
      ),
      normalizer: null,
      pre_tokenizer: pre.json,
      post_processor: null,
      decoder: { type: 'ByteLevel', add_prefix_space: true, trim_offsets: true, use_regex: true },
      model: {
        type: 'BPE',
        dropout: null,
        unk_token: null,
        continuing_subword_prefix: null,
        end_of_word_suffix: null,
        fuse_unk: false,
        byte_fallback: false,
        ignore_merges: pre.wholeWords,
        vocab: Object.fromEntries(vocab),
        merges: [...merges],
      },
    },
    keys.file,
    ends(keys, pieces, pre.wholeWords),
  )
}

function fromJson(json: string, keys: TokenizerKeys): Tokenizer {
  let content: unknown
  try {
    content = JSON.parse(json)
  } catch (cause) {
    throw keys.invalid(`${HUGGING_FACE_JSON} is not JSON`, cause)
  }
  const tokens = keys.texts('tokens')
  const textOf = (key: string) => {
    const id = tokens === undefined ? null : (keys.id(key, tokens) ?? null)
    return id === null ? undefined : tokens?.[id]
  }
  const atStart = keys.flag('add_bos_token')
  return tokenizerFromJson(content, keys.file, {
    endOfText: textOf('eos_token_id'),
    startOfText: atStart === undefined ? undefined : atStart ? (textOf('bos_token_id') ?? null) : null,
  })
}

/** The values under `tokenizer.ggml`, each of the type it should have. */
class TokenizerKeys {
  readonly file: string
  readonly #metadata: Metadata

  constructor(metadata: Metadata, file: string) {
    this.#metadata = metadata
    this.file = file
  }

  invalid(what: string, cause?: unknown): TokenizerError {
    return new TokenizerError('TOKENIZER_INVALID', `tokenizer of ${this.file}: ${what}`, { cause })
  }

  has(key: string): boolean {
    return this.#metadata.has(`tokenizer.ggml.${key}`)
  }

  text(key: string): string | undefined {
    return this.#typed(key, 'a text', (value): value is string => typeof value === 'string')
  }

  flag(key: string): boolean | undefined {
    return this.#typed(key, 'true or false', (value): value is boolean => typeof value === 'boolean')
  }

  texts(key: string): readonly string[] | undefined {
    const isTexts = (value: unknown): value is readonly string[] =>
      Array.isArray(value) && value.every(text => typeof text === 'string')
    return this.#typed(key, 'a list of texts', isTexts)
  }

  /** A list of bytes, signed or not, in base64; undefined where it is missing or empty. */
  base64(key: string): string | undefined {
    const bytes = this.#numbers(key)
    if (bytes === undefined || bytes.length === 0) return undefined
    if (!bytes.every(byte => Number.isInteger(byte) && byte >= -128 && byte <= 255)) {
      throw this.invalid(`tokenizer.ggml.${key} is not a list of bytes`)
    }
    let text = ''
    for (const byte of bytes) text += String.fromCharCode(byte & 255)
    return btoa(text)
  }

  #numbers(key: string): Float64Array | undefined {
    return this.#typed(key, 'a list of numbers', value => value instanceof Float64Array)
  }

  /** An id of `vocabulary`; undefined when the key is missing, null when it says that there is no such token. */
  id(key: string, vocabulary: { readonly length: number }): number | null | undefined {
    const id = this.#typed(key, 'a number', (value): value is number => typeof value === 'number')
    if (id === -1 || id === NO_TOKEN) return null
    if (id === undefined || (Number.isInteger(id) && id >= 0 && id < vocabulary.length)) return id
    throw this.invalid(`tokenizer.ggml.${key} is ${id}, outside the vocabulary of ${vocabulary.length}`)
  }

  /** The vocabulary, without the unused tokens at its end that only fill up the model's rows. */
  pieces(): Piece[] {
    const tokens = this.texts('tokens')
    if (tokens === undefined || tokens.length === 0)
      throw this.invalid('tokenizer.ggml.tokens is missing or empty')
    const scores = this.#numbers('scores')
    const types = this.#numbers('token_type')
    for (const [name, list] of [
      ['scores', scores],
      ['token_type', types],
    ] as const) {
      if (list !== undefined && list.length !== tokens.length) {
        throw this.invalid(`tokenizer.ggml.${name} has ${list.length} values for ${tokens.length} tokens`)
      }
    }
    const pieces = tokens.map((text, id): Piece => {
      const type = types?.[id] ?? PieceType.normal
      if (!PIECE_TYPES.includes(type)) throw this.invalid(`token ${id} has the unknown type ${type}`)
      return { text, score: scores?.[id] ?? 0, type: type as PieceType }
    })
    while (pieces.at(-1)?.type === PieceType.unused) pieces.pop()
    return pieces
  }

  #typed<T>(key: string, what: string, is: (value: unknown) => value is T): T | undefined {
    const value = this.#metadata.get(`tokenizer.ggml.${key}`)
    if (value === undefined || is(value)) return value
    throw this.invalid(`tokenizer.ggml.${key} is not ${what}`)
  }
}
