// Expressions of Jinja as a tree. jinja2/parser.py.

import type { Token } from './lexer.js'
import type { Arguments, Expression } from './tree.js'
import { Float, integer, TemplateError, type Value } from './values.js'

export const CONSTANTS: Readonly<Record<string, Value>> = {
  true: true,
  True: true,
  false: false,
  False: false,
  none: null,
  None: null,
}
const COMPARISONS = ['==', '!=', '<', '<=', '>', '>=']
/** Words that end the argument of a test without parentheses. */
const AFTER_TEST = ['else', 'or', 'and']
const NO_ARGUMENTS: Arguments = { args: [], named: [], spreads: [], namedSpreads: [] }
/** Far beyond any template, and far from the end of the stack. */
const DEEPEST = 200

/** Reads expressions from a list of tokens; the parser of statements extends it. */
export class ExpressionParser {
  readonly #tokens: readonly Token[]
  #at = 0
  #depth = 0

  constructor(tokens: readonly Token[]) {
    this.#tokens = tokens
  }

  protected get token(): Token {
    return this.#tokens[this.#at]
  }

  protected next(): Token {
    return this.#tokens[this.#at++]
  }

  protected enter(): void {
    if (++this.#depth > DEEPEST) throw new TemplateError('the template is nested too deep')
  }

  protected leave(): void {
    this.#depth--
  }

  protected unexpected(): TemplateError {
    const { kind, text } = this.token
    return new TemplateError(`unexpected ${kind === 'end' ? 'end of template' : `'${text || kind}'`}`)
  }

  protected is(kind: Token['kind'], text?: string): boolean {
    return this.token.kind === kind && (text === undefined || this.token.text === text)
  }

  protected takes(kind: Token['kind'], text?: string): boolean {
    if (!this.is(kind, text)) return false
    this.#at++
    return true
  }

  protected expect(kind: Token['kind'], text?: string): string {
    if (!this.is(kind, text)) throw this.unexpected()
    return this.next().text
  }

  /** Expressions with commas between them are a tuple. */
  protected tupleOrOne(withCondition = true): Expression {
    const one = () => (withCondition ? this.expression() : this.or())
    const items = [one()]
    let isTuple = false
    while (this.takes('operator', ',')) {
      isTuple = true
      if (
        ['close', 'endprint'].includes(this.token.kind) ||
        this.is('operator', ')') ||
        this.is('name', 'in')
      )
        break
      items.push(one())
    }
    return isTuple ? { kind: 'tuple', items } : items[0]
  }

  protected expression(): Expression {
    this.enter()
    let expression = this.or()
    while (this.takes('name', 'if')) {
      const test = this.or()
      const no = this.takes('name', 'else') ? this.expression() : null
      expression = { kind: 'condition', test, yes: expression, no }
    }
    this.leave()
    return expression
  }

  protected or(): Expression {
    let left = this.#and()
    while (this.takes('name', 'or')) left = { kind: 'or', left, right: this.#and() }
    return left
  }

  #and(): Expression {
    let left = this.#not()
    while (this.takes('name', 'and')) left = { kind: 'and', left, right: this.#not() }
    return left
  }

  #not(): Expression {
    if (!this.takes('name', 'not')) return this.#compare()
    this.enter()
    const of = this.#not()
    this.leave()
    return { kind: 'unary', operator: 'not', of }
  }

  #compare(): Expression {
    const first = this.#sum()
    const rest: (readonly [string, Expression])[] = []
    for (;;) {
      if (this.token.kind === 'operator' && COMPARISONS.includes(this.token.text)) {
        rest.push([this.next().text, this.#sum()])
      } else if (this.takes('name', 'in')) rest.push(['in', this.#sum()])
      else if (
        this.is('name', 'not') &&
        this.#tokens[this.#at + 1].kind === 'name' &&
        this.#tokens[this.#at + 1].text === 'in'
      ) {
        this.#at += 2
        rest.push(['not in', this.#sum()])
      } else return rest.length === 0 ? first : { kind: 'compare', first, rest }
    }
  }

  #binary(operators: readonly string[], operand: () => Expression): Expression {
    let left = operand()
    while (this.token.kind === 'operator' && operators.includes(this.token.text)) {
      left = { kind: 'binary', operator: this.next().text, left, right: operand() }
    }
    return left
  }

  #sum(): Expression {
    return this.#binary(['+', '-'], () => {
      const parts = [this.#product()]
      while (this.takes('operator', '~')) parts.push(this.#product())
      return parts.length === 1 ? parts[0] : { kind: 'concat', parts }
    })
  }

  #product(): Expression {
    return this.#binary(['*', '/', '//', '%'], () => this.#binary(['**'], () => this.#unary(true)))
  }

  #unary(withFilters: boolean): Expression {
    this.enter()
    let expression: Expression
    if (this.is('operator', '-') || this.is('operator', '+')) {
      const operator = this.next().text as '-' | '+'
      expression = { kind: 'unary', operator, of: this.#unary(false) }
    } else expression = this.#postfix(this.#primary())
    this.leave()
    return withFilters ? this.#filtersAndTests(expression) : expression
  }

  #primary(): Expression {
    const { kind, text } = this.next()
    if (kind === 'name') {
      if (Object.hasOwn(CONSTANTS, text)) return { kind: 'constant', value: CONSTANTS[text] }
      return { kind: 'name', name: text }
    }
    if (kind === 'string') {
      let value = text
      while (this.token.kind === 'string') value += this.next().text
      return { kind: 'constant', value }
    }
    if (kind === 'integer') return { kind: 'constant', value: integer(Number(text)) }
    if (kind === 'float') return { kind: 'constant', value: new Float(Number(text)) }
    if (kind === 'operator' && text === '(') {
      if (this.takes('operator', ')')) return { kind: 'tuple', items: [] }
      const inner = this.tupleOrOne()
      this.expect('operator', ')')
      return inner
    }
    if (kind === 'operator' && text === '[') {
      const items: Expression[] = []
      while (!this.takes('operator', ']')) {
        if (items.length > 0) this.expect('operator', ',')
        if (this.takes('operator', ']')) break
        items.push(this.expression())
      }
      return { kind: 'list', items }
    }
    if (kind === 'operator' && text === '{') {
      const entries: (readonly [Expression, Expression])[] = []
      while (!this.takes('operator', '}')) {
        if (entries.length > 0) this.expect('operator', ',')
        if (this.takes('operator', '}')) break
        const key = this.expression()
        this.expect('operator', ':')
        entries.push([key, this.expression()])
      }
      return { kind: 'dict', entries }
    }
    this.#at--
    throw this.unexpected()
  }

  #postfix(start: Expression): Expression {
    let of = start
    for (;;) {
      if (this.takes('operator', '.')) {
        if (this.token.kind === 'integer') {
          of = { kind: 'item', of, index: { kind: 'constant', value: Number(this.next().text) } }
        } else of = { kind: 'attribute', of, name: this.expect('name') }
      } else if (this.takes('operator', '[')) of = this.#subscript(of)
      else if (this.is('operator', '(')) of = { kind: 'call', of, call: this.#arguments() }
      else return of
    }
  }

  #subscript(of: Expression): Expression {
    const parts: (Expression | null)[] = [null]
    let isSlice = false
    while (!this.takes('operator', ']')) {
      if (this.takes('operator', ':')) {
        isSlice = true
        parts.push(null)
      } else if (parts.at(-1) === null) parts[parts.length - 1] = this.expression()
      else throw this.unexpected()
    }
    if (parts.length > 3 || (!isSlice && parts[0] === null))
      throw new TemplateError('a subscript is not complete')
    return isSlice ? { kind: 'slice', of, parts } : { kind: 'item', of, index: parts[0]! }
  }

  #arguments(): Arguments {
    const args: Expression[] = []
    const named: (readonly [string, Expression])[] = []
    const spreads: Expression[] = []
    const namedSpreads: Expression[] = []
    this.expect('operator', '(')
    for (let isFirst = true; !this.takes('operator', ')'); isFirst = false) {
      if (!isFirst) {
        this.expect('operator', ',')
        if (this.takes('operator', ')')) break
      }
      const following = this.#tokens[this.#at + 1]
      if (this.takes('operator', '*')) spreads.push(this.expression())
      else if (this.takes('operator', '**')) namedSpreads.push(this.expression())
      else if (this.token.kind === 'name' && following.kind === 'operator' && following.text === '=') {
        const name = this.next().text
        this.#at++
        named.push([name, this.expression()])
      } else {
        if (named.length + spreads.length + namedSpreads.length > 0)
          throw new TemplateError('invalid syntax for function call')
        args.push(this.expression())
      }
    }
    return { args, named, spreads, namedSpreads }
  }

  #dottedName(): string {
    let name = this.expect('name')
    while (this.takes('operator', '.')) name += `.${this.expect('name')}`
    return name
  }

  protected filters(start: Expression | null, isInline: boolean): Expression {
    let of = start
    let first = isInline
    while (first || this.takes('operator', '|')) {
      first = false
      const name = this.#dottedName()
      const call = this.is('operator', '(') ? this.#arguments() : NO_ARGUMENTS
      of = { kind: 'filter', of, name, call }
    }
    return of!
  }

  #filtersAndTests(start: Expression): Expression {
    let of = start
    for (;;) {
      if (this.is('operator', '|')) of = this.filters(of, false)
      else if (this.takes('name', 'is')) of = this.#test(of)
      else if (this.is('operator', '(')) of = { kind: 'call', of, call: this.#arguments() }
      else return of
    }
  }

  #test(of: Expression): Expression {
    const isNegated = this.takes('name', 'not')
    const name = this.#dottedName()
    let call = NO_ARGUMENTS
    const { kind, text } = this.token
    const beginsArgument =
      ['name', 'string', 'integer', 'float'].includes(kind) || (kind === 'operator' && '[{'.includes(text))
    if (this.is('operator', '(')) call = this.#arguments()
    else if (beginsArgument && !(kind === 'name' && [...AFTER_TEST, 'if'].includes(text))) {
      if (kind === 'name' && text === 'is')
        throw new TemplateError("You cannot chain multiple tests with 'is'")
      call = { ...NO_ARGUMENTS, args: [this.#postfix(this.#primary())] }
    }
    const test: Expression = { kind: 'test', of, name, call }
    return isNegated ? { kind: 'unary', operator: 'not', of: test } : test
  }
}
