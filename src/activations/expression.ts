// The language in which activations are written. An entry of the catalog is one expression; its value, derivatives,
// formula and the program that the kernels run are all derived from it. Expressions are immutable and may share parts;
// the constructors here simplify as they build, so that derivatives stay readable.

/** Operations and how many arguments each takes. Numbers of native/activation_program.h: the position in this list. */
export const operations = {
  neg: 1,
  abs: 1,
  sign: 1,
  square: 1,
  sqrt: 1,
  exp: 1,
  expm1: 1,
  log: 1,
  log1p: 1,
  softplus: 1,
  sigmoid: 1,
  tanh: 1,
  erf: 1,
  normalCdf: 1,
  normalPdf: 1,
  atan: 1,
  sin: 1,
  cos: 1,
  add: 2,
  sub: 2,
  mul: 2,
  div: 2,
  min: 2,
  max: 2,
  /** 1 where a > b, else 0. */
  greater: 2,
  /** 1 where a ≥ b, else 0. */
  greaterEqual: 2,
  /** b where a is not 0, else c. */
  select: 3,
} as const
export type Operation = keyof typeof operations

/** Functions that only values which are the same for a whole call may go through: they have no kernel. */
export type UniformOperation =
  /** Quantile of the normal distribution. */
  | 'normalQuantile'
  /** 2 to the power of the argument. */
  | 'exp2'
  /** Rounded up to a multiple of 2⁻²⁴: against a draw it compares as the argument does, in f32 too. */
  | 'drawThreshold'

export type Expression =
  | { readonly op: 'constant'; readonly args: readonly []; readonly value: number }
  /** The pre-activation; those of the neurons before and after it (0 beyond the row); the row's length. */
  | { readonly op: 'x' | 'previous' | 'next' | 'width'; readonly args: readonly [] }
  /** A uniform number in [0, 1); draws of different channels are independent. */
  | { readonly op: 'draw'; readonly args: readonly []; readonly channel: number }
  /** A number that the user gives and a schedule may change. */
  | { readonly op: 'setting'; readonly args: readonly []; readonly name: string }
  /** Element `index` of a learned parameter. */
  | { readonly op: 'learned'; readonly args: readonly []; readonly name: string; readonly index: number }
  /** The mean of the argument over the row. */
  | { readonly op: 'rowMean'; readonly args: readonly [Expression] }
  /** The k-th largest argument of the row, k rounded into 1 … width; no gradient goes through it. */
  | { readonly op: 'rowKthLargest'; readonly args: readonly [of: Expression, k: Expression] }
  /** The value of the first argument with the derivative of the second. */
  | { readonly op: 'straightThrough'; readonly args: readonly [value: Expression, surrogate: Expression] }
  /** A part with a name of its own in formulas: its value is the argument's. */
  | { readonly op: 'named'; readonly args: readonly [Expression]; readonly name: string }
  | { readonly op: Operation | UniformOperation; readonly args: readonly Expression[] }

/** Wherever an expression is expected a number will do. */
export type Operand = Expression | number

export const x: Expression = { op: 'x', args: [] }
export const previous: Expression = { op: 'previous', args: [] }
export const next: Expression = { op: 'next', args: [] }
export const width: Expression = { op: 'width', args: [] }

export function constant(value: number): Expression {
  return { op: 'constant', args: [], value }
}

export function draw(channel = 0): Expression {
  return { op: 'draw', args: [], channel }
}

export function setting(name: string): Expression {
  return { op: 'setting', args: [], name }
}

export function learned(name: string, index = 0): Expression {
  return { op: 'learned', args: [], name, index }
}

export function rowMean(of: Expression): Expression {
  return { op: 'rowMean', args: [of] }
}

export function rowKthLargest(of: Expression, k: Operand): Expression {
  return { op: 'rowKthLargest', args: [of, expression(k)] }
}

/** `e`, which formulas call `name`: `α·x, where α = …`. */
export function named(name: string, e: Expression): Expression {
  return { op: 'named', args: [e], name }
}

/** Takes the value of `value` forward and the derivative of `surrogate` backward. */
export function straightThrough(value: Operand, surrogate: Operand): Expression {
  return { op: 'straightThrough', args: [expression(value), expression(surrogate)] }
}

/** `value`, as if it were constant for the derivative. */
export function stopGradient(value: Expression): Expression {
  return straightThrough(value, 0)
}

export function expression(operand: Operand): Expression {
  return typeof operand === 'number' ? constant(operand) : operand
}

/** Whether `e` is the constant `value`. */
export function isConstant(e: Expression, value: number): boolean {
  return e.op === 'constant' && e.value === value
}

function apply(op: Operation, ...args: Expression[]): Expression {
  return { op, args }
}

function unary(op: Operation): (a: Operand) => Expression {
  return a => apply(op, expression(a))
}

export const abs = unary('abs')
export const sign = unary('sign')
export const sqrt = unary('sqrt')
export const exp = unary('exp')
/** eˣ − 1, exact near 0. */
export const expm1 = unary('expm1')
export const log = unary('log')
/** ln(1 + x), exact near 0. */
export const log1p = unary('log1p')
/** ln(1 + eˣ). */
export const softplus = unary('softplus')
/** 1/(1 + e⁻ˣ). */
export const sigmoid = unary('sigmoid')
export const tanh = unary('tanh')
export const erf = unary('erf')
/** Φ, the cumulative distribution of the standard normal. */
export const normalCdf = unary('normalCdf')
/** φ, its density. */
export const normalPdf = unary('normalPdf')
export const atan = unary('atan')
export const sin = unary('sin')
export const cos = unary('cos')

/** Φ⁻¹ of a value that is the same for a whole call. */
export function normalQuantile(a: Operand): Expression {
  return { op: 'normalQuantile', args: [expression(a)] }
}

/** 2ᵃ of a value that is the same for a whole call. */
export function exp2(a: Operand): Expression {
  return { op: 'exp2', args: [expression(a)] }
}

export function square(a: Operand): Expression {
  const e = expression(a)
  return e.op === 'constant' ? constant(e.value ** 2) : apply('square', e)
}

export function neg(a: Operand): Expression {
  const e = expression(a)
  if (e.op === 'constant') return constant(-e.value)
  if (e.op === 'neg') return e.args[0]
  if (e.op === 'sub') return sub(e.args[1], e.args[0])
  return apply('neg', e)
}

export function add(...operands: Operand[]): Expression {
  return operands.map(expression).reduce(addTwo)
}

function addTwo(a: Expression, b: Expression): Expression {
  if (a.op === 'constant' && b.op === 'constant') return constant(a.value + b.value)
  if (isConstant(a, 0)) return b
  if (isConstant(b, 0)) return a
  if (b.op === 'neg') return sub(a, b.args[0])
  // Sums lean to the left, so that what is subtracted shows as such.
  if (b.op === 'add') return addTwo(addTwo(a, b.args[0]), b.args[1])
  if (b.op === 'sub') return sub(addTwo(a, b.args[0]), b.args[1])
  if (b.op === 'constant' && b.value < 0) return apply('sub', a, constant(-b.value))
  return apply('add', a, b)
}

export function sub(a: Operand, b: Operand): Expression {
  const [left, right] = [expression(a), expression(b)]
  if (left.op === 'constant' && right.op === 'constant') return constant(left.value - right.value)
  if (isConstant(right, 0)) return left
  if (isConstant(left, 0)) return neg(right)
  if (left === right) return constant(0)
  if (right.op === 'neg') return addTwo(left, right.args[0])
  return apply('sub', left, right)
}

export function mul(...operands: Operand[]): Expression {
  return operands.map(expression).reduce(mulTwo)
}

function mulTwo(a: Expression, b: Expression): Expression {
  if (a.op === 'constant' && b.op === 'constant') return constant(a.value * b.value)
  if (b.op === 'constant') return mulTwo(b, a)
  if (isConstant(a, 0)) return a
  if (isConstant(a, 1)) return b
  if (isConstant(a, -1)) return neg(b)
  if (a.op === 'neg') return neg(mulTwo(a.args[0], b))
  if (b.op === 'neg') return neg(mulTwo(a, b.args[0]))
  if (a.op === 'constant' && b.op === 'mul' && b.args[0].op === 'constant') {
    return mulTwo(constant(a.value * b.args[0].value), b.args[1])
  }
  // Constants go to the front, and a product with a reciprocal that varies is a quotient.
  if (a.op !== 'constant' && b.op === 'mul' && b.args[0].op === 'constant') {
    return mulTwo(b.args[0], mulTwo(a, b.args[1]))
  }
  if (b.op === 'div' && isConstant(b.args[0], 1) && !isUniform(b.args[1])) return div(a, b.args[1])
  if (a === b) return square(a)
  return apply('mul', a, b)
}

export function div(a: Operand, b: Operand): Expression {
  const [above, below] = [expression(a), expression(b)]
  if (above.op === 'constant' && below.op === 'constant') return constant(above.value / below.value)
  if (isConstant(above, 0) || isConstant(below, 1)) return above
  if (above.op === 'neg') return neg(div(above.args[0], below))
  if (above.op === 'mul' && above.args[1] === below) return above.args[0]
  if (above.op === 'mul' && above.args[0].op === 'constant') {
    const [factor, rest] = [above.args[0].value, above.args[1]]
    if (below.op === 'constant') return mulTwo(constant(factor / below.value), rest)
    if (below.op === 'mul' && below.args[0].op === 'constant') {
      return mulTwo(constant(factor / below.args[0].value), div(rest, below.args[1]))
    }
    return mulTwo(above.args[0], div(rest, below))
  }
  return apply('div', above, below)
}

/** xⁿ for a whole n ≥ 1, by squaring. */
export function power(a: Operand, n: number): Expression {
  if (n === 1) return expression(a)
  const half = square(power(a, Math.floor(n / 2)))
  return n % 2 === 0 ? half : mul(half, a)
}

export function min(a: Operand, b: Operand): Expression {
  return apply('min', expression(a), expression(b))
}

/** The larger one; NaN when either is. */
export function max(a: Operand, b: Operand): Expression {
  return apply('max', expression(a), expression(b))
}

/** 1 where a > b, else 0 (also where either is NaN). */
export function greater(a: Operand, b: Operand): Expression {
  return comparison('greater', expression(a), expression(b))
}

/** 1 where a ≥ b, else 0. */
export function greaterEqual(a: Operand, b: Operand): Expression {
  return comparison('greaterEqual', expression(a), expression(b))
}

function comparison(op: 'greater' | 'greaterEqual', a: Expression, b: Expression): Expression {
  const against = (e: Expression, other: Expression): Expression =>
    other.op === 'draw' && isUniform(e) ? { op: 'drawThreshold', args: [e] } : e
  return apply(op, against(a, b), against(b, a))
}

/** `chosen` where `condition` is not 0, else `otherwise`. */
export function select(condition: Expression, chosen: Operand, otherwise: Operand): Expression {
  const [a, b] = [expression(chosen), expression(otherwise)]
  if (condition.op === 'constant') return condition.value === 0 ? b : a
  if (a === b || (a.op === 'constant' && isConstant(b, a.value))) return a
  const isCondition = condition.op === 'greater' || condition.op === 'greaterEqual'
  if (isCondition && isConstant(a, 1) && isConstant(b, 0)) return condition
  return apply('select', condition, a, b)
}

/** Whether the value is the same for every element whatever the parameters: made of constants and settings only. */
export function isUniform(e: Expression): boolean {
  if (e.args.length > 0) return e.op !== 'rowMean' && e.op !== 'rowKthLargest' && e.args.every(isUniform)
  return e.op === 'constant' || e.op === 'setting' || e.op === 'width'
}

/**
 * Replaces leaves in expressions; `replace` returns null for those that stay. What expressions share before they share
 * after, also between calls.
 */
export function substitution(
  replace: (leaf: Expression) => Expression | null,
): (e: Expression) => Expression {
  const done = new Map<Expression, Expression>()
  const walk = (node: Expression): Expression => {
    const known = done.get(node)
    if (known !== undefined) return known
    const result =
      node.args.length === 0
        ? (replace(node) ?? node)
        : ({ ...node, args: node.args.map(walk) } as Expression)
    done.set(node, result)
    return result
  }
  return walk
}
