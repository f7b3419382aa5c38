// Skipping changes how fast a result comes, never the result: the same bits dense, sparse, by the narrow gate, by
// measurement, with any number of threads, for every activation that has exact zeros.

import { afterAll, describe, expect, it } from 'vitest'
import { listActivations, parseActivation } from '../../../src/activations/index.js'
import { EngineModel, type EngineOptions } from '../../../src/engine/index.js'
import { availableKernels, defaultThreads, setThreads } from '../../../src/kernels/index.js'
import type { ModelConfig } from '../../../src/nn/config.js'
import { bitsOf } from '../bits.js'
import { randomTensors, smallConfig, tensorOf } from '../naive-model.js'

const prompt = [3, 14, 15, 9, 2, 6, 5, 35]
const steps = [8, 9, 7, 9]
const config: ModelConfig = { ...smallConfig, hiddenSize: 32, intermediateSize: 77 }
const tensors = randomTensors(config, 21)
const drelu: ModelConfig = { ...config, ffn: 'drelu' }
const plain: ModelConfig = { ...config, ffn: 'plain' }

const [portable] = availableKernels()
const native = availableKernels()[1] ?? portable

/** Logits after the prompt and after every step, one after the other. */
function logits(model: EngineModel): Float32Array {
  const session = model.session({ seed: 5, sequence: 2 })
  const all = [session.prefill(prompt).slice(), ...steps.map(token => session.step(token).slice())]
  return Float32Array.from(all.flatMap(row => [...row]))
}

function run(config: ModelConfig, options: EngineOptions): Float32Array {
  return logits(new EngineModel(config, tensorOf(tensors), { kernels: native, ...options }))
}

const sparse = listActivations()
  .map(({ spec }) => spec)
  .filter(spec => parseActivation(spec).exactZeros)

/** Of these no bound on a pre-activation says that they are 0: it depends on other neurons, on parameters or on draws. */
const unprovable = ['gumbel_stoch', 'smartmixed', 'circa', 'jumprelu', 'topk', 'stat-topk', 'mix']
const isProvable = (spec: string) => !unprovable.includes(spec.split(':')[0])

afterAll(() => setThreads(defaultThreads()))

describe('one set of bits', () => {
  it.each(sparse)('%s: dense, sparse, by measurement, by the narrow gate, any threads', activation => {
    const dense = bitsOf(run(config, { activation, ffn: 'dense', narrowGate: 'off' }))
    for (const threads of [1, 3]) {
      setThreads(threads)
      const variants: EngineOptions[] = [
        { ffn: 'dense' },
        { ffn: 'sparse', narrowGate: 'off' },
        { ffn: 'sparse', narrowGate: isProvable(activation) ? 'on' : 'auto' },
        { ffn: 'auto' },
      ]
      for (const options of variants) expect(bitsOf(run(config, { activation, ...options }))).toEqual(dense)
    }
  })

  it.each([
    ['drelu', drelu],
    ['plain', plain],
  ])('of the form %s, in every type of weights and on every backend', (_name, form) => {
    for (const kernels of [portable, native]) {
      for (const dtype of ['f32', 'bf16', 'f16', 'q8_0', 'q4_0'] as const) {
        for (const activation of ['relu', 'stocha:p=0.4', 'topk:k=0.3']) {
          const options = { kernels, dtype, activation }
          const dense = bitsOf(run(form, { ...options, ffn: 'dense', narrowGate: 'off' }))
          expect(bitsOf(run(form, { ...options, ffn: 'sparse', narrowGate: 'off' }))).toEqual(dense)
          if (dtype === 'q8_0' || dtype === 'q4_0' || !isProvable(activation)) continue
          expect(bitsOf(run(form, { ...options, ffn: 'sparse', narrowGate: 'on' }))).toEqual(dense)
        }
      }
    }
  })
})

describe('an activation without exact zeros', () => {
  it('runs dense when it is asked to be sparse, and says so', () => {
    const options = { activation: 'silu', kernels: native } as const
    const dense = new EngineModel(config, tensorOf(tensors), { ...options, ffn: 'dense' })
    const asked = new EngineModel(config, tensorOf(tensors), { ...options, ffn: 'sparse' })
    expect(dense.notes).toEqual([])
    expect(asked.notes).toEqual([
      expect.stringMatching(/silu is exactly 0 nowhere.*every neuron is computed/),
    ])
    expect(bitsOf(logits(asked))).toEqual(bitsOf(logits(dense)))
  })
})

describe('the narrow gate, on', () => {
  const refused = sparse.filter(spec => !isProvable(spec))
  it.each(['silu', 'stocha:p=0.3,per=batch', 'stocha:p=0.3,per=sample', ...refused])(
    'is refused for %s, which no bound can prove to be 0',
    activation => {
      for (const form of [config, drelu, plain]) {
        expect(
          () => new EngineModel(form, tensorOf(tensors), { activation, narrowGate: 'on', kernels: native }),
        ).toThrow(
          expect.objectContaining({
            code: 'NARROW_GATE_ACTIVATION',
            message: expect.stringContaining(parseActivation(activation).spec),
          }),
        )
      }
    },
  )

  it.each(['q8_0', 'q4_0'] as const)('is refused beside gates of %s, before they are read', dtype => {
    let read = 0
    const source = (name: string) => {
      read++
      return tensorOf(tensors)(name)
    }
    for (const form of [config, drelu, plain]) {
      expect(() => new EngineModel(form, source, { dtype, narrowGate: 'on', kernels: native })).toThrow(
        expect.objectContaining({ code: 'NARROW_GATE_DTYPE', message: expect.stringContaining(dtype) }),
      )
    }
    expect(read).toBe(0)
    const { weights } = new EngineModel(config, source, { dtype, kernels: native })
    expect(() => new EngineModel(config, weights, { narrowGate: 'on', kernels: native })).toThrow(
      expect.objectContaining({ code: 'NARROW_GATE_DTYPE' }),
    )
  })

  it('is refused for the activation of a session too', () => {
    const model = new EngineModel(config, tensorOf(tensors), { narrowGate: 'on', kernels: native })
    for (const activation of ['silu', 'topk:k=0.3'].map(parseActivation)) {
      const refusal = expect.objectContaining({ code: 'NARROW_GATE_ACTIVATION' })
      expect(() => model.session({ activation })).toThrow(refusal)
      expect(() => model.session().fork([{ activation }])).toThrow(refusal)
    }
    expect(model.session({ activation: parseActivation('fatrelu:t=0.1') }).position).toBe(0)
  })
})

describe('weights that are laid out already', () => {
  it('keep their type and stay in memory: other wishes are refused', () => {
    const { weights } = new EngineModel(config, tensorOf(tensors), { dtype: 'bf16', kernels: native })
    for (const options of [{ dtype: 'f32' }, { compact: [1, 2, 3] }] as const) {
      expect(() => new EngineModel(config, weights, options)).toThrow(
        expect.objectContaining({ code: 'WEIGHTS_LAID_OUT', message: expect.stringContaining('bf16') }),
      )
    }
    expect(new EngineModel(config, weights, { dtype: 'bf16' }).weights).toBe(weights)
  })
})

describe('what is not there', () => {
  it.each([
    [{ dtype: 'int3' }, 'DTYPE_UNKNOWN', /auto, f32, bf16, f16, q8_0, q6_k, q5_k, q4_k, q4_0, not "int3"/],
    [{ kv: 'q4' }, 'KV_UNKNOWN', /f32, f16, q8/],
    [{ ffn: 'sparsest' }, 'FFN_UNKNOWN', /auto, dense, sparse/],
    [{ narrowGate: 'maybe' }, 'NARROW_GATE_UNKNOWN', /auto, on, off/],
  ])('%o is refused with the choices', (options, code, message) => {
    expect(() => new EngineModel(config, tensorOf(tensors), options as EngineOptions)).toThrow(
      expect.objectContaining({ code, message: expect.stringMatching(message) }),
    )
  })
})
