// Stochastic activations. `stocha` and `stoch` draw between SiLU (when draw < p) and ReLU: the paper's, where the draw
// matters for x < 0, and the blog's, drawn whatever the sign. RReLU draws a slope, Circa the sign test of a ReLU.

import { FusedKernel } from './activation.js'
import {
  abs,
  add,
  div,
  draw,
  type Expression,
  exp2,
  greater,
  max,
  min,
  mul,
  select,
  sub,
  x,
} from './expression.js'
import { family, per, type Traits } from './family.js'
import { relu } from './rectifiers.js'
import { number, oneOf, probability } from './settings.js'
import { silu } from './smooth.js'

/** `chosen` with probability p, else `otherwise`. */
export function bernoulli(p: Expression, chosen: Expression, otherwise: Expression): Expression {
  return select(greater(p, draw()), chosen, otherwise)
}

/** p·chosen + (1 − p)·otherwise: the mean of `bernoulli`. */
export function blend(p: Expression, chosen: Expression, otherwise: Expression): Expression {
  return add(mul(p, chosen), mul(sub(1, p), otherwise))
}

/** What the draw between SiLU and ReLU makes of p = 0 and p = 1: a draw lies in [0, 1). */
function siluOrRelu(p: number, kernel: FusedKernel, drawPer: string): Traits {
  return {
    draws: p > 0 && p < 1,
    exactZeros: p < 1,
    ...(p < 1 && { zeroBelow: 0 }),
    ...(drawPer === 'element' && { fused: { kernel, p } }),
  }
}

export const stochaFamily = family({
  name: 'stocha',
  settings: {
    p: probability(0.7, 'probability of SiLU for x < 0'),
    positive: oneOf(['identity', 'silu', 'drawn'], 'what x > 0 gives: x, SiLU(x), or drawn as for x < 0'),
    per,
  },
  source: 'Lomeli et al. 2025, arXiv 2509.22358',
  character: 'for x < 0 SiLU with probability p, else exactly 0',
  define: ({ p, positive }) => {
    if (positive === 'drawn') {
      return { value: bernoulli(p, silu, relu), expectation: blend(p, silu, relu) }
    }
    const above = positive === 'identity' ? x : silu
    const join = (below: Expression) => select(greater(x, 0), above, below)
    return { value: join(bernoulli(p, silu, relu)), expectation: join(mul(p, silu)) }
  },
  traits: ({ p, positive, per }) => {
    const kernels = { identity: 'stochaIdentity', silu: 'stochaSilu', drawn: 'stochaDrawn' } as const
    return siluOrRelu(p, FusedKernel[kernels[positive]], per)
  },
})

export const stochFamily = family({
  name: 'stoch',
  settings: { p: probability(0.5, 'probability of SiLU, whatever the sign'), per },
  source: 'Blog "Fun with stochastic activations" (follow-up to Lomeli et al. 2025)',
  character: 'SiLU with probability p, else ReLU; the same as stocha with positive=drawn',
  define: ({ p }) => ({ value: bernoulli(p, silu, relu), expectation: blend(p, silu, relu) }),
  traits: ({ p, per }) => siluOrRelu(p, FusedKernel.stochaDrawn, per),
})

export const rreluFamily = family({
  name: 'rrelu',
  settings: {
    lower: number(1 / 8, 0, 1, 'smallest slope for x < 0'),
    upper: number(1 / 3, 0, 1, 'largest slope for x < 0'),
    per,
  },
  source: 'Xu et al. 2015, arXiv 1505.00853',
  character: 'piecewise linear, the slope for x < 0 is drawn',
  define: ({ lower, upper }) => {
    const slope = add(lower, mul(sub(upper, lower), draw()))
    const mean = mul(0.5, add(lower, upper))
    return {
      value: select(greater(x, 0), x, mul(slope, x)),
      expectation: select(greater(x, 0), x, mul(mean, x)),
    }
  },
  traits: () => ({ exactZeros: false }),
})

/** In fixed point with `scale` fractional bits, dropping k bits of a sign test fails near 0. */
export const circaFamily = family({
  name: 'circa',
  settings: {
    k: number(12, 0, 31, 'bits that the sign test drops'),
    scale: number(
      12,
      0,
      31,
      'fractional bits of the fixed-point number: the test may fail for |x| < 2^(k − scale)',
    ),
    per,
  },
  source: 'Ghodsi et al. 2021 (Circa), arXiv 2106.08475',
  character: 'ReLU whose sign test fails with probability 1 − |x|/2^(k − scale)',
  define: ({ k, scale }) => {
    const range = exp2(sub(k, scale))
    const failing = sub(1, div(abs(x), range))
    const wrong = min(x, 0)
    const share = max(failing, 0)
    return {
      value: select(greater(failing, draw()), wrong, relu),
      expectation: add(mul(share, wrong), mul(sub(1, share), relu)),
      surrogate: 'the derivative is that of the branch drawn; that of the probability is left out',
    }
  },
  traits: () => ({ exactZeros: true, zeroBelow: 0 }),
})
