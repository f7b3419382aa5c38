// The calls of tools in an answer, as its text comes: names as soon as they are whole, arguments piece by piece.

import { CALL_ID, CALL_ID_PATTERN, type ToolCallFormat, triggerOf } from './tool-format.js'

/** What a piece of an answer has brought. */
export type AnswerPart =
  | { readonly type: 'text'; readonly text: string }
  /** A call begins; calls are numbered from 0. */
  | { readonly type: 'call'; readonly index: number; readonly name: string }
  /** More of the arguments of a call, as JSON. */
  | { readonly type: 'arguments'; readonly index: number; readonly text: string }

/** The end of a JSON object in a text that comes in pieces. */
class JsonEnd {
  #depth = 0
  #inString = false
  #escaped = false

  /** How many characters of `text` belong to the object, and whether it ends with them. */
  push(text: string): { length: number; ended: boolean } {
    for (let i = 0; i < text.length; i++) {
      const character = text[i]
      if (this.#inString) {
        if (this.#escaped) this.#escaped = false
        else if (character === '\\') this.#escaped = true
        else if (character === '"') this.#inString = false
      } else if (character === '"') this.#inString = true
      else if (character === '{' || character === '[') this.#depth++
      else if ((character === '}' || character === ']') && --this.#depth === 0) {
        return { length: i + 1, ended: true }
      }
    }
    return { length: text.length, ended: false }
  }
}

export class ToolCallParser {
  readonly #format: ToolCallFormat
  readonly #trigger: string
  readonly #end: RegExp
  #state: 'text' | 'begin' | 'name' | 'arguments' | 'end' | 'next' = 'text'
  /** Not understood yet. */
  #held = ''
  #calls = 0
  #json = new JsonEnd()

  constructor(format: ToolCallFormat) {
    this.#format = format
    this.#trigger = triggerOf(format)
    const [before, after] = format.end.split(CALL_ID).map(escaped)
    this.#end = new RegExp(`^${after === undefined ? before : `${before}${CALL_ID_PATTERN}${after}`}`)
  }

  /** How many calls have begun. */
  get calls(): number {
    return this.#calls
  }

  push(text: string): AnswerPart[] {
    this.#held += text
    const parts: AnswerPart[] = []
    while (this.#step(parts)) {}
    return parts
  }

  /** What was held back, at the end of the answer. */
  end(): AnswerPart[] {
    const held = this.#held
    this.#held = ''
    // After a call, blank space separates; a call that was cut off has been told as far as it came.
    if (this.#state !== 'text' && this.#state !== 'begin') return []
    return this.#calls > 0 && held.trim() === '' ? [] : textPart(held)
  }

  /** Returns whether something of what is held was understood. */
  #step(parts: AnswerPart[]): boolean {
    switch (this.#state) {
      case 'text':
        return this.#text(parts)
      case 'begin':
        return this.#begin()
      case 'name':
        return this.#name(parts)
      case 'arguments':
        return this.#arguments(parts)
      case 'end':
        return this.#ended()
      case 'next':
        return this.#next()
    }
  }

  #text(parts: AnswerPart[]): boolean {
    const at = this.#held.indexOf(this.#trigger)
    const certain = at === -1 ? this.#held.length - beginningAtEnd(this.#held, this.#trigger) : at
    const text = this.#held.slice(0, certain)
    // Blank space after a call separates it from the next, or from the end; before other text it is kept.
    if (this.#calls > 0 && text.trim() === '') {
      if (at === -1) return false
    } else if (text !== '') parts.push({ type: 'text', text })
    this.#held = this.#held.slice(certain)
    if (at !== -1) this.#state = 'begin'
    return at !== -1
  }

  #begin(): boolean {
    const start = this.#format.open + this.#format.begin
    if (this.#held.startsWith(start)) return this.#go('name', start.length)
    return false
  }

  #name(parts: AnswerPart[]): boolean {
    const at = this.#held.indexOf(this.#format.middle)
    if (at === -1 || this.#format.middle === '') return false
    parts.push({ type: 'call', index: this.#calls++, name: this.#held.slice(0, at) })
    this.#json = new JsonEnd()
    return this.#go('arguments', at + this.#format.middle.length)
  }

  #arguments(parts: AnswerPart[]): boolean {
    const { length, ended } = this.#json.push(this.#held)
    if (length > 0) {
      parts.push({ type: 'arguments', index: this.#calls - 1, text: this.#held.slice(0, length) })
    }
    this.#held = this.#held.slice(length)
    if (ended) this.#state = 'end'
    return ended
  }

  #ended(): boolean {
    const end = this.#end.exec(this.#held)?.[0]
    return end === undefined ? false : this.#go('next', end.length)
  }

  #next(): boolean {
    const { separator, begin, open, close } = this.#format
    // Without brackets around the calls, the next begins as the first did.
    if (open === '' && close === '') return this.#go('text', 0)
    const next = separator === null ? null : separator + begin
    if (next !== null && this.#held.startsWith(next)) return this.#go('name', next.length)
    if (next?.startsWith(this.#held)) return false
    return this.#held.startsWith(close) ? this.#go('text', close.length) : false
  }

  #go(state: 'text' | 'name' | 'arguments' | 'next', length: number): boolean {
    this.#held = this.#held.slice(length)
    this.#state = state
    return true
  }
}

function textPart(text: string): AnswerPart[] {
  return text === '' ? [] : [{ type: 'text', text }]
}

/** How many characters at the end of `text` begin `wanted`. */
function beginningAtEnd(text: string, wanted: string): number {
  let length = Math.min(text.length, wanted.length - 1)
  while (length > 0 && !text.endsWith(wanted.slice(0, length))) length--
  return length
}

function escaped(text: string): string {
  return text.replace(/[.*+?^${}()|[\]\\]/g, '\\$&')
}
