// Jinja's parser: statements and expressions as a tree. jinja2/parser.py.

import { type Token, tokenize } from './lexer.js'
import { Float, integer, TemplateError, type Value } from './values.js'

export type Expression =
  | { readonly kind: 'constant'; readonly value: Value }
  | { readonly kind: 'name'; readonly name: string }
  | { readonly kind: 'list' | 'tuple'; readonly items: readonly Expression[] }
  | { readonly kind: 'dict'; readonly entries: readonly (readonly [Expression, Expression])[] }
  | { readonly kind: 'attribute'; readonly of: Expression; readonly name: string }
  | { readonly kind: 'item'; readonly of: Expression; readonly index: Expression }
  | { readonly kind: 'slice'; readonly of: Expression; readonly parts: readonly (Expression | null)[] }
  | { readonly kind: 'call'; readonly of: Expression; readonly call: Arguments }
  | {
      readonly kind: 'filter'
      readonly of: Expression | null
      readonly name: string
      readonly call: Arguments
    }
  | { readonly kind: 'test'; readonly of: Expression; readonly name: string; readonly call: Arguments }
  | { readonly kind: 'unary'; readonly operator: 'not' | '-' | '+'; readonly of: Expression }
  | {
      readonly kind: 'binary'
      readonly operator: string
      readonly left: Expression
      readonly right: Expression
    }
  | { readonly kind: 'and' | 'or'; readonly left: Expression; readonly right: Expression }
  | { readonly kind: 'concat'; readonly parts: readonly Expression[] }
  | {
      readonly kind: 'compare'
      readonly first: Expression
      readonly rest: readonly (readonly [string, Expression])[]
    }
  | {
      readonly kind: 'condition'
      readonly test: Expression
      readonly yes: Expression
      readonly no: Expression | null
    }

export interface Arguments {
  readonly args: readonly Expression[]
  readonly named: readonly (readonly [string, Expression])[]
  readonly spreads: readonly Expression[]
  readonly namedSpreads: readonly Expression[]
}

/** What an assignment or a loop gives values to. */
export type Target =
  | string
  | { readonly namespace: string; readonly name: string }
  | { readonly targets: readonly Target[] }

export type Statement =
  | { readonly kind: 'text'; readonly text: string }
  | { readonly kind: 'print'; readonly value: Expression }
  | {
      readonly kind: 'if'
      readonly branches: readonly (readonly [Expression | null, readonly Statement[]])[]
    }
  | {
      readonly kind: 'for'
      readonly target: Target
      readonly over: Expression
      readonly test: Expression | null
      readonly isRecursive: boolean
      readonly body: readonly Statement[]
      readonly otherwise: readonly Statement[]
    }
  | { readonly kind: 'set'; readonly target: Target; readonly value: Expression }
  | {
      readonly kind: 'setblock'
      readonly target: Target
      readonly filter: Expression | null
      readonly body: readonly Statement[]
    }
  | {
      readonly kind: 'with'
      readonly sets: readonly (readonly [Target, Expression])[]
      readonly body: readonly Statement[]
    }
  | { readonly kind: 'filterblock'; readonly filter: Expression; readonly body: readonly Statement[] }
  | { readonly kind: 'macro'; readonly macro: MacroNode }
  | { readonly kind: 'callblock'; readonly call: Expression; readonly macro: MacroNode }
  | { readonly kind: 'block'; readonly body: readonly Statement[] }
  | { readonly kind: 'break' | 'continue' }

export interface MacroNode {
  readonly name: string
  readonly parameters: readonly { readonly name: string; readonly fallback: Expression | null }[]
  readonly body: readonly Statement[]
}

const CONSTANTS: Readonly<Record<string, Value>> = {
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
/** Far beyond any template, and far from the end of the stack. */
const DEEPEST = 200

/** Throws TemplateError. */
export function parse(source: string): readonly Statement[] {
  return new Parser(tokenize(source)).template()
}

class Parser {
  readonly #tokens: readonly Token[]
  #at = 0
  #depth = 0

  constructor(tokens: readonly Token[]) {
    this.#tokens = tokens
  }

  template(): readonly Statement[] {
    const body = this.#statements([])
    if (this.#token.kind !== 'end') throw this.#unexpected()
    return body
  }

  get #token(): Token {
    return this.#tokens[this.#at]
  }

  #next(): Token {
    return this.#tokens[this.#at++]
  }

  #unexpected(): TemplateError {
    const { kind, text } = this.#token
    return new TemplateError(`unexpected ${kind === 'end' ? 'end of template' : `'${text || kind}'`}`)
  }

  #is(kind: Token['kind'], text?: string): boolean {
    return this.#token.kind === kind && (text === undefined || this.#token.text === text)
  }

  #takes(kind: Token['kind'], text?: string): boolean {
    if (!this.#is(kind, text)) return false
    this.#at++
    return true
  }

  #expect(kind: Token['kind'], text?: string): string {
    if (!this.#is(kind, text)) throw this.#unexpected()
    return this.#next().text
  }

  /** Statements up to a tag that begins with one of `ends`, whose name is not taken. */
  #statements(ends: readonly string[]): Statement[] {
    if (++this.#depth > DEEPEST) throw new TemplateError('the template is nested too deep')
    const body: Statement[] = []
    for (;;) {
      const token = this.#token
      if (token.kind === 'end') {
        if (ends.length > 0) throw new TemplateError(`unexpected end of template, expected '${ends.at(-1)}'`)
        break
      }
      this.#at++
      if (token.kind === 'text') body.push({ kind: 'text', text: token.text })
      else if (token.kind === 'print') {
        body.push({ kind: 'print', value: this.#tupleOrOne() })
        this.#expect('endprint')
      } else if (token.kind === 'open') {
        if (this.#token.kind === 'name' && ends.includes(this.#token.text)) break
        body.push(this.#statement())
      } else throw this.#unexpected()
    }
    this.#depth--
    return body
  }

  /** The body of a tag, and the closing tag with it. */
  #body(end: string): Statement[] {
    this.#expect('close')
    const body = this.#statements([end])
    this.#expect('name', end)
    return body
  }

  #statement(): Statement {
    const name = this.#expect('name')
    const statement = this.#statementOf(name)
    this.#expect('close')
    return statement
  }

  #statementOf(name: string): Statement {
    switch (name) {
      case 'if':
        return this.#if()
      case 'for':
        return this.#for()
      case 'set':
        return this.#set()
      case 'with':
        return this.#with()
      case 'macro': {
        const macro = this.#expect('name')
        const parameters = this.#parameters()
        return { kind: 'macro', macro: { name: macro, parameters, body: this.#body('endmacro') } }
      }
      case 'call': {
        const parameters = this.#is('operator', '(') ? this.#parameters() : []
        const call = this.#expression()
        if (call.kind !== 'call') throw new TemplateError('expected call')
        return { kind: 'callblock', call, macro: { name: 'caller', parameters, body: this.#body('endcall') } }
      }
      case 'filter': {
        const filter = this.#filters(null, true)
        return { kind: 'filterblock', filter, body: this.#body('endfilter') }
      }
      case 'generation':
        return { kind: 'block', body: this.#body('endgeneration') }
      case 'break':
      case 'continue':
        return { kind: name }
      default:
        throw new TemplateError(`the tag '${name.slice(0, 40)}' is unknown or not supported`)
    }
  }

  #if(): Statement {
    const branches: (readonly [Expression | null, readonly Statement[]])[] = []
    let test: Expression | null = this.#tupleOrOne(false)
    for (;;) {
      this.#expect('close')
      branches.push([test, this.#statements(test === null ? ['endif'] : ['elif', 'else', 'endif'])])
      const end = this.#expect('name')
      if (end === 'endif') return { kind: 'if', branches }
      test = end === 'elif' ? this.#tupleOrOne(false) : null
    }
  }

  #for(): Statement {
    const target = this.#target()
    this.#expect('name', 'in')
    const over = this.#tupleOrOne(false)
    const test = this.#takes('name', 'if') ? this.#expression() : null
    const isRecursive = this.#takes('name', 'recursive')
    this.#expect('close')
    const body = this.#statements(['else', 'endfor'])
    const otherwise = this.#expect('name') === 'else' ? this.#body('endfor') : []
    return { kind: 'for', target, over, test, isRecursive, body, otherwise }
  }

  #set(): Statement {
    const target = this.#target(true)
    if (this.#takes('operator', '=')) return { kind: 'set', target, value: this.#tupleOrOne() }
    const filter = this.#is('operator', '|') ? this.#filters(null, false) : null
    return { kind: 'setblock', target, filter, body: this.#body('endset') }
  }

  #with(): Statement {
    const sets: (readonly [Target, Expression])[] = []
    while (!this.#is('close')) {
      if (sets.length > 0) this.#expect('operator', ',')
      const target = this.#oneTarget(false)
      this.#expect('operator', '=')
      sets.push([target, this.#expression()])
    }
    return { kind: 'with', sets, body: this.#body('endwith') }
  }

  #target(withNamespace = false): Target {
    const targets = [this.#oneTarget(withNamespace)]
    let isTuple = false
    while (this.#takes('operator', ',')) {
      isTuple = true
      if (this.#is('name', 'in') || this.#is('operator', '=')) break
      targets.push(this.#oneTarget(withNamespace))
    }
    return isTuple ? { targets } : targets[0]
  }

  #oneTarget(withNamespace: boolean): Target {
    if (this.#takes('operator', '(')) {
      const target = this.#target(withNamespace)
      this.#expect('operator', ')')
      return target
    }
    const name = this.#expect('name')
    if (Object.hasOwn(CONSTANTS, name)) throw new TemplateError(`can't assign to '${name}'`)
    if (withNamespace && this.#takes('operator', '.')) return { namespace: name, name: this.#expect('name') }
    return name
  }

  #parameters(): MacroNode['parameters'] {
    const parameters: { name: string; fallback: Expression | null }[] = []
    this.#expect('operator', '(')
    while (!this.#takes('operator', ')')) {
      if (parameters.length > 0) this.#expect('operator', ',')
      const name = this.#expect('name')
      const fallback = this.#takes('operator', '=') ? this.#expression() : null
      if (fallback === null && parameters.at(-1)?.fallback) {
        throw new TemplateError('non-default argument follows default argument')
      }
      parameters.push({ name, fallback })
    }
    return parameters
  }

  /** Expressions with commas between them are a tuple. */
  #tupleOrOne(withCondition = true): Expression {
    const one = () => (withCondition ? this.#expression() : this.#or())
    const items = [one()]
    let isTuple = false
    while (this.#takes('operator', ',')) {
      isTuple = true
      if (
        ['close', 'endprint'].includes(this.#token.kind) ||
        this.#is('operator', ')') ||
        this.#is('name', 'in')
      )
        break
      items.push(one())
    }
    return isTuple ? { kind: 'tuple', items } : items[0]
  }

  #expression(): Expression {
    if (++this.#depth > DEEPEST) throw new TemplateError('the template is nested too deep')
    let expression = this.#or()
    while (this.#takes('name', 'if')) {
      const test = this.#or()
      const no = this.#takes('name', 'else') ? this.#expression() : null
      expression = { kind: 'condition', test, yes: expression, no }
    }
    this.#depth--
    return expression
  }

  #or(): Expression {
    let left = this.#and()
    while (this.#takes('name', 'or')) left = { kind: 'or', left, right: this.#and() }
    return left
  }

  #and(): Expression {
    let left = this.#not()
    while (this.#takes('name', 'and')) left = { kind: 'and', left, right: this.#not() }
    return left
  }

  #not(): Expression {
    if (!this.#takes('name', 'not')) return this.#compare()
    if (++this.#depth > DEEPEST) throw new TemplateError('the template is nested too deep')
    const of = this.#not()
    this.#depth--
    return { kind: 'unary', operator: 'not', of }
  }

  #compare(): Expression {
    const first = this.#sum()
    const rest: (readonly [string, Expression])[] = []
    for (;;) {
      if (this.#token.kind === 'operator' && COMPARISONS.includes(this.#token.text)) {
        rest.push([this.#next().text, this.#sum()])
      } else if (this.#takes('name', 'in')) rest.push(['in', this.#sum()])
      else if (
        this.#is('name', 'not') &&
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
    while (this.#token.kind === 'operator' && operators.includes(this.#token.text)) {
      left = { kind: 'binary', operator: this.#next().text, left, right: operand() }
    }
    return left
  }

  #sum(): Expression {
    return this.#binary(['+', '-'], () => {
      const parts = [this.#product()]
      while (this.#takes('operator', '~')) parts.push(this.#product())
      return parts.length === 1 ? parts[0] : { kind: 'concat', parts }
    })
  }

  #product(): Expression {
    return this.#binary(['*', '/', '//', '%'], () => this.#binary(['**'], () => this.#unary(true)))
  }

  #unary(withFilters: boolean): Expression {
    if (++this.#depth > DEEPEST) throw new TemplateError('the template is nested too deep')
    let expression: Expression
    if (this.#is('operator', '-') || this.#is('operator', '+')) {
      const operator = this.#next().text as '-' | '+'
      expression = { kind: 'unary', operator, of: this.#unary(false) }
    } else expression = this.#postfix(this.#primary())
    this.#depth--
    return withFilters ? this.#filtersAndTests(expression) : expression
  }

  #primary(): Expression {
    const { kind, text } = this.#next()
    if (kind === 'name') {
      if (Object.hasOwn(CONSTANTS, text)) return { kind: 'constant', value: CONSTANTS[text] }
      return { kind: 'name', name: text }
    }
    if (kind === 'string') {
      let value = text
      while (this.#token.kind === 'string') value += this.#next().text
      return { kind: 'constant', value }
    }
    if (kind === 'integer') return { kind: 'constant', value: integer(Number(text)) }
    if (kind === 'float') return { kind: 'constant', value: new Float(Number(text)) }
    if (kind === 'operator' && text === '(') {
      if (this.#takes('operator', ')')) return { kind: 'tuple', items: [] }
      const inner = this.#tupleOrOne()
      this.#expect('operator', ')')
      return inner
    }
    if (kind === 'operator' && text === '[') {
      const items: Expression[] = []
      while (!this.#takes('operator', ']')) {
        if (items.length > 0) this.#expect('operator', ',')
        if (this.#takes('operator', ']')) break
        items.push(this.#expression())
      }
      return { kind: 'list', items }
    }
    if (kind === 'operator' && text === '{') {
      const entries: (readonly [Expression, Expression])[] = []
      while (!this.#takes('operator', '}')) {
        if (entries.length > 0) this.#expect('operator', ',')
        if (this.#takes('operator', '}')) break
        const key = this.#expression()
        this.#expect('operator', ':')
        entries.push([key, this.#expression()])
      }
      return { kind: 'dict', entries }
    }
    this.#at--
    throw this.#unexpected()
  }

  #postfix(start: Expression): Expression {
    let of = start
    for (;;) {
      if (this.#takes('operator', '.')) {
        if (this.#token.kind === 'integer') {
          of = { kind: 'item', of, index: { kind: 'constant', value: Number(this.#next().text) } }
        } else of = { kind: 'attribute', of, name: this.#expect('name') }
      } else if (this.#takes('operator', '[')) of = this.#subscript(of)
      else if (this.#is('operator', '(')) of = { kind: 'call', of, call: this.#arguments() }
      else return of
    }
  }

  #subscript(of: Expression): Expression {
    const parts: (Expression | null)[] = [null]
    let isSlice = false
    while (!this.#takes('operator', ']')) {
      if (this.#takes('operator', ':')) {
        isSlice = true
        parts.push(null)
      } else if (parts.at(-1) === null) parts[parts.length - 1] = this.#expression()
      else throw this.#unexpected()
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
    this.#expect('operator', '(')
    for (let isFirst = true; !this.#takes('operator', ')'); isFirst = false) {
      if (!isFirst) {
        this.#expect('operator', ',')
        if (this.#takes('operator', ')')) break
      }
      const following = this.#tokens[this.#at + 1]
      if (this.#takes('operator', '*')) spreads.push(this.#expression())
      else if (this.#takes('operator', '**')) namedSpreads.push(this.#expression())
      else if (this.#token.kind === 'name' && following.kind === 'operator' && following.text === '=') {
        const name = this.#next().text
        this.#at++
        named.push([name, this.#expression()])
      } else {
        if (named.length + spreads.length + namedSpreads.length > 0)
          throw new TemplateError('invalid syntax for function call')
        args.push(this.#expression())
      }
    }
    return { args, named, spreads, namedSpreads }
  }

  #dottedName(): string {
    let name = this.#expect('name')
    while (this.#takes('operator', '.')) name += `.${this.#expect('name')}`
    return name
  }

  #filters(start: Expression | null, isInline: boolean): Expression {
    let of = start
    let first = isInline
    while (first || this.#takes('operator', '|')) {
      first = false
      const name = this.#dottedName()
      const call = this.#is('operator', '(') ? this.#arguments() : NO_ARGUMENTS
      of = { kind: 'filter', of, name, call }
    }
    return of!
  }

  #filtersAndTests(start: Expression): Expression {
    let of = start
    for (;;) {
      if (this.#is('operator', '|')) of = this.#filters(of, false)
      else if (this.#takes('name', 'is')) of = this.#test(of)
      else if (this.#is('operator', '(')) of = { kind: 'call', of, call: this.#arguments() }
      else return of
    }
  }

  #test(of: Expression): Expression {
    const isNegated = this.#takes('name', 'not')
    const name = this.#dottedName()
    let call = NO_ARGUMENTS
    const { kind, text } = this.#token
    const beginsArgument =
      ['name', 'string', 'integer', 'float'].includes(kind) || (kind === 'operator' && '[{'.includes(text))
    if (this.#is('operator', '(')) call = this.#arguments()
    else if (beginsArgument && !(kind === 'name' && [...AFTER_TEST, 'if'].includes(text))) {
      if (kind === 'name' && text === 'is')
        throw new TemplateError("You cannot chain multiple tests with 'is'")
      call = { ...NO_ARGUMENTS, args: [this.#postfix(this.#primary())] }
    }
    const test: Expression = { kind: 'test', of, name, call }
    return isNegated ? { kind: 'unary', operator: 'not', of: test } : test
  }
}

const NO_ARGUMENTS: Arguments = { args: [], named: [], spreads: [], namedSpreads: [] }
