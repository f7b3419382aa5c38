// Every entry against its formula as the papers have it, written here once more in plain arithmetic, and against
// values and limits that are known from elsewhere.

import { describe, expect, it } from 'vitest'
import {
  type Activation,
  listActivations,
  parseActivation,
  startParameters,
} from '../../src/activations/index.js'

const grid = Array.from({ length: 241 }, (_, i) => -6 + i * 0.05 + 0.001)

const sigmoid = (x: number): number => 1 / (1 + Math.exp(-x))
const relu = (x: number): number => (x > 0 ? x : 0)
const silu = (x: number): number => x * sigmoid(x)
const clamp = (x: number, low: number, high: number): number => Math.min(high, Math.max(low, x))

/** erf by Simpson's rule: independent of the series and fits that the library uses. */
function erf(x: number): number {
  const n = 600
  let sum = 0
  for (let i = 0; i <= n; i++) {
    const weight = i === 0 || i === n ? 1 : i % 2 === 1 ? 4 : 2
    sum += weight * Math.exp(-(((x * i) / n) ** 2))
  }
  return ((2 / Math.sqrt(Math.PI)) * sum * x) / (3 * n)
}
const phi = (x: number): number => (1 + erf(x / Math.SQRT2)) / 2

/** Formulas of entries that do not draw, with the parameters that they start from. */
const formulas: Record<string, (x: number) => number> = {
  relu,
  silu,
  relu2: x => relu(x) ** 2,
  'fatrelu:t=0.4': x => (x >= 0.4 ? x : 0),
  'shifted-relu:b=0.3': x => relu(x - 0.3),
  'leaky-relu:slope=0.2': x => Math.max(0.2 * x, x),
  'prelu:slope=0.3': x => Math.max(0.3 * x, x),
  'jumprelu:theta=0.5': x => (x > 0.5 ? x : 0),
  helu: relu,
  sugar: relu,
  'smelu:beta=0.5': x => (x <= -0.5 ? 0 : x >= 0.5 ? x : (x + 0.5) ** 2 / 2),
  'crrelu:epsilon=0.1': x => relu(x) + 0.1 * x * Math.exp(-x * x * 0.5),
  polyrelu: x => (relu(x) + relu(x) ** 2 + relu(x) ** 3) / 3,
  relu6: x => clamp(x, 0, 6),
  'hard-tanh': x => clamp(x, -1, 1),
  'hard-sigmoid': x => clamp(x / 6 + 0.5, 0, 1),
  'hard-swish': x => x * clamp(x / 6 + 0.5, 0, 1),
  'swish:beta=1.7': x => x * sigmoid(1.7 * x),
  gelu: x => x * phi(x),
  'gelu:form=tanh': x => 0.5 * x * (1 + Math.tanh(Math.sqrt(2 / Math.PI) * (x + 0.044715 * x ** 3))),
  mish: x => x * Math.tanh(Math.log(1 + Math.exp(x))),
  'aptx:alpha=1.2,beta=0.8,gamma=0.6': x => (1.2 + Math.tanh(0.8 * x)) * 0.6 * x,
  'elu:alpha=0.7': x => (x > 0 ? x : 0.7 * (Math.exp(x) - 1)),
  selu: x => 1.0507009873554805 * (x > 0 ? x : 1.6732632423543772 * (Math.exp(x) - 1)),
  sigmoid,
  tanh: x => (Math.exp(2 * x) - 1) / (Math.exp(2 * x) + 1),
  'softplus:beta=2': x => Math.log(1 + Math.exp(2 * x)) / 2,
  'snake:a=1.5': x => x + Math.sin(1.5 * x) ** 2 / 1.5,
  'sau:alpha=0.2,s=0.7': x =>
    (x * 1.2) / 2 +
    ((x * 0.8) / 2) * erf(x / (Math.SQRT2 * 0.7)) +
    ((0.8 * 0.7) / Math.sqrt(2 * Math.PI)) * Math.exp((-x * x) / (2 * 0.7 ** 2)),
  'rbf:c=0.3,s=1.4': x => Math.exp(-((x - 0.3) ** 2) / (2 * 1.4 ** 2)),
  atlu: x => (x * (Math.atan(x) + Math.PI / 2)) / Math.PI,
  // α starts at 0, where the expanded gates are the ordinary ones.
  xatlu: x => (x * (Math.atan(x) + Math.PI / 2)) / Math.PI,
  xgelu: x => x * phi(x),
  xsilu: silu,
  // Both α start at 0.8, β is ½.
  xielu: x => (x > 0 ? 0.8 * x * x : (Math.exp(x) - 1 - x) * 0.8) + 0.5 * x,
  // The gate starts at one half.
  learnable_stoch: x => (relu(x) + silu(x)) / 2,
  // TMAF starts as ReLU.
  tmaf: relu,
  'tmaf:matrix=tridiagonal': relu,
  // A row of one neuron: n(z) = z/√(z² + 1e-6).
  polynorm: x => [x, x * x, x ** 3].reduce((sum, z) => sum + z / Math.sqrt(z * z + 1e-6) / 3, 0),
  topk: relu,
  'smartmixed:phase=frozen': relu,
  'mix:relu@0,gelu@1': x => x * phi(x),
}

/** Drawn entries, given the draw. */
const drawn: Record<string, (x: number, u: number) => number> = {
  'stocha:p=0.6': (x, u) => (x > 0 ? x : u < 0.6 ? silu(x) : 0),
  'stocha:p=0.6,positive=silu': (x, u) => (x > 0 || u < 0.6 ? silu(x) : 0),
  'stocha:p=0.6,positive=drawn': (x, u) => (u < 0.6 ? silu(x) : relu(x)),
  'stoch:p=0.3': (x, u) => (u < 0.3 ? silu(x) : relu(x)),
  // Probability of ReLU one half at the start.
  gumbel_stoch: (x, u) => (u < 0.5 ? relu(x) : silu(x)),
  'rrelu:lower=0.1,upper=0.5': (x, u) => (x > 0 ? x : (0.1 + 0.4 * u) * x),
  // The sign test is wrong for |x| < 2 with probability 1 − |x|/2.
  'circa:k=13,scale=12': (x, u) => (u < 1 - Math.abs(x) / 2 ? Math.min(x, 0) : relu(x)),
  'mix:relu@0.3,silu@0.5,tanh@0.2': (x, u) => (u < 0.3 ? relu(x) : u < 0.8 ? silu(x) : Math.tanh(x)),
}

describe('values are those of the formula', () => {
  it.each(Object.entries(formulas))('%s', (spec, formula) => {
    const act = parseActivation(spec)
    for (const x of grid) expect(act.forward(x, 0.5), `at ${x}`).toBeCloseTo(formula(x), 10)
  })

  it.each(Object.entries(drawn))('%s', (spec, formula) => {
    const act = parseActivation(spec)
    expect(act.draws).toBe(true)
    for (const u of [0, 0.05, 0.29, 0.31, 0.49, 0.51, 0.59, 0.61, 0.79, 0.81, 0.99]) {
      for (const x of grid) expect(act.forward(x, u), `at ${x}, draw ${u}`).toBeCloseTo(formula(x, u), 12)
    }
  })

  it('every entry of the catalog has a formula here', () => {
    const named = [...Object.keys(formulas), ...Object.keys(drawn)].map(spec => parseActivation(spec).name)
    // Statistics of a row have tests of their own.
    expect(new Set([...named, 'stat-topk'])).toEqual(new Set(listActivations().map(({ name }) => name)))
  })
})

describe('known values and limits', () => {
  it.each([
    // Shamir et al.: smelu(0) is a quarter of β.
    ['smelu:beta=0.1', 0, 0.025],
    ['smelu:beta=0.5', 0, 0.125],
    ['smelu:beta=1', 0, 0.25],
    // torch.nn.functional at 1 and −1.
    ['gelu', 1, 0.8413447460685429],
    ['gelu', -1, -0.15865525393145707],
    ['gelu:form=tanh', 1, 0.8411919906082768],
    ['mish', 1, 0.8650983882673103],
    ['selu', -1, -1.1113307378125625],
    ['elu', -1, -0.6321205588285577],
    // The minimum of SiLU.
    ['silu', -1.278464542761074, -0.2784645427610738],
  ])('%s(%d) = %d', (spec, x, value) => {
    expect(parseActivation(spec).forward(x, 0)).toBeCloseTo(value, 6)
  })

  it.each([
    ['swish:beta=0', (x: number) => x / 2],
    ['swish:beta=100', relu],
    ['softplus:beta=1000', relu],
    ['aptx:alpha=1,beta=0.5,gamma=0.5', silu],
    ['sau:alpha=0.2,s=0.001', (x: number) => Math.max(0.2 * x, x)],
  ])('%s is what it tends to', (spec, limit) => {
    const act = parseActivation(spec)
    for (const x of grid.filter(x => Math.abs(x) > 0.3)) expect(act.forward(x, 0)).toBeCloseTo(limit(x), 3)
  })

  it.each([
    'silu',
    'gelu',
    'gelu:form=tanh',
    'mish',
    'swish:beta=2',
    'relu',
    'elu',
    'xsilu',
    'hard-swish',
    'atlu',
  ])('%s stays finite and is about x far to the right', spec => {
    const act = parseActivation(spec)
    for (const x of [50, 1000, 1e6]) {
      expect(act.forward(x, 0) / x).toBeCloseTo(1, 1)
      expect(Number.isFinite(act.derivative(x, 0))).toBe(true)
      expect(Number.isFinite(act.forward(-x, 0))).toBe(true)
      expect(Number.isFinite(act.derivative(-x, 0))).toBe(true)
    }
  })

  it('learned parameters move the expanded gates: x·(g·(1 + 2α) − α)', () => {
    for (const [spec, gate] of [
      ['xsilu', sigmoid],
      ['xgelu', phi],
      ['xatlu', (x: number) => (Math.atan(x) + Math.PI / 2) / Math.PI],
    ] as const) {
      const act = parseActivation(spec)
      for (const alpha of [-0.4, 0.3, 1.5]) {
        for (const x of grid) {
          expect(act.forward(x, 0, [alpha])).toBeCloseTo(x * (gate(x) * (1 + 2 * alpha) - alpha), 10)
        }
      }
    }
  })
})

describe('what an entry says about itself', () => {
  const entries: Activation[] = [...Object.keys(formulas), ...Object.keys(drawn)].map(parseActivation)

  it.each(entries.map(act => [act.spec, act] as const))(
    '%s has a formula, a source and finite start values',
    (_, act) => {
      expect(act.formula).toMatch(/x|z/)
      expect(act.derivativeFormula).not.toBe('')
      expect(act.source).toMatch(/\d{4}|Blog/)
      expect([...startParameters(act, 3)].every(Number.isFinite)).toBe(true)
    },
  )
})
