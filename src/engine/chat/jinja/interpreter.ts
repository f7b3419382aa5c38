// Runs the tree of a template: scopes, loops, macros. It counts its steps and its text, and gives a template
// nothing but its variables. jinja2/runtime.py, jinja2/sandbox.py.

import type { Runtime } from './filter-arguments.js'
import { FILTERS } from './filters.js'
import { globals } from './globals.js'
import { attributeOf, attributeOrItem, itemOf } from './lookup.js'
import { binary, compares, concat, negative, slice } from './operators.js'
import { parse } from './parser.js'
import { TESTS } from './tests.js'
import type { Arguments, Expression, MacroNode, Statement, Target } from './tree.js'
import {
  Callable,
  dictKey,
  fromJson,
  Instance,
  isEqual,
  isTrue,
  iterate,
  Namespace,
  TemplateError,
  TooManySteps,
  Tuple,
  textOf,
  typeName,
  Undefined,
  type Value,
} from './values.js'

export interface RenderOptions {
  /** The time of strftime_now. Default: now. */
  readonly now?: Date
  /** Most statements and expressions that are run. Default: no limit. */
  readonly steps?: number
}

/**
 * The text that a template makes of plain JSON variables, as Jinja2 makes it with the settings of Hugging Face's
 * apply_chat_template. Throws TemplateError (it cannot run, or uses what is not supported), RaisedError (the template
 * raised).
 */
export function render(
  source: string,
  variables: Readonly<Record<string, unknown>>,
  options: RenderOptions = {},
): string {
  const statements = parse(source)
  const scope = new Map(Object.entries(variables).map(([name, value]) => [name, fromJson(value)] as const))
  return new Interpreter(options).run(statements, { names: scope, outer: null })
}

interface Scope {
  readonly names: Map<string, Value>
  readonly outer: Scope | null
}

type Signal = 'break' | 'continue' | null
const DEEPEST_CALL = 200

class Interpreter {
  readonly #globals: ReadonlyMap<string, Value>
  #stepsLeft: number
  #depth = 0
  readonly #runtime: Runtime = {
    filter: (name, value, args, named) => this.#filter(name, value, args, named),
    test: (name, value, args) => this.#test(name, value, args),
    item: itemOf,
    attribute: attributeOf,
  }

  constructor({ now = new Date(), steps = Number.POSITIVE_INFINITY }: RenderOptions) {
    this.#stepsLeft = steps
    this.#globals = globals(now)
  }

  run(statements: readonly Statement[], scope: Scope): string {
    const out: string[] = []
    this.#statements(statements, scope, out)
    return out.join('')
  }

  #step(): void {
    if (--this.#stepsLeft < 0) throw new TooManySteps('it takes too many steps')
  }

  #statements(statements: readonly Statement[], scope: Scope, out: string[]): Signal {
    for (const statement of statements) {
      const signal = this.#statement(statement, scope, out)
      if (signal !== null) return signal
    }
    return null
  }

  #statement(statement: Statement, scope: Scope, out: string[]): Signal {
    this.#step()
    switch (statement.kind) {
      case 'text':
        out.push(statement.text)
        return null
      case 'print':
        out.push(textOf(this.#value(statement.value, scope)))
        return null
      case 'if': {
        const branch = statement.branches.find(([test]) => test === null || isTrue(this.#value(test, scope)))
        return branch === undefined ? null : this.#statements(branch[1], scope, out)
      }
      case 'for':
        this.#for(statement, scope, out)
        return null
      case 'set':
        this.#assign(statement.target, this.#value(statement.value, scope), scope)
        return null
      case 'setblock': {
        const text = this.run(statement.body, inner(scope))
        this.#assign(statement.target, this.#filtered(statement.filter, text, scope), scope)
        return null
      }
      case 'with': {
        const own = inner(scope)
        // Each value is taken from outside the block.
        const values = statement.sets.map(([, value]) => this.#value(value, scope))
        for (const [i, [target]] of statement.sets.entries()) this.#assign(target, values[i], own)
        return this.#statements(statement.body, own, out)
      }
      case 'filterblock':
        out.push(textOf(this.#filtered(statement.filter, this.run(statement.body, inner(scope)), scope)))
        return null
      case 'macro':
        scope.names.set(statement.macro.name, this.#macro(statement.macro, scope))
        return null
      case 'callblock': {
        const { of, call } = statement.call as Extract<Expression, { kind: 'call' }>
        const [args, named] = this.#arguments(call, scope)
        named.set('caller', this.#macro(statement.macro, scope))
        out.push(textOf(this.#call(this.#value(of, scope), args, named)))
        return null
      }
      case 'block':
        return this.#statements(statement.body, scope, out)
      default:
        return statement.kind
    }
  }

  /** A filter whose innermost input is `text`; without a filter the text itself. */
  #filtered(filter: Expression | null, text: string, scope: Scope): Value {
    if (filter === null) return text
    if (filter.kind !== 'filter') throw new TemplateError('expected a filter')
    const value = this.#filtered(filter.of, text, scope)
    const [args, named] = this.#arguments(filter.call, scope)
    return this.#filter(filter.name, value, args, named)
  }

  #for(
    loop: Extract<Statement, { kind: 'for' }>,
    scope: Scope,
    out: string[],
    over?: Value,
    depth = 0,
  ): void {
    if (depth > DEEPEST_CALL) throw new TemplateError('the template calls itself too often')
    let items = iterate(over ?? this.#value(loop.over, scope))
    if (loop.test !== null) {
      const { test } = loop
      items = items.filter(item => {
        const own = inner(scope)
        this.#assign(loop.target, item, own)
        return isTrue(this.#value(test, own))
      })
    }
    let changed: readonly Value[] | null = null
    let ran = false
    for (const [index, item] of items.entries()) {
      this.#step()
      ran = true
      const attributes: Record<string, () => Value> = {
        index: () => index + 1,
        index0: () => index,
        revindex: () => items.length - index,
        revindex0: () => items.length - index - 1,
        first: () => index === 0,
        last: () => index === items.length - 1,
        length: () => items.length,
        depth: () => depth + 1,
        depth0: () => depth,
        previtem: () => items[index - 1] ?? new Undefined('there is no previous item'),
        nextitem: () => items[index + 1] ?? new Undefined('there is no next item'),
        cycle: () =>
          new Callable('cycle', args => {
            if (args.length === 0) throw new TemplateError('no items for cycling given')
            return args[index % args.length]
          }),
        changed: () =>
          new Callable('changed', args => {
            const before = changed
            changed = args
            return before === null || !isEqual([...before], [...args])
          }),
      }
      const own = inner(scope)
      const instance = new Instance('LoopContext', name =>
        Object.hasOwn(attributes, name) ? attributes[name]() : undefined,
      )
      own.names.set('loop', instance)
      if (loop.isRecursive) {
        this.#recursions.set(instance, value => {
          const text: string[] = []
          this.#for(loop, scope, text, value, depth + 1)
          return text.join('')
        })
      }
      this.#assign(loop.target, item, own)
      if (this.#statements(loop.body, own, out) === 'break') break
    }
    if (!ran) this.#statements(loop.otherwise, inner(scope), out)
  }

  /** What calling the `loop` of a recursive loop does. */
  readonly #recursions = new WeakMap<Instance, (over: Value) => string>()

  #assign(target: Target, value: Value, scope: Scope): void {
    if (typeof target === 'string') {
      scope.names.set(target, value)
      return
    }
    if ('namespace' in target) {
      const namespace = this.#name(target.namespace, scope)
      if (!(namespace instanceof Namespace))
        throw new TemplateError('cannot assign attribute on non-namespace object')
      namespace.attributes.set(target.name, value)
      return
    }
    const values = iterate(value)
    const { targets } = target
    if (values.length !== targets.length) {
      const problem =
        values.length < targets.length
          ? `not enough values to unpack (expected ${targets.length}, got ${values.length})`
          : `too many values to unpack (expected ${targets.length})`
      throw new TemplateError(problem)
    }
    for (const [i, each] of targets.entries()) this.#assign(each, values[i], scope)
  }

  #macro({ name, parameters, body }: MacroNode, scope: Scope): Callable {
    const uses = (word: string) => JSON.stringify(body).includes(`"name":"${word}"`)
    return new Callable(name, (args, named) => {
      if (++this.#depth > DEEPEST_CALL) throw new TemplateError('the template calls itself too often')
      const own = inner(scope)
      const rest = new Map(named)
      for (const [i, parameter] of parameters.entries()) {
        if (i < args.length && rest.has(parameter.name)) {
          throw new TemplateError(`macro '${name}' got multiple values for argument '${parameter.name}'`)
        }
        let value = i < args.length ? args[i] : rest.get(parameter.name)
        rest.delete(parameter.name)
        if (value === undefined) {
          value =
            parameter.fallback === null
              ? new Undefined(`parameter '${parameter.name}' was not provided`)
              : this.#value(parameter.fallback, own)
        }
        own.names.set(parameter.name, value)
      }
      const caller = rest.get('caller')
      rest.delete('caller')
      own.names.set('caller', caller ?? new Undefined('No caller defined'))
      if (args.length > parameters.length && !uses('varargs')) {
        throw new TemplateError(`macro '${name}' takes not more than ${parameters.length} argument(s)`)
      }
      if (rest.size > 0 && !uses('kwargs')) {
        throw new TemplateError(`macro '${name}' takes no keyword argument '${[...rest.keys()][0]}'`)
      }
      if (caller !== undefined && !uses('caller'))
        throw new TemplateError(
          `macro '${name}' was invoked with two values for the special caller argument or has no caller`,
        )
      own.names.set('varargs', new Tuple(args.slice(parameters.length)))
      own.names.set('kwargs', rest)
      const text = this.run(body, own)
      this.#depth--
      return text
    })
  }

  #value(expression: Expression, scope: Scope): Value {
    this.#step()
    switch (expression.kind) {
      case 'constant':
        return expression.value
      case 'name':
        return this.#name(expression.name, scope)
      case 'list':
        return expression.items.map(item => this.#value(item, scope))
      case 'tuple':
        return new Tuple(expression.items.map(item => this.#value(item, scope)))
      case 'dict':
        return new Map(
          expression.entries.map(
            ([key, value]) => [dictKey(this.#value(key, scope)), this.#value(value, scope)] as const,
          ),
        )
      case 'attribute':
        return attributeOrItem(this.#value(expression.of, scope), expression.name)
      case 'item':
        return itemOf(this.#value(expression.of, scope), this.#value(expression.index, scope))
      case 'slice':
        return slice(
          this.#value(expression.of, scope),
          expression.parts.map(part => (part === null ? null : this.#value(part, scope))),
        )
      case 'call': {
        const callee = this.#value(expression.of, scope)
        const [args, named] = this.#arguments(expression.call, scope)
        return this.#call(callee, args, named)
      }
      case 'filter': {
        if (expression.of === null) throw new TemplateError('a filter has no input')
        const value = this.#value(expression.of, scope)
        const [args, named] = this.#arguments(expression.call, scope)
        return this.#filter(expression.name, value, args, named)
      }
      case 'test': {
        const [args, named] = this.#arguments(expression.call, scope)
        if (named.size > 0) throw new TemplateError('a test takes no named arguments')
        return this.#test(expression.name, this.#value(expression.of, scope), args)
      }
      case 'unary': {
        const value = this.#value(expression.of, scope)
        return expression.operator === 'not' ? !isTrue(value) : negative(value, expression.operator)
      }
      case 'binary':
        return binary(
          expression.operator,
          this.#value(expression.left, scope),
          this.#value(expression.right, scope),
        )
      case 'and': {
        const left = this.#value(expression.left, scope)
        return isTrue(left) ? this.#value(expression.right, scope) : left
      }
      case 'or': {
        const left = this.#value(expression.left, scope)
        return isTrue(left) ? left : this.#value(expression.right, scope)
      }
      case 'concat':
        return concat(expression.parts.map(part => this.#value(part, scope)))
      case 'compare': {
        let left = this.#value(expression.first, scope)
        for (const [operator, operand] of expression.rest) {
          const right = this.#value(operand, scope)
          if (!compares(operator, left, right)) return false
          left = right
        }
        return true
      }
      case 'condition': {
        if (isTrue(this.#value(expression.test, scope))) return this.#value(expression.yes, scope)
        if (expression.no !== null) return this.#value(expression.no, scope)
        return new Undefined('the inline if-expression evaluated to false and no else section was defined.')
      }
    }
  }

  #arguments(call: Arguments, scope: Scope): [Value[], Map<string, Value>] {
    const args = call.args.map(arg => this.#value(arg, scope))
    for (const spread of call.spreads) args.push(...iterate(this.#value(spread, scope)))
    const named = new Map(call.named.map(([name, value]) => [name, this.#value(value, scope)] as const))
    for (const spread of call.namedSpreads) {
      const dict = this.#value(spread, scope)
      if (!(dict instanceof Map)) throw new TemplateError('argument after ** must be a mapping')
      for (const [key, value] of dict) named.set(textOf(key), value)
    }
    return [args, named]
  }

  #name(name: string, scope: Scope): Value {
    for (let at: Scope | null = scope; at !== null; at = at.outer) {
      const value = at.names.get(name)
      if (value !== undefined) return value
    }
    return this.#globals.get(name) ?? new Undefined(`'${name}' is undefined`)
  }

  #call(callee: Value, args: readonly Value[], named: ReadonlyMap<string, Value>): Value {
    this.#step()
    if (callee instanceof Callable) return callee.call(args, named)
    if (callee instanceof Undefined) throw new TemplateError(callee.hint)
    const recursion = callee instanceof Instance ? this.#recursions.get(callee) : undefined
    if (recursion !== undefined) return recursion(args[0] ?? null)
    throw new TemplateError(`'${typeName(callee)}' object is not callable`)
  }

  #filter(name: string, value: Value, args: readonly Value[], named: ReadonlyMap<string, Value>): Value {
    this.#step()
    if (!Object.hasOwn(FILTERS, name))
      throw new TemplateError(`the filter '${name.slice(0, 40)}' is unknown or not supported`)
    return FILTERS[name](value, args, named, this.#runtime)
  }

  #test(name: string, value: Value, args: readonly Value[]): boolean {
    if (!Object.hasOwn(TESTS, name))
      throw new TemplateError(`the test '${name.slice(0, 40)}' is unknown or not supported`)
    return TESTS[name](value, args)
  }
}

function inner(outer: Scope): Scope {
  return { names: new Map(), outer }
}
