// Patterns of texts in JSON. XGrammar puts what a pattern matches between quotes as it is, so a pattern must not match what JSON
// writes with a backslash: here such characters are taken out of its classes, and refused where it names them.

/** First and last code points, ascending. */
type Ranges = readonly (readonly [number, number])[]

const LAST = 0x10ffff
/** Control characters, the quote and the backslash. */
const ESCAPED: Ranges = [
  [0, 0x1f],
  [0x22, 0x22],
  [0x5c, 0x5c],
]
const DIGITS: Ranges = [[0x30, 0x39]]
const WORD: Ranges = [
  [0x30, 0x39],
  [0x41, 0x5a],
  [0x5f, 0x5f],
  [0x61, 0x7a],
]
const SPACE: Ranges = [
  [9, 13],
  [0x20, 0x20],
  [0xa0, 0xa0],
]
const CLASSES: Readonly<Record<string, Ranges>> = {
  d: DIGITS,
  D: complement(DIGITS),
  w: WORD,
  W: complement(WORD),
  s: SPACE,
  S: complement(SPACE),
}
const CONTROLS: Readonly<Record<string, number>> = { n: 10, r: 13, t: 9, f: 12, v: 11, 0: 0 }

/** A text of `least` to `most` characters. */
export function lengthPattern(least: number, most: number | undefined): string {
  return `^${classText(complement(ESCAPED))}{${least},${most ?? ''}}$`
}

/** The pattern without what JSON escapes; null where it names such a character, or something that is not understood. */
export function jsonPattern(pattern: string): string | null {
  let text = ''
  for (let at = 0; at < pattern.length; ) {
    const piece = pattern[at] === '[' ? classAt(pattern, at) : unitAt(pattern, at)
    if (piece === null) return null
    text += piece.text
    at += piece.length
  }
  return text
}

interface Piece {
  readonly text: string
  readonly length: number
}

function unitAt(pattern: string, at: number): Piece | null {
  const character = pattern[at]
  if (character === '.') return { text: classText(complement(ESCAPED)), length: 1 }
  if (character !== '\\')
    return isEscaped(pattern.codePointAt(at) ?? 0) ? null : { text: character, length: 1 }
  const found = escapeAt(pattern, at)
  if (found === null) return null
  const { set, length } = found
  const [[first, last]] = set
  if (set.length === 1 && first === last) {
    return isEscaped(first) ? null : { text: pattern.slice(at, at + length), length }
  }
  return { text: classText(without(set)), length }
}

function classAt(pattern: string, start: number): Piece | null {
  const negated = pattern[start + 1] === '^'
  const set: [number, number][] = []
  let at = start + (negated ? 2 : 1)
  while (at < pattern.length && pattern[at] !== ']') {
    const from = elementAt(pattern, at)
    if (from === null) return null
    at += from.length
    const isRange = pattern[at] === '-' && at + 1 < pattern.length && pattern[at + 1] !== ']'
    const to = isRange ? elementAt(pattern, at + 1) : null
    if (isRange && to === null) return null
    if (to === null) set.push(...from.set.map(([a, b]): [number, number] => [a, b]))
    else {
      set.push([from.set[0][0], to.set[0][1]])
      at += 1 + to.length
    }
  }
  if (pattern[at] !== ']') return null
  const ranges = without(negated ? complement(set) : set)
  return ranges.length === 0 ? null : { text: classText(ranges), length: at + 1 - start }
}

interface Element {
  readonly set: Ranges
  readonly length: number
}

function elementAt(pattern: string, at: number): Element | null {
  if (pattern[at] === '\\') return escapeAt(pattern, at)
  const point = pattern.codePointAt(at) ?? 0
  return { set: [[point, point]], length: point > 0xffff ? 2 : 1 }
}

function escapeAt(pattern: string, at: number): Element | null {
  const letter = pattern[at + 1] ?? ''
  if (Object.hasOwn(CLASSES, letter)) return { set: CLASSES[letter], length: 2 }
  const hex = /^\\(?:x([0-9a-fA-F]{2})|u([0-9a-fA-F]{4}))/.exec(pattern.slice(at, at + 6))
  if (hex !== null) {
    const point = Number.parseInt(hex[1] ?? hex[2], 16)
    return { set: [[point, point]], length: hex[0].length }
  }
  // Other letters and digits have a meaning of their own: word boundaries, properties, references.
  if (/^[a-zA-Z1-9]?$/.test(letter) && !Object.hasOwn(CONTROLS, letter)) return null
  const point = CONTROLS[letter] ?? letter.charCodeAt(0)
  return { set: [[point, point]], length: 2 }
}

function isEscaped(point: number): boolean {
  return ESCAPED.some(([first, last]) => point >= first && point <= last)
}

function complement(ranges: Ranges): Ranges {
  const result: [number, number][] = []
  let next = 0
  for (const [first, last] of [...ranges].sort((a, b) => a[0] - b[0])) {
    if (first > next) result.push([next, first - 1])
    next = Math.max(next, last + 1)
  }
  if (next <= LAST) result.push([next, LAST])
  return result
}

function without(ranges: Ranges): Ranges {
  return complement([...complement(ranges), ...ESCAPED])
}

function classText(ranges: Ranges): string {
  const point = (value: number) =>
    /[a-zA-Z0-9]/.test(String.fromCodePoint(value)) || value > 0xffff
      ? String.fromCodePoint(value)
      : `\\u${value.toString(16).padStart(4, '0')}`
  return `[${ranges.map(([a, b]) => (a === b ? point(a) : `${point(a)}-${point(b)}`)).join('')}]`
}
