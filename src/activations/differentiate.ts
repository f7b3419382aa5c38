// The derivative of an expression: rules per operation, shared parts differentiated once.

import {
  add,
  cos,
  div,
  type Expression,
  exp,
  greater,
  isConstant,
  mul,
  named,
  neg,
  normalPdf,
  type Operand,
  select,
  sigmoid,
  sign,
  sin,
  square,
  sub,
} from './expression.js'

/** Whether two leaves are the same variable; statistics of a row are, when they are the same object. */
function sameVariable(a: Expression, b: Expression): boolean {
  if (a === b) return true
  if (a.op === 'learned' && b.op === 'learned') return a.name === b.name && a.index === b.index
  return a.op === b.op && (a.op === 'x' || a.op === 'previous' || a.op === 'next')
}

/**
 * d`e`/d`variable`. The variable is x, a neighbour, a learned parameter or a statistic of the row; all others, the
 * other statistics included, are held fixed.
 */
export function differentiate(e: Expression, variable: Expression): Expression {
  const done = new Map<Expression, Expression>()
  const d = (node: Expression): Expression => {
    let result = done.get(node)
    if (result === undefined) {
      result = sameVariable(node, variable) ? add(1) : chain(node, d)
      done.set(node, result)
    }
    return result
  }
  return d(e)
}

function chain(e: Expression, d: (argument: Expression) => Expression): Expression {
  const zero = add(0)
  if (e.args.length === 0 || e.op === 'rowMean' || e.op === 'rowKthLargest') return zero
  if (e.op === 'straightThrough') return d(e.args[1])
  if (e.op === 'named') {
    const inner = d(e.args[0])
    return inner.args.length === 0 ? inner : named(`${e.name}′`, inner)
  }
  const [a, b, c] = e.args
  if (e.op === 'select') return select(a, d(b), d(c))
  const da = d(a)
  const db = b === undefined ? zero : d(b)
  if (isConstant(da, 0) && isConstant(db, 0)) return zero
  const outer = (slope: Operand): Expression => mul(slope, da)
  switch (e.op) {
    case 'neg':
      return neg(da)
    case 'abs':
      return outer(sign(a))
    case 'square':
      return mul(2, outer(a))
    case 'sqrt':
      return div(da, mul(2, e))
    case 'exp':
      return outer(e)
    case 'expm1':
      return outer(exp(a))
    case 'log':
      return div(da, a)
    case 'log1p':
      return div(da, add(1, a))
    case 'softplus':
      return outer(sigmoid(a))
    case 'sigmoid':
      return outer(mul(e, sub(1, e)))
    case 'tanh':
      return outer(sub(1, square(e)))
    case 'erf':
      return outer(mul(2 / Math.sqrt(Math.PI), exp(neg(square(a)))))
    case 'normalCdf':
      return outer(normalPdf(a))
    case 'normalPdf':
      return neg(outer(mul(a, e)))
    case 'atan':
      return div(da, add(1, square(a)))
    case 'sin':
      return outer(cos(a))
    case 'cos':
      return neg(outer(sin(a)))
    case 'add':
      return add(da, db)
    case 'sub':
      return sub(da, db)
    case 'mul':
      return add(mul(da, b), mul(a, db))
    case 'div':
      return isConstant(db, 0) ? div(da, b) : sub(div(da, b), div(mul(a, db), square(b)))
    case 'min':
      return select(greater(b, a), da, db)
    case 'max':
      return select(greater(a, b), da, db)
    // Flat almost everywhere (sign, comparisons), or of values that are not differentiated (uniform operations).
    default:
      return zero
  }
}
