// The tree of a template: what the parser makes and the interpreter runs. jinja2/nodes.py.

import type { Value } from './values.js'

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
