// Smooth activations: they let the gradient through for x < 0, and are exactly zero nowhere but at single points.

import { FusedKernel } from './activation.js'
import {
  add,
  div,
  type Expression,
  erf,
  exp,
  expm1,
  greater,
  learned,
  mul,
  neg,
  normalCdf,
  select,
  sigmoid,
  sin,
  softplus,
  square,
  stopGradient,
  straightThrough,
  sub,
  tanh,
  x,
} from './expression.js'
import { family } from './family.js'
import { number, oneOf } from './settings.js'

/** x·σ(x). Minimum −0.278465 at x = −1.278465. */
export const silu = mul(x, sigmoid(x))

export const siluFamily = family({
  name: 'silu',
  settings: {},
  source: 'Elfwing et al. 2018, arXiv 1702.03118; Ramachandran et al. 2017, arXiv 1710.05941 (Swish)',
  character: 'smooth, non-monotonic, bounded below',
  define: () => ({ value: silu }),
  traits: () => ({ exactZeros: false, fused: { kernel: FusedKernel.silu, p: 0 } }),
})

export const swishFamily = family({
  name: 'swish',
  settings: {
    beta: number(1, -100, 100, 'steepness of the gate, at the start where it is learned'),
    learned: oneOf(['no', 'layer', 'neuron'], 'whether β is learned, by the layer or by each neuron'),
  },
  source: 'Ramachandran et al. 2017, arXiv 1710.05941',
  character: 'smooth, non-monotonic, bounded below; between x/2 (β = 0) and ReLU (β → ∞)',
  define: values => {
    const beta = values.learned === 'no' ? values.beta : learned('beta')
    const steep = mul(beta, x)
    const gate = sigmoid(steep)
    if (values.learned === 'no') return { value: mul(x, gate) }
    // The derivative of σ(a) as σ(a)·σ(−a): 1 − σ(a) is rounded to 0 or 2⁻²⁴ for a ≥ 16, and β's gradient has x² of it.
    const slope = stopGradient(mul(gate, sigmoid(neg(steep))))
    return {
      value: mul(x, straightThrough(gate, mul(slope, steep))),
      learned: [{ name: 'beta', about: 'steepness of the gate', per: values.learned, start: [1] }],
    }
  },
  traits: ({ beta }) => ({ exactZeros: false, starts: { beta: [beta] } }),
})

/** x·Φ(x); its tanh form is what older models were trained with. */
export const gelu = mul(x, normalCdf(x))
export const geluTanh = mul(
  0.5,
  x,
  add(1, tanh(mul(Math.sqrt(2 / Math.PI), add(x, mul(0.044715, x, square(x)))))),
)

export const geluFamily = family({
  name: 'gelu',
  settings: { form: oneOf(['exact', 'tanh'], 'x·Φ(x), or the approximation of Φ by tanh') },
  source: 'Hendrycks & Gimpel 2016, arXiv 1606.08415',
  character: 'smooth, non-monotonic, bounded below',
  define: ({ form }) => ({ value: form === 'exact' ? gelu : geluTanh }),
  traits: ({ form }) => ({
    exactZeros: false,
    fused: { kernel: form === 'exact' ? FusedKernel.gelu : FusedKernel.geluTanh, p: 0 },
  }),
})

export const mishFamily = family({
  name: 'mish',
  settings: {},
  source: 'Misra 2019, arXiv 1908.08681',
  character: 'smooth, non-monotonic, bounded below',
  define: () => ({ value: mul(x, tanh(softplus(x))) }),
  traits: () => ({ exactZeros: false }),
})

export const aptxFamily = family({
  name: 'aptx',
  settings: {
    alpha: number(1, -100, 100, 'constant of the gate'),
    beta: number(1, -100, 100, 'steepness of the gate'),
    gamma: number(0.5, -100, 100, 'scale'),
  },
  source: 'Kumar 2022, arXiv 2209.06119',
  character: 'smooth, non-monotonic, bounded below; Mish with fewer operations',
  define: ({ alpha, beta, gamma }) => ({ value: mul(add(alpha, tanh(mul(beta, x))), mul(gamma, x)) }),
  traits: () => ({ exactZeros: false }),
})

export const eluFamily = family({
  name: 'elu',
  settings: { alpha: number(1, 0, 100, 'minus the limit at −∞') },
  source: 'Clevert et al. 2015, arXiv 1511.07289',
  character: 'continuous (smooth for α = 1), monotonic, bounded below by −α',
  define: ({ alpha }) => ({ value: select(greater(x, 0), x, mul(alpha, expm1(x))) }),
  traits: ({ alpha }) => (alpha === 0 ? { exactZeros: true, zeroBelow: 0 } : { exactZeros: false }),
})

/** Keep mean 0 and variance 1 fixed points of a normal pre-activation. */
const SELU_ALPHA = 1.6732632423543772
const SELU_SCALE = 1.0507009873554805
export const selu = mul(SELU_SCALE, select(greater(x, 0), x, mul(SELU_ALPHA, expm1(x))))

export const seluFamily = family({
  name: 'selu',
  settings: {},
  source: 'Klambauer et al. 2017, arXiv 1706.02515',
  character: 'continuous, monotonic, bounded below; keeps mean 0 and variance 1',
  define: () => ({ value: selu }),
  traits: () => ({ exactZeros: false }),
})

export const sigmoidFamily = family({
  name: 'sigmoid',
  settings: {},
  source: 'Rumelhart et al. 1986',
  character: 'smooth, monotonic, between 0 and 1',
  define: () => ({ value: sigmoid(x) }),
  traits: () => ({ exactZeros: false }),
})

export const tanhFamily = family({
  name: 'tanh',
  settings: {},
  source: 'LeCun et al. 1998 (Efficient BackProp)',
  character: 'smooth, monotonic, odd, between −1 and 1',
  define: () => ({ value: tanh(x) }),
  traits: () => ({ exactZeros: false }),
})

export const softplusFamily = family({
  name: 'softplus',
  settings: { beta: number(1, 1e-3, 1000, 'sharpness: ReLU as it grows') },
  source: 'Dugas et al. 2001; Glorot et al. 2011',
  character: 'smooth, monotonic, positive',
  define: ({ beta }) => ({ value: div(softplus(mul(beta, x)), beta) }),
  traits: () => ({ exactZeros: false }),
})

export const snakeFamily = family({
  name: 'snake',
  settings: {
    a: number(1, 1e-3, 1000, 'frequency, at the start where it is learned'),
    learned: oneOf(['no', 'layer', 'neuron'], 'whether a is learned, by the layer or by each neuron'),
  },
  source: 'Liu et al. 2020, arXiv 2006.08195',
  character: 'smooth, monotonic, periodic around x',
  define: values => {
    const a: Expression = values.learned === 'no' ? values.a : learned('a')
    const value = add(x, div(square(sin(mul(a, x))), a))
    if (values.learned === 'no') return { value }
    return { value, learned: [{ name: 'a', about: 'frequency', per: values.learned, start: [1] }] }
  },
  traits: ({ a }) => ({ exactZeros: false, starts: { a: [a] } }),
})

/** Leaky ReLU convolved with a normal density of standard deviation s. */
export const sauFamily = family({
  name: 'sau',
  settings: {
    alpha: number(0.15, 0, 1, 'slope of the leaky ReLU for x < 0'),
    s: number(0.5, 1e-3, 100, 'standard deviation of what it is smoothed with'),
  },
  source: 'Biswas et al. 2021, arXiv 2109.13210',
  character: 'smooth, a leaky ReLU with its corner rounded',
  define: ({ alpha, s }) => {
    const scaled = div(x, s)
    const linear = mul(div(add(1, alpha), 2), x)
    const bent = mul(div(sub(1, alpha), 2), x, erf(div(scaled, Math.SQRT2)))
    const bump = mul(div(mul(sub(1, alpha), s), Math.sqrt(2 * Math.PI)), exp(mul(-0.5, square(scaled))))
    return { value: add(linear, bent, bump) }
  },
  traits: () => ({ exactZeros: false }),
})

export const rbfFamily = family({
  name: 'rbf',
  settings: {
    c: number(0, -100, 100, 'center at the start'),
    s: number(1, 1e-3, 100, 'width at the start'),
    shared: oneOf(['neuron', 'layer'], 'a learned center and width per neuron, or one of each for the layer'),
  },
  source: 'Broomhead & Lowe 1988; Gaussian RBFNet',
  character: 'smooth, a bump between 0 and 1',
  define: ({ shared }) => ({
    value: exp(neg(div(square(sub(x, learned('c'))), mul(2, square(learned('s')))))),
    learned: [
      { name: 'c', about: 'center', per: shared, start: [0] },
      { name: 's', about: 'width', per: shared, start: [1] },
    ],
  }),
  traits: ({ c, s }) => ({ exactZeros: false, starts: { c: [c], s: [s] } }),
})
