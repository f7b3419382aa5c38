// What entries promise the engine and the statistics: where they are exactly zero, and what they are on average.

import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import {
  type Activation,
  expectationOf,
  listActivations,
  parseActivation,
} from '../../src/activations/index.js'
import { anyPoint, formsOfOneElement } from './entries.js'

describe('exact zeros', () => {
  it.each(listActivations().map(listing => [listing.name, listing] as const))(
    '%s is exactly 0 below zeroBelow, and only if it says that it has zeros',
    (_, listing) => {
      fc.assert(
        fc.property(anyPoint(listing), fc.double({ min: 1e-2, max: 1e3, noNaN: true }), (point, below) => {
          const act = parseActivation(point.spec)
          expect(act.exactZeros || act.zeroBelow === undefined).toBe(true)
          if (act.zeroBelow === undefined) return
          // A drawn entry is zero when the draw says so: for some of them (never for sure at the ends of p).
          const draws = act.draws ? Array.from({ length: 2000 }, (_, i) => (i + 0.5) / 2000) : [0]
          const x = act.zeroBelow - below
          const zero = draws.some(draw => act.forward(x, draw, point.parameters) === 0)
          if (!act.draws || act.settings.p === undefined) expect(zero).toBe(true)
        }),
        { numRuns: 20, seed: 5 },
      )
    },
  )

  /** Inputs and draws at which an entry is exactly 0, of 600. */
  function zerosOf(act: Activation): number {
    let zeros = 0
    for (let i = 0; i < 100; i++) {
      const x = -4 + i * 0.08 + 0.001
      for (const draw of [0.001, 0.2, 0.4, 0.6, 0.8, 0.999]) if (act.forward(x, draw) === 0) zeros++
    }
    return zeros
  }
  // Where a row decides, one neuron alone may never be below the threshold: test/activations/rowwise.test.ts has rows.
  const forms = formsOfOneElement().filter(act => !act.rowwise)

  it.each(forms.filter(act => act.exactZeros).map(act => [act.spec, act] as const))(
    '%s says that it has zeros, and has',
    (_, act) => expect(zerosOf(act)).toBeGreaterThan(0),
  )

  // TMAF and PolyReLU have zeros only until their parameters are trained.
  const without = forms.filter(act => !act.exactZeros && !['tmaf', 'polyrelu'].includes(act.name))
  it.each(without.map(act => [act.spec, act] as const))(
    '%s does not say that it has zeros, and has none but at single points',
    (_, act) => expect(zerosOf(act)).toBeLessThan(7),
  )
})

describe('the mean over draws is the closed form', () => {
  const drawn = formsOfOneElement().filter(act => act.draws)

  it.each(drawn.map(act => [act.spec, act] as const))('%s', (_, act) => {
    const mean = expectationOf(act)
    expect(mean.draws).toBe(false)
    // Midpoints of equal parts of the unit cube (a rank-1 lattice where there are several channels): the error of a step
    // function's mean is at most a part for one channel, and a little more than 1/n for few.
    const n = act.drawChannels === 1 ? 1000 : 6000
    const golden = [1, 7919, 10_007, 5501, 13_331, 17_011]
    const noise = act.learned.flatMap(({ start }) => start.map((value, i) => value + 0.2 * Math.sin(i + 1)))
    for (const x of [-3.1, -1.2785, -0.4, 0.3, 2.2]) {
      let total = 0
      for (let i = 0; i < n; i++) {
        const draws = Array.from(
          { length: act.drawChannels },
          (_, channel) => ((i * golden[channel] + 0.5) / n) % 1,
        )
        total += act.forward(x, draws, noise)
      }
      const tolerance = act.drawChannels === 1 ? 2e-3 : 3e-2
      expect(Math.abs(total / n - mean.forward(x, 0, noise)), `at ${x}`).toBeLessThan(
        tolerance * (1 + Math.abs(x)),
      )
    }
  })

  it('an entry that does not draw is its own mean; expected:SPEC is typed', () => {
    expect(expectationOf(parseActivation('gelu')).spec).toBe('gelu:form=exact')
    const mean = parseActivation('expected:stoch:p=0.25')
    expect(mean.spec).toBe('expected:stoch:p=0.25')
    expect(parseActivation(mean.spec).forward(-1, 0)).toBe(mean.forward(-1, 0))
    expect(mean.with({ p: 1 }).forward(-1, 0)).toBeCloseTo(-1 / (1 + Math.E), 12)
  })
})
