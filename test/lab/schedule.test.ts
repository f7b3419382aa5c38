// Schedules: their ends, their shapes, and ProSparse's formula.

import { describe, expect, it } from 'vitest'
import { type Schedule, scheduleAt, scheduleSchema } from '../../src/lab/schedule.js'

const kinds = ['switch', 'linear', 'cosine', 'geometric', 'stages'] as const

function schedule(options: Partial<Schedule>): Schedule {
  return scheduleSchema.parse({ from: 2, to: 0.5, start: 0.25, end: 0.75, ...options })
}

describe('schedules', () => {
  it.each(kinds)('%s holds `from` before its start and `to` from its end on', kind => {
    const one = schedule({ kind })
    for (const done of [0, 0.1, 0.2499]) expect(scheduleAt(one, done)).toBe(2)
    for (const done of [0.75, 0.9, 1]) expect(scheduleAt(one, done)).toBe(0.5)
  })

  it.each(kinds.filter(kind => kind !== 'switch'))(
    '%s never rises on its way down, and does not jump',
    kind => {
      const one = schedule({ kind, via: kind === 'stages' ? [1.5, 1] : [] })
      let before = 2
      for (let done = 0; done <= 1; done += 0.001) {
        const value = scheduleAt(one, done)
        expect(value).toBeLessThanOrEqual(before + 1e-12)
        expect(before - value).toBeLessThan(0.02)
        before = value
      }
    },
  )

  it('half-way: line, cosine and one stage are at the mean of the ends, the geometric one at their geometric mean', () => {
    expect(scheduleAt(schedule({ kind: 'linear' }), 0.5)).toBeCloseTo(1.25, 12)
    expect(scheduleAt(schedule({ kind: 'cosine' }), 0.5)).toBeCloseTo(1.25, 12)
    expect(scheduleAt(schedule({ kind: 'stages' }), 0.5)).toBeCloseTo(1.25, 12)
    expect(scheduleAt(schedule({ kind: 'geometric' }), 0.5)).toBeCloseTo(1, 12)
  })

  it("stages follow ProSparse's λ: λ₀ + ½(sin(−π/2 + π·progress) + 1)(λ₁ − λ₀) in each stage", () => {
    const one = schedule({ kind: 'stages', from: 0, to: 1, via: [0.2], start: 0, end: 1 })
    for (const progress of [0.1, 0.3, 0.7]) {
      const rise = 0.5 * (Math.sin(-Math.PI / 2 + Math.PI * progress) + 1)
      expect(scheduleAt(one, progress / 2)).toBeCloseTo(0.2 * rise, 12)
      expect(scheduleAt(one, 0.5 + progress / 2)).toBeCloseTo(0.2 + 0.8 * rise, 12)
    }
  })

  it('refuses an end before the start, stages of other kinds, a temperature that falls to 0', () => {
    expect(() => schedule({ start: 0.8, end: 0.2 })).toThrow(/must not be below start/)
    expect(() => schedule({ kind: 'linear', via: [1] })).toThrow(/for kind: stages alone/)
    expect(() => schedule({ kind: 'geometric', to: 0 })).toThrow(/above 0/)
  })
})
