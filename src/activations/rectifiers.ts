// Rectifiers: exactly zero on one side, which is what makes the hidden vector sparse, and their relatives that keep a
// little of the other side.

import { FusedKernel } from './activation.js'
import {
  add,
  div,
  exp,
  greater,
  greaterEqual,
  learned,
  max,
  min,
  mul,
  neg,
  power,
  select,
  square,
  sub,
  x,
} from './expression.js'
import { family } from './family.js'
import { number, oneOf } from './settings.js'

/** max(x, 0): +0, never −0, for what is not positive, and NaN for NaN, so that a broken run is noticed. */
export const relu = max(x, 0)

export const reluFamily = family({
  name: 'relu',
  settings: {},
  source: 'Nair & Hinton 2010',
  character: 'piecewise linear, monotonic, exactly 0 for x ≤ 0',
  define: () => ({ value: relu }),
  traits: () => ({ exactZeros: true, zeroBelow: 0, fused: { kernel: FusedKernel.relu, p: 0 } }),
})

export const leakyReluFamily = family({
  name: 'leaky-relu',
  settings: { slope: number(0.01, 0, 1, 'slope for x < 0') },
  source: 'Maas et al. 2013',
  character: 'piecewise linear, monotonic, a small slope below 0',
  define: ({ slope }) => ({ value: select(greater(x, 0), x, mul(slope, x)) }),
  traits: ({ slope }) => (slope === 0 ? { exactZeros: true, zeroBelow: 0 } : { exactZeros: false }),
})

export const preluFamily = family({
  name: 'prelu',
  settings: {
    slope: number(0.25, -10, 10, 'slope for x < 0 at the start'),
    shared: oneOf(['layer', 'neuron'], 'one learned slope for the layer, or one per neuron'),
  },
  source: 'He et al. 2015, arXiv 1502.01852',
  character: 'piecewise linear, the slope below 0 is learned',
  define: ({ shared }) => ({
    value: select(greater(x, 0), x, mul(learned('slope'), x)),
    learned: [{ name: 'slope', about: 'slope for x < 0', per: shared, start: [0.25] }],
  }),
  traits: ({ slope }) => ({ exactZeros: false, starts: { slope: [slope] } }),
})

export const relu2Family = family({
  name: 'relu2',
  settings: {},
  source: 'So et al. 2021, arXiv 2109.08668; Zhang et al. 2024, arXiv 2402.03804',
  character: 'continuously differentiable, monotonic, exactly 0 for x ≤ 0, grows as a square',
  define: () => ({ value: square(relu) }),
  traits: () => ({ exactZeros: true, zeroBelow: 0, fused: { kernel: FusedKernel.relu2, p: 0 } }),
})

export const fatReluFamily = family({
  name: 'fatrelu',
  settings: { t: number(0.01, 0, 1000, 'threshold: smaller values become 0') },
  source: 'Song et al. 2024 (ProSparse), arXiv 2402.13516',
  character: 'ReLU that jumps: exactly 0 below the threshold t, x from there on',
  define: ({ t }) => ({ value: select(greater(t, x), 0, x) }),
  traits: ({ t }) => ({ exactZeros: true, zeroBelow: t, fused: { kernel: FusedKernel.fatrelu, p: t } }),
})

export const shiftedReluFamily = family({
  name: 'shifted-relu',
  settings: { b: number(0.1, -1000, 1000, 'shift: what is subtracted first') },
  source: 'Mirzadeh et al. 2023 (ReLU Strikes Back), arXiv 2310.04564',
  character: 'ReLU moved to the right, exactly 0 for x ≤ b',
  define: ({ b }) => ({ value: max(sub(x, b), 0) }),
  traits: ({ b }) => ({ exactZeros: true, zeroBelow: b }),
})

/** (x + β)²/(4β) between −β and β. */
export const smeluFamily = family({
  name: 'smelu',
  settings: { beta: number(1, 1e-3, 1000, 'half the width of the smooth part') },
  source: 'Shamir et al. 2020, arXiv 2010.09931',
  character: 'continuously differentiable, monotonic, exactly 0 for x ≤ −β',
  define: ({ beta }) => ({
    value: select(
      greaterEqual(neg(beta), x),
      0,
      select(greater(beta, x), div(square(add(x, beta)), mul(4, beta)), x),
    ),
  }),
  traits: ({ beta }) => ({ exactZeros: true, zeroBelow: -beta }),
})

export const crreluFamily = family({
  name: 'crrelu',
  settings: { epsilon: number(0.01, -10, 10, 'weight of the correction at the start') },
  source: 'EAFO (entropy-based activation optimization) 2024',
  character: 'ReLU with a learned wave around 0',
  define: () => ({
    value: add(relu, mul(learned('epsilon'), x, exp(mul(-0.5, square(x))))),
    learned: [{ name: 'epsilon', about: 'weight of the correction', per: 'layer', start: [0.01] }],
  }),
  traits: ({ epsilon }) => ({ exactZeros: false, starts: { epsilon: [epsilon] } }),
})

/** What PolyReLU and PolyNorm learn: a₁, a₂, a₃ and b. */
export const polynomialParameters = [
  { name: 'a', about: 'weights of the powers 1, 2, 3', per: 'layer', start: [1 / 3, 1 / 3, 1 / 3] },
  { name: 'b', about: 'constant', per: 'layer', start: [0] },
] as const

export const polyReluFamily = family({
  name: 'polyrelu',
  settings: {},
  source: 'Zhuo et al. 2024 (PolyCom), arXiv 2411.03884',
  character: 'a learned polynomial of degree 3 for x > 0, constant below',
  define: () => ({
    value: add(...[1, 2, 3].map(i => mul(learned('a', i - 1), power(relu, i))), learned('b')),
    learned: polynomialParameters,
  }),
  traits: () => ({ exactZeros: false }),
})

export const relu6Family = family({
  name: 'relu6',
  settings: {},
  source: 'Krizhevsky 2010',
  character: 'piecewise linear, between 0 and 6, exactly 0 for x ≤ 0',
  define: () => ({ value: min(relu, 6) }),
  traits: () => ({ exactZeros: true, zeroBelow: 0 }),
})

export const hardTanhFamily = family({
  name: 'hard-tanh',
  settings: {},
  source: 'Collobert 2004',
  character: 'piecewise linear, odd, between −1 and 1',
  define: () => ({ value: min(max(x, -1), 1) }),
  traits: () => ({ exactZeros: false }),
})

const hardSigmoid = div(min(max(add(x, 3), 0), 6), 6)

export const hardSigmoidFamily = family({
  name: 'hard-sigmoid',
  settings: {},
  source: 'Courbariaux et al. 2015, arXiv 1511.00363; with slope 1/6: Howard et al. 2019, arXiv 1905.02244',
  character: 'piecewise linear, between 0 and 1, exactly 0 for x ≤ −3',
  define: () => ({ value: hardSigmoid }),
  traits: () => ({ exactZeros: true, zeroBelow: -3 }),
})

export const hardSwishFamily = family({
  name: 'hard-swish',
  settings: {},
  source: 'Howard et al. 2019 (MobileNetV3), arXiv 1905.02244',
  character: 'piecewise quadratic, non-monotonic, exactly 0 for x ≤ −3',
  define: () => ({ value: select(greaterEqual(-3, x), 0, mul(x, hardSigmoid)) }),
  traits: () => ({ exactZeros: true, zeroBelow: -3 }),
})
