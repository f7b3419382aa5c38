// The functions that every template may call. jinja2/utils.py; `raise_exception` and `strftime_now` are Hugging Face's.

import { strftime } from './format.js'
import {
  Callable,
  dictKey,
  Instance,
  iterate,
  listOfKind,
  Namespace,
  RaisedError,
  TemplateError,
  textOf,
  typeName,
  type Value,
} from './values.js'

/** By name; `now` is the time of strftime_now. */
export function globals(now: Date): ReadonlyMap<string, Value> {
  const functions: [string, Callable['call']][] = [
    ['range', args => range(args)],
    [
      'dict',
      (args, named) => new Map<Value, Value>([...(args[0] === undefined ? [] : pairsOf(args[0])), ...named]),
    ],
    [
      'namespace',
      (args, named) => {
        const made = new Namespace()
        for (const [key, value] of [...(args[0] === undefined ? [] : pairsOf(args[0])), ...named])
          made.attributes.set(textOf(key), value)
        return made
      },
    ],
    ['cycler', args => cycler(args)],
    [
      'joiner',
      args => {
        let isUsed = false
        return new Callable('joiner', () => {
          const separator = isUsed ? (args[0] ?? ', ') : ''
          isUsed = true
          return separator
        })
      },
    ],
    [
      'raise_exception',
      args => {
        throw new RaisedError(args[0] === undefined ? 'no reason given' : textOf(args[0]))
      },
    ],
    ['strftime_now', args => strftime(now, textOf(args[0]))],
  ]
  return new Map(functions.map(([name, call]) => [name, new Callable(name, call)]))
}

function pairsOf(value: Value): (readonly [Value, Value])[] {
  if (value instanceof Map) return [...value]
  return iterate(value).map(pair => {
    const [key, item, ...more] = iterate(pair)
    if (item === undefined || more.length > 0)
      throw new TemplateError('dict() takes pairs of a key and a value')
    return [dictKey(key), item] as const
  })
}

function range(args: readonly Value[]): Value {
  const numbers = args.map(arg => {
    if (typeof arg === 'number' || typeof arg === 'boolean') return Number(arg)
    throw new TemplateError(`'${typeName(arg)}' object cannot be interpreted as an integer`)
  })
  if (numbers.length < 1 || numbers.length > 3) throw new TemplateError('range expected 1 to 3 arguments')
  const [start, stop, step = 1] = numbers.length === 1 ? [0, numbers[0]] : numbers
  if (step === 0) throw new TemplateError('range() arg 3 must not be zero')
  const length = Math.max(0, Math.ceil((stop - start) / step))
  if (length > 100_000)
    throw new TemplateError('Range too big. The sandbox blocks ranges larger than 100000.')
  return listOfKind(
    'range',
    Array.from({ length }, (_, i) => start + i * step),
  )
}

function cycler(items: readonly Value[]): Value {
  if (items.length === 0) throw new TemplateError('at least one item has to be provided')
  let at = 0
  return new Instance('Cycler', name => {
    if (name === 'current') return items[at]
    if (name === 'next') {
      return new Callable('next', () => {
        const item = items[at]
        at = (at + 1) % items.length
        return item
      })
    }
    if (name !== 'reset') return undefined
    return new Callable('reset', () => {
      at = 0
      return null
    })
  })
}
