// A compacted model is the same model: neurons in the file are read back when a text activates them.

import fs from 'node:fs'
import os from 'node:os'
import path from 'node:path'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { parseActivation } from '../../src/activations/index.js'
import { EngineModel, type EngineOptions } from '../../src/engine/index.js'
import { CompactNeurons } from '../../src/engine/model/compact-neurons.js'
import { SpillFile } from '../../src/engine/model/spill-file.js'
import { encodeStored } from '../../src/formats/stored.js'
import { availableKernels } from '../../src/kernels/index.js'
import type { ModelConfig } from '../../src/nn/config.js'
import { bitsOf } from './bits.js'
import { naiveForward, randomTensors, smallConfig, tensorOf } from './naive-model.js'

const config: ModelConfig = { ...smallConfig, intermediateSize: 150 }
const tensors = randomTensors(config, 8)
/** Says little: many neurons stay inactive. */
const calibration = [3, 3, 3]
const text = Array.from({ length: 30 }, (_, i) => (i * i + 3) % 37)
const backends = availableKernels().map(kernels => [`${kernels.backend} ${kernels.isa}`, kernels] as const)

let directory = ''
const { FLICKER_CACHE: before } = process.env
beforeAll(() => {
  directory = fs.mkdtempSync(path.join(os.tmpdir(), 'flicker-compact-'))
  process.env.FLICKER_CACHE = directory
})
afterAll(() => {
  if (before === undefined) delete process.env.FLICKER_CACHE
  else process.env.FLICKER_CACHE = before
  fs.rmSync(directory, { recursive: true })
})

function engine(options: EngineOptions, form: ModelConfig = config): EngineModel {
  return new EngineModel(form, tensorOf(tensors), options)
}

describe.each(backends)('a compacted model, %s', (_, kernels) => {
  const forms = (['gated', 'plain', 'drelu'] as const).flatMap(ffn =>
    (['f32', 'bf16', 'q8_0'] as const).map(dtype => ({ ffn, dtype })),
  )
  it.each(forms)('gives the bits of the whole one, in blocks and step by step: %o', ({ ffn, dtype }) => {
    const form = { ...config, ffn }
    for (const mode of ['dense', 'sparse'] as const) {
      const [whole, compact] = [undefined, calibration].map(compact =>
        engine({ kernels, dtype, ffn: mode, compact }, form),
      )
      expect(compact.compaction?.dropped).toBeGreaterThan(10)
      expect(bitsOf(compact.logits(calibration))).toEqual(bitsOf(whole.logits(calibration)))
      expect(compact.compaction?.recalled).toBe(0)
      const [a, b] = [whole.session(), compact.session()]
      for (const token of text) expect(bitsOf(b.step(token))).toEqual(bitsOf(a.step(token)))
      expect(compact.compaction?.recalled).toBeGreaterThan(10)
      expect(bitsOf(compact.logits(text))).toEqual(bitsOf(whole.logits(text)))
      expect(b.stats.activeNeurons).toEqual(a.stats.activeNeurons)
      compact.dispose()
    }
  })
})

describe('a model whose layers are of different types', () => {
  it('gives the bits of the whole one when compacted', () => {
    // The neurons of layer 0 leave their buffer; those of layer 1 are of another type.
    const dtypeOf = (name: string): 'f16' | 'f32' => (/^model\.layers\.1\.mlp\./.test(name) ? 'f16' : 'f32')
    const source = {
      names: [...tensors.keys()],
      info: (name: string) => ({ dtype: dtypeOf(name), shape: [] }),
      stored: (name: string) => {
        const dtype = dtypeOf(name)
        return { dtype, shape: [], bytes: encodeStored(dtype, tensorOf(tensors)(name)) }
      },
    } as const
    const [whole, compact] = [undefined, calibration].map(
      compact => new EngineModel(config, source, { compact }),
    )
    expect(compact.compaction?.dropped).toBeGreaterThan(10)
    expect(bitsOf(compact.logits(text))).toEqual(bitsOf(whole.logits(text)))
    compact.dispose()
  })
})

describe('a layer whose neurons never fired', () => {
  it('has none in memory, and reads back those that do, unchanged', () => {
    const full = Float32Array.from({ length: 12 }, (_, i) => i + 0.5)
    const file = new SpillFile(directory)
    const compact = new CompactNeurons(full, 12, new Uint8Array(4), file)
    expect([compact.dropped, compact.droppedBytes, compact.recalled]).toEqual([4, 48, 0])
    compact.recall(neuron => neuron === 2)
    expect([compact.dropped, compact.recalled, [...compact.rowOf]]).toEqual([3, 1, [-1, -1, 0, -1]])
    compact.recall(neuron => neuron === 2 || neuron === 0)
    expect([compact.dropped, compact.recalled, [...compact.rowOf]]).toEqual([2, 2, [1, -1, 0, -1]])
    expect([...(compact.weights as Float32Array).subarray(0, 6)]).toEqual([6.5, 7.5, 8.5, 0.5, 1.5, 2.5])
    file.close()
  })
})

describe('compaction', () => {
  it('drops exactly the neurons that the definition finds inactive on the text', () => {
    const { active } = naiveForward(config, tensors, calibration, { activation: parseActivation('relu') })
    const model = engine({ compact: calibration })
    const { dropped, neurons, tokens, bytes } = model.compaction ?? expect.fail('nothing was compacted')
    expect([neurons, tokens]).toEqual([300, 3])
    // The same token thrice has the same neurons but for its position.
    const fired = active.map(layer => Math.max(...layer))
    expect(dropped).toBeLessThanOrEqual(300 - fired[0] - fired[1])
    expect(dropped).toBeGreaterThan(300 - 1.2 * (fired[0] + fired[1]))
    expect(bytes).toBeLessThanOrEqual(dropped * 2 * 24 * 4)
    expect(bytes).toBeGreaterThan(0.8 * dropped * 2 * 24 * 4)
    model.dispose()
  })

  it('recalls everything for an activation without zeros', () => {
    const activation = parseActivation('silu')
    const [whole, compact] = [engine({}), engine({ compact: calibration })]
    expect(bitsOf(compact.logits(text, { activation }))).toEqual(bitsOf(whole.logits(text, { activation })))
    expect(compact.compaction).toMatchObject({ dropped: 0, bytes: 0 })
  })

  it('of an activation without zeros changes nothing', () => {
    const model = engine({ activation: 'silu', compact: calibration })
    expect(model.compaction).toMatchObject({ dropped: 0, recalled: 0, bytes: 0 })
  })

  it('refuses a text without tokens, or with tokens of another vocabulary', () => {
    expect(() => engine({ compact: [] })).toThrow(expect.objectContaining({ code: 'COMPACT_TEXT' }))
    expect(() => engine({ compact: [37] })).toThrow(
      expect.objectContaining({ code: 'TOKEN_OUT_OF_VOCABULARY' }),
    )
  })

  it('leaves no file behind', () => {
    engine({ compact: calibration }).dispose()
    expect(fs.readdirSync(directory)).toEqual([])
  })

  it('names the directory when the file cannot be written', () => {
    const inTheWay = path.join(directory, 'a-file')
    fs.writeFileSync(inTheWay, '')
    process.env.FLICKER_CACHE = path.join(inTheWay, 'below')
    expect(() => engine({ compact: calibration })).toThrow(
      expect.objectContaining({ code: 'SPILL_FAILED', message: expect.stringContaining(inTheWay) }),
    )
    process.env.FLICKER_CACHE = directory
    fs.rmSync(inTheWay)
  })
})
