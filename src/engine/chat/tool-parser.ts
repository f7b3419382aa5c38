// The calls of tools in an answer, as its text comes: names as soon as they are whole, arguments piece by piece.

import {
  type ArgumentsReader,
  JsonArguments,
  PythonArguments,
  startAtEnd,
  TaggedArguments,
} from './argument-readers.js'
import { parametersOf } from './argument-types.js'
import {
  CALL_ID,
  CALL_ID_PATTERN,
  PYTHON_TAG,
  sharedStart,
  type ToolCallFormat,
  triggersOf,
} from './tool-format.js'
import type { Tool } from './tool-grammar.js'

/** What a piece of an answer has brought. */
export type AnswerPart =
  | { readonly type: 'text'; readonly text: string }
  /** A call begins; calls are numbered from 0. */
  | { readonly type: 'call'; readonly index: number; readonly name: string }
  /** More of the arguments of a call, as JSON. */
  | { readonly type: 'arguments'; readonly index: number; readonly text: string }

export class ToolCallParser {
  readonly #format: ToolCallFormat
  readonly #tools: readonly Tool[]
  readonly #triggers: readonly string[]
  readonly #end: RegExp
  #state: 'text' | 'begin' | 'name' | 'arguments' | 'end' | 'next' = 'text'
  /** Not understood yet. */
  #held = ''
  #calls = 0
  #arguments: ArgumentsReader = new JsonArguments()

  /** `tools` say of what types arguments are where the format does not. */
  constructor(format: ToolCallFormat, tools: readonly Tool[] = []) {
    this.#format = format
    this.#tools = tools
    const triggers = triggersOf(
      format,
      tools.map(({ name }) => name),
    )
    this.#triggers = (format.open + format.begin).startsWith('{')
      ? [...triggers, ...triggers.map(trigger => PYTHON_TAG + trigger)]
      : triggers
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
        return this.#more(parts)
      case 'end':
        return this.#ended()
      case 'next':
        return this.#next()
    }
  }

  #text(parts: AnswerPart[]): boolean {
    const found = this.#triggers.map(trigger => this.#held.indexOf(trigger)).filter(at => at !== -1)
    const at = found.length === 0 ? -1 : Math.min(...found)
    const open = Math.max(0, ...this.#triggers.map(trigger => startAtEnd(this.#held, trigger)))
    const certain = at === -1 ? this.#held.length - open : at
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
    const tag = this.#held.startsWith(PYTHON_TAG) ? PYTHON_TAG.length : 0
    const start = this.#format.open + this.#format.begin
    if (this.#held.startsWith(start, tag)) return this.#go('name', tag + start.length)
    return false
  }

  #name(parts: AnswerPart[]): boolean {
    const format = this.#format
    const mark = format.style === 'json' ? format.middle : sharedStart(format.head, format.empty)
    const at = this.#held.indexOf(mark)
    if (at === -1 || mark === '') return false
    const name = this.#held.slice(0, at)
    parts.push({ type: 'call', index: this.#calls++, name })
    this.#arguments = this.#reader(name)
    return this.#go('arguments', format.style === 'json' ? at + mark.length : at)
  }

  #reader(name: string): ArgumentsReader {
    const format = this.#format
    if (format.style === 'json') return new JsonArguments()
    const tool = this.#tools.find(one => one.name === name)
    const parameters = tool === undefined ? [] : parametersOf(tool.parameters)
    return format.style === 'tagged'
      ? new TaggedArguments(format, parameters)
      : new PythonArguments(format, parameters)
  }

  #more(parts: AnswerPart[]): boolean {
    const { length, json, ended } = this.#arguments.read(this.#held)
    if (json !== '') parts.push({ type: 'arguments', index: this.#calls - 1, text: json })
    this.#held = this.#held.slice(length)
    // Arguments that stand one by one end with their call.
    if (ended) this.#state = this.#format.style === 'json' ? 'end' : 'next'
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

function escaped(text: string): string {
  return text.replace(/[.*+?^${}()|[\]\\]/g, '\\$&')
}
