// What earlier requests have read, for later ones that begin with it: a prompt with a known beginning is read from there.

import type { Session } from '../engine/index.js'

interface Entry {
  /** Sessions are interchangeable only with equal keys. */
  readonly key: string
  readonly tokens: readonly number[]
  /** Has read `tokens`, and reads nothing more: it is only forked. */
  readonly session: Session
  readonly bytes: number
}

/** How many beginnings are kept at most: each is compared with every new prompt. */
const MOST_ENTRIES = 64

export class PrefixCache {
  /** Least recently used first. */
  #entries: Entry[] = []
  readonly #bytesPerToken: number
  #limit: number

  /** `limit`: bytes of keys and values to hold at most. */
  constructor(bytesPerToken: number, limit: number) {
    this.#bytesPerToken = bytesPerToken
    this.#limit = limit
  }

  /** Bytes that the entries hold; a beginning that two of them share counts twice. */
  get bytes(): number {
    return this.#entries.reduce((sum, { bytes }) => sum + bytes, 0)
  }

  get size(): number {
    return this.#entries.length
  }

  /** The session that has read the longest beginning of `tokens`, at most all of them; null when there is none. */
  find(key: string, tokens: readonly number[]): Session | null {
    let best: Entry | null = null
    for (const entry of this.#entries) {
      if (entry.key !== key || entry.tokens.length <= (best?.tokens.length ?? 0)) continue
      if (isPrefix(entry.tokens, tokens)) best = entry
    }
    if (best === null) return null
    this.#entries = [...this.#entries.filter(entry => entry !== best), best]
    return best.session
  }

  /** Keeps `session`, which has read `tokens` and must not read on, in place of what is used least. */
  add(key: string, tokens: readonly number[], session: Session): void {
    const bytes = tokens.length * this.#bytesPerToken
    if (tokens.length === 0 || bytes > this.#limit) return
    const others = this.#entries.filter(
      entry =>
        !(entry.key === key && entry.tokens.length === tokens.length && isPrefix(entry.tokens, tokens)),
    )
    this.#entries = [...others, { key, tokens, session, bytes }]
    this.shrink(this.#limit)
  }

  /** Drops what is used least until at most `bytes` are held. */
  shrink(bytes: number): void {
    let held = this.bytes
    let dropped = 0
    while (held > bytes || this.#entries.length - dropped > MOST_ENTRIES)
      held -= this.#entries[dropped++].bytes
    if (dropped > 0) this.#entries = this.#entries.slice(dropped)
  }
}

function isPrefix(beginning: readonly number[], tokens: readonly number[]): boolean {
  if (beginning.length > tokens.length) return false
  for (let i = 0; i < beginning.length; i++) if (beginning[i] !== tokens[i]) return false
  return true
}
