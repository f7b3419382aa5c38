// Stop strings: a generated text ends before the first of them. Characters that could still become one are held back until
// that is decided, so that no part of a stop string is ever returned.

import { OptionError } from '../../errors.js'
import { received } from '../option-checks.js'

/** Half of a character in UTF-16. */
const LONE_SURROGATE = /\p{Surrogate}/u

/** The stop strings as a list. Throws OptionError STOP_INVALID. */
export function checkStops(stop: string | readonly string[] | undefined): readonly string[] {
  const stops = stop === undefined ? [] : typeof stop === 'string' ? [stop] : stop
  if (!Array.isArray(stops)) {
    throw new OptionError('STOP_INVALID', `stop must be a string or a list of strings, not ${received(stop)}`)
  }
  for (const text of stops) {
    if (typeof text === 'string' && text.length > 0 && !LONE_SURROGATE.test(text)) continue
    throw new OptionError(
      'STOP_INVALID',
      `stop ${received(text)} cannot occur in a text; give at least one whole character`,
    )
  }
  return stops
}

/**
 * Looks for stop strings in a text that arrives in pieces. The one found is the one that is complete first, and the longest
 * of those complete with the same character: the result does not depend on how the text is split into pieces.
 */
export class StopStrings {
  readonly #stops: readonly string[]
  #held = ''
  #found: string | null = null

  constructor(stops: readonly string[]) {
    this.#stops = stops
  }

  /** The stop string that ended the text, or null. Nothing is returned after it. */
  get found(): string | null {
    return this.#found
  }

  /** The text that `piece` makes certain: no part of it can belong to a stop string. */
  push(piece: string): string {
    if (this.#found !== null) return ''
    if (this.#stops.length === 0) return piece
    const text = this.#held + piece
    let [start, end] = [text.length, Number.POSITIVE_INFINITY]
    for (const stop of this.#stops) {
      const at = text.indexOf(stop)
      if (at === -1 || at + stop.length > end || (at + stop.length === end && at > start)) continue
      this.#found = stop
      start = at
      end = at + stop.length
    }
    if (this.#found === null) start -= this.#pending(text)
    this.#held = this.#found === null ? text.slice(start) : ''
    return text.slice(0, start)
  }

  /** What was held back, once no more text will come. */
  end(): string {
    const held = this.#held
    this.#held = ''
    return held
  }

  /** Number of characters at the end of `text` that begin a stop string, the largest possible. */
  #pending(text: string): number {
    let most = 0
    for (const stop of this.#stops) {
      for (let length = Math.min(stop.length - 1, text.length); length > most; length--) {
        if (!text.endsWith(stop.slice(0, length))) continue
        most = length
        break
      }
    }
    return most
  }
}
