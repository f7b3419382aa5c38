// Activations of a whole row: a neuron's value depends on the others of the same token.

import {
  abs,
  add,
  div,
  type Expression,
  greater,
  learned,
  max,
  min,
  mul,
  named,
  next,
  normalQuantile,
  power,
  previous,
  rowKthLargest,
  rowMean,
  select,
  setting,
  sqrt,
  square,
  sub,
  substitution,
  width,
  x,
} from './expression.js'
import { type Definition, family } from './family.js'
import { polynomialParameters, relu } from './rectifiers.js'
import { rankOf } from './row-runner.js'
import { normalQuantile as quantile } from './scalar-functions.js'
import { number, oneOf } from './settings.js'
import { gelu, silu } from './smooth.js'

const k = number(0.1, 0, 2 ** 31, 'how many neurons to keep; below 1 their fraction of the row')

/** The setting k as a number of neurons. */
const kept = named('n', select(greater(1, setting('k')), mul(setting('k'), width), setting('k')))

/** The same in numbers, for the fused kernels. */
const keptOf = (setting: number, neurons: number) => (setting < 1 ? setting * neurons : setting)

/** What is applied to the neurons that are kept; all are 0 at 0. */
const after = { relu, identity: x, gelu, silu } as const

export const topkFamily = family({
  name: 'topk',
  settings: {
    k,
    by: oneOf(['value', 'magnitude'], 'whether the largest are kept, or the largest by |x|'),
    act: oneOf(['relu', 'identity', 'gelu', 'silu'], 'applied to what is kept'),
  },
  source: 'Li et al. 2022 (The Lazy Neuron Phenomenon), arXiv 2210.06313',
  character:
    'keeps the k largest pre-activations of a token (and those equal to the k-th), the rest exactly 0',
  define: ({ by, act }) => {
    const score = by === 'value' ? x : abs(x)
    const threshold = named('t', rowKthLargest(score, kept))
    return { value: select(greater(threshold, score), 0, after[act]) }
  },
  traits: ({ k, by, act }) => ({
    exactZeros: true,
    fusedRows: { keep: by, act, at: width => rankOf(keptOf(k, width), width) },
  }),
})

/** Keeps the standard deviation of a constant row differentiable. */
const VARIANCE_FLOOR = 1e-12

export const statTopkFamily = family({
  name: 'stat-topk',
  settings: { k, act: oneOf(['gelu', 'relu', 'silu'], 'applied to what stands above the threshold') },
  source: 'You et al. 2025 (Spark Transformer), arXiv 2506.06644',
  character: 'soft threshold at mean + std·Φ⁻¹(1 − k/h): about k of h are not exactly 0, without sorting',
  define: ({ act }) => {
    const mean = rowMean(x)
    const deviation = sqrt(add(rowMean(square(sub(x, mean))), VARIANCE_FLOOR))
    // Between half a neuron and all but half of one: at 0 and 1 the quantile is not finite.
    const half = div(0.5, width)
    const share = named('p', max(min(div(kept, width), sub(1, half)), half))
    const threshold = named('t', add(mean, mul(deviation, normalQuantile(sub(1, share)))))
    const above = named('z', max(sub(x, threshold), 0))
    return { value: substitution(leaf => (leaf.op === 'x' ? above : null))(after[act]) }
  },
  traits: ({ k, act }) => ({
    exactZeros: true,
    fusedRows: {
      keep: 'above',
      act,
      at: width => {
        const half = 0.5 / width
        return quantile(1 - Math.max(Math.min(keptOf(k, width) / width, 1 - half), half))
      },
    },
  }),
})

export const polyNormFamily = family({
  name: 'polynorm',
  settings: {},
  source: 'Zhuo et al. 2024 (PolyCom), arXiv 2411.03884',
  character: 'a learned sum of the powers 1, 2, 3, each normalized over the row',
  define: () => {
    const normalized = (i: number): Expression =>
      div(power(x, i), sqrt(add(rowMean(square(power(x, i))), 1e-6)))
    return {
      value: add(...[1, 2, 3].map(i => mul(learned('a', i - 1), normalized(i))), learned('b')),
      learned: polynomialParameters,
    }
  },
  traits: () => ({ exactZeros: false }),
})

/** Where the step functions of TMAF step. */
const STEPS = [-2, -1, 0, 1, 2]

/** The learned step function `name` at `of`: constant between the steps. */
function stepFunction(symbol: string, name: string, of: Expression): Expression {
  const steps = STEPS.reduce<Expression>(
    (below, step, i) => select(greater(of, step), learned(name, i + 1), below),
    learned(name),
  )
  return named(symbol, steps)
}

export const tmafFamily = family({
  name: 'tmaf',
  settings: { matrix: oneOf(['diagonal', 'tridiagonal'], 'whether the neighboring neurons take part') },
  source: 'Liu et al. 2021 (Trainable Matrix Activation Functions), arXiv 2109.09948',
  character: 'a learned matrix whose entries are step functions of x, times x; ReLU at the start',
  define: ({ matrix }): Definition => {
    const diagonal = mul(stepFunction('a', 'diagonal', x), x)
    const parameter = (name: string, about: string, start: number[]) =>
      ({ name, about, per: 'neuron', start }) as const
    const own = {
      ...parameter('diagonal', 'factor of x between the steps', [0, 0, 0, 1, 1, 1]),
      pictured: [0.1, -0.15, 0.3, 0.6, 1, 0.8],
    }
    if (matrix === 'diagonal') return { value: diagonal, learned: [own] }
    const zeros = [0, 0, 0, 0, 0, 0]
    return {
      value: add(
        diagonal,
        mul(stepFunction('b', 'lower', previous), previous),
        mul(stepFunction('c', 'upper', next), next),
      ),
      learned: [
        own,
        parameter('lower', "factor of the previous neuron's x", zeros),
        parameter('upper', "factor of the next neuron's x", zeros),
      ],
    }
  },
  traits: () => ({ exactZeros: false }),
})
