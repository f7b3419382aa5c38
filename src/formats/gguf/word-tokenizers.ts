// The tokenizers of GGUF that are not pairs of bytes: Unigram (`t5`) and WordPiece (`bert`), by way of the tokenizer.json that
// says the same. Keys and rules: llama.cpp, llama-vocab.cpp.

import { type Piece, PieceType } from '../../data/tokenizers/sentencepiece.js'

/** What else the file says of a tokenizer. */
export interface WordTokenizerKeys {
  readonly unknown: number | null
  /** A Unigram text begins with a space. */
  readonly spacePrefix: boolean
  /** Spaces at its ends are left out, and several become one. */
  readonly removesExtraSpaces: boolean
  /** The table of replaced characters in base64; null without. */
  readonly characterMap: string | null
}

const SPACE = '▁'

const addedTokens = (pieces: readonly Piece[]) =>
  pieces.flatMap(({ text, type }, id) => {
    const isAdded = type === PieceType.control || type === PieceType.userDefined
    if (!isAdded) return []
    const special = type === PieceType.control
    return [
      { id, content: text, single_word: false, lstrip: false, rstrip: false, normalized: false, special },
    ]
  })

const common = { version: '1.0', truncation: null, padding: null, post_processor: null }

/** The tokenizer.json of a Unigram vocabulary. */
export function unigramJson(pieces: readonly Piece[], keys: WordTokenizerKeys): object {
  const { unknown, spacePrefix, removesExtraSpaces, characterMap } = keys
  const remove = (pattern: string, content: string) => {
    return { type: 'Replace', pattern: { Regex: pattern }, content }
  }
  // Before any text, also one that begins with a space; where extra ones are left out, it is none of them.
  const prefix = spacePrefix ? [{ type: 'Prepend', prepend: SPACE }] : []
  const normalizers = [
    ...(removesExtraSpaces ? [] : prefix),
    ...(characterMap === null ? [] : [{ type: 'PrecompiledLongest', precompiled_charsmap: characterMap }]),
    ...(removesExtraSpaces
      ? [remove('\\A +', ''), remove(' +\\z', ''), remove(' {2,}', ' '), ...prefix]
      : []),
  ]
  return {
    ...common,
    added_tokens: addedTokens(pieces),
    normalizer: normalizers.length > 0 ? { type: 'Sequence', normalizers } : null,
    pre_tokenizer: {
      type: 'Metaspace',
      replacement: SPACE,
      prepend_scheme: 'never',
      split: false,
    },
    decoder: {
      type: 'Metaspace',
      replacement: SPACE,
      prepend_scheme: spacePrefix ? 'always' : 'never',
      split: false,
    },
    model: {
      type: 'Unigram',
      unk_id: unknown,
      byte_fallback: pieces.some(({ type }) => type === PieceType.byte),
      // What is unused must not be found in any text.
      vocab: pieces.map(({ text, score, type }, id) => [
        type === PieceType.unused ? `\0unused ${id}` : text,
        score,
      ]),
    },
  }
}

/**
 * The tokenizer.json of a WordPiece vocabulary, without case. The file has ▁ before what begins a word and nothing before what
 * continues one, where tokenizer.json has nothing and ##.
 */
export function wordPieceJson(pieces: readonly Piece[], unknown: string): object {
  const written = ({ text, type }: Piece) => {
    if (type !== PieceType.normal) return text
    return text.startsWith(SPACE) ? text.slice(SPACE.length) : `##${text}`
  }
  return {
    ...common,
    added_tokens: addedTokens(pieces),
    normalizer: {
      type: 'BertNormalizer',
      clean_text: true,
      handle_chinese_chars: true,
      strip_accents: null,
      lowercase: true,
    },
    pre_tokenizer: { type: 'BertPreTokenizer' },
    decoder: { type: 'WordPiece', prefix: '##', cleanup: true },
    model: {
      type: 'WordPiece',
      unk_token: unknown,
      continuing_subword_prefix: '##',
      max_input_chars_per_word: 100,
      vocab: Object.fromEntries(pieces.map((piece, id) => [written(piece), id])),
    },
  }
}
