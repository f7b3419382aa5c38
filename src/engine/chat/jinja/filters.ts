// The filters of Jinja. jinja2/filters.py; `tojson` is Hugging Face's.

import { type Filter, getter, take, whole } from './filter-arguments.js'
import { formatPercent } from './format.js'
import { capitalize, isSpace, replaceText } from './methods.js'
import { escaped, requireSize } from './operators.js'
import {
  compare,
  defined,
  Float,
  integer,
  isEqual,
  isNumber,
  isTrue,
  iterate,
  jsonText,
  kindOf,
  lengthOf,
  listOfKind,
  Markup,
  TemplateError,
  Tuple,
  textOf,
  toNumber,
  typeName,
  Undefined,
  type Value,
} from './values.js'

const folded = (value: Value, isCaseSensitive: boolean): Value =>
  typeof value === 'string' && !isCaseSensitive ? value.toLowerCase() : value

function sorted(items: readonly Value[], key: (item: Value) => Value, isReversed: boolean): Value[] {
  const keyed = items.map(item => [key(item), item] as const)
  const order = keyed.toSorted((a, b) => (isReversed ? compare(b[0], a[0]) : compare(a[0], b[0])))
  return order.map(([, item]) => item)
}

function selecting(isKept: boolean, hasAttribute: boolean): Filter {
  return (value, args, named, runtime) => {
    if (named.size > 0) throw new TemplateError('select and reject take no named arguments')
    const [attribute, rest] = hasAttribute ? [args[0], args.slice(1)] : [undefined, args]
    if (hasAttribute && attribute === undefined)
      throw new TemplateError('Missing parameter for attribute name')
    const get = getter(attribute, runtime)
    const test = (item: Value) =>
      rest.length === 0 ? isTrue(item) : runtime.test(textOf(rest[0]), item, rest.slice(1))
    return listOfKind(
      'generator',
      iterate(value).filter(item => test(get(item)) === isKept),
    )
  }
}

function rounded(value: number, precision: number, method: string): number {
  const factor = 10 ** precision
  if (method === 'ceil') return Math.ceil(value * factor) / factor
  if (method === 'floor') return Math.floor(value * factor) / factor
  // Python rounds the exact decimal value, halves to even; toFixed knows the exact value.
  if (precision === 0) {
    const floor = Math.floor(value)
    return value - floor === 0.5 ? (floor % 2 === 0 ? floor : floor + 1) : Math.round(value)
  }
  if (precision < 0 || precision > 20) throw new TemplateError('round with this precision is not supported')
  return Number(value.toFixed(precision))
}

const extreme =
  (sign: 1 | -1): Filter =>
  (value, args, named, runtime) => {
    const [sensitive = false, attribute] = take('min', ['case_sensitive', 'attribute'], args, named)
    const get = getter(attribute, runtime)
    const key = (item: Value) => folded(get(item), isTrue(sensitive))
    const [first, ...rest] = iterate(value)
    if (first === undefined) return new Undefined('No aggregated item, sequence was empty.')
    return rest.reduce((best, item) => (sign * compare(key(item), key(best)) < 0 ? item : best), first)
  }

const fallback: Filter = (value, args, named) => {
  const [other = '', isBoolean = false] = take('default', ['default_value', 'boolean'], args, named)
  return value instanceof Undefined || (isTrue(isBoolean) && !isTrue(value)) ? other : value
}
const escapeFilter: Filter = value => new Markup(escaped(value))
const length: Filter = value => lengthOf(value)

export const FILTERS: Readonly<Record<string, Filter>> = {
  abs: value => {
    if (!isNumber(value)) throw new TemplateError(`bad operand type for abs(): '${typeName(value)}'`)
    return value instanceof Float ? new Float(Math.abs(value.value)) : Math.abs(toNumber(value))
  },
  attr: (value, args, _, runtime) => {
    const name = textOf(args[0])
    const found =
      value instanceof Map
        ? new Undefined(`'dict object' has no attribute '${name}'`)
        : runtime.attribute(value, name)
    return found
  },
  batch: (value, args, named) => {
    const [count, fill] = take('batch', ['linecount', 'fill_with'], args, named)
    const size = whole(count, 0)
    if (size < 1) throw new TemplateError('batch needs a count above 0')
    const items = iterate(value)
    const rows: Value[][] = []
    for (let i = 0; i < items.length; i += size) rows.push(items.slice(i, i + size))
    const last = rows.at(-1)
    while (fill !== undefined && fill !== null && last !== undefined && last.length < size) last.push(fill)
    return listOfKind('generator', rows)
  },
  capitalize: value => capitalize(textOf(value)),
  center: (value, args, named) => {
    const [width] = take('center', ['width'], args, named)
    const text = textOf(value)
    const missing = whole(width, 80) - [...text].length
    if (missing <= 0) return text
    requireSize(missing)
    const left = (missing >> 1) + (missing & whole(width, 80) & 1)
    return ' '.repeat(left) + text + ' '.repeat(missing - left)
  },
  count: length,
  length,
  d: fallback,
  default: fallback,
  dictsort: (value, args, named) => {
    if (!(value instanceof Map)) throw new TemplateError(`dictsort needs a dict, not ${typeName(value)}`)
    const [sensitive = false, by = 'key', reverse = false] = take(
      'dictsort',
      ['case_sensitive', 'by', 'reverse'],
      args,
      named,
    )
    if (by !== 'key' && by !== 'value')
      throw new TemplateError('You can only sort by either "key" or "value"')
    const entries = [...value].map(pair => new Tuple(pair))
    return sorted(
      entries,
      pair => folded((pair as Tuple).items[by === 'key' ? 0 : 1], isTrue(sensitive)),
      isTrue(reverse),
    )
  },
  e: escapeFilter,
  escape: escapeFilter,
  forceescape: value => new Markup(escaped(textOf(value))),
  first: value =>
    (kindOf(value) === 'generator' ? (value as Value[]).shift() : iterate(value)[0]) ??
    new Undefined('No first item, sequence was empty.'),
  float: (value, args, named) => {
    const [other = new Float(0)] = take('float', ['default'], args, named)
    if (isNumber(value)) return new Float(toNumber(value))
    const text = typeof value === 'string' ? value.trim().replaceAll('_', '') : ''
    return /^[+-]?(\d+\.?\d*|\.\d+)(e[+-]?\d+)?$/i.test(text) ? new Float(Number(text)) : other
  },
  format: (value, args, named) => {
    if (args.length > 0 && named.size > 0)
      throw new TemplateError("can't handle positional and keyword arguments at the same time")
    return formatPercent(textOf(value), named.size > 0 ? new Map(named) : new Tuple(args))
  },
  groupby: (value, args, named, runtime) => {
    const [attribute, other, sensitive = false] = take(
      'groupby',
      ['attribute', 'default', 'case_sensitive'],
      args,
      named,
    )
    const get = getter(attribute, runtime)
    const of = (item: Value) => {
      const found = get(item)
      return found instanceof Undefined && other !== undefined ? other : found
    }
    const key = (item: Value) => folded(of(item), isTrue(sensitive))
    const groups: { key: Value; shown: Value; items: Value[] }[] = []
    for (const item of sorted(iterate(value), key, false)) {
      const last = groups.at(-1)
      if (last !== undefined && isEqual(last.key, key(item))) last.items.push(item)
      else groups.push({ key: key(item), shown: of(item), items: [item] })
    }
    return groups.map(group => new Tuple([group.shown, group.items]))
  },
  indent: (value, args, named) => {
    const [width = 4, first = false, blank = false] = take('indent', ['width', 'first', 'blank'], args, named)
    const text = textOf(value)
    const margin =
      typeof width === 'string' ? width : ' '.repeat(Math.min(2 ** 26, Math.max(0, whole(width, 4))))
    const lines = `${text}\n`.split('\n').slice(0, -1)
    requireSize(lines.length * margin.length)
    const [head, ...rest] = lines
    const indented = rest.map(line => (line !== '' || isTrue(blank) ? margin + line : line))
    return (isTrue(first) ? margin : '') + [head, ...indented].join('\n')
  },
  int: (value, args, named) => {
    const [other = 0, base = 10] = take('int', ['default', 'base'], args, named)
    if (base !== 10) throw new TemplateError('int with another base than 10 is not supported')
    if (isNumber(value)) {
      const number = toNumber(value)
      return Number.isFinite(number) ? integer(Math.trunc(number)) : other
    }
    const text = typeof value === 'string' ? value.trim().replaceAll('_', '') : ''
    return /^[+-]?(\d+\.?\d*|\.\d+)(e[+-]?\d+)?$/i.test(text) ? integer(Math.trunc(Number(text))) : other
  },
  items: value => {
    if (value instanceof Undefined) return listOfKind('generator', [])
    if (!(value instanceof Map)) throw new TemplateError('Can only get item pairs from a mapping.')
    return listOfKind(
      'generator',
      [...value].map(pair => new Tuple(pair)),
    )
  },
  join: (value, args, named, runtime) => {
    const [by = '', attribute] = take('join', ['d', 'attribute'], args, named)
    const get = getter(attribute, runtime)
    const items = iterate(value).map(get)
    const texts = items.map(textOf)
    requireSize(texts.reduce((sum, item) => sum + item.length, 0))
    return texts.join(textOf(by))
  },
  last: value => iterate(value).at(-1) ?? new Undefined('No last item, sequence was empty.'),
  list: value => [...iterate(value)],
  lower: value => textOf(value).toLowerCase(),
  map: (value, args, named, runtime) => {
    if (args.length === 0 && named.has('attribute')) {
      const get = getter(named.get('attribute'), runtime)
      const other = named.get('default')
      const found = iterate(value).map(get)
      return listOfKind(
        'generator',
        found.map(item => (item instanceof Undefined && other !== undefined ? other : item)),
      )
    }
    if (args.length === 0) throw new TemplateError('map requires a filter argument')
    return listOfKind(
      'generator',
      iterate(value).map(item => runtime.filter(textOf(args[0]), item, args.slice(1), named)),
    )
  },
  max: extreme(-1),
  min: extreme(1),
  reject: selecting(false, false),
  rejectattr: selecting(false, true),
  replace: (value, args, named) => {
    const [old, other, count] = take('replace', ['old', 'new', 'count'], args, named)
    if (old === undefined || other === undefined)
      throw new TemplateError('replace takes the text to replace and its replacement')
    return replaceText(
      textOf(value),
      textOf(old),
      textOf(other),
      count === undefined || count === null ? -1 : whole(count, -1),
    )
  },
  reverse: value =>
    typeof value === 'string'
      ? [...value].reverse().join('')
      : listOfKind('generator', [...iterate(value)].reverse()),
  round: (value, args, named) => {
    const [precision, method = 'common'] = take('round', ['precision', 'method'], args, named)
    if (!isNumber(value)) throw new TemplateError(`a number is required, not ${typeName(value)}`)
    if (!['common', 'ceil', 'floor'].includes(textOf(method)))
      throw new TemplateError('method must be common, ceil or floor')
    const result = rounded(toNumber(value), whole(precision, 0), textOf(method))
    return method === 'common' && !(value instanceof Float) ? integer(result) : new Float(result)
  },
  safe: value => new Markup(textOf(value)),
  select: selecting(true, false),
  selectattr: selecting(true, true),
  slice: (value, args, named) => {
    const [count, fill] = take('slice', ['slices', 'fill_with'], args, named)
    const slices = whole(count, 0)
    if (slices < 1) throw new TemplateError('slice needs a count above 0')
    const items = iterate(value)
    const size = Math.floor(items.length / slices)
    const longer = items.length % slices
    let at = 0
    const parts = Array.from({ length: slices }, (_, i) => {
      const part = items.slice(at, at + size + (i < longer ? 1 : 0))
      at += part.length
      return fill !== undefined && fill !== null && longer > 0 && i >= longer ? [...part, fill] : [...part]
    })
    return listOfKind('generator', parts)
  },
  sort: (value, args, named, runtime) => {
    const [reverse = false, sensitive = false, attribute] = take(
      'sort',
      ['reverse', 'case_sensitive', 'attribute'],
      args,
      named,
    )
    const getters = (
      attribute === undefined || attribute === null ? [undefined] : textOf(attribute).split(',')
    ).map(part => getter(part, runtime))
    return sorted(
      iterate(value),
      item => getters.map(get => folded(get(item), isTrue(sensitive))),
      isTrue(reverse),
    )
  },
  string: value => textOf(value),
  sum: (value, args, named, runtime) => {
    const [attribute, start = 0] = take('sum', ['attribute', 'start'], args, named)
    const get = getter(attribute, runtime)
    const items = [start, ...iterate(value).map(get)]
    let [total, isFloat] = [0, false]
    for (const item of items) {
      if (!isNumber(defined(item)))
        throw new TemplateError(`unsupported operand type(s) for +: 'int' and '${typeName(item)}'`)
      total += toNumber(item as number)
      isFloat ||= item instanceof Float
    }
    return isFloat ? new Float(total) : integer(total)
  },
  title: value => textOf(value).replace(/[^-\s({[<]+/gu, word => capitalize(word)),
  tojson: (value, args, named) => {
    const [ascii = false, indent, separators, sorts = false] = take(
      'tojson',
      ['ensure_ascii', 'indent', 'separators', 'sort_keys'],
      args,
      named,
    )
    if (isTrue(ascii)) throw new TemplateError('tojson with ensure_ascii is not supported')
    const size = indent === undefined || indent === null ? null : whole(indent, 0)
    const given = separators === undefined || separators === null ? null : iterate(separators).map(textOf)
    const [between, colon] = given ?? [size === null ? ', ' : ',', ': ']
    return jsonText(value, size, isTrue(sorts), [between, colon])
  },
  trim: (value, args, named) => {
    const [characters] = take('trim', ['chars'], args, named)
    const set = characters === undefined || characters === null ? null : new Set(textOf(characters))
    const text = [...textOf(value)]
    const isCut = (character: string) => (set === null ? isSpace(character) : set.has(character))
    let [start, end] = [0, text.length]
    while (start < end && isCut(text[start])) start++
    while (end > start && isCut(text[end - 1])) end--
    return text.slice(start, end).join('')
  },
  truncate: (value, args, named) => {
    const [length, kill = false, end = '...', leeway] = take(
      'truncate',
      ['length', 'killwords', 'end', 'leeway'],
      args,
      named,
    )
    const [text, tail, size] = [[...textOf(value)], textOf(end), whole(length, 255)]
    if (text.length <= size + whole(leeway ?? undefined, 5)) return text.join('')
    const kept = text.slice(0, size - [...tail].length).join('')
    const cut = kept.lastIndexOf(' ')
    return (isTrue(kill) || cut < 0 ? kept : kept.slice(0, cut)) + tail
  },
  unique: (value, args, named, runtime) => {
    const [sensitive = false, attribute] = take('unique', ['case_sensitive', 'attribute'], args, named)
    const get = getter(attribute, runtime)
    const seen: Value[] = []
    const kept = iterate(value).filter(item => {
      const key = folded(get(item), isTrue(sensitive))
      if (seen.some(other => isEqual(other, key))) return false
      seen.push(key)
      return true
    })
    return listOfKind('generator', kept)
  },
  upper: value => textOf(value).toUpperCase(),
  urlencode: value => {
    const encode = (text: string, keepsSlash: boolean) => {
      const coded = encodeURIComponent(text).replace(
        /[!'()*]/g,
        c => `%${c.charCodeAt(0).toString(16).toUpperCase()}`,
      )
      return keepsSlash ? coded.replaceAll('%2F', '/') : coded.replaceAll('%20', '+')
    }
    if (!(value instanceof Map)) return encode(textOf(value), true)
    return [...value]
      .map(([key, item]) => `${encode(textOf(key), false)}=${encode(textOf(item), false)}`)
      .join('&')
  },
  wordcount: value => (textOf(value).match(/[\p{L}\p{N}_]+/gu) ?? []).length,
}
