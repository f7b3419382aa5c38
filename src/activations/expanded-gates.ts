// x times a gate whose range is learned: from (0, 1) to (−α, 1 + α); and xIELU, which learns both of its sides.

import {
  add,
  atan,
  div,
  type Expression,
  expm1,
  greater,
  learned,
  mul,
  named,
  normalCdf,
  select,
  sigmoid,
  softplus,
  square,
  sub,
  x,
} from './expression.js'
import { type ActivationFamily, family } from './family.js'

const arctanGate = div(add(atan(x), Math.PI / 2), Math.PI)

export const atluFamily = family({
  name: 'atlu',
  settings: {},
  source: 'Huang 2024 (expanded gating ranges), arXiv 2405.20768',
  character: 'smooth, monotonic, x times an arctangent gate',
  define: () => ({ value: mul(x, arctanGate) }),
  traits: () => ({ exactZeros: false }),
})

function expanded(name: string, gate: Expression, of: string): ActivationFamily {
  return family({
    name,
    settings: {},
    source: 'Huang 2024 (expanded gating ranges), arXiv 2405.20768',
    character: `smooth, ${of} whose gate may leave (0, 1) by a learned α`,
    define: () => {
      const alpha = learned('alpha')
      return {
        value: mul(x, sub(mul(gate, add(1, mul(2, alpha))), alpha)),
        learned: [
          {
            name: 'alpha',
            about: 'how far the gate leaves (0, 1)',
            per: 'layer',
            start: [0],
            pictured: [0.2],
          },
        ],
      }
    },
    traits: () => ({ exactZeros: false }),
  })
}

export const xatluFamily = expanded('xatlu', arctanGate, 'ATLU')
export const xgeluFamily = expanded('xgelu', normalCdf(x), 'GELU')
export const xsiluFamily = expanded('xsilu', sigmoid(x), 'SiLU')

const XIELU_BETA = 0.5
const inverseSoftplus = (y: number): number => Math.log(Math.expm1(y))

export const xieluFamily = family({
  name: 'xielu',
  settings: {},
  source: 'Huang & Schlag 2024, arXiv 2411.13010',
  character: 'continuous, a learned square for x > 0 and a learned exponential below',
  define: () => {
    const above = named('α₊', softplus(learned('above')))
    const below = named('α₋', add(XIELU_BETA, softplus(learned('below'))))
    const linear = mul(XIELU_BETA, x)
    return {
      value: select(
        greater(x, 0),
        add(mul(above, square(x)), linear),
        add(mul(below, sub(expm1(x), x)), linear),
      ),
      // Both α are 0.8 at the start.
      learned: [
        { name: 'above', about: 'α for x > 0, before softplus', per: 'layer', start: [inverseSoftplus(0.8)] },
        {
          name: 'below',
          about: 'α for x < 0, before softplus',
          per: 'layer',
          start: [inverseSoftplus(0.8 - XIELU_BETA)],
        },
      ],
    }
  },
  traits: () => ({ exactZeros: false }),
})
