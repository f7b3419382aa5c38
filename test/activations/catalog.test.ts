// What users may type for an activation, and what they are told when it is not one.

import { describe, expect, it } from 'vitest'
import { listActivations, parseActivation } from '../../src/activations/catalog.js'
import { ActivationError } from '../../src/errors.js'

function refusal(spec: string): ActivationError {
  try {
    parseActivation(spec)
  } catch (error) {
    if (error instanceof ActivationError) return error
    throw error
  }
  throw new Error(`"${spec}" was accepted`)
}

describe('what can be typed', () => {
  it.each([
    ['relu', 'relu'],
    ['silu', 'silu'],
    ['stocha', 'stocha:p=0.7,positive=identity'],
    ['stocha:p=0.3', 'stocha:p=0.3,positive=identity'],
    ['stocha:positive=silu', 'stocha:p=0.7,positive=silu'],
    [' stocha : positive = drawn , p = 1e-1 ', 'stocha:p=0.1,positive=drawn'],
    ['stoch', 'stoch:p=0.5'],
    ['stoch:p=.25', 'stoch:p=0.25'],
    ['stoch:p=1', 'stoch:p=1'],
  ])('%j is %j in full', (typed, spec) => {
    expect(parseActivation(typed).spec).toBe(spec)
  })

  it('the canonical spelling parses back to an equal activation', () => {
    for (const { spec } of [...listActivations(), { spec: 'stocha:p=0.123,positive=drawn' }]) {
      const once = parseActivation(spec)
      const again = parseActivation(once.spec)
      expect(again.spec).toBe(once.spec)
      expect(again.fused).toEqual(once.fused)
      for (const x of [-2.5, -0.1, 0, 0.1, 2.5]) {
        for (const draw of [0, 0.1, 0.3, 0.6, 0.9]) {
          expect(again.forward(x, draw)).toBe(once.forward(x, draw))
          expect(again.derivative(x, draw)).toBe(once.derivative(x, draw))
        }
      }
    }
  })

  it('the list names every activation with its defaults, its ranges and its source', () => {
    const list = listActivations()
    expect(list.map(entry => entry.name)).toContain('stoch')
    for (const entry of list) {
      expect(parseActivation(entry.spec).name).toBe(entry.name)
      expect(entry.source).toMatch(/\d{4}|Blog/)
      expect(entry.character).not.toBe('')
    }
    const stocha = list.find(entry => entry.name === 'stocha')
    expect(stocha?.parameters).toMatchObject([
      { name: 'p', allowed: 'a number from 0 to 1' },
      { name: 'positive', allowed: 'one of identity, silu, drawn' },
      { name: 'per', allowed: 'one of element, neuron, token, sample, batch' },
    ])
  })
})

describe('what cannot', () => {
  it('an unknown name lists the activations and suggests the nearest', () => {
    const error = refusal('sliu')
    expect(error.code).toBe('ACTIVATION_UNKNOWN')
    expect(error.message).toContain('"sliu"')
    expect(error.message).toContain('Did you mean "silu"?')
    expect(error.message).toContain('relu, silu, stocha, stoch, ')
    expect(error.exitCode).toBe(2)
  })

  it.each(['', 'constructor', '__proto__', ':p=0.5'])('%j is not an activation', spec => {
    expect(refusal(spec).code).toBe('ACTIVATION_UNKNOWN')
  })

  it.each(['a'.repeat(1001), 'expected:'.repeat(50_000)])(
    'a name of thousands of characters is cut',
    spec => {
      const error = refusal(spec)
      expect(error.code).toBe('ACTIVATION_SYNTAX')
      expect(error.message).toContain(`has ${spec.length}`)
      expect(error.message.length).toBeLessThan(300)
    },
  )

  it('an unknown parameter names those that exist', () => {
    const error = refusal('stocha:positve=silu')
    expect(error.code).toBe('ACTIVATION_PARAMETER_UNKNOWN')
    expect(error.message).toContain('Did you mean "positive"?')
    expect(error.message).toContain('p, positive')
    expect(refusal('relu:p=0.5').message).toContain('relu has no parameters')
    expect(refusal('stoch:constructor=1').code).toBe('ACTIVATION_PARAMETER_UNKNOWN')
  })

  it.each(['1.01', '-0.1', 'NaN', 'Infinity', '0x1', 'half', '1e400', '0.5.5'])(
    'p=%s is refused, and the range is stated',
    value => {
      const error = refusal(`stocha:p=${value}`)
      expect(error.code).toBe('ACTIVATION_PARAMETER_INVALID')
      expect(error.message).toBe(`stocha: p must be a number from 0 to 1, not "${value}".`)
    },
  )

  it('an unknown choice lists the choices', () => {
    const error = refusal('stocha:positive=silo')
    expect(error.code).toBe('ACTIVATION_PARAMETER_INVALID')
    expect(error.message).toContain('one of identity, silu, drawn')
    expect(error.message).toContain('Did you mean "silu"?')
  })

  it.each(['stocha:', 'stocha:p', 'stocha:p=', 'stocha:=1', 'stocha:p=0.5,', 'stocha:p=0.5,p=0.5'])(
    '%j is not key=value',
    spec => {
      expect(refusal(spec).code).toBe('ACTIVATION_SYNTAX')
    },
  )
})
