// Stochastic activations: a Bernoulli draw per element chooses between SiLU (when draw < p) and ReLU.
// `stocha` is the paper's, where the draw matters for x < 0; `stoch` is the blog's, drawn whatever the sign.

import { FusedKernel } from './activation.js'
import { add, draw, type Expression, greater, mul, select, sub, x } from './expression.js'
import { family, per, type Traits } from './family.js'
import { relu } from './rectifiers.js'
import { oneOf, probability } from './settings.js'
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
