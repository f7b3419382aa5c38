// The tests of Jinja: what stands behind `is`. jinja2/tests.py.

import { FILTERS } from './filters.js'
import { compares, contains } from './operators.js'
import {
  Callable,
  Float,
  isNumber,
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

type Test = (value: Value, args: readonly Value[]) => boolean
const one = (args: readonly Value[]): Value => {
  if (args.length !== 1) throw new TemplateError('the test takes exactly one argument')
  return args[0]
}
const comparing =
  (operator: string): Test =>
  (value, args) =>
    compares(operator, value, one(args))
const integral = (value: Value): number => {
  if (!isNumber(value)) throw new TemplateError(`a number is required, not ${typeName(value)}`)
  return toNumber(value)
}

export const TESTS: Readonly<Record<string, Test>> = {
  boolean: value => typeof value === 'boolean',
  callable: value => value instanceof Callable,
  defined: value => !(value instanceof Undefined),
  undefined: value => value instanceof Undefined,
  divisibleby: (value, args) => {
    const by = integral(one(args))
    if (by === 0) throw new TemplateError('integer modulo by zero')
    return integral(value) % by === 0
  },
  '==': comparing('=='),
  eq: comparing('=='),
  equalto: comparing('=='),
  '!=': comparing('!='),
  ne: comparing('!='),
  '<': comparing('<'),
  lt: comparing('<'),
  lessthan: comparing('<'),
  '<=': comparing('<='),
  le: comparing('<='),
  '>': comparing('>'),
  gt: comparing('>'),
  greaterthan: comparing('>'),
  '>=': comparing('>='),
  ge: comparing('>='),
  escaped: value => value instanceof Markup,
  even: value => integral(value) % 2 === 0,
  odd: value => Math.abs(integral(value) % 2) === 1,
  false: value => value === false,
  true: value => value === true,
  filter: value => typeof value === 'string' && Object.hasOwn(FILTERS, value),
  test: value => typeof value === 'string' && Object.hasOwn(TESTS, value),
  float: value => value instanceof Float,
  integer: value => typeof value === 'number',
  in: (value, args) => contains(one(args), value),
  iterable: value =>
    typeof value === 'string' ||
    Array.isArray(value) ||
    value instanceof Tuple ||
    value instanceof Map ||
    value instanceof Undefined ||
    value instanceof Markup,
  lower: value => /\p{L}/u.test(textOf(value)) && textOf(value) === textOf(value).toLowerCase(),
  upper: value => /\p{L}/u.test(textOf(value)) && textOf(value) === textOf(value).toUpperCase(),
  mapping: value => value instanceof Map,
  none: value => value === null,
  number: value => isNumber(value),
  sameas: (value, args) => {
    const other = one(args)
    if (value instanceof Float || (typeof value === 'string' && value === other))
      throw new TemplateError('sameas of text and floats is not supported')
    return value === other
  },
  sequence: value =>
    kindOf(value) !== 'generator' &&
    (typeof value === 'string' ||
      Array.isArray(value) ||
      value instanceof Tuple ||
      value instanceof Map ||
      value instanceof Undefined ||
      value instanceof Markup),
  string: value => typeof value === 'string' || value instanceof Markup,
}
