// Approximate decoding: which neurons are computed at which token, against the definition; the others are 0; sequences together
// as alone; less is read; and what it cannot be combined with.

import { describe, expect, it } from 'vitest'
import { parseActivation } from '../../../src/activations/index.js'
import { EngineModel, type EngineOptions, Session } from '../../../src/engine/index.js'
import { availableKernels } from '../../../src/kernels/index.js'
import { Purpose, RandomStream } from '../../../src/kernels/philox.js'
import type { ModelConfig } from '../../../src/nn/config.js'
import type { Predictor } from '../../../src/nn/predictor.js'
import { bitsOf } from '../bits.js'
import { naiveForward, randomTensors, smallConfig, tensorOf } from '../naive-model.js'

const backends = availableKernels().map(kernels => [`${kernels.backend} ${kernels.isa}`, kernels] as const)
const { hiddenSize: d, intermediateSize: h, numHiddenLayers } = smallConfig
const text = Array.from({ length: 30 }, (_, i) => (i * i + 3) % 37)
const activation = parseActivation('relu')
const forms = (['gated', 'plain', 'drelu'] as const).map(ffn => {
  const config: ModelConfig = { ...smallConfig, ffn, activation: 'relu' }
  return { ffn, config, tensors: randomTensors(config, 5) }
})

function random(n: number, stream: number): Float32Array {
  const draws = new RandomStream({ seed: 6, purpose: Purpose.init, stream })
  return Float32Array.from({ length: n }, () => draws.uniform() - 0.5)
}

const predictor: Predictor = {
  rank: 3,
  layers: Array.from({ length: numHiddenLayers }, (_, layer) => ({
    into: random(3 * d, 10 + layer),
    out: random(h * 3, 20 + layer),
    bias: random(h, 30 + layer),
  })),
}

/** Logits after every token from `from` on, read one at a time after the prompt. */
function decoded(model: EngineModel, from: number): Float32Array[] {
  const session = model.session({ sparseFrom: from })
  session.prefill(text.slice(0, from))
  return text.slice(from).map(token => session.step(token).slice())
}

function expectNear(ours: readonly Float32Array[], wanted: number[][]): void {
  const scale = Math.max(...wanted.flat().map(Math.abs))
  const most = ours.map((logits, t) => Math.max(...wanted[t].map((value, i) => Math.abs(value - logits[i]))))
  expect(Math.max(...most) / scale).toBeLessThan(3e-5)
}

describe.each(backends)('re-use of neurons, %s', (_, kernels) => {
  it.each(forms.flatMap(form => [1, 3, 7].map(gamma => ({ ...form, gamma }))))(
    'computes what the γ tokens before have used, γ tokens long: $ffn, γ = $gamma',
    ({ config, tensors, gamma }) => {
      const from = 9
      // By the definition: per layer the tokens in order, each with the neurons that it has used.
      const used: Set<number>[][] = Array.from({ length: numHiddenLayers }, () => [])
      let left = 0
      const cut = (name: string, layer: number, x: number[]) => {
        if (name !== 'neurons') return x
        const position = used[layer].length
        const block = Math.floor((position - from) / gamma)
        const start = from + block * gamma
        const reuses = position >= from && block % 2 === 0
        const window = used[layer].slice(Math.max(0, start - gamma), start)
        const kept = x.map((value, i) => (reuses && !window.some(set => set.has(i)) ? 0 : value))
        left += kept.filter((value, i) => value !== x[i]).length
        used[layer].push(new Set(x.flatMap((value, i) => (value !== 0 ? [i] : []))))
        return kept
      }
      const { logits } = naiveForward(config, tensors, text, { activation, cut })
      expect(left).toBeGreaterThan(10)
      const model = new EngineModel(config, tensorOf(tensors), { kernels, reuse: gamma })
      expectNear(decoded(model, from), logits.slice(from))
      expect(model.approximate).toBe(true)
    },
  )
})

describe.each(backends)('a predictor, %s', (_, kernels) => {
  it.each(forms)('computes the neurons with scores above 0: $ffn', ({ ffn, config, tensors }) => {
    const from = 5
    const inputs: number[][] = []
    const positions = Array(numHiddenLayers).fill(0)
    let left = 0
    const cut = (name: string, layer: number, x: number[]) => {
      if (name === (ffn === 'plain' ? 'up_proj' : 'gate_proj')) inputs[layer] = x
      if (name !== 'neurons') return x
      if (positions[layer]++ < from) return x
      const { into, out, bias } = predictor.layers[layer]
      const features = [0, 1, 2].map(r =>
        inputs[layer].reduce((sum, value, k) => sum + into[r * d + k] * value, 0),
      )
      const kept = x.map((value, i) =>
        features.reduce((sum, feature, r) => sum + out[i * 3 + r] * feature, bias[i]) > 0 ? value : 0,
      )
      left += kept.filter((value, i) => value !== x[i]).length
      return kept
    }
    const { logits } = naiveForward(config, tensors, text, { activation, cut })
    expect(left).toBeGreaterThan(100)
    const model = new EngineModel(config, tensorOf(tensors), { kernels, predictor })
    expectNear(decoded(model, from), logits.slice(from))
  })
})

describe('approximate decoding', () => {
  const [{ config, tensors }] = forms
  const engine = (options: EngineOptions) => new EngineModel(config, tensorOf(tensors), options)

  it.each([{ reuse: 2 }, { predictor }])('gives sequences together the bits of each alone: %o', options => {
    const model = engine(options)
    const texts = [text, text.toReversed(), text.map(token => (token + 5) % 37)]
    const alone = texts.map(tokens => {
      const session = model.session()
      return bitsOf(tokens.map(token => session.step(token)).at(-1) ?? new Float32Array(0))
    })
    const together = texts.map(() => model.session())
    for (let t = 0; t < text.length; t++)
      Session.stepTogether(
        together,
        texts.map(tokens => tokens[t]),
      )
    expect(together.map(({ logits }) => bitsOf(logits))).toEqual(alone)
  })

  it('reads less of the gate too where few neurons were used', () => {
    const shifted: ModelConfig = { ...config, activation: 'shifted-relu:b=1.5' }
    const read = (options: EngineOptions) => {
      const session = new EngineModel(shifted, tensorOf(tensors), { ffn: 'sparse', ...options }).session({
        sparseFrom: 10,
      })
      session.prefill(text.slice(0, 10))
      session.step(text[10])
      return session.stats.pass
    }
    const [exact, approximate] = [read({}), read({ reuse: 4 })]
    const [gateRow, all] = [4 * d, 3 * 4 * d * h]
    expect(exact.ffnBytesRead[0]).toBeGreaterThan(gateRow * h)
    expect(approximate.ffnBytesRead[0]).toBeLessThan(gateRow * h)
    expect(approximate.ffnBytesRead[0] + approximate.ffnBytesSkipped[0]).toBe(all)
  })

  it('is exact for the tokens of a prompt, for a fork that has not seen them, and where nothing came before', () => {
    const exact = engine({})
    const model = engine({ reuse: 4 })
    expect(bitsOf(model.session({ sparseFrom: 0 }).prefill(text))).toEqual(
      bitsOf(exact.session().prefill(text)),
    )
    const [a, b] = [exact.session(), model.session({ sparseFrom: 0 })]
    for (const token of text.slice(0, 8)) expect(bitsOf(b.step(token))).toEqual(bitsOf(a.step(token)))
    const prompt = model.session({ sparseFrom: 12 })
    prompt.prefill(text.slice(0, 12))
    const reference = exact.session()
    reference.prefill(text.slice(0, 12))
    const [fork] = prompt.fork([{}])
    expect(bitsOf(fork.step(text[12]))).toEqual(bitsOf(reference.step(text[12])))
    // The session itself has seen its prompt and re-uses at once.
    expect(bitsOf(prompt.step(text[12]))).not.toEqual(bitsOf(reference.logits))
  })

  it.each([
    [{ reuse: 0 }, 'REUSE_RANGE'],
    [{ reuse: 1.5 }, 'REUSE_RANGE'],
    [{ reuse: 4, predictor }, 'SELECTOR_CONFLICT'],
    [{ reuse: 4, activation: 'silu' }, 'SELECTOR_ACTIVATION'],
    [{ predictor, cuts: Array(numHiddenLayers).fill({ neurons: null, inputs: {} }) }, 'SELECTOR_CONFLICT'],
    [{ predictor: { ...predictor, layers: predictor.layers.slice(1) } }, 'PREDICTOR_FIT'],
    [{ predictor: { ...predictor, rank: 2 } }, 'PREDICTOR_FIT'],
  ])('is refused with %o', (options, code) => {
    expect(() => engine(options as EngineOptions)).toThrow(expect.objectContaining({ code }))
  })

  it('is refused where the gate is stored by input', () => {
    const rectified: ModelConfig = { ...config, normActivation: 'relu' }
    expect(() => new EngineModel(rectified, tensorOf(tensors), { reuse: 4 })).toThrow(
      expect.objectContaining({ code: 'SELECTOR_STORAGE' }),
    )
  })
})
