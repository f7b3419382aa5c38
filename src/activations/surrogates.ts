// Rectifiers whose backward pass is deliberately not the derivative of the forward pass: they are ReLU-like when run,
// and let some gradient through where ReLU would not.

import {
  add,
  div,
  exp,
  greater,
  learned,
  mul,
  named,
  sigmoid,
  square,
  stopGradient,
  straightThrough,
  sub,
  x,
} from './expression.js'
import { family } from './family.js'
import { relu } from './rectifiers.js'
import { number, oneOf } from './settings.js'
import { silu } from './smooth.js'

export const heluFamily = family({
  name: 'helu',
  settings: { alpha: number(0.05, 0, 10, 'how far below 0 the gradient still passes') },
  source: 'HeLU (Hysteresis ReLU) 2024, arXiv 2411.10573',
  character: 'ReLU forward; backward its step stands at −α: exactly 0 for x ≤ 0',
  define: ({ alpha }) => ({
    value: relu,
    slope: greater(x, mul(-1, alpha)),
    surrogate: 'the gradient passes for x > −α, so that neurons just below 0 can come back',
  }),
  traits: () => ({ exactZeros: true, zeroBelow: 0 }),
})

export const sugarFamily = family({
  name: 'sugar',
  settings: {
    form: oneOf(['bsilu', 'silu'], 'whose derivative goes backward: B-SiLU (x + α)·σ(x) − α/2, or SiLU'),
    alpha: number(1.67, 0, 100, 'α of B-SiLU'),
  },
  source:
    'Horuz et al. 2025 (The Resurrection of the ReLU: SUGAR), arXiv 2505.22074; α = 1.67 as implementations of it have it',
  character: 'ReLU forward, a smooth derivative backward: exactly 0 for x ≤ 0',
  define: ({ form, alpha }) => ({
    value: straightThrough(relu, form === 'silu' ? silu : sub(mul(add(x, alpha), sigmoid(x)), div(alpha, 2))),
    surrogate: 'the derivative is that of a smooth function, so that inactive neurons still learn',
  }),
  traits: () => ({ exactZeros: true, zeroBelow: 0 }),
})

/**
 * θ gets −(θ/ε)·1[|x − θ| < ε/2], a kernel estimate of what moving the step would do to the expected loss. What is
 * learned is log θ, as in the paper's code (its appendix on the training of JumpReLU SAEs), so that θ stays above 0
 * whatever the steps are; log θ gets θ times as much. The paper's ε equals the threshold's start (0.001 each), so
 * that at the start only x between θ/2 and 3θ/2 count: the same ratio is the default here.
 */
export const jumpReluFamily = family({
  name: 'jumprelu',
  settings: {
    theta: number(0.01, 1e-6, 1000, 'threshold at the start'),
    width: number(
      0.01,
      1e-6,
      100,
      'width ε of the rectangle that estimates the gradient of the threshold; of about the size of theta',
    ),
    shared: oneOf(['neuron', 'layer'], 'one learned threshold per neuron, or one for the layer'),
  },
  source: 'Rajamanoharan et al. 2024, arXiv 2407.14435',
  character: 'x above a learned threshold θ > 0, else exactly 0',
  define: ({ width, shared }) => {
    const theta = named('θ', exp(learned('log_theta')))
    const open = greater(x, theta)
    const nearStep = greater(square(div(width, 2)), square(sub(x, theta)))
    const pull = stopGradient(mul(div(theta, width), nearStep))
    return {
      value: straightThrough(mul(x, open), sub(mul(x, open), mul(pull, theta))),
      surrogate:
        'the threshold learns by a rectangle kernel of width ε: the true derivative by θ is 0 almost everywhere',
      learned: [
        { name: 'log_theta', about: 'logarithm of the threshold', per: shared, start: [Math.log(0.01)] },
      ],
    }
  },
  traits: ({ theta }) => ({ exactZeros: true, starts: { log_theta: [Math.log(theta)] } }),
})
