// Every tokenizer.json that is not a plain byte-level BPE (SentencePiece-like, WordPiece, with normalization, …),
// encoded and decoded by @huggingface/tokenizers.

import { Tokenizer as HuggingFaceTokenizer } from '@huggingface/tokenizers'
import { TokenizerError } from '../../errors.js'
import { fromByteLevel } from './byte-level.js'
import { requireId, type Tokenizer } from './tokenizer.js'
import type { CheckedJson } from './tokenizer-json.js'

/** How SentencePiece vocabularies write a space and, with byte fallback, a byte. */
const SENTENCEPIECE_SPACE = '▁'
const FALLBACK_BYTE = /^<0x([0-9A-Fa-f]{2})>$/

export class LibraryTokenizer implements Tokenizer {
  readonly name: string
  readonly vocabSize: number
  readonly startOfText: number | null
  readonly endOfText: number | null
  readonly #checked: CheckedJson
  readonly #library: HuggingFaceTokenizer
  readonly #byteLevel: boolean

  /** Throws TokenizerError when the library cannot work with the file. */
  constructor(checked: CheckedJson, source: string) {
    this.#checked = checked
    this.name = checked.name
    this.vocabSize = checked.tokens.length
    this.startOfText = checked.startOfText
    this.endOfText = checked.endOfText
    this.#byteLevel = JSON.stringify(checked.json.decoder ?? null).includes('"ByteLevel"')
    try {
      this.#library = new HuggingFaceTokenizer(checked.json, { clean_up_tokenization_spaces: false })
    } catch (error) {
      throw new TokenizerError(
        'TOKENIZER_UNSUPPORTED',
        `tokenizer ${source}: @huggingface/tokenizers cannot use it: ${(error as Error).message}`,
        { cause: error },
      )
    }
  }

  /** Throws TokenizerError for text that the vocabulary cannot write. */
  encode(text: string): Int32Array {
    // The library gives undefined, against its own types, where neither a token nor an unknown-token fits.
    const ids: (number | undefined)[] = this.#run(
      () => this.#library.encode(text, { add_special_tokens: false }).ids,
    )
    const unknown = ids.indexOf(undefined)
    if (unknown >= 0) {
      throw new TokenizerError(
        'CHARACTER_UNKNOWN',
        `tokenizer ${this.name}: part of the text (after ${unknown} tokens) has no token in its vocabulary`,
      )
    }
    return Int32Array.from(ids as number[])
  }

  decode(ids: ArrayLike<number>): string {
    if (ids.length === 0) return ''
    const list = Array.from(ids)
    for (const id of list) requireId(this, id)
    return this.#run(() => this.#library.decode(list))
  }

  tokenBytes(id: number): Uint8Array {
    requireId(this, id)
    const text = this.#checked.tokens[id]
    if (text === undefined) return new Uint8Array(0)
    const plain = new TextEncoder()
    if (this.#checked.added.has(id)) return plain.encode(text)
    if (this.#byteLevel) return fromByteLevel(text) ?? plain.encode(text)
    const byte = FALLBACK_BYTE.exec(text)
    if (byte !== null && this.#checked.json.model.byte_fallback)
      return Uint8Array.of(Number.parseInt(byte[1], 16))
    return plain.encode(text.replaceAll(SENTENCEPIECE_SPACE, ' '))
  }

  toJSON(): object {
    return this.#checked.json
  }

  /** What the library throws comes from a file that it does not fully support, not from a bug of ours. */
  #run<T>(work: () => T): T {
    try {
      return work()
    } catch (error) {
      throw new TokenizerError(
        'TOKENIZER_UNSUPPORTED',
        `tokenizer ${this.name}: @huggingface/tokenizers failed: ${(error as Error).message}`,
        { cause: error },
      )
    }
  }
}
