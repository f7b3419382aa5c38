// Tokens into text as they come. A character may be cut over several tokens: its first bytes are held back until the
// rest is there.

import type { Tokenizer } from '../data/tokenizer.js'

export class TextStream {
  readonly #tokenizer: Pick<Tokenizer, 'tokenBytes'>
  // A byte order mark in the middle of a text is a character as any other.
  readonly #decoder = new TextDecoder('utf-8', { ignoreBOM: true })

  constructor(tokenizer: Pick<Tokenizer, 'tokenBytes'>) {
    this.#tokenizer = tokenizer
  }

  /** The characters that are complete with this token; bytes that can never be UTF-8 become U+FFFD. */
  push(id: number): string {
    return this.#decoder.decode(this.#tokenizer.tokenBytes(id), { stream: true })
  }

  /** What was held back, as U+FFFD: nothing more will come. */
  end(): string {
    return this.#decoder.decode()
  }
}
