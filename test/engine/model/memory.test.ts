// What does not fit into memory is refused before it is allocated, with both sizes.

import { describe, expect, it } from 'vitest'
import { EngineModel, type EngineOptions } from '../../../src/engine/index.js'
import { randomTensors, smallConfig, tensorOf } from '../naive-model.js'

const config = { ...smallConfig, maxPositionEmbeddings: 4096 }
const tensors = randomTensors(config, 1)

/** A model on a machine with so many bytes left. */
function machine(options: EngineOptions = {}) {
  const left = { bytes: 1e9 }
  const memory = { available: () => left.bytes }
  return { left, model: () => new EngineModel(config, tensorOf(tensors), { memory, ...options }) }
}

describe('a cache', () => {
  // 2 layers × (keys, values) × 2 heads × 6 values of 4 bytes.
  const bytesPerToken = 2 * 2 * 2 * 6 * 4

  it('that does not fit is refused before the prompt is read, with what it needs and what there is', () => {
    const { left, model } = machine()
    const engine = model()
    left.bytes = 1000 * bytesPerToken - 1
    expect(() => engine.requireCacheMemory(500, 2)).toThrow(
      expect.objectContaining({
        code: 'CACHE_MEMORY',
        message:
          'a cache for 500 tokens × 2 sequences needs 0.192 MB, 0.192 MB are available; ' +
          'use --kv f16, --kv q8 or a shorter context',
      }),
    )
    engine.requireCacheMemory(499, 2)
    left.bytes = 500 * bytesPerToken
    const session = engine.session()
    expect(() => session.prefill(Array(1000).fill(1))).toThrow(
      expect.objectContaining({ code: 'CACHE_MEMORY' }),
    )
    expect(session.position).toBe(0)
    session.prefill(Array(400).fill(1))
    // Twice the room would not fit, so it gets what it needs.
    session.prefill(Array(90).fill(1))
    expect(() => session.prefill(Array(11).fill(1))).toThrow(/a cache for 501 tokens × 1 sequence needs/)
    expect(session.position).toBe(490)
  })

  it('in q8 needs little more than a quarter', () => {
    const { left, model } = machine({ kv: 'q8' })
    const engine = model()
    // 34 bytes for each group of 32, here of 6 values.
    left.bytes = 1000 * 2 * 2 * 2 * 34
    engine.requireCacheMemory(1000, 1)
    expect(() => engine.requireCacheMemory(1001, 1)).toThrow(/available; use a shorter context$/)
  })
})

describe('a model', () => {
  it('that does not fit is refused before it is read', () => {
    const { left, model } = machine({ dtype: 'f32' })
    const matrices = [...tensors].filter(([name]) => !name.includes('norm'))
    left.bytes = matrices.reduce((sum, [, { length }]) => sum + 4 * length, 0)
    model()
    left.bytes--
    expect(model).toThrow(
      expect.objectContaining({
        code: 'MODEL_MEMORY',
        message: expect.stringMatching(
          /needs 0.0612 MB as f32, 0.0612 MB are available; use --dtype q8_0 or q4_0/,
        ),
      }),
    )
  })
})
