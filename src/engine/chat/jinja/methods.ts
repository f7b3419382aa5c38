// The methods of Python's strings, lists, dicts and numbers that a template may call. Those that change a value are
// refused, as in the sandbox of Hugging Face's templates.

import { formatBraces, textsOf } from './format.js'
import { requireSize } from './operators.js'
import {
  Callable,
  getItem,
  isEqual,
  listOfKind,
  TemplateError,
  Tuple,
  typeName,
  type Value,
} from './values.js'

type Method<Self> = (self: Self, args: readonly Value[], named: ReadonlyMap<string, Value>) => Value

/** A method of a value, or undefined when it has none of that name. */
export function methodOf(
  value: Value,
  name: string,
  lookup: (value: Value, key: string, isAttribute: boolean) => Value,
): Callable | undefined {
  const bind = <Self>(methods: Readonly<Record<string, Method<Self>>>, self: Self) => {
    if (!Object.hasOwn(methods, name)) return undefined
    return new Callable(name, (args, named) => {
      if (named.size > 0 && !TAKES_NAMED.has(name))
        throw new TemplateError(`${name}() with named arguments is not supported`)
      return methods[name](self, args, named)
    })
  }
  if (typeof value === 'string') {
    if (name === 'format')
      return new Callable(name, (args, named) => formatBraces(value, args, named, lookup))
    return bind(STRING, value) ?? unsupported(UNSUPPORTED.str, value, name)
  }
  if (value instanceof Map) return bind(DICT, value) ?? unsupported(UNSUPPORTED.dict, value, name)
  if (Array.isArray(value)) return bind(LIST, value) ?? unsupported(UNSUPPORTED.list, value, name)
  if (value instanceof Tuple) return bind(LIST_READ, [...value.items])
  return undefined
}

const TAKES_NAMED = new Set(['split', 'rsplit', 'splitlines', 'expandtabs'])
const UNSUPPORTED = {
  str: [
    'encode',
    'format_map',
    'maketrans',
    'translate',
    'isidentifier',
    'isprintable',
    'isascii',
    'expandtabs',
  ],
  dict: ['clear', 'pop', 'popitem', 'setdefault', 'update', 'fromkeys'],
  list: ['append', 'clear', 'extend', 'insert', 'pop', 'remove', 'reverse', 'sort'],
}

function unsupported(names: readonly string[], value: Value, name: string): Callable | undefined {
  if (!names.includes(name)) return undefined
  return new Callable(name, () => {
    throw new TemplateError(`${name}() of a ${typeName(value)} is not safely callable or not supported`)
  })
}

function text(args: readonly Value[], at: number, name: string): string {
  const value = args[at]
  if (typeof value === 'string') return value
  throw new TemplateError(
    `${name}() argument ${at + 1} must be str, not ${value === undefined ? 'missing' : typeName(value)}`,
  )
}

function number(value: Value | undefined, fallback: number, name: string): number {
  if (value === undefined) return fallback
  if (typeof value === 'number' || typeof value === 'boolean') return Number(value)
  throw new TemplateError(`${name}(): an integer is required, not ${typeName(value)}`)
}

function strip(self: string, args: readonly Value[], left: boolean, right: boolean): string {
  const set = args[0] === undefined || args[0] === null ? null : new Set(text(args, 0, 'strip'))
  const isCut = (character: string) => (set === null ? isSpace(character) : set.has(character))
  const characters = [...self]
  let [start, end] = [0, characters.length]
  while (left && start < end && isCut(characters[start])) start++
  while (right && end > start && isCut(characters[end - 1])) end--
  return characters.slice(start, end).join('')
}

/** Python's white space: Unicode's. */
export function isSpace(character: string): boolean {
  return /^[\p{White_Space}]$/u.test(character)
}

function split(
  self: string,
  args: readonly Value[],
  named: ReadonlyMap<string, Value>,
  fromRight: boolean,
): Value {
  const separator = args[0] ?? named.get('sep') ?? null
  const limit = number(args[1] ?? named.get('maxsplit'), -1, 'split')
  const parts: string[] = []
  if (separator === null) {
    const words = [...self.matchAll(/[^\p{White_Space}]+/gu)]
    if (limit < 0 || words.length <= limit + 1) return words.map(word => word[0])
    if (fromRight) {
      const head = words[words.length - limit - 1]
      return [
        strip(self.slice(0, head.index + head[0].length), [], true, true),
        ...words.slice(words.length - limit).map(word => word[0]),
      ]
    }
    return [
      ...words.slice(0, limit).map(word => word[0]),
      strip(self.slice(words[limit].index), [], true, false),
    ]
  }
  const by = text([separator], 0, 'split')
  if (by === '') throw new TemplateError('empty separator')
  const all = self.split(by)
  if (limit < 0 || all.length <= limit + 1) return all
  if (fromRight) {
    parts.push(all.slice(0, all.length - limit).join(by), ...all.slice(all.length - limit))
  } else parts.push(...all.slice(0, limit), all.slice(limit).join(by))
  return parts
}

function affix(self: string, args: readonly Value[], name: 'startsWith' | 'endsWith'): boolean {
  if (args.length !== 1) throw new TemplateError(`${name.toLowerCase()}() with a range is not supported`)
  const [given] = args
  const candidates = given instanceof Tuple ? textsOf(given) : [text(args, 0, name.toLowerCase())]
  return candidates.some(candidate => self[name](candidate))
}

function find(self: string, args: readonly Value[], fromRight: boolean, name: string): number {
  const wanted = text(args, 0, name)
  if (args.length > 1) throw new TemplateError(`${name}() with a range is not supported`)
  const at = fromRight ? self.lastIndexOf(wanted) : self.indexOf(wanted)
  return at < 0 ? -1 : [...self.slice(0, at)].length
}

function found(at: number): number {
  if (at < 0) throw new TemplateError('substring not found')
  return at
}

function every(pattern: RegExp): Method<string> {
  return self => self !== '' && [...self].every(character => pattern.test(character))
}

function cased(self: string, isCase: (character: string) => boolean): boolean {
  const letters = [...self].filter(character => character.toLowerCase() !== character.toUpperCase())
  return letters.length > 0 && letters.every(isCase)
}

export function capitalize(self: string): string {
  const [first = '', ...rest] = [...self]
  return first.toUpperCase() + rest.join('').toLowerCase()
}

function justify(self: string, args: readonly Value[], side: 'left' | 'right' | 'center'): string {
  const width = number(args[0], 0, 'justify')
  const fill = args[1] === undefined ? ' ' : text(args, 1, 'justify')
  const missing = width - [...self].length
  if (missing <= 0) return self
  requireSize(width)
  if (side === 'left') return self + fill.repeat(missing)
  if (side === 'right') return fill.repeat(missing) + self
  // Of an odd number Python puts one more on the left when the width is odd.
  const left = (missing >> 1) + (missing & width & 1)
  return fill.repeat(left) + self + fill.repeat(missing - left)
}

const STRING: Readonly<Record<string, Method<string>>> = {
  upper: self => self.toUpperCase(),
  lower: self => self.toLowerCase(),
  casefold: self => self.toLowerCase().replaceAll('ß', 'ss'),
  capitalize: self => capitalize(self),
  title: self => self.replace(/\p{L}+/gu, word => capitalize(word)),
  swapcase: self => [...self].map(c => (c === c.toUpperCase() ? c.toLowerCase() : c.toUpperCase())).join(''),
  strip: (self, args) => strip(self, args, true, true),
  lstrip: (self, args) => strip(self, args, true, false),
  rstrip: (self, args) => strip(self, args, false, true),
  split: (self, args, named) => split(self, args, named, false),
  rsplit: (self, args, named) => split(self, args, named, true),
  splitlines: (self, args, named) => {
    const keeps = (args[0] ?? named.get('keepends') ?? false) !== false
    const lines = self.match(/[^\n\r\v\f\x85\u2028\u2029]*(?:\r\n|[\n\r\v\f\x85\u2028\u2029]|$)/g) ?? []
    return lines
      .filter(line => line !== '')
      .map(line => (keeps ? line : line.replace(/(?:\r\n|[\n\r\v\f\x85\u2028\u2029])$/, '')))
  },
  startswith: (self, args) => affix(self, args, 'startsWith'),
  endswith: (self, args) => affix(self, args, 'endsWith'),
  replace: (self, args) =>
    replaceText(self, text(args, 0, 'replace'), text(args, 1, 'replace'), number(args[2], -1, 'replace')),
  find: (self, args) => find(self, args, false, 'find'),
  rfind: (self, args) => find(self, args, true, 'rfind'),
  index: (self, args) => found(find(self, args, false, 'index')),
  rindex: (self, args) => found(find(self, args, true, 'rindex')),
  count: (self, args) => {
    const wanted = text(args, 0, 'count')
    return wanted === '' ? [...self].length + 1 : self.split(wanted).length - 1
  },
  join: (self, args) => {
    if (args.length !== 1) throw new TemplateError('join() takes exactly one argument')
    return textsOf(args[0]).join(self)
  },
  zfill: (self, args) => {
    const [, sign, rest] = /^([+-]?)(.*)$/s.exec(self)!
    const width = number(args[0], 0, 'zfill')
    requireSize(width)
    return sign + '0'.repeat(Math.max(0, width - [...self].length)) + rest
  },
  ljust: (self, args) => justify(self, args, 'left'),
  rjust: (self, args) => justify(self, args, 'right'),
  center: (self, args) => justify(self, args, 'center'),
  partition: (self, args) => {
    const by = text(args, 0, 'partition')
    const at = self.indexOf(by)
    return new Tuple(at < 0 ? [self, '', ''] : [self.slice(0, at), by, self.slice(at + by.length)])
  },
  rpartition: (self, args) => {
    const by = text(args, 0, 'rpartition')
    const at = self.lastIndexOf(by)
    return new Tuple(at < 0 ? ['', '', self] : [self.slice(0, at), by, self.slice(at + by.length)])
  },
  removeprefix: (self, args) => {
    const prefix = text(args, 0, 'removeprefix')
    return self.startsWith(prefix) ? self.slice(prefix.length) : self
  },
  removesuffix: (self, args) => {
    const suffix = text(args, 0, 'removesuffix')
    return suffix !== '' && self.endsWith(suffix) ? self.slice(0, -suffix.length) : self
  },
  isdigit: every(/^[\p{Nd}²³¹⁰⁴-⁹₀-₉]$/u),
  isdecimal: every(/^\p{Nd}$/u),
  isnumeric: every(/^\p{N}$/u),
  isalpha: every(/^\p{L}$/u),
  isalnum: every(/^[\p{L}\p{N}]$/u),
  isspace: self => self !== '' && [...self].every(isSpace),
  isupper: self => cased(self, c => c === c.toUpperCase()),
  islower: self => cased(self, c => c === c.toLowerCase()),
  istitle: self => /\p{L}/u.test(self) && self === self.replace(/\p{L}+/gu, word => capitalize(word)),
}

export function replaceText(self: string, old: string, replacement: string, limit: number): string {
  const parts = old === '' ? ['', ...self, ''] : self.split(old)
  const count = limit < 0 ? parts.length - 1 : Math.min(limit, parts.length - 1)
  requireSize(self.length + count * replacement.length)
  return (
    parts.slice(0, count + 1).join(replacement) +
    parts
      .slice(count + 1)
      .map(part => old + part)
      .join('')
  )
}

const LIST_READ: Readonly<Record<string, Method<Value[]>>> = {
  index: (self, args) => {
    const at = self.findIndex(item => isEqual(item, args[0]))
    if (at < 0 || args.length !== 1) throw new TemplateError('the value is not in the list')
    return at
  },
  count: (self, args) => self.filter(item => isEqual(item, args[0])).length,
}
const LIST: Readonly<Record<string, Method<Value[]>>> = { ...LIST_READ, copy: self => [...self] }

const DICT: Readonly<Record<string, Method<Map<Value, Value>>>> = {
  items: self =>
    listOfKind(
      'dict_items',
      [...self].map(([key, value]) => new Tuple([key, value])),
    ),
  keys: self => listOfKind('dict_keys', [...self.keys()]),
  values: self => listOfKind('dict_values', [...self.values()]),
  copy: self => new Map(self),
  get: (self, args) => {
    if (args.length < 1 || args.length > 2) throw new TemplateError('get expected 1 or 2 arguments')
    return getItem(self, args[0]) ?? args[1] ?? null
  },
}
