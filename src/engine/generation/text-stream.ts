// Tokens into text as they come. A character may be cut over several tokens: its first bytes are held back until the
// rest is there.

import type { Tokenizer } from '../../data/tokenizers/tokenizer.js'

export class TextStream {
  readonly #spell: (id: number) => Uint8Array
  // A byte order mark in the middle of a text is an ordinary character.
  readonly #decoder = new TextDecoder('utf-8', { ignoreBOM: true })

  /** isWhole: the first token begins a text; false: it continues one. */
  constructor(tokenizer: Pick<Tokenizer, 'tokenBytes' | 'speller'>, isWhole = false) {
    this.#spell = tokenizer.speller?.(isWhole) ?? (id => tokenizer.tokenBytes(id))
  }

  /** The characters that are complete with this token; bytes that can never be UTF-8 become U+FFFD. */
  push(id: number): string {
    return this.#decoder.decode(this.#spell(id), { stream: true })
  }

  /** What was held back, as U+FFFD: nothing more will come. */
  end(): string {
    return this.#decoder.decode()
  }
}
