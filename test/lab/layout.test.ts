// Where the network starts and in which order it sees the samples.

import { describe, expect, it } from 'vitest'
import { parseActivation } from '../../src/activations/index.js'
import { initialParameters, networkLayout, shuffleForEpoch, stackWidths } from '../../src/lab/layout.js'

describe('the stack', () => {
  it("alternates as the blog's does: 30 → 4 → 30 → 4 → 30 → 2", () => {
    expect(stackWidths({ features: 30, classes: 2, nLayers: 4, bottleneck: 4 })).toEqual([
      30, 4, 30, 4, 30, 2,
    ])
    expect(stackWidths({ features: 7, classes: 3, nLayers: 1, bottleneck: 5 })).toEqual([7, 5, 3])
  })

  it('has 610 parameters with a plain activation, and those of the gates beside', () => {
    const widths = [30, 4, 30, 4, 30, 2]
    expect(networkLayout(widths, parseActivation('silu')).length).toBe(610)
    // One number for each of the 68 hidden neurons.
    expect(networkLayout(widths, parseActivation('learnable_stoch:gate=neuron')).length).toBe(610 + 68)
  })
})

describe('initial weights', () => {
  const layout = networkLayout([100, 300, 2], parseActivation('silu'))
  const parameters = initialParameters(layout, parseActivation('silu'), 4)

  it("are uniform in ±1/√inputs, weights and biases, as PyTorch's nn.Linear", () => {
    const weights = parameters.subarray(layout.layers[0].weight, layout.layers[0].bias)
    expect(Math.max(...weights.map(Math.abs))).toBeLessThanOrEqual(0.1)
    expect(Math.max(...weights.map(Math.abs))).toBeGreaterThan(0.0999)
    const mean = weights.reduce((sum, w) => sum + w, 0) / weights.length
    const variance = weights.reduce((sum, w) => sum + w * w, 0) / weights.length
    // 30,000 numbers of deviation 0.1/√3.
    expect(Math.abs(mean)).toBeLessThan(4 * (0.1 / Math.sqrt(3 * weights.length)))
    expect(variance).toBeCloseTo(0.01 / 3, 4)
    const bias = parameters.subarray(layout.layers[1].bias, layout.length)
    expect(Math.max(...bias.map(Math.abs))).toBeLessThanOrEqual(1 / Math.sqrt(300))
  })

  it('depend on the seed, and not on the activation', () => {
    const gated = parseActivation('learnable_stoch')
    const other = networkLayout([100, 300, 2], gated)
    const withGate = initialParameters(other, gated, 4)
    for (const [i, { weight, learned }] of layout.layers.entries()) {
      const there = other.layers[i]
      expect(withGate.slice(there.weight, there.learned)).toEqual(parameters.slice(weight, learned))
    }
    expect(initialParameters(layout, parseActivation('silu'), 5)).not.toEqual(parameters)
  })
})

describe('the order of the samples', () => {
  const shuffled = (seed: number, epoch: number, n = 1000) => {
    const order = new Int32Array(n)
    shuffleForEpoch(order, seed, epoch)
    return order
  }

  it('is a permutation, another one for every epoch and seed, the same for the same ones', () => {
    expect([...shuffled(1, 1)].sort((a, b) => a - b)).toEqual(Array.from({ length: 1000 }, (_, i) => i))
    expect(shuffled(1, 1)).toEqual(shuffled(1, 1))
    expect(shuffled(1, 2)).not.toEqual(shuffled(1, 1))
    expect(shuffled(2, 1)).not.toEqual(shuffled(1, 1))
  })

  it('favors no permutation of three samples', () => {
    const counts = new Map<string, number>()
    const times = 6000
    for (let epoch = 0; epoch < times; epoch++) {
      const key = shuffled(9, epoch, 3).join()
      counts.set(key, (counts.get(key) ?? 0) + 1)
    }
    expect(counts.size).toBe(6)
    // χ² with 5 degrees of freedom: above 20.5 once in a thousand.
    const chi = [...counts.values()].reduce((sum, n) => sum + (n - times / 6) ** 2 / (times / 6), 0)
    expect(chi).toBeLessThan(20.5)
  })
})
