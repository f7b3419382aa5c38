// Tokens that are found in the text before it is cut into words, with the flags of Hugging Face's AddedToken.

import { escapeRegExp } from './components.js'

export interface AddedToken {
  readonly id: number
  readonly content: string
  /** Found only where no word character stands beside it. */
  readonly singleWord: boolean
  /** Takes the white space before it. */
  readonly lstrip: boolean
  /** Takes the white space after it. */
  readonly rstrip: boolean
  /** Looked for in the normalized text instead of the text as given. */
  readonly normalized: boolean
  /** No part of ordinary text: a control token. */
  readonly special: boolean
}

/** A part of a text: the id of an added token, or text between them. */
export type Section = { readonly id: number } | { readonly text: string; readonly start: number }

const WORD = /^[\p{Alphabetic}\p{M}\p{Nd}\p{Pc}\p{Join_Control}]/u
const WHITE_SPACE = /\p{White_Space}/u

/** Finds added tokens from the left, the longest where several begin. */
export class AddedTokenFinder {
  readonly #pattern: RegExp | null
  readonly #tokens = new Map<string, AddedToken>()

  /** contents: the text that each token is found by. The first of two with one text counts. */
  constructor(tokens: readonly AddedToken[], contents = tokens.map(({ content }) => content)) {
    for (const [i, token] of tokens.entries()) {
      if (contents[i] !== '' && !this.#tokens.has(contents[i])) this.#tokens.set(contents[i], token)
    }
    this.#pattern = longestFirstPattern([...this.#tokens.keys()])
  }

  /** `text` cut into sections; none of them is empty text. */
  split(text: string): Section[] {
    if (this.#pattern === null) return text === '' ? [] : [{ text, start: 0 }]
    const sections: Section[] = []
    let done = 0
    for (const match of text.matchAll(this.#pattern)) {
      const token = this.#tokens.get(match[0])!
      let start = match.index
      let end = start + match[0].length
      if (
        token.singleWord &&
        (WORD.test(characterBefore(text, start)) || WORD.test(text.slice(end, end + 2)))
      ) {
        continue
      }
      if (token.lstrip) while (start > done && WHITE_SPACE.test(text[start - 1])) start--
      if (token.rstrip) while (end < text.length && WHITE_SPACE.test(text[end])) end++
      if (done < start) sections.push({ text: text.slice(done, start), start: done })
      sections.push({ id: token.id })
      done = end
    }
    if (done < text.length) sections.push({ text: text.slice(done), start: done })
    return sections
  }
}

/** Alternation of texts, the longest first, so that the leftmost longest match wins; null for no texts. */
export function longestFirstPattern(texts: readonly string[]): RegExp | null {
  if (texts.length === 0) return null
  const longestFirst = texts.toSorted((a, b) => b.length - a.length)
  return new RegExp(longestFirst.map(escapeRegExp).join('|'), 'gu')
}

function characterBefore(text: string, at: number): string {
  return [...text.slice(Math.max(0, at - 2), at)].at(-1) ?? ''
}
