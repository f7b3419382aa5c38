// Gates that training learns: how much (`learnable_stoch`) or how often (`gumbel_stoch`) ReLU stands in for SiLU. The
// gate is a function of the pre-activation, from a small network that the layer shares, or one parameter per neuron.

import type { LearnedParameter } from './activation.js'
import {
  add,
  div,
  draw,
  type Expression,
  greater,
  learned,
  log,
  mul,
  named,
  select,
  sigmoid,
  straightThrough,
  sub,
  tanh,
  x,
} from './expression.js'
import { family, per } from './family.js'
import { relu } from './rectifiers.js'
import { number, oneOf } from './settings.js'
import { silu } from './smooth.js'
import { blend } from './stochastic.js'

const gateForm = oneOf(
  ['element', 'neuron'],
  'the gate as a small network of each pre-activation, or as one learned number per neuron',
)
const hiddenUnits = oneOf(['4', '2', '8'], 'tanh units of the small network (gate=element)')

interface Gate {
  /** Of ReLU: σ of it is ReLU's weight or probability. 0 everywhere at the start. */
  readonly logit: Expression
  readonly learned: readonly LearnedParameter[]
}

function makeGate(form: 'element' | 'neuron', hidden: '2' | '4' | '8'): Gate {
  if (form === 'neuron') {
    const about = 'gate of a neuron: ReLU against SiLU, before σ'
    return { logit: learned('logit'), learned: [{ name: 'logit', about, per: 'neuron', start: [0] }] }
  }
  const units = Array.from({ length: Number(hidden) }, (_, k) => k)
  const unit = (k: number) =>
    mul(learned('output', k), tanh(add(mul(learned('slope', k), x), learned('shift', k))))
  // The units look at different parts of [−2, 2]; their sum starts at 0, so that the gate starts at one half.
  const shift = units.map(k => 2 - (4 * (k + 0.5)) / units.length)
  const parameter = (name: string, about: string, start: number[]): LearnedParameter => ({
    name,
    about,
    per: 'layer',
    start,
  })
  return {
    logit: add(learned('bias'), ...units.map(unit)),
    learned: [
      parameter(
        'slope',
        "slopes of the gate network's units",
        units.map(() => 1),
      ),
      parameter('shift', "shifts of the gate network's units", shift),
      parameter(
        'output',
        "weights of the gate network's units",
        shift.map(() => 0),
      ),
      parameter('bias', 'bias of the gate network', [0]),
    ],
  }
}

/** ln(u/(1 − u)) of a draw: logistic noise, finite for every draw. */
function logisticNoise(u: Expression): Expression {
  return sub(log(add(u, 2 ** -25)), log(sub(1, u)))
}

const source = 'Blog "Fun with stochastic activations" (follow-up to Lomeli et al. 2025)'

export const learnableStochFamily = family({
  name: 'learnable_stoch',
  settings: { gate: gateForm, hidden: hiddenUnits },
  source,
  character: 'a learned mixture of ReLU (weight α) and SiLU, continuous',
  define: ({ gate: form, hidden }) => {
    const { logit, learned } = makeGate(form, hidden)
    const alpha = named('α', sigmoid(logit))
    return { value: add(silu, mul(alpha, sub(relu, silu))), learned, gate: alpha }
  },
  traits: () => ({ exactZeros: false }),
})

export const gumbelStochFamily = family({
  name: 'gumbel_stoch',
  settings: {
    gate: gateForm,
    hidden: hiddenUnits,
    temperature: number(1, 0.01, 100, 'of the Gumbel-softmax in the backward pass; a schedule may lower it'),
    per,
  },
  source: `${source}; Jang et al. 2017, arXiv 1611.01144 (Gumbel-softmax)`,
  character: 'a hard choice, ReLU with a learned probability α, else SiLU',
  define: ({ gate: form, hidden, temperature }) => {
    const { logit, learned } = makeGate(form, hidden)
    const alpha = named('α', sigmoid(logit))
    const hard = greater(alpha, draw())
    const soft = sigmoid(div(sub(logit, logisticNoise(draw())), temperature))
    const choice = named('g', straightThrough(hard, soft))
    return {
      // The value exactly that of the branch, the derivative that of its blend.
      value: straightThrough(select(hard, relu, silu), add(silu, mul(choice, sub(relu, silu)))),
      surrogate: 'the hard choice passes on the derivative of the Gumbel-softmax at the same draw',
      learned,
      gate: alpha,
      expectation: blend(alpha, relu, silu),
    }
  },
  traits: () => ({ exactZeros: true, zeroBelow: 0 }),
})
