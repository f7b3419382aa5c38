// What every model of a tokenizer.json is to the pipeline: a function from one word to ids.

import type { Context } from './components.js'

export interface WordModel {
  /** Appends the ids of a word; undefined for a part that the vocabulary cannot write. */
  encode(word: string, out: (number | undefined)[]): void
  /** Visits parts of a word that have the ids alone that they have in it; absent where there is no such rule. */
  eachPart?(word: string, visit: (part: string) => void): void
}

export interface ModelContext extends Context {
  /** Ids of the model's vocabulary, without tokens that are only added. */
  readonly ids: ReadonlyMap<string, number>
}

/** Ids of `<0x00>` … `<0xFF>`; undefined where there is none. */
export function fallbackBytes(ids: ReadonlyMap<string, number>): (number | undefined)[] {
  return Array.from({ length: 256 }, (_, byte) =>
    ids.get(`<0x${byte.toString(16).toUpperCase().padStart(2, '0')}>`),
  )
}
