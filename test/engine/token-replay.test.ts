// Tokens whose kernel calls are repeated from the token before have the bits, and tell the same, as tokens whose calls are
// made one by one.

import { describe, expect, it, vi } from 'vitest'
import { type Activation, parseActivation } from '../../src/activations/index.js'
import { EngineModel, type EngineOptions, Session, type SessionOptions } from '../../src/engine/index.js'
import {
  availableKernels,
  defaultThreads,
  type Kernels,
  kernels,
  setThreads,
} from '../../src/kernels/index.js'
import type { ModelConfig } from '../../src/nn/config.js'
import { bitsOf } from './bits.js'
import { randomTensors, smallConfig, tensorOf } from './naive-model.js'

const long: ModelConfig = { ...smallConfig, maxPositionEmbeddings: 300 }
const native = availableKernels().find(({ backend }) => backend === 'native')

const cases: Record<string, { config: ModelConfig; options?: EngineOptions }> = {
  'relu, dense': { config: long, options: { ffn: 'dense' } },
  'relu, sparse': { config: long, options: { ffn: 'sparse' } },
  'relu, narrow gate': { config: long, options: { ffn: 'sparse', narrowGate: 'on' } },
  stocha: { config: { ...long, activation: 'stocha:p=0.4' } },
  'stocha, narrow gate': {
    config: { ...long, activation: 'stocha:p=0.4' },
    options: { ffn: 'sparse', narrowGate: 'on' },
  },
  'stocha in a plain FFN': { config: { ...long, ffn: 'plain', activation: 'stocha:p=0.8,positive=drawn' } },
  'an activation that is a program': { config: { ...long, activation: 'mish' } },
  'an activation of whole rows': { config: { ...long, activation: 'topk:k=20' } },
  'drelu, whose up projection is a matrix of its own': { config: { ...long, ffn: 'drelu' } },
  'biases, norms of queries and keys, a bias after the FFN': {
    config: { ...long, attentionBias: 'qkvo', qkNorm: 'head' },
  },
  'branches that are normed before they are added': { config: { ...long, normPlacement: 'after' } },
  experts: { config: { ...long, experts: { count: 4, perToken: 2, normalized: true } } },
  'integers of 16 bits': { config: long, options: { dtype: 'q8_0', activations: 'int16', kv: 'f16' } },
  'bf16, keys and values in q8': { config: long, options: { dtype: 'bf16', kv: 'q8' } },
}

const token = (i: number) => (i * i * 7 + 3) % 37

function models(config: ModelConfig, options: EngineOptions = {}) {
  const tensors = tensorOf(randomTensors(config, 5))
  return [true, false].map(replay => new EngineModel(config, tensors, { ...options, replay }))
}

/** What `run` gives with the two models: the same. */
function expectSame(config: ModelConfig, options: EngineOptions, run: (model: EngineModel) => Session[]) {
  const [replayed, one] = models(config, options).map(run)
  expect(replayed.length).toBeGreaterThan(0)
  for (const [i, session] of replayed.entries()) {
    expect(bitsOf(session.logits)).toEqual(bitsOf(one[i].logits))
    expect(session.stats).toEqual(one[i].stats)
  }
}

describe.each(Object.entries(cases))('%s', (_, { config, options }) => {
  it('tokens one by one, through growing caches', () => {
    expectSame(config, options ?? {}, model => {
      const session = model.session({ seed: 9 })
      for (let i = 0; i < 140; i++) session.step(token(i))
      return [session]
    })
  })

  it('after prompts, between steps together, and in forks', () => {
    expectSame(config, options ?? {}, model => {
      const session = model.session({ seed: 4 })
      session.prefill([1, 2, 3])
      for (let i = 0; i < 5; i++) session.step(token(i))
      const [a, b] = session.fork([{ sequence: 1 }, { sequence: 2 }])
      for (let i = 0; i < 4; i++) {
        a.step(token(i))
        b.step(token(i + 1))
        Session.stepTogether([a, b, session], [1, 2, 3])
      }
      b.prefill([5, 6, 7, 8, 9])
      b.step(3)
      return [session, a, b]
    })
  })
})

/** The kernels of this process, and how often their norm was called from TypeScript. */
function countingKernels(): { counting: Kernels; norms: () => number } {
  const rmsNorm = vi.fn<Kernels['rmsNorm']>(kernels().rmsNorm)
  return { counting: { ...kernels(), rmsNorm }, norms: () => rmsNorm.mock.calls.length }
}

describe.skipIf(native === undefined || kernels().backend !== 'native')('calls from TypeScript', () => {
  const norms = 2 * long.numHiddenLayers + 1
  const perToken = (options: EngineOptions, sessionOptions: SessionOptions = {}, config = long) => {
    const { counting, norms: count } = countingKernels()
    const model = new EngineModel(config, tensorOf(randomTensors(config, 5)), {
      ...options,
      kernels: counting,
    })
    const session = model.session(sessionOptions)
    return [0, 1, 2, 3].map(i => {
      const before = count()
      session.step(token(i))
      return count() - before
    })
  }

  it('are made for the first token, and afterwards for the head alone', () => {
    expect(perToken({})).toEqual([norms, 1, 1, 1])
    expect(perToken({ ffn: 'sparse', narrowGate: 'on' })).toEqual([norms, 1, 1, 1])
    expect(perToken({ dtype: 'q8_0', activations: 'int16' })).toEqual([norms, 1, 1, 1])
  })

  it('are made for every token where replay is off or the session tells of every neuron', () => {
    expect(perToken({ replay: false })).toEqual([norms, norms, norms, norms])
    expect(perToken({}, { neurons: true })).toEqual([norms, norms, norms, norms])
  })

  it('are made for the FFN alone where that computes in TypeScript', () => {
    const drelu = perToken({}, {}, { ...long, ffn: 'drelu' })
    expect(drelu).toEqual([
      norms,
      1 + long.numHiddenLayers,
      1 + long.numHiddenLayers,
      1 + long.numHiddenLayers,
    ])
    const mine: Activation = { ...parseActivation('relu') }
    const { fused: _, programs: __, ...plain } = mine
    expect(perToken({}, { activation: plain as Activation })).toEqual(drelu)
  })

  it('are of the number of threads that is set when they are repeated', () => {
    const [model] = models(long)
    const sessions = [1, 3].map(threads => {
      setThreads(threads)
      const session = model.session()
      for (let i = 0; i < 6; i++) {
        setThreads(i < 3 ? threads : 4 - threads)
        session.step(token(i))
      }
      return session
    })
    setThreads(defaultThreads())
    expect(bitsOf(sessions[0].logits)).toEqual(bitsOf(sessions[1].logits))
  })

  it('refuse a disposed model', () => {
    const [model] = models(long)
    const session = model.session()
    for (let i = 0; i < 3; i++) session.step(token(i))
    model.dispose()
    expect(() => session.step(1)).toThrow(/disposed/)
  })
})
