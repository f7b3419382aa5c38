// Models that `flicker sparsify` has cut, on the device, against the engine on the CPU, and a text with LongRoPE's long factors.

import { expect, it } from 'vitest'
import { DeviceModel } from '../../../src/engine/device/device-model.js'
import { EngineModel } from '../../../src/engine/index.js'
import { Purpose, RandomStream } from '../../../src/kernels/philox.js'
import type { ModelConfig } from '../../../src/nn/config.js'
import type { Cut, LayerCuts } from '../../../src/nn/cuts.js'
import { bitsOf, relativeDifference } from '../bits.js'
import { randomTensors, smallConfig, tensorOf } from '../naive-model.js'
import { describeWithGpu } from './with-gpu.js'

const config: ModelConfig = { ...smallConfig, activation: 'silu', attentionBias: 'qkvo' }
const { hiddenSize: d, intermediateSize: h } = config
const tensors = tensorOf(randomTensors(config, 9))
const tokens = [1, 5, 9, 30, 2, 7, 11, 36, 0, 3]
const sparseFrom = 5

function random(n: number, stream: number): Float32Array {
  const draws = new RandomStream({ seed: 6, purpose: Purpose.init, stream })
  return Float32Array.from({ length: n }, () => draws.uniform())
}

const limit = (value: number): Cut => ({ kind: 'threshold', limits: Float32Array.of(value) })
const top = (keep: number, scale: Float32Array | null = null): Cut => ({ kind: 'top', keep, scale })

/** A reflection with every axis of another direction. */
function reflection(stream: number): Float32Array {
  const v = random(d, stream)
  const length = Math.hypot(...v)
  return Float32Array.from({ length: d * d }, (_, at) => {
    const [i, j] = [Math.floor(at / d), at % d]
    return (i === j ? 1 : 0) - (2 * v[i] * v[j]) / length ** 2
  })
}

/** Out of what a cut leaves out, `rank` terms of a matrix of (rows, columns). */
function terms(rank: number, rows: number, columns: number, stream: number) {
  const of = (n: number, own: number) => random(rank * n, own).map(x => (x - 0.5) / 3)
  return { rank, into: of(columns, stream), out: of(rows, stream + 1) }
}

const kinds: Record<string, LayerCuts[]> = {
  // A limit for each in one layer, the largest by a scale in the other.
  neurons: [
    { neurons: { kind: 'threshold', limits: random(h, 3).map(x => x / 4) }, inputs: {} },
    { neurons: top(20, random(h, 4)), inputs: {} },
  ],
  'inputs, with low-rank terms in one layer and rotations in the other': [
    {
      neurons: null,
      inputs: {
        ...{ q: limit(0.4), k: top(11, random(d, 1)), v: top(9), o: limit(0.2) },
        ...{ gate: { kind: 'threshold', limits: random(d, 2) }, up: limit(0.5), down: limit(0.1) },
      },
      lowRank: {
        ...{ q: terms(3, d, d, 30), o: terms(2, d, d, 32), gate: terms(3, h, d, 34) },
        ...{ up: terms(3, h, d, 36), down: terms(2, d, h, 38) },
      },
    },
    {
      neurons: null,
      inputs: { q: limit(0.3), v: limit(0.35), gate: limit(0.4), up: top(15), down: top(30) },
      rotations: { attention: reflection(20), ffn: reflection(21) },
    },
  ],
}

await describeWithGpu('a cut model on the device', gpu => {
  it.each(Object.entries(kinds))(
    'has the logits of the CPU from the first cut position on, the same bits dense, and fewer active neurons: %s',
    async (_, cuts) => {
      const cpu = new EngineModel(config, tensors, { cuts, sparsePrompt: 'half' })
      const options = { gpu, cuts, sparsePrompt: 'half' } as const
      const sparse = await DeviceModel.create(config, tensors, { ...options, ffn: 'sparse' })
      const dense = await DeviceModel.create(config, tensors, { ...options, ffn: 'dense' })
      expect([sparse.approximate, sparse.sparseFrom(tokens.length)]).toEqual([true, sparseFrom])
      const logits = await sparse.logits(tokens, { sparseFrom })
      expect(relativeDifference(logits, cpu.logits(tokens, { sparseFrom }))).toBeLessThan(1e-5)
      expect(bitsOf(await dense.logits(tokens, { sparseFrom }))).toEqual(bitsOf(logits))
      const uncut = new EngineModel(config, tensors).logits(tokens)
      const from = sparseFrom * config.vocabSize
      expect(relativeDifference(logits.subarray(0, from), uncut.subarray(0, from))).toBeLessThan(1e-5)
      expect(relativeDifference(logits.subarray(from), uncut.subarray(from))).toBeGreaterThan(0.01)
      const session = sparse.session({ sparseFrom })
      const [fork] = session.fork([{}])
      const reference = cpu.session({ sparseFrom })
      const active: number[][] = []
      for (const token of tokens) {
        await fork.step(token)
        reference.step(token)
        active.push([...fork.activeNeurons])
        expect(active.at(-1)).toEqual([...reference.activeNeurons])
      }
      expect(active[sparseFrom - 1]).toEqual([h, h])
      expect(active[sparseFrom][0]).toBeLessThan(h)
      expect(active[sparseFrom][1]).toBeLessThan(h / 2)
      sparse.dispose()
      dense.dispose()
    },
  )
})

await describeWithGpu('a context on the device', gpu => {
  const factors = (factor: number) => Array.from({ length: 3 }, (_, i) => factor + i)
  const long: ModelConfig = {
    ...config,
    maxPositionEmbeddings: 96,
    ropeScaling: {
      type: 'longrope',
      factor: 6,
      originalMaxPositionEmbeddings: 16,
      shortFactors: factors(1),
      longFactors: factors(4),
    },
  }

  it('beyond the original one of LongRoPE has the long factors from the first token on, as on the CPU', async () => {
    const model = await DeviceModel.create(long, tensors, { gpu, context: 40 })
    const logits = await model.logits(tokens)
    const expected = new EngineModel(long, tensors, { context: 40 }).logits(tokens)
    expect(relativeDifference(logits, expected)).toBeLessThan(1e-5)
    const short = new EngineModel(long, tensors).logits(tokens)
    expect(relativeDifference(logits, short)).toBeGreaterThan(0.01)
    expect(model.config.maxPositionEmbeddings).toBe(40)
    model.dispose()
  })

  it('of more tokens than the model has is refused', async () => {
    const created = DeviceModel.create(long, tensors, { gpu, context: 97 })
    await expect(created).rejects.toMatchObject({ code: 'CONTEXT_RANGE' })
  })
})
