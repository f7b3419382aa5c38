// Several continuations of one prompt, decoded together: each has the bits that it has alone, and the prompt is computed and
// stored once.

import { afterAll, describe, expect, it } from 'vitest'
import { parseActivation } from '../../../src/activations/index.js'
import { EngineModel, type EngineOptions, Session, type SessionOptions } from '../../../src/engine/index.js'
import { availableKernels, defaultThreads, setThreads } from '../../../src/kernels/index.js'
import type { ModelConfig } from '../../../src/nn/config.js'
import { bitsOf } from '../bits.js'
import { randomTensors, smallConfig, tensorOf } from '../naive-model.js'

const config: ModelConfig = { ...smallConfig, hiddenSize: 32, maxPositionEmbeddings: 600 }
const tensors = randomTensors(config, 4)
const prompt = [5, 11, 7, 2, 30, 1, 36, 8, 19, 4]
const backends = availableKernels().map(kernels => [`${kernels.backend} ${kernels.isa}`, kernels] as const)
const [, best] = backends[1] ?? backends[0]

function engine(options: EngineOptions = {}): EngineModel {
  return new EngineModel(config, tensorOf(tensors), { kernels: best, ...options })
}

function read(model: EngineModel, tokens: readonly number[], options: SessionOptions = {}): Session {
  const session = model.session(options)
  session.prefill(tokens)
  return session
}

/** The tokens of sequence i; lengths differ. */
function tokensOf(i: number): number[] {
  return Array.from({ length: 3 + i }, (_, t) => (7 * i + 5 * t + 1) % 37)
}

/** Logits and active neurons after every token of `tokens`, read one by one. */
function alone(session: Session, tokens: readonly number[]) {
  return tokens.map(token => {
    session.step(token)
    return { logits: bitsOf(session.logits).slice(), active: [...session.activeNeurons] }
  })
}

/** The same for several sessions that step together, each until its tokens end. */
function together(sessions: readonly Session[], tokens: readonly number[][]) {
  const results = sessions.map((): ReturnType<typeof alone> => [])
  for (let t = 0; ; t++) {
    const running = [...sessions.keys()].filter(i => t < tokens[i].length)
    if (running.length === 0) return results
    Session.stepTogether(
      running.map(i => sessions[i]),
      running.map(i => tokens[i][t]),
    )
    for (const i of running) {
      const { logits, activeNeurons } = sessions[i]
      results[i].push({ logits: bitsOf(logits).slice(), active: [...activeNeurons] })
    }
  }
}

afterAll(() => setThreads(defaultThreads()))

describe.each(backends)('sequences decoded together, %s', (_, kernels) => {
  const variants = (['f32', 'bf16', 'f16', 'q8_0', 'q4_0'] as const).flatMap(dtype =>
    (['f32', 'f16', 'q8'] as const).map(kv => ({ dtype, kv })),
  )
  it.each(variants)('have the bits of each alone: %o', ({ dtype, kv }) => {
    const which = [0, 1, 2, 3, 4]
    for (const activation of ['relu', 'stocha:p=0.4']) {
      const model = engine({ kernels, dtype, kv, activation })
      const forks = () => read(model, prompt, { seed: 9 }).fork(which.map(sequence => ({ sequence })))
      const expected = forks().map((session, i) => alone(session, tokensOf(i)))
      for (const threads of [1, 3]) {
        setThreads(threads)
        expect(together(forks(), which.map(tokensOf))).toEqual(expected)
      }
    }
  })
})

describe('sequences decoded together', () => {
  it('have the bits of each alone by the narrow gate too', () => {
    for (const dtype of ['f32', 'bf16'] as const) {
      for (const activation of ['relu', 'stocha:p=0.2', 'fatrelu:t=0.1']) {
        const forks = (narrowGate: 'on' | 'off') =>
          read(engine({ dtype, activation, narrowGate, ffn: 'sparse' }), prompt).fork([
            {},
            { sequence: 1 },
            { seed: 4 },
          ])
        const expected = forks('off').map((session, i) => alone(session, tokensOf(i)))
        expect(together(forks('on'), [0, 1, 2].map(tokensOf))).toEqual(expected)
      }
    }
  })

  it('may each have an activation of their own', () => {
    const options = ['relu', 'stocha:p=0.5', 'silu', 'relu', 'topk'].map((spec, sequence) => {
      return { activation: parseActivation(spec), sequence }
    })
    const forks = () => read(engine(), prompt).fork(options)
    const expected = forks().map((session, i) => alone(session, tokensOf(i)))
    expect(together(forks(), [0, 1, 2, 3, 4].map(tokensOf))).toEqual(expected)
  })
})

describe('a fork', () => {
  it('continues as a session that has read everything itself', () => {
    const model = engine({ activation: 'stocha:p=0.5' })
    const [fork] = read(model, prompt, { seed: 3 }).fork([{}])
    const whole = read(model, prompt, { seed: 3 })
    expect(bitsOf(fork.logits)).toEqual(bitsOf(whole.logits))
    expect(alone(fork, tokensOf(4))).toEqual(alone(whole, tokensOf(4)))
    expect(fork.position).toBe(whole.position)
  })

  it('of a fork does too, and neither changes the one it comes from', () => {
    const model = engine()
    const tokens = [prompt, tokensOf(2), tokensOf(3), tokensOf(4)]
    const first = read(model, tokens[0])
    const [second] = first.fork([{}])
    second.prefill(tokens[1])
    const [third] = second.fork([{}])
    // All three continue differently.
    const results = together([first, second, third], [tokens[2], tokens[3], tokens[2]])
    expect(results[0]).toEqual(alone(read(model, tokens[0]), tokens[2]))
    expect(results[1]).toEqual(alone(read(model, [...tokens[0], ...tokens[1]]), tokens[3]))
    expect(results[2]).toEqual(alone(read(model, [...tokens[0], ...tokens[1]]), tokens[2]))
  })

  it('and its parent keep their content while both outgrow their first segment', () => {
    const model = engine()
    const first = read(model, prompt)
    const [second] = first.fork([{}])
    const long = Array.from({ length: 300 }, (_, t) => (t * t + 3 * t) % 37)
    first.prefill(long)
    second.prefill(long.toReversed())
    expect(bitsOf(first.logits)).toEqual(bitsOf(read(model, [...prompt, ...long]).logits))
    expect(bitsOf(second.logits)).toEqual(bitsOf(read(model, [...prompt, ...long.toReversed()]).logits))
  })

  it('of another seed, sequence or activation differs from there on', () => {
    const model = engine({ activation: 'stocha:p=0.5' })
    const options = [{}, { sequence: 1 }, { seed: 1 }]
    const [same, sequence, seed] = read(model, prompt).fork(options)
    const results = [same, sequence, seed].map(session => alone(session, [1, 2]))
    expect(results[0]).not.toEqual(results[1])
    expect(results[0]).not.toEqual(results[2])
    expect(results[1]).not.toEqual(results[2])
  })

  it('allocates memory only for what it adds', () => {
    let available = 1e9
    const model = engine({ memory: { available: () => available } })
    const long = Array.from({ length: 500 }, (_, t) => t % 37)
    const session = read(model, long)
    const perToken = 2 * 2 * 2 * 8 * 4
    // Far less than the 500 tokens that they continue, but enough for the first segment of each fork.
    available = 200 * perToken
    const forks = session.fork([{}, {}, {}])
    Session.stepTogether(forks, [1, 2, 3])
    expect(forks.map(({ position }) => position)).toEqual([501, 501, 501])
    // What they have in common counts once among the bytes read.
    const single = read(model, [1])
    single.step(2)
    const without = single.stats.pass.otherBytesRead - perToken
    const embeddings = 2 * 32 * 4
    expect(forks[0].stats.pass.otherBytesRead).toBe(without + embeddings + 500 * perToken)
  })
})

describe('stepping together', () => {
  it('needs one token per session, each session once, all of one model', () => {
    const model = engine()
    const [a, b] = [read(model, [1]), read(model, [2])]
    for (const [sessions, tokens] of [
      [[a, b], [1]],
      [
        [a, a],
        [1, 2],
      ],
      [
        [a, read(engine(), [1])],
        [1, 2],
      ],
    ] as const) {
      expect(() => Session.stepTogether(sessions, tokens)).toThrow(
        expect.objectContaining({ code: 'BATCH_MISMATCH' }),
      )
    }
    Session.stepTogether([], [])
  })

  it('reads nothing when one of them cannot read its token', () => {
    const model = engine()
    const [a, b] = [read(model, [1]), read(model, [2])]
    expect(() => Session.stepTogether([a, b], [1, 99])).toThrow(
      expect.objectContaining({ code: 'TOKEN_OUT_OF_VOCABULARY' }),
    )
    const full = read(model, Array(600).fill(1))
    expect(() => Session.stepTogether([a, full], [1, 1])).toThrow(
      expect.objectContaining({ code: 'CONTEXT_OVERFLOW', message: expect.stringMatching(/601.*600/) }),
    )
    expect([a.position, b.position, full.position]).toEqual([1, 1, 600])
  })
})
