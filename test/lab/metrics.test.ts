// What is measured after an epoch, against sorting and counting.

import { describe, expect, it } from 'vitest'
import { Purpose, RandomStream } from '../../src/kernels/philox.js'
import { GATE_BINS, GATE_QUANTILES, gateWeights, measure } from '../../src/lab/metrics.js'
import { quantilesOfSorted } from '../../src/statistics.js'
import { naiveLoss } from './naive-network.js'

describe('the measurement of an epoch', () => {
  it('is loss, accuracy and fraction of exact zeros as counted by hand', () => {
    const logits = Float64Array.of(2, 1, 0, 3, -1, 5)
    const data = { x: new Float32Array(0), y: Int32Array.of(0, 1, 0), samples: 3 }
    const hidden = Float64Array.of(0, -0, 1e-30, 2, 0, -3)
    const { loss, accuracy, sparsity, gate } = measure({ logits, hidden, gates: null }, data, 2)
    const losses = [naiveLoss([2, 1], 0), naiveLoss([0, 3], 1), naiveLoss([-1, 5], 0)]
    expect(loss).toBeCloseTo((losses[0] + losses[1] + losses[2]) / 3, 14)
    expect(accuracy).toBeCloseTo(2 / 3, 14)
    expect(sparsity).toBe(0.5)
    expect(gate).toBeNull()
  })

  it('gate weights: mean, histogram and quantiles agree with sorting, quantiles to 0.001', () => {
    const random = new RandomStream({ seed: 2, purpose: Purpose.data, stream: 3 })
    const gates = Float32Array.from({ length: 10_000 }, () => random.uniform() ** 3)
    const { mean, quantiles, histogram } = gateWeights(gates)
    const sorted = gates.toSorted()
    expect(mean).toBeCloseTo(gates.reduce((sum, gate) => sum + gate, 0) / gates.length, 6)
    for (const [i, expected] of quantilesOfSorted(sorted, GATE_QUANTILES).entries()) {
      expect(Math.abs(quantiles[i] - expected)).toBeLessThan(0.001)
    }
    for (const [bin, share] of histogram.entries()) {
      const counted = sorted.filter(gate => Math.floor(gate * GATE_BINS) === bin).length
      expect(share).toBeCloseTo(counted / gates.length, 3)
    }
    expect(histogram.reduce((sum, share) => sum + share, 0)).toBeCloseTo(1, 12)
  })

  it('gates that are all shut, or all open, are at the ends', () => {
    expect(gateWeights(new Float32Array(8)).quantiles.every(q => q < 0.001)).toBe(true)
    const open = gateWeights(new Float32Array(8).fill(1))
    expect(open.mean).toBe(1)
    expect(open.quantiles.every(q => q > 0.999 && q <= 1)).toBe(true)
  })
})
