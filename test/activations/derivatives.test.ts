// Derivatives by x and by every learned parameter are those of the value, for random settings, draws and parameters.

import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { type Activation, listActivations, parseActivation } from '../../src/activations/index.js'
import { anyPoint, anySpec, type Point } from './entries.js'

const STEP = 1e-5

/**
 * The slope of f at `at` by central differences; null where the two one-sided slopes show a kink or a jump within a
 * step (they differ by more than a curvature of 1000 explains).
 */
function slope(f: (at: number) => number, at: number): number | null {
  const [below, here, above] = [f(at - STEP), f(at), f(at + STEP)]
  const [left, right] = [(here - below) / STEP, (above - here) / STEP]
  const smooth = Math.abs(left - right) <= 1000 * STEP * (1 + Math.min(Math.abs(left), Math.abs(right)))
  return smooth ? (above - below) / (2 * STEP) : null
}

/** Central differences of f with third derivatives up to about 1000, and rounding. */
function expectClose(actual: number, expected: number, what: string): void {
  expect(Math.abs(actual - expected), `${what}: ${actual} against ${expected}`).toBeLessThan(
    2e-5 * (1 + Math.abs(expected)),
  )
}

/** Whether there is a slope at the point; then the derivatives are that. */
function checkPoint(act: Activation, { x, draws, parameters }: Point): boolean {
  const byX = slope(at => act.forward(at, draws, parameters), x)
  if (byX === null) return false
  expectClose(act.derivative(x, draws, parameters), byX, 'by x')
  const derivatives = act.parameterDerivatives(x, draws, parameters)
  expect(derivatives.length).toBe(parameters.length)
  for (const [i, derivative] of derivatives.entries()) {
    const moved = (to: number) => parameters.map((value, k) => (k === i ? to : value))
    const byParameter = slope(at => act.forward(x, draws, moved(at)), parameters[i])
    if (byParameter !== null) expectClose(derivative, byParameter, `by parameter ${i}`)
  }
  return true
}

describe('the derivative is that of the value, away from kinks', () => {
  it.each(listActivations().map(listing => [listing.name, listing] as const))('%s', (_, listing) => {
    let [checked, tried] = [0, 0]
    fc.assert(
      fc.property(anyPoint(listing), point => {
        const act = parseActivation(point.spec)
        // Deliberate exceptions have tests of their own (surrogates.test.ts), rows too (test/tensor/activation.test.ts).
        if (act.surrogate !== undefined || act.rowwise) return
        tried++
        if (checkPoint(act, point)) checked++
      }),
      { numRuns: 60, seed: 7 },
    )
    expect(checked).toBeGreaterThanOrEqual(0.7 * tried)
  })
})

describe('a NaN is passed on, so that a broken run is noticed', () => {
  it.each(listActivations().map(listing => [listing.name, listing] as const))('%s', (_, listing) => {
    fc.assert(
      fc.property(anySpec(listing), spec => {
        expect(parseActivation(spec).forward(Number.NaN, 0.5)).toBeNaN()
      }),
      { numRuns: 10, seed: 3 },
    )
  })
})
