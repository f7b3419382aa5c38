// Strategies and the schedule: which activation and which learning rate a step gets.

import { describe, expect, it } from 'vitest'
import { ActivationError, OptionError } from '../../src/errors.js'
import { cosineSchedule } from '../../src/train/schedule.js'
import { makeStrategy } from '../../src/train/strategies.js'

describe('strategies', () => {
  it('scratch keeps one activation', () => {
    const strategy = makeStrategy({ strategy: 'scratch', activation: 'relu' }, 10)
    expect([1, 5, 10].map(step => strategy.activationAt(step).name)).toEqual(['relu', 'relu', 'relu'])
    expect(strategy.switchStep).toBeNull()
  })

  it('Swi+FT runs SiLU, then ReLU for the last α of the steps', () => {
    const strategy = makeStrategy({ strategy: 'swift', from: 'silu', to: 'relu', alpha: 0.2 }, 100)
    expect(strategy.switchStep).toBe(80)
    expect(strategy.activationAt(80).name).toBe('silu')
    expect(strategy.activationAt(81).name).toBe('relu')
    expect(strategy.inference.name).toBe('relu')
  })

  it('StochA draws, then finetunes with ReLU', () => {
    const strategy = makeStrategy(
      { strategy: 'stocha', p: 0.7, positive: 'silu', to: 'relu', alpha: 0.05 },
      200,
    )
    expect(strategy.activationAt(190).spec).toBe('stocha:p=0.7,positive=silu')
    expect(strategy.activationAt(191).name).toBe('relu')
  })

  it('always finetunes for one step at least, and α = 1 leaves no pre-training', () => {
    expect(makeStrategy({ strategy: 'swift', from: 'silu', to: 'relu', alpha: 0.001 }, 10).switchStep).toBe(9)
    expect(
      makeStrategy({ strategy: 'swift', from: 'silu', to: 'relu', alpha: 1 }, 10).activationAt(1).name,
    ).toBe('relu')
  })

  it('refuses α outside (0, 1] and unknown activations', () => {
    for (const alpha of [0, -0.1, 1.5, Number.NaN]) {
      expect(() => makeStrategy({ strategy: 'swift', from: 'silu', to: 'relu', alpha }, 10)).toThrow(
        OptionError,
      )
    }
    expect(() => makeStrategy({ strategy: 'scratch', activation: 'sliu' }, 10)).toThrow(ActivationError)
  })
})

describe('the cosine schedule', () => {
  const options = { steps: 110, warmupSteps: 10, learningRate: 1, minLearningRate: 0.1 }
  it('rises linearly, peaks after the warm-up, halves half-way and ends at the floor', () => {
    expect(cosineSchedule(1, options)).toBeCloseTo(0.1, 12)
    expect(cosineSchedule(10, options)).toBe(1)
    expect(cosineSchedule(60, options)).toBeCloseTo(0.55, 12)
    expect(cosineSchedule(110, options)).toBeCloseTo(0.1, 12)
  })
  it('never rises again after the peak', () => {
    for (let step = 11; step <= 110; step++) {
      expect(cosineSchedule(step, options)).toBeLessThanOrEqual(cosineSchedule(step - 1, options))
    }
  })
})
