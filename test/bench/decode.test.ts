// The decoding benchmark measures what it says: the asked fraction of zeros, the same tokens in every variant.

import { describe, expect, it } from 'vitest'
import { calibrate, sparsityOfLayers } from '../../src/bench/calibrate-sparsity.js'
import { benchDecode, type DecodeBenchOptions } from '../../src/bench/decode.js'
import { decodeShape, randomConfig, randomWeights } from '../../src/bench/random-model.js'
import { EngineModel } from '../../src/engine/index.js'
import { decodeKernels, readRow } from '../../src/kernels/index.js'

const shape = {
  hiddenSize: 128,
  intermediateSize: 512,
  numHiddenLayers: 3,
  numAttentionHeads: 4,
  numKeyValueHeads: 2,
  vocabSize: 300,
  tieWordEmbeddings: true,
}

const options: DecodeBenchOptions = {
  shape,
  dtype: 'bf16',
  kv: 'f32',
  activations: 'int16',
  sparsity: 0.9,
  narrowGate: 'auto',
  tokens: 6,
  samples: 0,
  prefill: 0,
  threads: 1,
}

const native = decodeKernels().backend === 'native'

describe.runIf(native)('bench decode', () => {
  it('makes the asked fraction of the neurons zero, in every layer', () => {
    for (const sparsity of [0.6, 0.9, 0.99]) {
      const weights = randomWeights(randomConfig(shape, 0, 64), 'f32')
      const { threshold } = calibrate(shape, weights, [sparsity, sparsity, sparsity], 'f32')
      const session = new EngineModel(randomConfig(shape, threshold, 200), weights).session()
      const active = new Float64Array(3)
      for (let i = 0; i < 100; i++) {
        session.step((i * 7) % 300)
        for (const [layer, count] of session.activeNeurons.entries()) active[layer] += count / 100 / 512
      }
      for (const fraction of active) expect(Math.abs(1 - fraction - sparsity)).toBeLessThan(0.04)
    }
  })

  it.each(['cats', 'teal'] as const)(
    'measures a model cut by %s against the dense one, and counts what it skips',
    method => {
      const { rows, identical, bytesSkipped } = benchDecode({ ...options, sparsity: 0.5, method, tokens: 12 })
      expect(rows.map(({ variant }) => variant)).toEqual(['dense', method])
      expect(identical).toBe(true)
      const { hiddenSize: d, intermediateSize: h } = shape
      const layer = 3 * d * d + 3 * h * d
      const skipped = method === 'cats' ? h * d : layer / 2
      // The head, the row of the token and the cache are read in full.
      expect(Math.abs(bytesSkipped - (3 * skipped) / (301 * d + 3 * layer))).toBeLessThan(0.06)
      expect(rows[1].bytesPerToken).toBeLessThan(rows[0].bytesPerToken)
    },
  )

  it('refuses to read quantized weights by input channel', () => {
    const refused = () => benchDecode({ ...options, dtype: 'q8_0', method: 'teal' })
    expect(refused).toThrow(expect.objectContaining({ code: 'METHOD_DTYPE' }))
  })

  it('gives each layer the zeros of a list, and refuses a list that one threshold cannot give', () => {
    const wanted = sparsityOfLayers([0.75, 0.95], 3)
    expect(wanted).toEqual([0.75, 0.75, 0.95])
    const weights = randomWeights(randomConfig(shape, 0, 64), 'f32')
    const { threshold } = calibrate(shape, weights, wanted, 'f32')
    const session = new EngineModel(randomConfig(shape, threshold, 200), weights).session()
    const active = new Float64Array(3)
    for (let i = 0; i < 100; i++) {
      session.step((i * 7) % 300)
      for (const [layer, count] of session.activeNeurons.entries()) active[layer] += count / 100 / 512
    }
    for (const [layer, share] of active.entries()) {
      expect(Math.abs(1 - share - wanted[layer])).toBeLessThan(0.04)
    }
    expect(() => sparsityOfLayers([0.4, 0.9], 3)).toThrow(/above 0\.5 and below 1, not at 0\.4/)
    expect(() => sparsityOfLayers([0.9, 0.9, 0.9, 0.9], 3)).toThrow(/4 values for 3 layers/)
  })

  it('measures every variant on the same tokens, with the same bits, and counts the bytes that each reads', () => {
    const { rows, identical, sparsity } = benchDecode(options)
    expect(rows.map(({ variant }) => variant)).toEqual([
      'dense',
      'dense, call by call',
      'sparse',
      'sparse, narrow gate',
      'auto',
    ])
    expect(identical).toBe(true)
    expect(sparsity.measured).toBeGreaterThan(0.8)
    expect(sparsity.least).toBeLessThanOrEqual(sparsity.most)

    const [dense, , sparse] = rows
    const { hiddenSize: d, intermediateSize: h } = shape
    // Tied head and the row of the token; per layer q and o (d, d), k and v (d/2, d), gate, up and down (h, d).
    const all = 2 * (301 * d + 3 * (3 * d * d + 3 * h * d))
    // Beside them keys and values of the positions before.
    expect(dense.bytesPerToken).toBeGreaterThan(all)
    expect(dense.bytesPerToken).toBeLessThan(all * 1.1)
    const skipped = dense.bytesPerToken - sparse.bytesPerToken
    const most = 2 * 3 * 2 * h * d
    expect(skipped).toBeGreaterThan(0.8 * most)
    expect(skipped).toBeLessThan(most)
    expect(sparse.ratioLimit).toBeCloseTo(dense.bytesPerToken / sparse.bytesPerToken)
    // Six pairs, the fewest for which an interval has 95 %.
    expect(dense.ratio).toEqual({ median: 1, low: 1, high: 1, confidence: 0.96875 })
    expect(sparse.ratio.low).toBeLessThanOrEqual(sparse.ratio.median)
    expect(sparse.ratio.high).toBeGreaterThanOrEqual(sparse.ratio.median)
  })

  it('reads everything when no neuron is zero', () => {
    const none = benchDecode({ ...options, sparsity: 0, narrowGate: 'off' })
    expect(none.sparsity.measured).toBe(0)
    for (const { ratioLimit } of none.rows) expect(ratioLimit).toBe(1)
  })

  it('says what it cannot do', () => {
    expect(() => decodeShape('sparselm-3b')).toThrow(/sparselm-1.5b/)
    expect(() => benchDecode({ ...options, dtype: 'q8_0', narrowGate: 'on' })).toThrow(/narrow gate/)
  })
})

describe('random weights', () => {
  it('are spread alike in every type', () => {
    for (const type of ['f32', 'bf16', 'q8_0', 'q4_0'] as const) {
      const { layers } = randomWeights(randomConfig(shape, 0, 16), type)
      const row = new Float32Array(128)
      let sum = 0
      for (let i = 0; i < 512; i++) {
        readRow(layers[1].gate, i, row)
        sum += row.reduce((total, x) => total + x * x, 0)
      }
      expect(Math.abs(Math.sqrt(sum / 512 / 128) / 0.02 - 1)).toBeLessThan(0.05)
    }
  })
})
