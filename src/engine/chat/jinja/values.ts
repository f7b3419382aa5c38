// The values of a template, with Python's meaning: what is true, equal and less, and how a value is written. Integers
// are numbers, strings strings, None null; what JavaScript has no equal of has a class here.

/** A template that cannot be parsed or run: the message names what is wrong or not supported. */
export class TemplateError extends Error {}
/** The limit of steps. */
export class TooManySteps extends TemplateError {}
/** What the template raised itself, with raise_exception. */
export class RaisedError extends Error {}

export class Float {
  constructor(readonly value: number) {}
}
export class Tuple {
  constructor(readonly items: readonly Value[]) {}
}
/** Text that is escaped already, as the filters `safe` and `escape` give it. */
export class Markup {
  constructor(readonly text: string) {}
}
/** A name or an attribute that does not exist; using it other than as nothing raises `hint`. */
export class Undefined {
  constructor(readonly hint: string) {}
}
export class Namespace {
  readonly attributes = new Map<string, Value>()
}
export class Callable {
  constructor(
    readonly name: string,
    readonly call: (args: readonly Value[], named: ReadonlyMap<string, Value>) => Value,
  ) {}
}
/** An object with attributes of its own, such as `loop`. */
export class Instance {
  constructor(
    readonly name: string,
    readonly attribute: (name: string) => Value | undefined,
  ) {}
}
export type Dict = Map<Value, Value>
export type Value =
  | null
  | boolean
  | number
  | string
  | Float
  | Tuple
  | Markup
  | Undefined
  | Namespace
  | Callable
  | Instance
  | Value[]
  | Dict

/**
 * Lists that are none in Python. A generator is always true, has no length and gives its items once; the views of a dict
 * and a range are written in another way.
 */
type ListKind = 'generator' | 'range' | 'dict_keys' | 'dict_values' | 'dict_items'
const kinds = new WeakMap<readonly Value[], ListKind>()

export function listOfKind(kind: ListKind, items: readonly Value[]): Value[] {
  const list = [...items]
  kinds.set(list, kind)
  return list
}

export function kindOf(value: Value): ListKind | undefined {
  return Array.isArray(value) ? kinds.get(value) : undefined
}

/** JSON as a template's value: objects become dicts, numbers with a fraction floats. */
export function fromJson(json: unknown): Value {
  if (json === null || json === undefined) return null
  if (typeof json === 'number') return Number.isSafeInteger(json) ? json : new Float(json)
  if (typeof json === 'string' || typeof json === 'boolean') return json
  if (Array.isArray(json)) return json.map(fromJson)
  return new Map(Object.entries(json).map(([key, value]) => [key, fromJson(value)] as const))
}

/** Python's name of a value's type, as its messages use it. */
export function typeName(value: Value): string {
  if (value === null) return 'NoneType'
  if (typeof value === 'boolean') return 'bool'
  if (typeof value === 'number') return 'int'
  if (typeof value === 'string') return 'str'
  if (value instanceof Float) return 'float'
  if (value instanceof Tuple) return 'tuple'
  if (value instanceof Map) return 'dict'
  if (Array.isArray(value)) return kindOf(value) ?? 'list'
  return value.constructor.name
}

export function isNumber(value: Value): value is number | boolean | Float {
  return typeof value === 'number' || typeof value === 'boolean' || value instanceof Float
}

export function toNumber(value: number | boolean | Float): number {
  return value instanceof Float ? value.value : Number(value)
}

/** An integer result. Throws TemplateError beyond 2⁵³, where Python would still be exact. */
export function integer(value: number): number {
  if (Number.isSafeInteger(value)) return value === 0 ? 0 : value
  throw new TemplateError('an integer above 2^53 is not supported')
}

/** Throws TemplateError with what is missing, for a value that has to exist. */
export function defined(value: Value): Value {
  if (value instanceof Undefined) throw new TemplateError(value.hint)
  return value
}

export function isTrue(value: Value): boolean {
  if (value === null || value instanceof Undefined) return false
  if (kindOf(value) === 'generator') return true
  if (isNumber(value)) return toNumber(value) !== 0
  if (typeof value === 'string') return value !== ''
  if (value instanceof Markup) return value.text !== ''
  if (value instanceof Tuple) return value.items.length > 0
  if (value instanceof Map) return value.size > 0
  return !Array.isArray(value) || value.length > 0
}

/** The parts that a loop over a value goes through: characters, items, keys. */
export function iterate(value: Value): readonly Value[] {
  if (value instanceof Undefined) return []
  if (kindOf(value) === 'generator') return (value as Value[]).splice(0)
  if (Array.isArray(value)) return value
  if (value instanceof Tuple) return value.items
  if (value instanceof Map) return [...value.keys()]
  if (typeof value === 'string') return [...value]
  throw new TemplateError(`'${typeName(value)}' object is not iterable`)
}

export function lengthOf(value: Value): number {
  if (kindOf(value) === 'generator') throw new TemplateError("object of type 'generator' has no len()")
  if (typeof value === 'string' || Array.isArray(value) || value instanceof Tuple || value instanceof Map) {
    return iterate(value).length
  }
  if (value instanceof Undefined) return 0
  throw new TemplateError(`object of type '${typeName(value)}' has no len()`)
}

export function isEqual(a: Value, b: Value): boolean {
  if (isNumber(a) && isNumber(b)) return toNumber(a) === toNumber(b)
  if (a instanceof Undefined || b instanceof Undefined)
    return a instanceof Undefined && b instanceof Undefined
  if (a instanceof Markup || b instanceof Markup) {
    const text = (value: Value) => (value instanceof Markup ? value.text : value)
    return text(a) === text(b)
  }
  if (Array.isArray(a) && Array.isArray(b)) return isEqualList(a, b)
  if (a instanceof Tuple && b instanceof Tuple) return isEqualList(a.items, b.items)
  if (a instanceof Map && b instanceof Map) {
    return (
      a.size === b.size &&
      [...a].every(([key, value]) => {
        const other = getItem(b, key)
        return other !== undefined && isEqual(value, other)
      })
    )
  }
  return a === b
}

function isEqualList(a: readonly Value[], b: readonly Value[]): boolean {
  return a.length === b.length && a.every((item, i) => isEqual(item, b[i]))
}

/** Negative, 0 or positive. Throws TemplateError for values without an order. */
export function compare(a: Value, b: Value, operator = '<'): number {
  if (isNumber(a) && isNumber(b)) return toNumber(a) - toNumber(b)
  if (typeof a === 'string' && typeof b === 'string') return compareText(a, b)
  const lists: [Value, Value][] = [[a, b]]
  for (const [left, right] of lists) {
    const both =
      (Array.isArray(left) && Array.isArray(right)) || (left instanceof Tuple && right instanceof Tuple)
    if (!both) break
    const [x, y] = [iterate(left), iterate(right)]
    for (let i = 0; i < Math.min(x.length, y.length); i++) {
      if (!isEqual(x[i], y[i])) return compare(x[i], y[i], operator)
    }
    return x.length - y.length
  }
  defined(a)
  defined(b)
  throw new TemplateError(
    `'${operator}' not supported between instances of '${typeName(a)}' and '${typeName(b)}'`,
  )
}

/** By code points, as Python compares, and not by UTF-16 units. */
function compareText(a: string, b: string): number {
  const [x, y] = [[...a], [...b]]
  for (let i = 0; i < Math.min(x.length, y.length); i++) {
    if (x[i] !== y[i]) return x[i].codePointAt(0)! - y[i].codePointAt(0)!
  }
  return x.length - y.length
}

/** The key under which a dict holds a value. */
export function dictKey(key: Value): Value {
  if (typeof key === 'boolean') return Number(key)
  if (key instanceof Float && Number.isInteger(key.value)) return key.value
  if (key instanceof Markup) return key.text
  if (key === null || typeof key === 'string' || typeof key === 'number') return key
  throw new TemplateError(`a key of the type ${typeName(key)} is not supported`)
}

export function getItem(dict: Dict, key: Value): Value | undefined {
  if (Array.isArray(key) || key instanceof Map) throw new TemplateError(`unhashable type: '${typeName(key)}'`)
  if (key instanceof Tuple || key instanceof Float) {
    return key instanceof Float && Number.isInteger(key.value) ? dict.get(key.value) : undefined
  }
  if (typeof key === 'boolean') return dict.get(key) ?? dict.get(Number(key))
  return dict.get(key instanceof Markup ? key.text : key)
}

/** As Python's `str`, which is how values are printed. */
export function textOf(value: Value): string {
  if (typeof value === 'string') return value
  if (value instanceof Markup) return value.text
  if (value instanceof Undefined) return ''
  return repr(value)
}

/** As Python's `repr`. Throws TemplateError for what has no fixed text. */
export function repr(value: Value): string {
  if (value === null) return 'None'
  if (typeof value === 'boolean') return value ? 'True' : 'False'
  if (typeof value === 'number') return String(value)
  if (typeof value === 'string') return quote(value)
  if (value instanceof Float) return floatText(value.value)
  const kind = kindOf(value)
  if (kind === 'generator' || kind === 'range')
    throw new TemplateError(`a ${kind} cannot be printed; use the filter list`)
  if (kind !== undefined) return `${kind}([${(value as Value[]).map(repr).join(', ')}])`
  if (Array.isArray(value)) return `[${value.map(repr).join(', ')}]`
  if (value instanceof Tuple) {
    return value.items.length === 1 ? `(${repr(value.items[0])},)` : `(${value.items.map(repr).join(', ')})`
  }
  if (value instanceof Map)
    return `{${[...value].map(([key, item]) => `${repr(key)}: ${repr(item)}`).join(', ')}}`
  if (value instanceof Undefined) return 'Undefined'
  if (value instanceof Markup) return `Markup(${quote(value.text)})`
  throw new TemplateError(`a ${typeName(value).toLowerCase()} cannot be printed`)
}

export function floatText(value: number): string {
  if (Number.isNaN(value)) return 'nan'
  if (!Number.isFinite(value)) return value > 0 ? 'inf' : '-inf'
  const size = Math.abs(value)
  if (size !== 0 && (size >= 1e16 || size < 1e-4)) {
    const [mantissa, exponent] = value.toExponential().split('e')
    return `${mantissa}e${exponent[0]}${exponent.slice(1).padStart(2, '0')}`
  }
  const text = Object.is(value, -0) ? '-0' : String(value)
  return text.includes('.') ? text : `${text}.0`
}

function quote(text: string): string {
  const mark = text.includes("'") && !text.includes('"') ? '"' : "'"
  let quoted = ''
  for (const character of text) {
    const code = character.codePointAt(0)!
    if (character === mark || character === '\\') quoted += `\\${character}`
    else if (character === '\n') quoted += '\\n'
    else if (character === '\r') quoted += '\\r'
    else if (character === '\t') quoted += '\\t'
    else if (character === ' ' || !/[\p{C}\p{Z}]/u.test(character)) quoted += character
    else if (code < 0x100) quoted += `\\x${code.toString(16).padStart(2, '0')}`
    else if (code < 0x10000) quoted += `\\u${code.toString(16).padStart(4, '0')}`
    else quoted += `\\U${code.toString(16).padStart(8, '0')}`
  }
  return mark + quoted + mark
}

/** As Python's json.dumps does with ensure_ascii false. */
export function jsonText(
  value: Value,
  indent: number | null,
  sortsKeys: boolean,
  separators: [string, string],
): string {
  const [between, colon] = separators
  const write = (item: Value, depth: number): string => {
    if (item === null) return 'null'
    if (typeof item === 'boolean' || typeof item === 'number') return String(item)
    if (typeof item === 'string') return jsonString(item)
    if (item instanceof Markup) return jsonString(item.text)
    if (item instanceof Float) {
      const text = floatText(item.value)
      return { nan: 'NaN', inf: 'Infinity', '-inf': '-Infinity' }[text] ?? text
    }
    const lines = (open: string, parts: readonly string[], close: string) => {
      if (parts.length === 0) return open + close
      if (indent === null) return open + parts.join(between) + close
      const margin = `\n${' '.repeat(indent * (depth + 1))}`
      return `${open}${margin}${parts.join(between + margin)}\n${' '.repeat(indent * depth)}${close}`
    }
    if (kindOf(item) === undefined && (Array.isArray(item) || item instanceof Tuple)) {
      return lines(
        '[',
        iterate(item).map(part => write(part, depth + 1)),
        ']',
      )
    }
    if (item instanceof Map) {
      const entries = [...item]
      if (sortsKeys) entries.sort((a, b) => compare(a[0], b[0]))
      return lines(
        '{',
        entries.map(([key, part]) => jsonKey(key) + colon + write(part, depth + 1)),
        '}',
      )
    }
    throw new TemplateError(`Object of type ${typeName(item)} is not JSON serializable`)
  }
  return write(value, 0)
}

function jsonKey(key: Value): string {
  if (typeof key === 'string') return jsonString(key)
  return jsonString(key === null ? 'null' : typeof key === 'boolean' ? String(key) : textOf(key))
}

function jsonString(text: string): string {
  const escapes: Record<string, string> = { '"': '\\"', '\\': '\\\\', '\n': '\\n', '\r': '\\r', '\t': '\\t' }
  // biome-ignore lint/suspicious/noControlCharactersInRegex: these are the characters that JSON escapes
  const escaped = text.replace(/[\u0000-\u001f"\\]/g, character => {
    const known = { ...escapes, '\b': '\\b', '\f': '\\f' }[character]
    return known ?? `\\u${character.charCodeAt(0).toString(16).padStart(4, '0')}`
  })
  return `"${escaped}"`
}
