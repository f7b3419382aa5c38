// One FFN step with a plan given: what it reads, what it reports to the policy, and that the result is the definition's.

import { describe, expect, it } from 'vitest'
import { parseActivation } from '../../../src/activations/index.js'
import { FeedForward } from '../../../src/engine/ffn/ffn.js'
import type { FfnObservation, FfnPolicy } from '../../../src/engine/ffn/policy.js'
import type { LayerWeights } from '../../../src/engine/model/weights.js'
import { availableKernels, decodeKernelsOf } from '../../../src/kernels/index.js'
import { Purpose, RandomStream } from '../../../src/kernels/philox.js'
import type { ModelConfig } from '../../../src/nn/config.js'
import { relativeDifference } from '../bits.js'
import { smallConfig, unusedParts } from '../naive-model.js'

const [d, h] = [8, 40]
const random = new RandomStream({ seed: 5, purpose: Purpose.data, stream: 0 })
const floats = (n: number) => Float32Array.from({ length: n }, () => random.uniform() - 0.5)
const [gate, up, down] = [floats(h * d), floats(h * d), floats(h * d)]
const normed = floats(d)

const product = (rows: Float32Array, i: number) => normed.reduce((sum, x, k) => sum + x * rows[i * d + k], 0)
const relu = (x: number) => Math.max(0, x)
const leftByGate = Array.from({ length: h }, (_, i) => relu(product(gate, i)))

const forms = {
  gated: {
    hidden: leftByGate.map((value, i) => value * product(up, i)),
    active: leftByGate.filter(value => value > 0).length,
    bytesPerNeuron: 8 * d,
    fixed: 4 * h * d,
  },
  drelu: {
    hidden: leftByGate.map((value, i) => value * relu(product(up, i))),
    active: leftByGate.filter((value, i) => value > 0 && product(up, i) > 0).length,
    bytesPerNeuron: 4 * d,
    fixed: 4 * h * d,
  },
} as const
const passedGate = leftByGate.filter(value => value > 0).length

function layerOf(ffn: 'gated' | 'drelu'): LayerWeights {
  const neurons = new Float32Array((ffn === 'gated' ? 2 : 1) * h * d)
  for (let i = 0; i < h; i++) {
    const downRow = down.subarray(i * d, (i + 1) * d)
    if (ffn === 'drelu') neurons.set(downRow, i * d)
    else {
      neurons.set(up.subarray(i * d, (i + 1) * d), 2 * i * d)
      neurons.set(downRow, (2 * i + 1) * d)
    }
  }
  const ffnUp = ffn === 'drelu' ? up : null
  return { ...unusedParts, gate, up: ffnUp, neurons, gated: ffn === 'gated', learned: null }
}

describe.each(availableKernels().map(kernels => [`${kernels.backend} ${kernels.isa}`, kernels] as const))(
  'an FFN step, %s',
  (_, kernels) => {
    function run(ffn: 'gated' | 'drelu', maxActive: number) {
      const observed: FfnObservation[] = []
      const policy: FfnPolicy = {
        requireUsable() {},
        plan: () => ({ narrow: null, maxActive }),
        observe: (_layer, observation) => observed.push(observation),
      }
      const config: ModelConfig = { ...smallConfig, hiddenSize: d, intermediateSize: h, ffn }
      const step = new FeedForward(config, { kernels, decode: decodeKernelsOf(kernels) }, policy)
      const x = new Float32Array(d)
      const activeNeurons = new Int32Array(1)
      const draw = { seedLow: 0, seedHigh: 0, purpose: Purpose.decode, step: 0, layer: 0, firstRow: 0 }
      const rows = { activation: parseActivation('relu'), count: 1, draw, activeNeurons }
      const traffic = step.run(layerOf(ffn), 0, [rows], normed, x)
      return { x, traffic, observed, active: activeNeurons[0] }
    }

    it.each(['gated', 'drelu'] as const)(
      '%s: adds down · hidden, skips up to maxActive and not beyond',
      ffn => {
        const { hidden, active, bytesPerNeuron, fixed } = forms[ffn]
        const expected = Array.from({ length: d }, (_, k) =>
          hidden.reduce((sum, value, i) => sum + value * down[i * d + k], 0),
        )
        expect(active).toBeGreaterThan(3)
        expect(active).toBeLessThan(h - 3)
        const all = fixed + (ffn === 'drelu' ? 4 * h * d : 0) + h * bytesPerNeuron
        const upBytes = (skipped: boolean) => (ffn === 'drelu' ? 4 * d * (skipped ? passedGate : h) : 0)
        for (const [maxActive, skipsUp, skips] of [
          [0, false, false],
          [active - 1, false, false],
          [active, active >= passedGate, true],
          [passedGate, true, true],
          [h, true, true],
        ] as const) {
          const result = run(ffn, maxActive)
          expect(relativeDifference(result.x, expected)).toBeLessThan(1e-5)
          const read = fixed + upBytes(skipsUp) + (skips ? active : h) * bytesPerNeuron
          expect(result.traffic).toEqual({ read, skipped: all - read })
          expect(result.active).toBe(active)
          // What the gate has left decides whether the gate is worth narrowing.
          expect(result.observed).toEqual([{ rows: 1, active: passedGate, gateRowsRead: null }])
        }
      },
    )
  },
)
