// The ids of words that have been encoded before: text repeats its words, and looking one up costs far less than joining its parts.

import type { IdBuffer } from './id-buffer.js'

/** Words that are remembered before all are forgotten. */
const CAPACITY = 1 << 17

export class WordCache {
  /** A single id as a number. */
  readonly #ids = new Map<string, number | Int32Array>()

  /** Appends the ids of `word` to `out` where they are known. Returns whether they are. */
  append(word: string, out: IdBuffer): boolean {
    const known = this.#ids.get(word)
    if (known === undefined) return false
    if (typeof known === 'number') out.push(known)
    else out.append(known, known.length)
    return true
  }

  /** `ids`: kept, not copied. */
  remember(word: string, ids: Int32Array): void {
    if (this.#ids.size >= CAPACITY) this.#ids.clear()
    this.#ids.set(word, ids.length === 1 ? ids[0] : ids)
  }
}
