// Derivatives of an expression: `differentiate` by one variable, in the form that reads best; `gradients` by many at
// once, from the value back to them, so that what their chains have in common is computed once.

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
 * d`e`/d`variable`. The variable is x, a neighbor, a learned parameter or a statistic of the row; all others, the
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

/** d`e`/d`variables`, in their order; as `differentiate` each. */
export function gradients(e: Expression, variables: readonly Expression[]): Expression[] {
  const found = variables.map(() => add(0))
  if (variables.length === 0) return found
  const reached = new Map<Expression, Expression>([[e, add(1)]])
  for (const node of inputsLast(e)) {
    const adjoint = reached.get(node)
    if (adjoint === undefined || isConstant(adjoint, 0)) continue
    variables.forEach((variable, i) => {
      if (sameVariable(node, variable)) found[i] = add(found[i], adjoint)
    })
    node.args.forEach((argument, i) => {
      const share = shareOf(node, i, adjoint)
      reached.set(argument, add(reached.get(argument) ?? 0, share))
    })
  }
  return found
}

/** The nodes of `e`, each before those inside it. */
function inputsLast(e: Expression): Expression[] {
  const seen = new Set<Expression>()
  const order: Expression[] = []
  const walk = (node: Expression): void => {
    if (seen.has(node)) return
    seen.add(node)
    node.args.forEach(walk)
    order.push(node)
  }
  walk(e)
  return order.reverse()
}

/** What argument `i` of a node gets of what has reached the node; all of it at once where it stands twice. */
function shareOf(node: Expression, i: number, adjoint: Expression): Expression {
  const args: readonly Expression[] = node.args
  if (args.indexOf(args[i]) !== i) return add(0)
  return through(
    adjoint,
    chain(node, argument => add(args.indexOf(argument) === i ? 1 : 0)),
  )
}

/** adjoint · slope, where the branch not taken stays out of it: 0 times an overflow would not be 0. */
function through(adjoint: Expression, slope: Expression): Expression {
  if (adjoint.op === 'greater' || adjoint.op === 'greaterEqual') return select(adjoint, slope, 0)
  if (slope.op === 'greater' || slope.op === 'greaterEqual') return select(slope, adjoint, 0)
  if (adjoint.op === 'select') {
    const [condition, chosen, otherwise] = adjoint.args
    if (isConstant(otherwise, 0)) return select(condition, through(chosen, slope), 0)
    if (isConstant(chosen, 0)) return select(condition, 0, through(otherwise, slope))
  }
  if (slope.op === 'select') {
    const [condition, chosen, otherwise] = slope.args
    if (isConstant(otherwise, 0)) return select(condition, through(adjoint, chosen), 0)
    if (isConstant(chosen, 0)) return select(condition, 0, through(adjoint, otherwise))
  }
  return mul(adjoint, slope)
}
