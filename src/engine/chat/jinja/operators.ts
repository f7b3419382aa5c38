// The operators of Jinja's expressions, with Python's meaning and errors.

import { formatPercent } from './format.js'
import {
  compare,
  defined,
  Float,
  getItem,
  integer,
  isEqual,
  isNumber,
  iterate,
  kindOf,
  Markup,
  TemplateError,
  Tuple,
  textOf,
  toNumber,
  typeName,
  Undefined,
  type Value,
} from './values.js'

/** No text or list of a template comes near; a larger one is stopped before it fills the memory. */
const LARGEST = 2 ** 26

export function requireSize(length: number): void {
  if (length > LARGEST) throw new TemplateError(`a value of ${length} elements or characters is too large`)
}

export function binary(operator: string, left: Value, right: Value): Value {
  defined(left)
  defined(right)
  if (kindOf(left) !== undefined || kindOf(right) !== undefined) {
    throw new TemplateError(
      `the operator ${operator} on a ${typeName(kindOf(left) ? left : right)} is not supported`,
    )
  }
  if (isNumber(left) && isNumber(right)) return arithmetic(operator, left, right)
  if (left instanceof Markup || right instanceof Markup) {
    const text = (value: Value) => typeof value === 'string' || value instanceof Markup
    if (operator === '+' && text(left) && text(right)) return new Markup(escaped(left) + escaped(right))
    throw new TemplateError(`the operator ${operator} on escaped text is not supported`)
  }
  if (operator === '+') {
    if (typeof left === 'string' && typeof right === 'string') {
      requireSize(left.length + right.length)
      return left + right
    }
    if (Array.isArray(left) && Array.isArray(right)) return [...left, ...right]
    if (left instanceof Tuple && right instanceof Tuple) return new Tuple([...left.items, ...right.items])
    if (typeof left === 'string')
      throw new TemplateError(`can only concatenate str (not "${typeName(right)}") to str`)
  }
  if (operator === '*') {
    if (typeof right === 'number') return repeated(left, right)
    if (typeof left === 'number') return repeated(right, left)
  }
  if (operator === '%' && typeof left === 'string') return formatPercent(left, right)
  throw new TemplateError(
    `unsupported operand type(s) for ${operator}: '${typeName(left)}' and '${typeName(right)}'`,
  )
}

function repeated(value: Value, times: number): Value {
  const count = Math.max(0, times)
  if (typeof value === 'string') {
    requireSize(value.length * count)
    return value.repeat(count)
  }
  if (Array.isArray(value) || value instanceof Tuple) {
    const items = iterate(value)
    requireSize(items.length * count)
    const all = Array.from({ length: count }, () => items).flat()
    return Array.isArray(value) ? all : new Tuple(all)
  }
  throw new TemplateError(`can't multiply sequence by non-int of type '${typeName(value)}'`)
}

function arithmetic(
  operator: string,
  left: number | boolean | Float,
  right: number | boolean | Float,
): Value {
  const [a, b] = [toNumber(left), toNumber(right)]
  const isFloat = left instanceof Float || right instanceof Float
  const result = (value: number) => (isFloat ? new Float(value) : integer(value))
  if (['/', '//', '%'].includes(operator) && b === 0) throw new TemplateError('division by zero')
  switch (operator) {
    case '+':
      return result(a + b)
    case '-':
      return result(a - b)
    case '*':
      return result(a * b)
    case '/':
      return new Float(a / b)
    case '//':
      return result(Math.floor(a / b))
    case '%': {
      const rest = a % b
      return result(rest !== 0 && rest < 0 !== b < 0 ? rest + b : rest)
    }
    case '**':
      if (a === 0 && b < 0) throw new TemplateError('0.0 cannot be raised to a negative power')
      return !isFloat && b >= 0 ? integer(a ** b) : new Float(a ** b)
    default:
      throw new TemplateError(`the operator ${operator} is not supported`)
  }
}

export function negative(value: Value, sign: '-' | '+'): Value {
  defined(value)
  if (!isNumber(value)) throw new TemplateError(`bad operand type for unary ${sign}: '${typeName(value)}'`)
  const number = sign === '-' ? -toNumber(value) : toNumber(value)
  return value instanceof Float ? new Float(number) : integer(number)
}

export function compares(operator: string, left: Value, right: Value): boolean {
  switch (operator) {
    case '==':
      return isEqual(left, right)
    case '!=':
      return !isEqual(left, right)
    case 'in':
      return contains(right, left)
    case 'not in':
      return !contains(right, left)
    default: {
      const order = compare(left, right, operator)
      return operator === '<'
        ? order < 0
        : operator === '<='
          ? order <= 0
          : operator === '>'
            ? order > 0
            : order >= 0
    }
  }
}

export function contains(container: Value, item: Value): boolean {
  if (typeof container === 'string' || container instanceof Markup) {
    if (typeof item === 'string' || item instanceof Markup) return textOf(container).includes(textOf(item))
    throw new TemplateError(`'in <string>' requires string as left operand, not ${typeName(item)}`)
  }
  if (container instanceof Map) return getItem(container, defined(item)) !== undefined
  if (Array.isArray(container) || container instanceof Tuple || container instanceof Undefined) {
    return iterate(container).some(each => isEqual(each, item))
  }
  throw new TemplateError(`argument of type '${typeName(container)}' is not iterable`)
}

export function concat(parts: readonly Value[]): Value {
  const text = parts.map(textOf)
  requireSize(text.reduce((sum, part) => sum + part.length, 0))
  return text.join('')
}

/** Text for HTML, as the filter `escape` writes it. */
export function escaped(value: Value): string {
  if (value instanceof Markup) return value.text
  const entities: Record<string, string> = {
    '&': '&amp;',
    '<': '&lt;',
    '>': '&gt;',
    "'": '&#39;',
    '"': '&#34;',
  }
  return textOf(value).replace(/[&<>'"]/g, character => entities[character])
}

/** Python's slices: negative positions count from the end, a step may go backwards. */
export function slice(value: Value, parts: readonly Value[]): Value {
  defined(value)
  const isList = Array.isArray(value) && (kindOf(value) ?? 'range') === 'range'
  const items = typeof value === 'string' || isList || value instanceof Tuple ? iterate(value) : null
  if (items === null) throw new TemplateError(`'${typeName(value)}' object is not subscriptable`)
  const [start, stop, step] = [0, 1, 2].map(i => {
    const part = parts[i] ?? null
    if (part === null) return null
    if (typeof part !== 'number' && typeof part !== 'boolean') {
      throw new TemplateError('slice indices must be integers or None or have an __index__ method')
    }
    return Number(part)
  })
  const by = step ?? 1
  if (by === 0) throw new TemplateError('slice step cannot be zero')
  const length = items.length
  const [low, high] = by > 0 ? [0, length] : [-1, length - 1]
  const place = (part: number | null, fallback: number) =>
    part === null ? fallback : Math.max(low, Math.min(high, part < 0 ? part + length : part))
  const [from, to] = [place(start, by > 0 ? low : high), place(stop, by > 0 ? high : low)]
  const taken: Value[] = []
  for (let i = from; by > 0 ? i < to : i > to; i += by) taken.push(items[i])
  if (typeof value === 'string') return taken.join('')
  return Array.isArray(value) ? taken : new Tuple(taken)
}
