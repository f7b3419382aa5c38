// Stochastic activations: a Bernoulli draw per element chooses between SiLU (when draw < p) and ReLU.
// `stocha` is the paper's, where the draw matters for x < 0; `stoch` is the blog's, drawn whatever the sign.

import { FusedKernel } from './activation.js'
import { type BoundActivation, family, oneOf, probability } from './family.js'
import { relu, reluDerivative } from './rectifiers.js'
import { silu, siluDerivative } from './smooth.js'

type PositiveSide = 'identity' | 'silu' | 'drawn'

/** Value and derivative of a stochastic activation for x > 0; elsewhere all of them agree. */
const positiveSides: Record<
  PositiveSide,
  {
    kernel: FusedKernel
    forward(x: number, chosen: boolean): number
    derivative(x: number, chosen: boolean): number
  }
> = {
  identity: {
    kernel: FusedKernel.stochaIdentity,
    forward: x => x,
    derivative: () => 1,
  },
  silu: {
    kernel: FusedKernel.stochaSilu,
    forward: silu,
    derivative: siluDerivative,
  },
  drawn: {
    kernel: FusedKernel.stochaDrawn,
    forward: (x, chosen) => (chosen ? silu(x) : x),
    derivative: (x, chosen) => (chosen ? siluDerivative(x) : 1),
  },
}

/** SiLU with probability p, else ReLU, with the given rule for x > 0. */
function stochastic(p: number, positive: PositiveSide): BoundActivation {
  const side = positiveSides[positive]
  return {
    forward(x, draw) {
      const chosen = draw < p
      if (x > 0) return side.forward(x, chosen)
      return chosen ? silu(x) : relu(x)
    },
    derivative(x, draw) {
      const chosen = draw < p
      if (x > 0) return side.derivative(x, chosen)
      return chosen ? siluDerivative(x) : reluDerivative(x)
    },
    // A draw lies in [0, 1): never below 0, always below 1.
    draws: p > 0 && p < 1,
    exactZeros: p < 1,
    fused: { kernel: side.kernel, p },
  }
}

export const stochaFamily = family({
  name: 'stocha',
  parameters: {
    p: probability(0.7, 'probability of SiLU for x < 0'),
    positive: oneOf(['identity', 'silu', 'drawn'], 'what x > 0 gives: x, SiLU(x), or drawn as for x < 0'),
  },
  source: 'Lomeli et al. 2025, arXiv 2509.22358',
  character: 'for x < 0 SiLU with probability p, else exactly 0; drawn anew for every element',
  bind: ({ p, positive }) => stochastic(p, positive),
})

export const stochFamily = family({
  name: 'stoch',
  parameters: { p: probability(0.5, 'probability of SiLU, whatever the sign') },
  source: 'Blog "Fun with stochastic activations" (follow-up to Lomeli et al. 2025)',
  character: 'SiLU with probability p, else ReLU; the same as stocha with positive=drawn',
  bind: ({ p }) => stochastic(p, 'drawn'),
})
