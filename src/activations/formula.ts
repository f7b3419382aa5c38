// Expressions as text for help, terminal and docs: `x·σ(x)`, `α·(eˣ − 1)` and so on, with as few brackets as read well.

import { type Expression, isConstant, isUniform, type Operation } from './expression.js'

const functionNames: Partial<Record<Operation, string>> = {
  sign: 'sign',
  expm1: 'expm1',
  log: 'ln',
  log1p: 'log1p',
  softplus: 'softplus',
  sigmoid: 'σ',
  tanh: 'tanh',
  erf: 'erf',
  normalCdf: 'Φ',
  normalPdf: 'φ',
  atan: 'atan',
  sin: 'sin',
  cos: 'cos',
  min: 'min',
  max: 'max',
}

const greek: Record<string, string> = {
  alpha: 'α',
  beta: 'β',
  gamma: 'γ',
  theta: 'θ',
  log_theta: 'log θ',
  epsilon: 'ε',
  sigma: 's',
  tau: 'τ',
}

/** How tightly a text holds together: sum, product, sign, power or a single thing. */
const SUM = 0
const PRODUCT = 1
const NEGATED = 2
const ATOM = 3

interface Piece {
  readonly text: string
  readonly binds: number
}

/** The formula of `e`, its named parts after it: `α·x, where α = σ(θ)`. Derivatives of named parts are just primed. */
export function formula(e: Expression): string {
  const names = new Map<string, Expression>()
  const seen = new Set<Expression>()
  const collect = (node: Expression): void => {
    if (seen.has(node)) return
    seen.add(node)
    if (node.op === 'named' && !names.has(node.name)) {
      names.set(node.name, node.args[0])
      if (node.name.endsWith('′')) return
    }
    node.args.forEach(collect)
  }
  collect(e)
  const definitions = [...names].map(([name, of]) =>
    name.endsWith('′') ? `${name} = d${name.slice(0, -1)}/dx` : `${name} = ${show(of).text}`,
  )
  return definitions.length === 0 ? show(e).text : `${show(e).text}, where ${definitions.join(', ')}`
}

function text(e: Expression): string {
  return show(e).text
}

function wrap(e: Expression, atLeast: number): string {
  const piece = show(e)
  return piece.binds >= atLeast ? piece.text : `(${piece.text})`
}

function show(e: Expression): Piece {
  const atom = (text: string): Piece => ({ text, binds: ATOM })
  const call = (name: string, ...args: readonly Expression[]): Piece =>
    atom(`${name}(${args.map(text).join(', ')})`)
  switch (e.op) {
    case 'constant':
      return e.value < 0 ? { text: `−${showNumber(-e.value)}`, binds: NEGATED } : atom(showNumber(e.value))
    case 'x':
      return atom('x')
    case 'previous':
      return atom('x₋₁')
    case 'next':
      return atom('x₊₁')
    case 'width':
      return atom('h')
    case 'draw':
      return atom(e.channel === 0 ? 'u' : `u${subscript(e.channel + 1)}`)
    case 'setting':
      return atom(symbol(e.name))
    case 'learned':
      return atom(symbol(e.name) + (e.index === 0 ? '' : subscript(e.index + 1)))
    case 'rowMean':
      return call('mean', ...e.args)
    case 'rowKthLargest':
      return call('kth-largest', ...e.args)
    case 'named':
      return atom(e.name)
    case 'straightThrough':
    case 'drawThreshold':
      return show(e.args[0])
    case 'normalQuantile':
      return call('Φ⁻¹', ...e.args)
    case 'exp2':
      return atom(`2^${wrap(e.args[0], ATOM)}`)
    case 'neg':
      return { text: `−${wrap(e.args[0], PRODUCT)}`, binds: NEGATED - 1 }
    case 'add':
      return { text: `${wrap(e.args[0], SUM)} + ${wrap(e.args[1], SUM)}`, binds: SUM }
    case 'sub':
      return { text: `${wrap(e.args[0], SUM)} − ${wrap(e.args[1], PRODUCT)}`, binds: SUM }
    case 'mul':
    case 'square': {
      const { base, exponent } = powerOf(e)
      if (exponent > 1) return atom(`${wrap(base, ATOM)}${superscript(exponent)}`)
      return { text: `${wrap(e.args[0], PRODUCT)}·${wrap(e.args[1], PRODUCT)}`, binds: PRODUCT }
    }
    case 'div':
      return { text: `${wrap(e.args[0], PRODUCT)}/${wrap(e.args[1], NEGATED)}`, binds: PRODUCT }
    case 'sqrt':
      return atom(`√${wrap(e.args[0], ATOM)}`)
    case 'exp':
      return call('exp', ...e.args)
    case 'abs':
      return atom(`|${text(e.args[0])}|`)
    case 'greater':
    case 'greaterEqual':
      return atom(`1[${condition(e)}]`)
    case 'select':
      return atom(cases(e))
    default:
      return call(functionNames[e.op] ?? e.op, ...e.args)
  }
}

/** `x > 0`, with what is drawn on the left: `u < p`. */
function condition(e: Expression): string {
  if (e.op !== 'greater' && e.op !== 'greaterEqual') return `${text(e)} ≠ 0`
  const [a, b] = e.args
  const strict = e.op === 'greater'
  // What varies reads better on the left: `x < 0` rather than `0 > x`.
  if (b.op === 'draw' || b.op === 'x' || (isUniform(a) && !isUniform(b))) {
    return `${text(b)} ${strict ? '<' : '≤'} ${text(a)}`
  }
  return `${text(a)} ${strict ? '>' : '≥'} ${text(b)}`
}

/** `{a if x > 0; b if …; else c}`; `1[…]·a` where the other branch is 0. */
function cases(e: Expression): string {
  const branches: string[] = []
  let rest = e
  while (rest.op === 'select') {
    branches.push(`${text(rest.args[1])} if ${condition(rest.args[0])}`)
    rest = rest.args[2]
  }
  return `{${branches.join('; ')}; else ${isConstant(rest, 0) ? '0' : text(rest)}}`
}

/** e as a power of something: a square, or a power times its base once more. */
function powerOf(e: Expression): { readonly base: Expression; readonly exponent: number } {
  if (e.op === 'square') {
    const { base, exponent } = powerOf(e.args[0])
    return { base, exponent: 2 * exponent }
  }
  if (e.op === 'mul') {
    const { base, exponent } = powerOf(e.args[0])
    if (base === e.args[1]) return { base, exponent: exponent + 1 }
  }
  return { base: e, exponent: 1 }
}

function showNumber(value: number): string {
  for (const [known, text] of [
    [Math.PI, 'π'],
    [Math.PI / 2, 'π/2'],
    [Math.SQRT2, '√2'],
    [Math.sqrt(2 * Math.PI), '√(2π)'],
    [2 / Math.sqrt(Math.PI), '(2/√π)'],
    [Math.sqrt(2 / Math.PI), '√(2/π)'],
  ] as const) {
    if (value === known) return text
  }
  const digits = Number(value.toPrecision(6))
  return digits !== 0 && digits < 1e-3 ? digits.toExponential().replace('-', '−') : String(digits)
}

function symbol(name: string): string {
  return greek[name] ?? name
}

function superscript(n: number): string {
  return String(n).replace(/\d/g, digit => '⁰¹²³⁴⁵⁶⁷⁸⁹'[Number(digit)])
}

function subscript(n: number): string {
  return String(n).replace(/\d/g, digit => '₀₁₂₃₄₅₆₇₈₉'[Number(digit)])
}
