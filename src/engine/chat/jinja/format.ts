// Python's ways to put values into text: `%`, str.format with its format specifications, and strftime.

import {
  Float,
  getItem,
  integer,
  isNumber,
  iterate,
  repr,
  TemplateError,
  Tuple,
  textOf,
  toNumber,
  typeName,
  type Value,
} from './values.js'

/** The operator % of a string. */
export function formatPercent(pattern: string, values: Value): string {
  const list = values instanceof Tuple ? [...values.items] : [values]
  let used = 0
  const take = (): Value => {
    if (used >= list.length) throw new TemplateError('not enough arguments for format string')
    return list[used++]
  }
  const text = pattern.replace(
    /%(?:\(([^)]*)\))?([-+ 0#]*)(\*|\d+)?(?:\.(\d+))?([\s\S])?/g,
    (
      _,
      key: string | undefined,
      flags: string,
      width: string | undefined,
      precision: string | undefined,
      type: string | undefined,
    ) => {
      if (type === undefined) throw new TemplateError('incomplete format')
      if (type === '%') return '%'
      if (width === '*') throw new TemplateError('the width * of a format is not supported')
      let value: Value
      if (key !== undefined) {
        if (!(values instanceof Map)) throw new TemplateError('format requires a mapping')
        used = list.length
        const found = getItem(values, key)
        if (found === undefined) throw new TemplateError(`KeyError: '${key}'`)
        value = found
      } else value = take()
      const digits = precision === undefined ? undefined : Number(precision)
      const sign = flags.includes('+') ? '+' : flags.includes(' ') ? ' ' : '-'
      const isLeft = flags.includes('-')
      const fill = flags.includes('0') && !isLeft ? '0' : ' '
      if ('sra'.includes(type)) {
        const shown = type === 's' ? textOf(value) : repr(value)
        return padded(
          digits === undefined ? shown : [...shown].slice(0, digits).join(''),
          Number(width ?? 0),
          ' ',
          isLeft ? '<' : '>',
        )
      }
      if (type === 'c')
        return padded(
          typeof value === 'number' ? String.fromCodePoint(value) : textOf(value),
          Number(width ?? 0),
          ' ',
          isLeft ? '<' : '>',
        )
      if (!isNumber(value))
        throw new TemplateError(`%${type} format: a real number is required, not ${typeName(value)}`)
      const kind = type === 'i' || type === 'u' ? 'd' : type
      const number =
        kind === 'd'
          ? integer(Math.trunc(toNumber(value)))
          : 'xXo'.includes(kind)
            ? value
            : new Float(toNumber(value))
      const body = numberText(
        number,
        kind,
        'xXod'.includes(kind) ? undefined : (digits ?? 6),
        sign,
        flags.includes('#'),
      )
      if ('xXod'.includes(kind) && digits !== undefined)
        throw new TemplateError('a precision of an integer format is not supported')
      return padded(body, Number(width ?? 0), fill, isLeft ? '<' : fill === '0' ? '=' : '>')
    },
  )
  if (used < list.length && !(values instanceof Map)) {
    throw new TemplateError('not all arguments converted during string formatting')
  }
  return text
}

/** str.format. lookup: an attribute or an item of a value. */
export function formatBraces(
  pattern: string,
  args: readonly Value[],
  named: ReadonlyMap<string, Value>,
  lookup: (value: Value, key: string, isAttribute: boolean) => Value,
): string {
  let automatic = 0
  return pattern.replace(
    /\{\{|\}\}|\{([^{}!:]*)(?:!([^:}]*))?(?::((?:[^{}]|\{[^{}]*\})*))?\}|[{}]/g,
    (whole, field: string | undefined, conversion: string | undefined, spec: string | undefined) => {
      if (whole === '{{' || whole === '}}') return whole[0]
      if (field === undefined) throw new TemplateError(`Single '${whole}' encountered in format string`)
      if (spec?.includes('{'))
        throw new TemplateError('a field inside a format specification is not supported')
      const [, name, rest] = /^([^.[]*)(.*)$/s.exec(field)!
      let value: Value | undefined
      if (name === '') value = args[automatic++]
      else value = /^\d+$/.test(name) ? args[Number(name)] : named.get(name)
      if (value === undefined) {
        throw new TemplateError(
          name === '' || /^\d+$/.test(name) ? 'Replacement index out of range' : `KeyError: '${name}'`,
        )
      }
      for (const [, attribute, item] of rest.matchAll(/\.([^.[]+)|\[([^\]]*)\]/g)) {
        value = attribute !== undefined ? lookup(value, attribute, true) : lookup(value, item, false)
      }
      if (conversion !== undefined && !'rs'.includes(conversion))
        throw new TemplateError(`the conversion !${conversion} is not supported`)
      return formatSpec(
        conversion === 'r' ? repr(value) : conversion === 's' ? textOf(value) : value,
        spec ?? '',
      )
    },
  )
}

/** A value by a format specification: `[[fill]align][sign][#][0][width][,][.precision][type]`. */
export function formatSpec(value: Value, spec: string): string {
  if (spec === '') return textOf(value)
  const found = /^(?:(.)?([<>=^]))?([-+ ])?(#)?(0)?(\d+)?([,_])?(?:\.(\d+))?([a-zA-Z%])?$/su.exec(spec)
  if (found === null) throw new TemplateError(`Invalid format specifier '${spec}'`)
  const [, given, align, sign = '-', alternate, zero, width, group, precision, type] = found
  const size = Number(width ?? 0)
  const digits = precision === undefined ? undefined : Number(precision)
  if (isNumber(value) && !(typeof value === 'boolean' && type === 's')) {
    const isFloat = value instanceof Float
    const kind = type ?? (isFloat ? '' : 'd')
    if (!(isFloat ? 'eEfFgG%' : 'bdoxXeEfFgG%c').includes(kind)) {
      throw new TemplateError(`Unknown format code '${kind}' for object of type '${typeName(value)}'`)
    }
    if (!isFloat && 'bdoxX'.includes(kind) && digits !== undefined) {
      throw new TemplateError('Precision not allowed in integer format specifier')
    }
    if (kind === '' && digits !== undefined)
      throw new TemplateError('a precision without a type is not supported')
    const body = numberText(value, kind, digits, sign, alternate !== undefined, group)
    if (zero !== undefined && group !== undefined)
      throw new TemplateError('zeros with separators are not supported')
    return padded(
      body,
      size,
      given ?? (zero === undefined ? ' ' : '0'),
      align ?? (zero === undefined ? '>' : '='),
    )
  }
  if (typeof value !== 'string')
    throw new TemplateError(`unsupported format string passed to ${typeName(value)}.__format__`)
  if ((type !== undefined && type !== 's') || align === '=' || group || found[3]) {
    throw new TemplateError(`Unknown format code '${type ?? spec}' for object of type 'str'`)
  }
  const text = digits === undefined ? value : [...value].slice(0, digits).join('')
  return padded(text, size, given ?? (zero === undefined ? ' ' : '0'), align ?? '<')
}

function numberText(
  value: Value,
  kind: string,
  precision: number | undefined,
  sign: string,
  alternate: boolean,
  group?: string,
): string {
  const number = toNumber(value as number)
  const size = Math.abs(number)
  let body: string
  if (precision !== undefined && precision > 100)
    throw new TemplateError('a precision above 100 is not supported')
  if (kind === '') body = textOf(new Float(size))
  else if (kind === 'd') body = String(size)
  else if ('bxXo'.includes(kind)) {
    if (value instanceof Float) throw new TemplateError(`%${kind} format: an integer is required, not float`)
    const [radix, prefix] = kind === 'b' ? [2, '0b'] : kind === 'o' ? [8, '0o'] : [16, `0${kind}`]
    body = size.toString(radix)
    if (kind === 'X') body = body.toUpperCase()
    if (alternate) body = prefix + body
  } else if (kind === 'c') return String.fromCodePoint(number)
  else if (!Number.isFinite(number)) body = Number.isNaN(number) ? 'nan' : 'inf'
  else if (kind === '%') body = `${fixed(size * 100, precision ?? 6)}%`
  else if ('fF'.includes(kind)) body = fixed(size, precision ?? 6)
  else if ('eE'.includes(kind)) body = exponent(size.toExponential(precision ?? 6))
  else if ('gG'.includes(kind)) {
    const digits = precision === 0 ? 1 : (precision ?? 6)
    const [mantissa, power] = size.toExponential(digits - 1).split('e')
    body =
      Number(power) < -4 || Number(power) >= digits
        ? exponent(`${trimmed(mantissa)}e${power}`)
        : trimmed(size.toFixed(Math.max(0, digits - 1 - Number(power))))
  } else throw new TemplateError(`unsupported format character '${kind}'`)
  if ('EG'.includes(kind) && kind !== '') body = body.toUpperCase()
  if (group !== undefined) body = body.replace(/^\d+/, whole => whole.replace(/\B(?=(\d{3})+$)/g, group))
  const isNegative = number < 0 || Object.is(number, -0)
  return (isNegative ? '-' : sign === '-' ? '' : sign) + body
}

/** toFixed writes large numbers with an exponent. */
function fixed(value: number, digits: number): string {
  if (value >= 1e21) throw new TemplateError('a number of 1e21 or more in fixed notation is not supported')
  return value.toFixed(digits)
}

const trimmed = (text: string) => (text.includes('.') ? text.replace(/\.?0+$/, '') : text)
const exponent = (text: string) => text.replace(/e([+-])(\d)$/, 'e$10$2')

function padded(text: string, width: number, fill: string, align: string): string {
  const missing = width - [...text].length
  if (missing <= 0) return text
  if (missing > 2 ** 20) throw new TemplateError('a width above 2^20 is not supported')
  if (align === '<') return text + fill.repeat(missing)
  if (align === '>') return fill.repeat(missing) + text
  if (align === '^') return fill.repeat(missing >> 1) + text + fill.repeat(missing - (missing >> 1))
  const [, sign, rest] = /^([-+ ]?(?:0[xXob](?=.))?)(.*)$/s.exec(text)!
  return sign + fill.repeat(missing) + rest
}

const DAYS = ['Sunday', 'Monday', 'Tuesday', 'Wednesday', 'Thursday', 'Friday', 'Saturday']
const MONTHS = [
  'January',
  'February',
  'March',
  'April',
  'May',
  'June',
  'July',
  'August',
  'September',
  'October',
  'November',
  'December',
]

/** datetime.strftime of a local time, in the C locale. Throws TemplateError for a code that is not known. */
export function strftime(now: Date, format: string): string {
  const two = (value: number) => String(value).padStart(2, '0')
  const start = Date.UTC(now.getFullYear(), 0, 1)
  const yearDay = Math.round(
    (Date.UTC(now.getFullYear(), now.getMonth(), now.getDate()) - start) / 86_400_000,
  )
  const hour12 = now.getHours() % 12 || 12
  const codes: Record<string, () => string> = {
    a: () => DAYS[now.getDay()].slice(0, 3),
    A: () => DAYS[now.getDay()],
    b: () => MONTHS[now.getMonth()].slice(0, 3),
    B: () => MONTHS[now.getMonth()],
    c: () => strftime(now, '%a %b %e %H:%M:%S %Y'),
    d: () => two(now.getDate()),
    D: () => strftime(now, '%m/%d/%y'),
    e: () => String(now.getDate()).padStart(2),
    f: () => `${String(now.getMilliseconds()).padStart(3, '0')}000`,
    F: () => strftime(now, '%Y-%m-%d'),
    h: () => strftime(now, '%b'),
    H: () => two(now.getHours()),
    I: () => two(hour12),
    j: () => String(yearDay + 1).padStart(3, '0'),
    m: () => two(now.getMonth() + 1),
    M: () => two(now.getMinutes()),
    n: () => '\n',
    p: () => (now.getHours() < 12 ? 'AM' : 'PM'),
    r: () => strftime(now, '%I:%M:%S %p'),
    R: () => strftime(now, '%H:%M'),
    S: () => two(now.getSeconds()),
    t: () => '\t',
    T: () => strftime(now, '%H:%M:%S'),
    u: () => String(now.getDay() || 7),
    U: () => two(Math.floor((yearDay + 7 - now.getDay()) / 7)),
    w: () => String(now.getDay()),
    W: () => two(Math.floor((yearDay + 7 - ((now.getDay() + 6) % 7)) / 7)),
    x: () => strftime(now, '%m/%d/%y'),
    X: () => strftime(now, '%H:%M:%S'),
    y: () => two(now.getFullYear() % 100),
    Y: () => String(now.getFullYear()),
    // A time without a zone has neither.
    z: () => '',
    Z: () => '',
    '%': () => '%',
  }
  return format.replace(/%(-?)([\s\S])?/g, (whole, dash: string, code: string | undefined) => {
    const write = code === undefined ? undefined : codes[code]
    if (write === undefined) throw new TemplateError(`strftime_now: the code ${whole} is not supported`)
    return dash === '' ? write() : write().replace(/^[0 ]+(?=\d)/, '')
  })
}

/** The values of a list or tuple, for `join` and others that take any iterable of text. */
export function textsOf(value: Value): string[] {
  return iterate(value).map(item => {
    if (typeof item !== 'string')
      throw new TemplateError(`sequence item: expected str instance, ${typeName(item)} found`)
    return item
  })
}
