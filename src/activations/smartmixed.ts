// SmartMixed: each neuron picks one of six activations. While `phase=learn` a hard Gumbel-softmax picks, its soft form
// carries the gradient; then `phase=frozen` keeps each neuron's favorite. `act.with({ phase: 'frozen' })` moves on.

import {
  add,
  div,
  draw,
  type Expression,
  exp,
  expm1,
  greater,
  greaterEqual,
  learned,
  log,
  log1p,
  max,
  mul,
  named,
  neg,
  select,
  sigmoid,
  stopGradient,
  straightThrough,
  sub,
  tanh,
  x,
} from './expression.js'
import { type Definition, family, per } from './family.js'
import { relu } from './rectifiers.js'
import { number, oneOf } from './settings.js'
import { selu } from './smooth.js'

const candidates: readonly Expression[] = [
  relu,
  sigmoid(x),
  tanh(x),
  select(greater(x, 0), x, mul(0.01, x)),
  select(greater(x, 0), x, expm1(x)),
  selu,
]

/** −ln(−ln(1 − u)) of a draw: Gumbel noise, finite for every draw. */
function gumbelNoise(channel: number): Expression {
  return neg(log(sub(2 ** -25, log1p(neg(draw(channel))))))
}

/** Weights that are 1 for the first largest score and 0 for the others. */
function firstLargest(scores: readonly Expression[]): Expression[] {
  const largest = named('m', scores.reduce(max))
  let taken: Expression = add(0)
  return scores.map((score, k) => {
    const hard = named(`g${k + 1}`, mul(sub(1, taken), greaterEqual(score, largest)))
    taken = add(taken, hard)
    return hard
  })
}

function softmax(scores: readonly Expression[]): Expression[] {
  // Taking the largest away changes nothing but the range of the powers.
  const largest = stopGradient(scores.reduce(max))
  const powers = scores.map(score => exp(sub(score, largest)))
  const total = add(...powers)
  return powers.map(each => div(each, total))
}

const weighted = (weights: readonly Expression[]): Expression =>
  add(...weights.map((weight, k) => mul(weight, candidates[k])))

export const smartMixedFamily = family({
  name: 'smartmixed',
  settings: {
    phase: oneOf(
      ['learn', 'frozen'],
      'pick by Gumbel-softmax and learn, or keep what each neuron likes best',
    ),
    temperature: number(1, 0.01, 100, 'of the Gumbel-softmax in the backward pass; a schedule may lower it'),
    per: { ...per, default: 'neuron' },
  },
  source: 'SmartMixed 2025, arXiv 2510.22450; Jang et al. 2017, arXiv 1611.01144 (Gumbel-softmax)',
  character: 'each neuron picks one of relu, sigmoid, tanh, leaky-relu, elu, selu',
  define: ({ phase, temperature }): Definition => {
    const logits = candidates.map((_, k) => learned('choice', k))
    const about = 'how much a neuron likes relu, sigmoid, tanh, leaky-relu, elu, selu'
    const parameters = [{ name: 'choice', about, per: 'neuron', start: candidates.map(() => 0) }] as const
    if (phase === 'frozen') return { value: weighted(firstLargest(logits)), learned: parameters }
    const scores = logits.map((logit, k) => named(`z${k + 1}`, add(logit, gumbelNoise(k))))
    const soft = softmax(scores.map(score => div(score, temperature)))
    const hard = firstLargest(scores)
    return {
      value: weighted(hard.map((each, k) => straightThrough(each, soft[k]))),
      surrogate: 'the hard choice passes on the derivative of the Gumbel-softmax at the same draws',
      learned: parameters,
      expectation: weighted(softmax(logits)),
    }
  },
  traits: () => ({ exactZeros: true }),
})
