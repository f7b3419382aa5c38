// Tokens into text as they come. A character may be cut over several tokens: its first bytes are held back until the
// rest is there.

import type { Tokenizer } from '../../data/tokenizers/tokenizer.js'

export class TextStream {
  readonly #tokenizer: Pick<Tokenizer, 'tokenBytes' | 'decode'>
  // A byte order mark in the middle of a text is a character as any other.
  readonly #decoder = new TextDecoder('utf-8', { ignoreBOM: true })
  #atStart: boolean

  /** isWhole: the first token begins a text, and does not go on from one. */
  constructor(tokenizer: Pick<Tokenizer, 'tokenBytes' | 'decode'>, isWhole = false) {
    this.#tokenizer = tokenizer
    this.#atStart = isWhole
  }

  /** The characters that are complete with this token; bytes that can never be UTF-8 become U+FFFD. */
  push(id: number): string {
    const text = this.#decoder.decode(this.#tokenizer.tokenBytes(id), { stream: true })
    if (!this.#atStart) return text
    this.#atStart = false
    // SentencePiece writes every text with a space before it, which is none of the text's; decode knows.
    return text.startsWith(' ') && !this.#tokenizer.decode([id]).startsWith(' ') ? text.slice(1) : text
  }

  /** What was held back, as U+FFFD: nothing more will come. */
  end(): string {
    return this.#decoder.decode()
  }
}
