// What a filter is given: its arguments by position or name, and what it needs of the interpreter.

import { TemplateError, textOf, typeName, type Value } from './values.js'

/** What filters need of the interpreter. */
export interface Runtime {
  readonly filter: (
    name: string,
    value: Value,
    args: readonly Value[],
    named: ReadonlyMap<string, Value>,
  ) => Value
  readonly test: (name: string, value: Value, args: readonly Value[]) => boolean
  readonly item: (value: Value, key: Value) => Value
  readonly attribute: (value: Value, name: string) => Value
}

export type Named = ReadonlyMap<string, Value>
export type Filter = (value: Value, args: readonly Value[], named: Named, runtime: Runtime) => Value

/** Arguments by position or name, in the order of `names`. Throws TemplateError for others. */
export function take(
  filter: string,
  names: readonly string[],
  args: readonly Value[],
  named: Named,
): (Value | undefined)[] {
  if (args.length > names.length)
    throw new TemplateError(`the filter ${filter} takes at most ${names.length} arguments`)
  for (const name of named.keys()) {
    if (!names.includes(name)) throw new TemplateError(`the filter ${filter} has no argument '${name}'`)
  }
  return names.map((name, i) => args[i] ?? named.get(name))
}

export function whole(value: Value | undefined, fallback: number): number {
  if (value === undefined) return fallback
  if (typeof value === 'number') return value
  throw new TemplateError(`an integer is required, not ${typeName(value)}`)
}

/** The function by which an attribute (`a.b`, an index) of an item is looked up. */
export function getter(attribute: Value | undefined, runtime: Runtime): (item: Value) => Value {
  if (attribute === undefined || attribute === null) return item => item
  if (typeof attribute === 'number') return item => runtime.item(item, attribute)
  const parts = textOf(attribute)
    .split('.')
    .map(part => (/^\d+$/.test(part) ? Number(part) : part))
  return item => parts.reduce((value: Value, part) => runtime.item(value, part), item)
}
