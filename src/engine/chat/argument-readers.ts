// The arguments of a call as its text comes, as JSON text piece by piece: from one JSON object, from tags, from Python's form.

import { allowedTypes, type Parameter, typeOf } from './argument-types.js'
import { type ArgumentType, type PythonCalls, sharedStart, type TaggedCalls } from './tool-format.js'

export interface ArgumentsReader {
  /** What `held`, all text that is not understood yet, has brought: so many characters of it are understood. */
  read(held: string): { readonly length: number; readonly json: string; readonly ended: boolean }
}

/** The end of an object or a list in a text that comes in pieces. */
class Nesting {
  readonly #quotes: string
  #depth = 0
  #quote = ''
  #escaped = false

  constructor(quotes: string) {
    this.#quotes = quotes
  }

  /** How many characters of `text` belong to the value, and whether it ends with them. */
  push(text: string): { length: number; ended: boolean } {
    for (let i = 0; i < text.length; i++) {
      const character = text[i]
      if (this.#quote !== '') {
        if (this.#escaped) this.#escaped = false
        else if (character === '\\') this.#escaped = true
        else if (character === this.#quote) this.#quote = ''
      } else if (this.#quotes.includes(character)) this.#quote = character
      else if (character === '{' || character === '[') this.#depth++
      else if ((character === '}' || character === ']') && --this.#depth === 0) {
        return { length: i + 1, ended: true }
      }
    }
    return { length: text.length, ended: false }
  }
}

/** A JSON object, which is given on as it is; ends with it. */
export class JsonArguments implements ArgumentsReader {
  readonly #nesting = new Nesting('"')

  read(held: string) {
    const { length, ended } = this.#nesting.push(held)
    return { length, json: held.slice(0, length), ended }
  }
}

/** A step of a reader: what it has understood, and where it goes on; null: more text is needed. */
interface Step {
  readonly length: number
  readonly json: string
  readonly state: State
}
type State = 'first' | 'key' | 'value' | 'text' | 'next' | 'ended'

/** Arguments that stand one by one; ends after the end of the call. */
abstract class NamedArguments implements ArgumentsReader {
  readonly parameters: ReadonlyMap<string, Parameter>
  #state: State = 'first'
  #any = false

  constructor(parameters: readonly Parameter[]) {
    this.parameters = new Map(parameters.map(parameter => [parameter.key, parameter]))
  }

  read(held: string) {
    let length = 0
    let json = ''
    while (this.#state !== 'ended') {
      const step = this.#step(held.slice(length))
      if (step === null) break
      length += step.length
      json += step.json
      const stays = step.state === this.#state && step.length === 0
      this.#state = step.state
      if (stays) break
    }
    return { length, json, ended: this.#state === 'ended' }
  }

  #step(held: string): Step | null {
    const { head, empty, next, end } = this.marks
    switch (this.#state) {
      case 'first': {
        const found = firstMark(held, [empty, head])
        if (found === null) return null
        if (found === empty) return { length: empty.length, json: '{}', state: 'ended' }
        return { length: head.length, json: '{', state: 'key' }
      }
      case 'next': {
        const found = firstMark(held, [next, end])
        if (found === null) return null
        if (found === end) return { length: end.length, json: '}', state: 'ended' }
        return { length: next.length, json: '', state: 'key' }
      }
      case 'key': {
        const found = this.key(held)
        if (found === null) return null
        const comma = this.#any ? ', ' : ''
        this.#any = true
        return { length: found.length, json: `${comma}${JSON.stringify(found.key)}: `, state: 'value' }
      }
      case 'value':
        return this.value(held)
      case 'text':
        return this.text(held)
      case 'ended':
        return null
    }
  }

  protected abstract readonly marks: {
    readonly head: string
    readonly empty: string
    readonly next: string
    readonly end: string
  }
  /** A whole key with what stands between it and its value. */
  protected abstract key(held: string): { readonly length: number; readonly key: string } | null
  /** The beginning of a value, or a whole one. */
  protected abstract value(held: string): Step | null
  /** More of a value that is a text, up to its end. */
  protected abstract text(held: string): Step | null
}

/** The one of `marks` that `held` begins with, longest first; null while it cannot be told, or when there is none. */
function firstMark(held: string, marks: readonly string[]): string | null {
  const sorted = [...marks].sort((a, b) => b.length - a.length)
  for (const mark of sorted) {
    if (held.startsWith(mark)) return mark
    if (mark.startsWith(held)) return null
  }
  return null
}

export class TaggedArguments extends NamedArguments {
  readonly #format: TaggedCalls
  readonly #keyEnd: string
  readonly #valueEnd: string
  protected readonly marks
  /** The parameter of the value that is read, and the types that it may have. */
  #types: ReadonlySet<ArgumentType | 'any'> = new Set()

  constructor(format: TaggedCalls, parameters: readonly Parameter[]) {
    super(parameters)
    this.#format = format
    const { head, empty, between, middles } = format
    this.#keyEnd = Object.values(middles).reduce(sharedStart)
    this.#valueEnd = sharedStart(between, format.end)
    const { length } = this.#valueEnd
    this.marks = { head, empty, next: between.slice(length), end: format.end.slice(length) }
  }

  protected key(held: string) {
    const { middles } = this.#format
    const at = held.indexOf(this.#keyEnd)
    if (at === -1) return null
    const middle = firstMark(held.slice(at), [...new Set(Object.values(middles))])
    if (middle === null) return null
    const key = held.slice(0, at)
    const types = Object.entries(middles).flatMap(([type, mark]) =>
      mark === middle ? [type as ArgumentType] : [],
    )
    const parameter = this.parameters.get(key)
    const allowed = parameter === undefined ? new Set(['string'] as const) : allowedTypes(parameter)
    const known = types.filter(type => allowed.has('any') || allowed.has(type))
    // The mark says it where the schema does not.
    this.#types = new Set(known.length > 0 ? known : types)
    return { length: at + middle.length, key }
  }

  protected value(held: string): Step | null {
    if (this.#types.size === 1 && this.#types.has('string')) return { length: 0, json: '"', state: 'text' }
    const at = held.indexOf(this.#valueEnd)
    if (at === -1) return null
    const json = valueJson(held.slice(0, at), this.#types)
    return { length: at + this.#valueEnd.length, json, state: 'next' }
  }

  protected text(held: string): Step | null {
    const at = held.indexOf(this.#valueEnd)
    const certain = at === -1 ? held.length - startAtEnd(held, this.#valueEnd) : at
    const json = escaped(held.slice(0, certain))
    if (at === -1) return { length: certain, json, state: 'text' }
    return { length: at + this.#valueEnd.length, json: `${json}"`, state: 'next' }
  }
}

/** A value that is not known to be text, as JSON: of one of `types` if it reads so, else text. */
function valueJson(text: string, types: ReadonlySet<ArgumentType | 'any'>): string {
  const trimmed = text.trim()
  const json = CONSTANTS[trimmed] ?? trimmed
  try {
    const type = typeOf(JSON.parse(json))
    if (type !== 'string' && types.has(type)) return json
  } catch {
    // Text, then.
  }
  return JSON.stringify(text)
}

const CONSTANTS: Readonly<Record<string, string | undefined>> = { True: 'true', False: 'false', None: 'null' }

export class PythonArguments extends NamedArguments {
  readonly #assign: string
  protected readonly marks
  #quote = ''

  constructor({ head, empty, between, end, assign }: PythonCalls, parameters: readonly Parameter[]) {
    super(parameters)
    this.#assign = assign
    this.marks = { head, empty, next: between, end }
  }

  protected key(held: string) {
    const at = held.indexOf(this.#assign)
    return at === -1 ? null : { length: at + this.#assign.length, key: held.slice(0, at) }
  }

  protected value(held: string): Step | null {
    const first = held[0]
    if (first === undefined) return null
    if (first === '"' || first === "'") {
      this.#quote = first
      return { length: 1, json: '"', state: 'text' }
    }
    if (first === '{' || first === '[') {
      const { length, ended } = new Nesting('"\'').push(held)
      return ended ? { length, json: literalJson(held.slice(0, length)), state: 'next' } : null
    }
    const { next, end } = this.marks
    const ends = [next[0], end[0]].map(mark => held.indexOf(mark)).filter(at => at !== -1)
    if (ends.length === 0) return null
    const length = Math.min(...ends)
    return { length, json: literalJson(held.slice(0, length)), state: 'next' }
  }

  protected text(held: string): Step | null {
    let json = ''
    let at = 0
    while (at < held.length) {
      const character = held[at]
      if (character === this.#quote) return { length: at + 1, json: `${json}"`, state: 'next' }
      if (character !== '\\') {
        const run = /^[^'"\\]*/.exec(held.slice(at))?.[0] || character
        json += escaped(run)
        at += run.length
        continue
      }
      const found = escapeAt(held, at)
      if (found === null) break
      json += escaped(found.text)
      at += found.length
    }
    return { length: at, json, state: 'text' }
  }
}

const ESCAPES: Readonly<Record<string, string | undefined>> = {
  ...{ n: '\n', r: '\r', t: '\t', b: '\b', f: '\f', v: '\v', a: '\x07', 0: '\0' },
  ...{ '\\': '\\', '"': '"', "'": "'", '/': '/', '\n': '' },
}
const HEX_DIGITS: Readonly<Record<string, number | undefined>> = { x: 2, u: 4, U: 8 }

/** The character that a backslash of Python or JSON stands for; null while it is not whole. */
function escapeAt(text: string, at: number): { readonly text: string; readonly length: number } | null {
  const letter = text[at + 1]
  if (letter === undefined) return null
  const digits = HEX_DIGITS[letter]
  if (digits !== undefined) {
    const hex = text.slice(at + 2, at + 2 + digits)
    if (/^[0-9a-fA-F]*$/.test(hex)) {
      if (hex.length < digits) return null
      const point = Number.parseInt(hex, 16)
      if (point <= 0x10ffff) return { text: String.fromCodePoint(point), length: 2 + digits }
    }
  }
  // As in Python: a backslash that means nothing stands for itself.
  return { text: ESCAPES[letter] ?? `\\${letter}`, length: 2 }
}

/** A value of Python, or of JSON, as JSON; what is neither becomes a text. */
function literalJson(text: string): string {
  let json = ''
  for (let at = 0; at < text.length; ) {
    const quote = text[at]
    if (quote === '"' || quote === "'") {
      json += '"'
      for (at++; at < text.length && text[at] !== quote; ) {
        const found = text[at] === '\\' ? escapeAt(text, at) : { text: text[at], length: 1 }
        json += escaped(found?.text ?? '\\')
        at += found?.length ?? 1
      }
      json += '"'
      at++
      continue
    }
    const word = /^[A-Za-z_]+/.exec(text.slice(at))?.[0] ?? text[at]
    json += CONSTANTS[word] ?? word
    at += word.length
  }
  try {
    JSON.parse(json)
    return json.trim()
  } catch {
    return JSON.stringify(text)
  }
}

/** As it stands in a text of JSON. */
function escaped(text: string): string {
  return JSON.stringify(text).slice(1, -1)
}

/** How many characters at the end of `text` begin `wanted`. */
export function startAtEnd(text: string, wanted: string): number {
  let length = Math.min(text.length, wanted.length - 1)
  while (length > 0 && !text.endsWith(wanted.slice(0, length))) length--
  return length
}
