// Strategies and the schedule: which activation and which learning rate a step gets.

import { describe, expect, it } from 'vitest'
import { ActivationError, OptionError } from '../../src/errors.js'
import { cosineSchedule } from '../../src/train/schedule.js'
import { annealedProbability, makeStrategy } from '../../src/train/strategies.js'

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

  it('annealed StochA starts with the first activation and ends with the second alone', () => {
    const strategy = makeStrategy(
      { strategy: 'anneal', before: 'silu', to: 'relu', schedule: 'linear', sineStages: 4, alpha: 0.2 },
      100,
    )
    expect(strategy.switchStep).toBe(80)
    expect(strategy.activationAt(1).spec).toBe('silu')
    expect(strategy.activationAt(81).spec).toBe('relu')
    // 40 of the 80 steps are behind step 41: p = 1/2, as both values of a draw around it show.
    const middle = strategy.activationAt(41)
    expect(middle.settings).toMatchObject({ p: 0.5, positive: 'drawn' })
    expect(middle.forward(1, 0.49)).toBeCloseTo(1 / (1 + Math.exp(-1)), 12)
    expect(middle.forward(1, 0.51)).toBe(1)
    expect(strategy.withoutZeros(41)).toBe(0.5)
    expect([strategy.withoutZeros(1), strategy.withoutZeros(81)]).toEqual([1, 0])
    const pair = makeStrategy(
      { strategy: 'anneal', before: 'gelu', to: 'relu2', schedule: 'linear', sineStages: 4, alpha: 0 },
      100,
    )
    const half = pair.activationAt(51)
    expect([half.forward(2, 0.6), pair.inference.spec]).toEqual([4, 'relu2'])
    expect(half.forward(2, 0.4)).toBeCloseTo(1.9545, 4)
  })

  it('the annealed probability has the closed forms of its schedules, at the ends of stages too', () => {
    const at = (schedule: 'linear' | 'cosine' | 'sine', progress: number, sineStages = 4) =>
      annealedProbability(progress, { schedule, sineStages })
    for (const schedule of ['linear', 'cosine', 'sine'] as const) {
      expect(at(schedule, 0)).toBe(1)
      expect(at(schedule, 1)).toBeCloseTo(0, 12)
      expect(at(schedule, 0.5)).toBeCloseTo(0.5, 12)
    }
    expect(at('linear', 0.3)).toBeCloseTo(0.7, 12)
    expect(at('cosine', 0.25)).toBeCloseTo((1 + Math.SQRT1_2) / 2, 12)
    for (const [progress, p] of [
      [1 / 4, 3 / 4],
      [1 / 2, 1 / 2],
      [3 / 4, 1 / 4],
      // Half of the second stage: half of the way from 3/4 to 1/2; a quarter of it: (1 − 1/√2)/2 of the way.
      [3 / 8, 5 / 8],
      [5 / 16, 3 / 4 - (1 - Math.SQRT1_2) / 8],
    ]) {
      expect(at('sine', progress)).toBeCloseTo(p, 12)
    }
  })

  it('annealing refuses activations with learned parameters and α = 1', () => {
    const options = {
      strategy: 'anneal',
      before: 'silu',
      to: 'relu',
      schedule: 'cosine',
      sineStages: 4,
    } as const
    expect(() => makeStrategy({ ...options, before: 'prelu', alpha: 0 }, 10)).toThrow(/prelu.*learns/)
    expect(() => makeStrategy({ ...options, alpha: 1 }, 10)).toThrow(OptionError)
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
