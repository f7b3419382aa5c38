// A Spark FFN in the engine: the gate reads the first values of its input, the active neurons the others, and what is
// skipped changes nothing.

import fs from 'node:fs'
import os from 'node:os'
import path from 'node:path'
import { afterAll, afterEach, describe, expect, it, vi } from 'vitest'
import { parseActivation } from '../../../src/activations/index.js'
import { EngineModel, type EngineOptions, Session } from '../../../src/engine/index.js'
import { availableKernels, defaultThreads, setThreads, weightBytes } from '../../../src/kernels/index.js'
import type { ModelConfig } from '../../../src/nn/config.js'
import { bitsOf, relativeDifference } from '../bits.js'
import {
  naiveForward,
  randomTensors,
  roundedToBf16,
  roundedToBlocks,
  roundedToF16,
  smallConfig,
  type Tensors,
  tensorOf,
} from '../naive-model.js'

const spark: ModelConfig = {
  ...smallConfig,
  ffn: 'spark',
  activation: 'stat-topk:k=0.2',
  hiddenSize: 32,
  numHiddenLayers: 2,
}
const models: Record<string, ModelConfig> = {
  'statistical top-k, split in the middle': spark,
  'relu, a narrow predictor': { ...spark, activation: 'relu', sparkPredictorWidth: 5 },
  'stocha, a wide predictor, odd sizes': {
    ...spark,
    activation: 'stocha:p=0.4',
    hiddenSize: 42,
    numAttentionHeads: 3,
    numKeyValueHeads: 3,
    intermediateSize: 131,
    sparkPredictorWidth: 35,
  },
  'silu, the narrowest up': { ...spark, activation: 'silu', sparkPredictorWidth: 31 },
}
const tokens = Array.from({ length: 30 }, (_, i) => (i * i * 7 + 3) % 37)
const run = { seed: 11, sequence: 3 }
const dtypes = ['f32', 'bf16', 'f16', 'q8_0', 'q4_0'] as const
type Dtype = (typeof dtypes)[number]

const backends = availableKernels().map(kernels => [`${kernels.backend} ${kernels.isa}`, kernels] as const)
const best = backends[1]?.[1] ?? backends[0][1]
const list = Object.entries(models).map(([name, config]) => {
  return [name, { config, tensors: randomTensors(config, 5) }] as const
})

/** The values that weights of a type represent. */
function rounded(config: ModelConfig, tensors: Tensors, dtype: Dtype): Tensors {
  if (dtype === 'f32') return tensors
  if (dtype === 'q8_0' || dtype === 'q4_0') return roundedToBlocks(config, tensors, dtype)
  return dtype === 'bf16' ? roundedToBf16(tensors) : roundedToF16(tensors)
}

function engine(config: ModelConfig, options: EngineOptions = {}, tensors = randomTensors(config, 5)) {
  return new EngineModel(config, tensorOf(tensors), { kernels: best, ...options })
}

/** Logits of a prompt and of what follows it, token by token. */
function reading(model: EngineModel): Float32Array {
  const session = model.session(run)
  const rows = [session.prefill(tokens.slice(0, 17)).slice()]
  for (const token of tokens.slice(17)) rows.push(session.step(token).slice())
  return Float32Array.from(rows.flatMap(row => [...row]))
}

/** Where a compacted model keeps what it drops. */
const directory = fs.mkdtempSync(path.join(os.tmpdir(), 'flicker-spark-'))
afterEach(() => vi.unstubAllEnvs())
afterAll(() => {
  setThreads(defaultThreads())
  fs.rmSync(directory, { recursive: true })
})

describe.each(backends)('a Spark FFN, %s', (_, kernels) => {
  it.each(list)('has the logits of the definition in every type of weights: %s', (_name, one) => {
    const { config, tensors } = one
    const activation = parseActivation(config.activation)
    for (const dtype of dtypes) {
      const expected = naiveForward(config, rounded(config, tensors, dtype), tokens, { activation, ...run })
      const model = engine(config, { kernels, dtype }, tensors)
      expect(relativeDifference(model.logits(tokens, run), expected.logits.flat()), dtype).toBeLessThan(1e-4)
    }
  })

  it.each(list)(
    'tells one text, dense or sparse, in blocks or step by step, by any threads: %s',
    (_name, one) => {
      const { config, tensors } = one
      for (const dtype of dtypes) {
        const whole = engine(config, { kernels, dtype, ffn: 'dense' }, tensors)
        const all = whole.logits(tokens, run)
        const expected = bitsOf(reading(whole))
        // The rows after the prompt are those of the pass over everything.
        expect(expected).toEqual(bitsOf(all.subarray(16 * config.vocabSize)))
        for (const threads of [1, 3]) {
          setThreads(threads)
          for (const ffn of ['dense', 'sparse', 'auto'] as const) {
            expect(bitsOf(reading(engine(config, { kernels, dtype, ffn }, tensors)))).toEqual(expected)
          }
        }
      }
    },
  )

  it('gives several sequences together the bits of each alone', () => {
    for (const dtype of ['f32', 'q8_0'] as const) {
      const model = engine(spark, { kernels, dtype, ffn: 'sparse' })
      const sessions = [1, 2, 3].map(sequence => model.session({ ...run, sequence }))
      const alone = [1, 2, 3].map(sequence => model.session({ ...run, sequence }))
      for (let t = 0; t < 6; t++) {
        const next = sessions.map((_, i) => tokens[5 * i + t])
        Session.stepTogether(sessions, next)
        for (const [i, token] of next.entries()) {
          expect(bitsOf(sessions[i].logits)).toEqual(bitsOf(alone[i].step(token)))
        }
      }
    }
  })

  it('compacted is the same model', () => {
    const config = { ...spark, activation: 'relu', sparkPredictorWidth: 11 }
    for (const dtype of ['f32', 'q8_0'] as const) {
      vi.stubEnv('FLICKER_CACHE', directory)
      const [whole, compact] = [undefined, [3, 3, 3]].map(compact =>
        engine(config, { kernels, dtype, compact }),
      )
      expect(compact.compaction?.dropped).toBeGreaterThan(10)
      expect(bitsOf(reading(compact))).toEqual(bitsOf(reading(whole)))
      expect(compact.compaction?.recalled).toBeGreaterThan(0)
      compact.dispose()
    }
  })

  it('with relu has its neurons proven inactive from a narrow copy of its gate', () => {
    const config = { ...spark, activation: 'relu', sparkPredictorWidth: 20 }
    for (const dtype of ['f32', 'bf16'] as const) {
      const [dense, narrow] = (['off', 'on'] as const).map(narrowGate => {
        return engine(config, { kernels, dtype, ffn: narrowGate === 'on' ? 'sparse' : 'dense', narrowGate })
      })
      expect(bitsOf(reading(narrow))).toEqual(bitsOf(reading(dense)))
    }
  })
})

describe('a Spark FFN', () => {
  it.each(dtypes)('reads its gate and the rows of the active neurons, each of its own width: %s', dtype => {
    const config = { ...spark, sparkPredictorWidth: 10 }
    const { hiddenSize: d, intermediateSize: h } = config
    const session = engine(config, { dtype, ffn: 'sparse', narrowGate: 'off' }).session()
    session.step(4)
    const { activeNeurons, pass } = session.stats
    const [gate, neuron] = [weightBytes(dtype, 10), weightBytes(dtype, d - 10) + weightBytes(dtype, d)]
    for (const [layer, active] of activeNeurons.entries()) {
      // About 20 % of the neurons.
      expect(active).toBeGreaterThan(0.08 * h)
      expect(active).toBeLessThan(0.35 * h)
      expect(pass.ffnBytesRead[layer]).toBe(h * gate + active * neuron)
      expect(pass.ffnBytesRead[layer] + pass.ffnBytesSkipped[layer]).toBe(h * (gate + neuron))
    }
  })

  it('whose predictor reads nothing, or the whole input, is refused', () => {
    for (const sparkPredictorWidth of [0, 32, 1.5, Number.NaN]) {
      expect(() => engine({ ...spark, sparkPredictorWidth }, {}, new Map())).toThrow(
        expect.objectContaining({
          code: 'CONFIG_INVALID',
          message: expect.stringContaining('sparkPredictorWidth must be an integer from 1 to 31'),
        }),
      )
    }
    expect(() => engine({ ...spark, ffn: 'gated', sparkPredictorWidth: 16 }, {}, new Map())).toThrow(
      /sparkPredictorWidth is for ffn spark alone/,
    )
  })

  it('whose tensors have the shapes of a gated one is refused by the tensor', () => {
    const tensors = randomTensors({ ...spark, ffn: 'gated' }, 5)
    expect(() => engine(spark, {}, tensors)).toThrow(
      expect.objectContaining({ code: 'TENSOR_SHAPE', message: expect.stringContaining('70 × 16') }),
    )
  })
})
