// Mixtures of entries, settings that change while training goes on, and what is said when either is wrong.

import { describe, expect, it } from 'vitest'
import { parameterLayout, parseActivation } from '../../src/activations/index.js'
import { ActivationError } from '../../src/errors.js'

function refusal(make: () => unknown): ActivationError {
  try {
    make()
  } catch (error) {
    if (error instanceof ActivationError) return error
    throw error
  }
  throw new Error('it was accepted')
}

describe('a mixture', () => {
  it('is spelled with weights, brackets around entries with settings, and what shares a draw', () => {
    for (const [typed, spec] of [
      ['mix:relu@0.3,silu@0.7', 'mix:relu@0.3,silu@0.7'],
      [
        ' mix: relu@.25 , (leaky-relu:slope=0.1)@0.75 , per=token',
        'mix:relu@0.25,(leaky-relu:slope=0.1)@0.75,per=token',
      ],
      ['mix:(mix:relu@0.5,tanh@0.5)@0.5,silu@0.5', 'mix:(mix:relu@0.5,tanh@0.5)@0.5,silu@0.5'],
      ['mix:gelu@1', 'mix:(gelu:form=exact)@1'],
    ]) {
      const act = parseActivation(typed)
      expect(act.spec).toBe(spec)
      expect(parseActivation(act.spec).spec).toBe(spec)
    }
    expect(parseActivation('mix:relu@0.5,silu@0.5,per=sample').drawPer).toBe('sample')
  })

  it('draws each of its entries with its own draws: the choice and the entry are independent', () => {
    const act = parseActivation('mix:(stoch:p=0.5)@0.5,(stoch:p=0)@0.5')
    expect(act.drawChannels).toBe(2)
    const silu = -1 / (1 + Math.E)
    expect([0.1, 0.9].flatMap(choice => [0.1, 0.9].map(inner => act.forward(-1, [choice, inner])))).toEqual([
      expect.closeTo(silu, 12),
      0,
      0,
      0,
    ])
  })

  it('keeps the learned parameters of its entries apart', () => {
    const act = parseActivation('mix:(prelu:slope=0.1)@0.5,(prelu:slope=0.3,shared=neuron)@0.5')
    const places = parameterLayout(act, 3).map(({ name, length }) => [name, length])
    expect(places).toEqual([
      ['mix1_slope', 1],
      ['mix2_slope', 3],
    ])
    expect(act.forward(-2, 0.1)).toBeCloseTo(-0.2, 12)
    expect(act.forward(-2, 0.9)).toBeCloseTo(-0.6, 12)
  })

  it('has exact zeros when one of its entries has, below the lowest of their bounds', () => {
    expect(parseActivation('mix:silu@0.5,gelu@0.5').exactZeros).toBe(false)
    const act = parseActivation('mix:relu@0.3,(fatrelu:t=0.5)@0.3,silu@0.4')
    expect([act.exactZeros, act.zeroBelow]).toEqual([true, 0])
    expect(parseActivation('mix:relu@0.5,topk@0.5').zeroBelow).toBeUndefined()
  })

  it.each([
    ['mix:relu@0.3,silu@0.6', 'ACTIVATION_MIX_WEIGHTS', /0.3 \+ 0.6 = 0.9/],
    ['mix', 'ACTIVATION_MIX_WEIGHTS', /there are none|not entry@weight/],
    ['mix:relu,silu@0.5', 'ACTIVATION_SYNTAX', /"relu" is not entry@weight/],
    ['mix:relu@2', 'ACTIVATION_SYNTAX', /weight from 0 to 1/],
    ['mix:relu@-0.5,silu@1.5', 'ACTIVATION_SYNTAX', /weight from 0 to 1/],
    ['mix:(relu@0.5,silu@0.5', 'ACTIVATION_SYNTAX', /bracket/],
    ['mix:rleu@0.5,silu@0.5', 'ACTIVATION_UNKNOWN', /Did you mean "relu"/],
    ['mix:(leaky-relu:slope=7)@0.5,silu@0.5', 'ACTIVATION_PARAMETER_INVALID', /from 0 to 1/],
    [
      'mix:relu@0.5,silu@0.5,per=day',
      'ACTIVATION_PARAMETER_INVALID',
      /element, neuron, token, sample, batch/,
    ],
  ])('%s is refused', (spec, code, message) => {
    const error = refusal(() => parseActivation(spec))
    expect(['ACTIVATION_SYNTAX', code]).toContain(error.code)
    expect(error.message).toMatch(message)
  })
})

describe('settings that change', () => {
  it('with() gives the same activation at another number, its programs shared', () => {
    const act = parseActivation('gumbel_stoch:temperature=5')
    const cooler = act.with({ temperature: 0.5 })
    expect(cooler.spec).toBe('gumbel_stoch:gate=element,hidden=4,temperature=0.5')
    expect(cooler.programs).toBe(act.programs)
    expect(cooler.parameterDerivatives(1, 0.4)).toEqual(
      parseActivation(cooler.spec).parameterDerivatives(1, 0.4),
    )
    expect(act.settings.temperature).toBe(5)
  })

  it('a gradual switch moves p from SiLU to ReLU', () => {
    const act = parseActivation('stocha')
    const values = [1, 0.5, 0].map(p => act.with({ p }).forward(-1, 0.4))
    expect(values).toEqual([expect.closeTo(-0.268941, 6), expect.closeTo(-0.268941, 6), 0])
  })

  it('out of range, misspelled or of another kind they are refused', () => {
    const act = parseActivation('stocha')
    expect(refusal(() => act.with({ p: 1.5 })).message).toContain('a number from 0 to 1')
    expect(refusal(() => act.with({ positive: 'up' })).code).toBe('ACTIVATION_PARAMETER_INVALID')
    expect(refusal(() => act.with({ q: 1 })).code).toBe('ACTIVATION_PARAMETER_UNKNOWN')
    expect(refusal(() => act.with({ p: Number.NaN })).code).toBe('ACTIVATION_PARAMETER_INVALID')
  })

  it('dashes and underscores are the same in names', () => {
    expect(parseActivation('learnable-stoch').name).toBe('learnable_stoch')
    expect(parseActivation('shifted_relu').name).toBe('shifted-relu')
  })

  it('expected: and gate: say when there is none', () => {
    expect(parseActivation('expected:relu').spec).toBe('relu')
    expect(refusal(() => parseActivation('gate:relu')).code).toBe('ACTIVATION_NO_GATE')
    expect(parseActivation('gate:gumbel_stoch').forward(1, 0)).toBe(0.5)
  })
})
