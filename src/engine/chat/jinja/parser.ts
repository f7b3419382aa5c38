// Jinja's parser: the statements of a template as a tree. jinja2/parser.py.

import { CONSTANTS, ExpressionParser } from './expression-parser.js'
import { tokenize } from './lexer.js'
import type { Expression, MacroNode, Statement, Target } from './tree.js'
import { TemplateError } from './values.js'

/** Throws TemplateError. */
export function parse(source: string): readonly Statement[] {
  return new TemplateParser(tokenize(source)).template()
}

class TemplateParser extends ExpressionParser {
  template(): readonly Statement[] {
    const body = this.#statements([])
    if (this.token.kind !== 'end') throw this.unexpected()
    return body
  }

  /** Statements up to a tag that begins with one of `ends`, whose name is not taken. */
  #statements(ends: readonly string[]): Statement[] {
    this.enter()
    const body: Statement[] = []
    for (;;) {
      const token = this.token
      if (token.kind === 'end') {
        if (ends.length > 0) throw new TemplateError(`unexpected end of template, expected '${ends.at(-1)}'`)
        break
      }
      this.next()
      if (token.kind === 'text') body.push({ kind: 'text', text: token.text })
      else if (token.kind === 'print') {
        body.push({ kind: 'print', value: this.tupleOrOne() })
        this.expect('endprint')
      } else if (token.kind === 'open') {
        if (this.token.kind === 'name' && ends.includes(this.token.text)) break
        body.push(this.#statement())
      } else throw this.unexpected()
    }
    this.leave()
    return body
  }

  /** The body of a tag, and the closing tag with it. */
  #body(end: string): Statement[] {
    this.expect('close')
    const body = this.#statements([end])
    this.expect('name', end)
    return body
  }

  #statement(): Statement {
    const name = this.expect('name')
    const statement = this.#statementOf(name)
    this.expect('close')
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
        const macro = this.expect('name')
        const parameters = this.#parameters()
        return { kind: 'macro', macro: { name: macro, parameters, body: this.#body('endmacro') } }
      }
      case 'call': {
        const parameters = this.is('operator', '(') ? this.#parameters() : []
        const call = this.expression()
        if (call.kind !== 'call') throw new TemplateError('expected call')
        return { kind: 'callblock', call, macro: { name: 'caller', parameters, body: this.#body('endcall') } }
      }
      case 'filter': {
        const filter = this.filters(null, true)
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
    let test: Expression | null = this.tupleOrOne(false)
    for (;;) {
      this.expect('close')
      branches.push([test, this.#statements(test === null ? ['endif'] : ['elif', 'else', 'endif'])])
      const end = this.expect('name')
      if (end === 'endif') return { kind: 'if', branches }
      test = end === 'elif' ? this.tupleOrOne(false) : null
    }
  }

  #for(): Statement {
    const target = this.#target()
    this.expect('name', 'in')
    const over = this.tupleOrOne(false)
    const test = this.takes('name', 'if') ? this.expression() : null
    const isRecursive = this.takes('name', 'recursive')
    this.expect('close')
    const body = this.#statements(['else', 'endfor'])
    const otherwise = this.expect('name') === 'else' ? this.#body('endfor') : []
    return { kind: 'for', target, over, test, isRecursive, body, otherwise }
  }

  #set(): Statement {
    const target = this.#target(true)
    if (this.takes('operator', '=')) return { kind: 'set', target, value: this.tupleOrOne() }
    const filter = this.is('operator', '|') ? this.filters(null, false) : null
    return { kind: 'setblock', target, filter, body: this.#body('endset') }
  }

  #with(): Statement {
    const sets: (readonly [Target, Expression])[] = []
    while (!this.is('close')) {
      if (sets.length > 0) this.expect('operator', ',')
      const target = this.#oneTarget(false)
      this.expect('operator', '=')
      sets.push([target, this.expression()])
    }
    return { kind: 'with', sets, body: this.#body('endwith') }
  }

  #target(withNamespace = false): Target {
    const targets = [this.#oneTarget(withNamespace)]
    let isTuple = false
    while (this.takes('operator', ',')) {
      isTuple = true
      if (this.is('name', 'in') || this.is('operator', '=')) break
      targets.push(this.#oneTarget(withNamespace))
    }
    return isTuple ? { targets } : targets[0]
  }

  #oneTarget(withNamespace: boolean): Target {
    if (this.takes('operator', '(')) {
      const target = this.#target(withNamespace)
      this.expect('operator', ')')
      return target
    }
    const name = this.expect('name')
    if (Object.hasOwn(CONSTANTS, name)) throw new TemplateError(`can't assign to '${name}'`)
    if (withNamespace && this.takes('operator', '.')) return { namespace: name, name: this.expect('name') }
    return name
  }

  #parameters(): MacroNode['parameters'] {
    const parameters: { name: string; fallback: Expression | null }[] = []
    this.expect('operator', '(')
    while (!this.takes('operator', ')')) {
      if (parameters.length > 0) this.expect('operator', ',')
      const name = this.expect('name')
      const fallback = this.takes('operator', '=') ? this.expression() : null
      if (fallback === null && parameters.at(-1)?.fallback) {
        throw new TemplateError('non-default argument follows default argument')
      }
      parameters.push({ name, fallback })
    }
    return parameters
  }
}
