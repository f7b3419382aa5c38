// Jinja's lexer with the settings of Hugging Face's templates: trim_blocks and lstrip_blocks are on, the newline at the
// end of a template is dropped. jinja2/lexer.py.

import { TemplateError } from './values.js'

export interface Token {
  readonly kind:
    | 'text'
    | 'open'
    | 'close'
    | 'print'
    | 'endprint'
    | 'name'
    | 'string'
    | 'integer'
    | 'float'
    | 'operator'
    | 'end'
  readonly text: string
}

const OPERATORS = [
  '//',
  '**',
  '==',
  '!=',
  '>=',
  '<=',
  '+',
  '-',
  '/',
  '*',
  '%',
  '~',
  '[',
  ']',
  '(',
  ')',
  '{',
  '}',
  '<',
  '>',
  '=',
  '.',
  ':',
  '|',
  ',',
  ';',
]
const NAME = /[\p{ID_Start}_][\p{ID_Continue}]*/uy
const FLOAT = /\d+(?:_\d+)*(?:\.\d+(?:_\d+)*)?e[+-]?\d+(?:_\d+)*|\d+(?:_\d+)*\.\d+(?:_\d+)*/iy
const INTEGER = /0b(?:_?[01])+|0o(?:_?[0-7])+|0x(?:_?[\da-f])+|[1-9](?:_?\d)*|0(?:_?0)*/iy
const STRING = /'(?:[^'\\]|\\[\s\S])*'|"(?:[^"\\]|\\[\s\S])*"/y
const ENDRAW = /\{%([-+]?)\s*endraw\s*(?:\+%\}|-%\}\s*|%\}\n?)/g

/** Throws TemplateError. */
export function tokenize(source: string): Token[] {
  const text = source.replace(/\r\n|\r/g, '\n').replace(/\n$/, '')
  const tokens: Token[] = []
  let at = 0
  let isLineStart = true
  const data = (part: string) => {
    if (part !== '') tokens.push({ kind: 'text', text: part })
  }
  while (at < text.length) {
    const begin = nextTag(text, at)
    if (begin === -1) {
      data(text.slice(at))
      break
    }
    const kind = text[begin + 1]
    const sign = text[begin + 2] === '-' || text[begin + 2] === '+' ? text[begin + 2] : ''
    data(stripped(text.slice(at, begin), sign, kind !== '{', isLineStart))
    at = begin + 2 + sign.length
    if (kind === '#') {
      const end = text.indexOf('#}', at)
      if (end === -1) throw new TemplateError('Missing end of comment tag')
      const trims = text[end - 1]
      at = end + 2
      if (trims === '-') at = behindSpace(text, at)
      else if (trims !== '+' && text[at] === '\n') at++
    } else {
      const raw = kind === '%' ? /\s*raw\s*(-?)%\}/y : null
      if (raw !== null) raw.lastIndex = at
      const opened = raw?.exec(text) ?? null
      if (opened !== null) {
        at += opened[0].length
        if (opened[1] === '-') at = behindSpace(text, at)
        ENDRAW.lastIndex = at
        const closed = ENDRAW.exec(text)
        if (closed === null) throw new TemplateError('Missing end of raw directive')
        data(stripped(text.slice(at, closed.index), closed[1], true, text[at - 1] === '\n'))
        at = ENDRAW.lastIndex
      } else {
        tokens.push({ kind: kind === '%' ? 'open' : 'print', text: '' })
        at = expression(text, at, kind === '%', tokens)
      }
    }
    isLineStart = text[at - 1] === '\n'
  }
  tokens.push({ kind: 'end', text: '' })
  return tokens
}

function nextTag(text: string, from: number): number {
  for (let at = text.indexOf('{', from); at !== -1; at = text.indexOf('{', at + 1)) {
    if (text[at + 1] === '{' || text[at + 1] === '%' || text[at + 1] === '#') return at
  }
  return -1
}

/** Text before a tag without the white space that the tag takes away. */
function stripped(text: string, sign: string, isBlock: boolean, isLineStart: boolean): string {
  if (sign === '-') return text.replace(/\s+$/, '')
  if (sign === '+' || !isBlock) return text
  const line = text.lastIndexOf('\n') + 1
  return (line > 0 || isLineStart) && /^\s*$/.test(text.slice(line)) ? text.slice(0, line) : text
}

function behindSpace(text: string, at: number): number {
  let end = at
  while (end < text.length && /\s/.test(text[end])) end++
  return end
}

/** Pushes the tokens up to the end of a tag and returns where the text goes on. */
function expression(text: string, from: number, isBlock: boolean, tokens: Token[]): number {
  const brackets: string[] = []
  const close = isBlock ? '%}' : '}}'
  let at = from
  const match = (pattern: RegExp): string | null => {
    pattern.lastIndex = at
    const found = pattern.exec(text)
    if (found === null) return null
    at += found[0].length
    return found[0]
  }
  for (;;) {
    at = behindSpace(text, at)
    if (at >= text.length) throw new TemplateError(`unexpected end of template, expected '${close}'`)
    const sign = text[at] === '-' || (isBlock && text[at] === '+') ? text[at] : ''
    if (brackets.length === 0 && text.startsWith(close, at + sign.length)) {
      at += sign.length + 2
      tokens.push({ kind: isBlock ? 'close' : 'endprint', text: '' })
      if (sign === '-') return behindSpace(text, at)
      return isBlock && sign === '' && text[at] === '\n' ? at + 1 : at
    }
    const name = match(NAME)
    const float = name === null ? match(FLOAT) : null
    const integer = name === null && float === null ? match(INTEGER) : null
    if (name !== null) tokens.push({ kind: 'name', text: name })
    else if (float !== null) tokens.push({ kind: 'float', text: float.replaceAll('_', '') })
    else if (integer !== null) tokens.push({ kind: 'integer', text: integer.replaceAll('_', '') })
    else {
      const string = match(STRING)
      if (string !== null) {
        tokens.push({ kind: 'string', text: unescaped(string.slice(1, -1)) })
        continue
      }
      const operator = OPERATORS.find(candidate => text.startsWith(candidate, at))
      if (operator === undefined)
        throw new TemplateError(`unexpected char ${JSON.stringify(text[at])} at ${at}`)
      at += operator.length
      if ('([{'.includes(operator)) brackets.push({ '(': ')', '[': ']', '{': '}' }[operator]!)
      else if (')]}'.includes(operator) && brackets.pop() !== operator) {
        throw new TemplateError(`unexpected '${operator}'`)
      }
      tokens.push({ kind: 'operator', text: operator })
    }
  }
}

const ESCAPES: Readonly<Record<string, string>> = {
  n: '\n',
  t: '\t',
  r: '\r',
  b: '\b',
  f: '\f',
  v: '\v',
  a: '\x07',
  '\\': '\\',
  "'": "'",
  '"': '"',
  '\n': '',
}

/** Python's escapes; unknown ones stay as they are. */
function unescaped(text: string): string {
  return text.replace(
    /\\(?:x([\da-fA-F]{2})|u([\da-fA-F]{4})|U([\da-fA-F]{8})|([0-7]{1,3})|([\s\S]))/g,
    (whole, x, u, long, octal, one: string | undefined) => {
      const hex = x ?? u ?? long
      if (hex !== undefined || octal !== undefined) {
        const code = hex === undefined ? Number.parseInt(octal, 8) : Number.parseInt(hex, 16)
        if (code > 0x10ffff) throw new TemplateError(`unknown character ${whole}`)
        return String.fromCodePoint(code)
      }
      if (one === 'N' || one === 'x' || one === 'u' || one === 'U') {
        throw new TemplateError(`the escape ${whole} in a string is not supported`)
      }
      return ESCAPES[one!] ?? whole
    },
  )
}
