// The character-level tokenizer of char-rnn and nanoGPT: one id per Unicode character of a text, sorted.

import { TokenizerError } from '../../errors.js'
import { longestFirstPattern } from './pipeline/added-tokens.js'
import { END_OF_TEXT, requireId, type Tokenizer } from './tokenizer.js'

const textEncoder = new TextEncoder()

export class CharTokenizer implements Tokenizer {
  readonly name: string
  readonly vocabSize: number
  readonly endOfText: number | null
  readonly #characters: readonly string[]
  readonly #ids: ReadonlyMap<string, number>
  readonly #added: RegExp | null

  /** Ids are the positions in `characters`; with `endOfText`, `<|endoftext|>` comes after them. */
  constructor(characters: readonly string[], options: { endOfText: boolean }) {
    this.#characters = characters
    this.#ids = new Map(characters.map((character, id) => [character, id]))
    this.endOfText = options.endOfText ? characters.length : null
    this.vocabSize = characters.length + (options.endOfText ? 1 : 0)
    this.name = `chars ${this.vocabSize}`
    this.#added = this.endOfText === null ? null : longestFirstPattern([END_OF_TEXT])
  }

  /** Throws TokenizerError for a character outside the vocabulary. */
  encode(text: string): Int32Array {
    const ids = new Int32Array(text.length)
    let n = 0
    let offset = 0
    const sections = this.#added === null ? [text] : text.split(this.#added)
    for (const [index, section] of sections.entries()) {
      if (index > 0) {
        ids[n++] = this.endOfText!
        offset += END_OF_TEXT.length
      }
      for (const character of section) {
        ids[n++] = this.#idOf(character, offset)
        offset += character.length
      }
    }
    return ids.slice(0, n)
  }

  decode(ids: ArrayLike<number>): string {
    let text = ''
    for (let i = 0; i < ids.length; i++) text += this.#textOf(ids[i])
    return text
  }

  tokenBytes(id: number): Uint8Array {
    return textEncoder.encode(this.#textOf(id))
  }

  /** A BPE without merges, which cuts text into characters; unlike ours it passes over unknown characters. */
  toJSON(): object {
    const tokens = this.endOfText === null ? this.#characters : [...this.#characters, END_OF_TEXT]
    const added = { single_word: false, lstrip: false, rstrip: false, normalized: false, special: true }
    return {
      version: '1.0',
      truncation: null,
      padding: null,
      added_tokens: this.endOfText === null ? [] : [{ id: this.endOfText, content: END_OF_TEXT, ...added }],
      normalizer: null,
      pre_tokenizer: null,
      post_processor: null,
      decoder: { type: 'Fuse' },
      model: {
        type: 'BPE',
        dropout: null,
        unk_token: null,
        continuing_subword_prefix: null,
        end_of_word_suffix: null,
        fuse_unk: false,
        byte_fallback: false,
        ignore_merges: false,
        vocab: Object.fromEntries(tokens.map((token, id) => [token, id])),
        merges: [],
      },
    }
  }

  #idOf(character: string, offset: number): number {
    const id = this.#ids.get(character)
    if (id !== undefined) return id
    const code = character.codePointAt(0)!.toString(16).toUpperCase().padStart(4, '0')
    throw new TokenizerError(
      'CHARACTER_UNKNOWN',
      `tokenizer ${this.name}: the character ${JSON.stringify(character)} (U+${code}) at offset ${offset} is not in ` +
        'its vocabulary; use "bytes" or "bpe:4096", which can write any text',
    )
  }

  #textOf(id: number): string {
    requireId(this, id)
    return id === this.endOfText ? END_OF_TEXT : this.#characters[id]
  }
}

/**
 * The characters of `texts`, sorted by code point. A single text needs no separator and gets none, so that
 * tinyshakespeare has its well-known 65 symbols; several get `<|endoftext|>`.
 */
export function charTokenizer(texts: readonly string[]): CharTokenizer {
  const found = new Set<string>()
  for (const text of texts) for (const character of text) found.add(character)
  const sorted = [...found].sort((a, b) => a.codePointAt(0)! - b.codePointAt(0)!)
  return new CharTokenizer(sorted, { endOfText: texts.length > 1 })
}
