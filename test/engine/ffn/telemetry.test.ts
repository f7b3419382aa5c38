// The counts of what was read and what was not are those of the sizes.

import { describe, expect, it } from 'vitest'
import { bytesRead, bytesSkipped, EngineModel, type EngineOptions } from '../../../src/engine/index.js'
import type { ModelConfig } from '../../../src/nn/config.js'
import { randomTensors, smallConfig, tensorOf } from '../naive-model.js'

const { hiddenSize: d, intermediateSize: h, numHiddenLayers: layers } = smallConfig

function session(config: ModelConfig, options: EngineOptions) {
  return new EngineModel(config, tensorOf(randomTensors(config, 2)), options).session()
}

describe('telemetry', () => {
  it('adds up: FFN bytes read and skipped are all there are, and read are the gate and the active neurons', () => {
    for (const [dtype, size] of [
      ['f32', 4],
      ['bf16', 2],
    ] as const) {
      const text = session(smallConfig, { dtype, ffn: 'sparse', narrowGate: 'off' })
      text.prefill([1, 2, 3])
      text.step(4)
      const { activeNeurons, pass } = text.stats
      expect(activeNeurons).toHaveLength(layers)
      for (let layer = 0; layer < layers; layer++) {
        expect(activeNeurons[layer]).toBeGreaterThan(0)
        expect(activeNeurons[layer]).toBeLessThan(h)
        expect(pass.ffnBytesRead[layer]).toBe(size * d * (h + 2 * activeNeurons[layer]))
        expect(pass.ffnBytesRead[layer] + pass.ffnBytesSkipped[layer]).toBe(size * 3 * d * h)
      }
      // Attention, head, one row of the embedding, three positions of keys and values.
      const attention = layers * size * (d * 48 + d * d)
      const cache = 3 * layers * 2 * 2 * 6 * 4
      expect(pass.otherBytesRead).toBe(attention + size * (37 * d + d) + cache)
      expect(bytesRead(pass) + bytesSkipped(pass)).toBe(pass.otherBytesRead + layers * size * 3 * d * h)
      expect([pass.sequences, pass.rows]).toEqual([1, 1])
    }
  })

  it('counts nothing as skipped when everything is computed', () => {
    const text = session(smallConfig, { ffn: 'dense' })
    text.step(1)
    expect(bytesSkipped(text.stats.pass)).toBe(0)
    expect(text.stats.activeNeurons[0]).toBeLessThan(h)
  })

  it('is a new object for every token, and an error before the first', () => {
    const text = session(smallConfig, {})
    expect(() => text.stats).toThrow(expect.objectContaining({ code: 'NOTHING_READ' }))
    expect(() => text.logits).toThrow(expect.objectContaining({ code: 'NOTHING_READ' }))
    text.step(1)
    const first = text.stats
    const copy = [...first.activeNeurons]
    text.step(2)
    expect(text.stats).not.toBe(first)
    expect([...first.activeNeurons]).toEqual(copy)
  })
})
