// What `value.name` and `value[key]` give a template: items, methods, and the attributes that are shown to it; never a
// property of a JavaScript object. jinja2/environment.py, jinja2/sandbox.py.

import { methodOf } from './methods.js'
import {
  Callable,
  getItem,
  Instance,
  iterate,
  kindOf,
  Markup,
  Namespace,
  TemplateError,
  Tuple,
  textOf,
  typeName,
  Undefined,
  type Value,
} from './values.js'

/** `value.name`: an attribute, or else an item. */
export function attributeOrItem(value: Value, name: string): Value {
  const found = own(value, name)
  if (found !== undefined) return found
  if (value instanceof Undefined) throw new TemplateError(value.hint)
  const item = value instanceof Map ? getItem(value, name) : undefined
  return item ?? new Undefined(`'${objectName(value)}' has no attribute '${name}'`)
}

export function attributeOf(value: Value, name: string): Value {
  return own(value, name) ?? new Undefined(`'${objectName(value)}' has no attribute '${name}'`)
}

/** An attribute of the value itself: a method, or what an object of ours shows. */
function own(value: Value, name: string): Value | undefined {
  if (name.startsWith('_')) return undefined
  if (value instanceof Namespace) return value.attributes.get(name)
  if (value instanceof Instance) return value.attribute(name)
  if (value instanceof Callable) throw new TemplateError(`${name} of a function is not supported`)
  if (value instanceof Markup) throw new TemplateError(`${name} of escaped text is not supported`)
  return methodOf(value, name, (of, key, isAttribute) =>
    isAttribute ? attributeOrItem(of, key) : itemOf(of, /^\d+$/.test(key) ? Number(key) : key),
  )
}

/** `value[key]`: an item, or else an attribute. */
export function itemOf(value: Value, key: Value): Value {
  if (value instanceof Undefined) throw new TemplateError(value.hint)
  if (value instanceof Map) {
    const found = getItem(value, key)
    if (found !== undefined) return found
  } else if (typeof key === 'number' || typeof key === 'boolean') {
    const isList = Array.isArray(value) && (kindOf(value) ?? 'range') === 'range'
    if (typeof value === 'string' || isList || value instanceof Tuple) {
      const items = iterate(value)
      const found = items.at(Number(key))
      return found ?? new Undefined(`${objectName(value)} has no element ${Number(key)}`)
    }
  }
  const found = typeof key === 'string' ? own(value, key) : undefined
  return found ?? new Undefined(`'${objectName(value)}' has no attribute '${textOf(key)}'`)
}

function objectName(value: Value): string {
  if (value instanceof Namespace) return 'Namespace'
  return value === null ? 'None' : `${typeName(value)} object`
}
