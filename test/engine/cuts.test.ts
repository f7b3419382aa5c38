// Models with cuts: what is skipped is what the cut made 0, the same bits whether it is skipped or computed, and the numbers
// of a model that masks its vectors by the definition.

import { describe, expect, it } from 'vitest'
import { parseActivation } from '../../src/activations/index.js'
import { cutRow, nthLargest } from '../../src/engine/cuts.js'
import { EngineModel, type EngineOptions, Session } from '../../src/engine/index.js'
import { availableKernels } from '../../src/kernels/index.js'
import { Purpose, RandomStream } from '../../src/kernels/philox.js'
import type { ModelConfig } from '../../src/nn/config.js'
import type { Cut, LayerCuts } from '../../src/nn/cuts.js'
import { bitsOf } from './bits.js'
import { naiveForward, randomTensors, smallConfig, tensorOf } from './naive-model.js'

const backends = availableKernels().map(kernels => [`${kernels.backend} ${kernels.isa}`, kernels] as const)
const config: ModelConfig = { ...smallConfig, activation: 'silu' }
const { hiddenSize: d, intermediateSize: h } = config
const tensors = randomTensors({ ...config, attentionBias: 'qkvo' }, 5)
const text = Array.from({ length: 20 }, (_, i) => (i * i + 3) % 37)

function random(n: number, stream: number): Float32Array {
  const draws = new RandomStream({ seed: 6, purpose: Purpose.init, stream })
  return Float32Array.from({ length: n }, () => draws.uniform())
}

const limit = (value: number): Cut => ({ kind: 'threshold', limits: Float32Array.of(value) })
const inputs: LayerCuts['inputs'] = {
  q: limit(0.4),
  k: { kind: 'top', keep: 11, scale: random(d, 1) },
  v: { kind: 'top', keep: 9, scale: null },
  o: limit(0.2),
  gate: { kind: 'threshold', limits: random(d, 2) },
  up: limit(0.5),
  down: limit(0.1),
}
/** Products with (rows, n) from both sides. */
const times = (matrix: Float32Array, x: readonly number[]) =>
  Array.from({ length: matrix.length / x.length }, (_, r) =>
    x.reduce((sum, value, j) => sum + matrix[r * x.length + j] * value, 0),
  )
const transposed = (matrix: Float32Array, y: readonly number[]) => {
  const n = matrix.length / y.length
  return Array.from({ length: n }, (_, j) => y.reduce((sum, value, r) => sum + matrix[r * n + j] * value, 0))
}
/** A reflection with every axis of another direction. */
function reflection(stream: number): Float32Array {
  const v = random(d, stream)
  const length = Math.hypot(...v)
  return Float32Array.from({ length: d * d }, (_, at) => {
    const [i, j] = [Math.floor(at / d), at % d]
    return (i === j ? 1 : 0) - (2 * v[i] * v[j]) / length ** 2
  })
}
const rotations = { attention: reflection(20), ffn: reflection(21) }
/** The same in every layer: out_c = W · into_c of layer 0, so that in layer 1 it is a term of another matrix. */
const into = random(3 * d, 22).map(x => (x - 0.5) / 3)
const lowRank: NonNullable<LayerCuts['lowRank']> = Object.fromEntries(
  (['q', 'v', 'gate', 'up'] as const).map(name => {
    const rows = { q: d, v: d / 2, gate: h, up: h }[name]
    return [name, { rank: 3, into, out: random(3 * rows, 23 + rows).map(x => (x - 0.5) / 3) }]
  }),
)

const kinds: Record<string, LayerCuts> = {
  neurons: { neurons: { kind: 'threshold', limits: random(h, 3).map(x => x / 2) }, inputs: {} },
  inputs: { neurons: null, inputs },
  'hidden alone': { neurons: null, inputs: { down: limit(0.15) } },
  rotated: { neurons: null, inputs: { ...inputs, k: limit(0.3), v: limit(0.35) }, rotations },
  'low rank': { neurons: null, inputs, lowRank },
}
const rotatedInput = (name: string) =>
  ['q', 'k', 'v'].includes(name)
    ? ('attention' as const)
    : ['gate', 'up'].includes(name)
      ? ('ffn' as const)
      : null

function engine(form: ModelConfig, cuts: LayerCuts | null, options: EngineOptions = {}): EngineModel {
  return new EngineModel(form, tensorOf(tensors), {
    cuts: cuts === null ? null : Array(form.numHiddenLayers).fill(cuts),
    ...options,
  })
}

/** Which elements stay, by sorting. */
function masked(cut: Cut, x: readonly number[]): number[] {
  if (cut.kind === 'threshold') {
    return x.map((value, j) =>
      Math.abs(value) < (cut.limits.length === 1 ? cut.limits[0] : cut.limits[j]) ? 0 : value,
    )
  }
  const scores = x.map((value, j) => Math.abs(value) * (cut.scale?.[j] ?? 1))
  const least = scores.toSorted((a, b) => b - a)[cut.keep - 1]
  return x.map((value, j) => (scores[j] < least ? 0 : value))
}

describe('the n-th largest value', () => {
  it.each([1, 2, 5, 50, 99, 100])('is that of the sorted list: %i', n => {
    const values = random(100, 9).map((x, i) => (i % 7 === 0 ? 0.5 : i % 11 === 0 ? 0 : x * 1e-3 ** (i % 3)))
    expect(nthLargest(values, n)).toBe(values.toSorted()[100 - n])
  })

  it('decides which elements of a row stay, ties with the last among them', () => {
    const row = Float32Array.of(3, -1, 2, -2, 0.5)
    cutRow({ kind: 'top', keep: 2, scale: null }, row)
    expect([...row]).toEqual([3, 0, 2, -2, 0])
    const scaled = Float32Array.of(3, -1, 2, -2, 0.5)
    cutRow({ kind: 'top', keep: 1, scale: Float32Array.of(0.1, 5, 1, 1, 1) }, scaled)
    expect([...scaled]).toEqual([0, -1, 0, 0, 0])
  })
})

describe.each(backends)('a model with cuts, %s', (_, kernels) => {
  const forms = Object.entries(kinds).flatMap(([kind, cuts]) =>
    (['gated', 'plain'] as const)
      .filter(ffn => ffn === 'gated' || (kind !== 'neurons' && kind !== 'low rank'))
      .map(ffn => ({ kind, ffn, cuts })),
  )

  it.each(forms)('computes the masked model: $kind, $ffn', ({ ffn, cuts }) => {
    const form: ModelConfig = { ...config, ffn, attentionBias: 'qkvo' }
    const cut = (name: string, _layer: number, x: number[]) => {
      const matrix = name.replace('_proj', '') as keyof typeof inputs
      const own = name === 'neurons' ? cuts.neurons : cuts.inputs[matrix]
      if (!own) return x
      const turn = rotatedInput(matrix)
      if (cuts.rotations === undefined || turn === null) return masked(own, x)
      // cut in the other axes and rotated back: what W · Rᵀ is multiplied by.
      return transposed(cuts.rotations[turn], masked(own, times(cuts.rotations[turn], x)))
    }
    const add = (name: string, _layer: number, x: number[]) => {
      const matrix = name.replace('_proj', '') as keyof typeof inputs
      const [own, term] = [cuts.inputs[matrix], cuts.lowRank?.[matrix]]
      if (!own || !term) return null
      const kept = masked(own, x)
      return transposed(
        term.out,
        times(
          term.into,
          x.map((value, j) => value - kept[j]),
        ),
      )
    }
    const { logits } = naiveForward(form, tensors, text, { activation: parseActivation('silu'), cut, add })
    const plain = naiveForward(form, tensors, text, { activation: parseActivation('silu') }).logits
    const ours = engine(form, cuts, { kernels }).logits(text)
    const scale = Math.max(...logits.flat().map(Math.abs))
    const distance = (to: number[][]) =>
      Math.max(...to.flat().map((value, i) => Math.abs(value - ours[i]))) / scale
    expect(distance(logits)).toBeLessThan(2e-5)
    // The cuts matter: the test would notice if they were not applied.
    expect(distance(plain)).toBeGreaterThan(1e-2)
  })

  const stored = forms.flatMap(form => (['f32', 'bf16', 'q8_0'] as const).map(dtype => ({ ...form, dtype })))
  it.each(stored)('has the bits of the masked dense one, skipped or not: $kind, $ffn, $dtype', given => {
    const { ffn, cuts, dtype } = given
    const form: ModelConfig = { ...config, ffn }
    const [dense, sparse] = (['dense', 'sparse'] as const).map(mode =>
      engine(form, cuts, { kernels, dtype, ffn: mode }),
    )
    expect(bitsOf(sparse.logits(text))).toEqual(bitsOf(dense.logits(text)))
    const [a, b] = [dense.session(), sparse.session()]
    for (const token of text) expect(bitsOf(b.step(token))).toEqual(bitsOf(a.step(token)))
    // Prompt and steps agree, and the sparse one has read less.
    expect(bitsOf(b.logits)).toEqual(bitsOf(sparse.logits(text).subarray((text.length - 1) * form.vocabSize)))
    const { pass } = b.stats
    expect(pass.ffnBytesRead[0]).toBeLessThan(a.stats.pass.ffnBytesRead[0])
    expect(pass.ffnBytesRead[0] + pass.ffnBytesSkipped[0]).toBe(a.stats.pass.ffnBytesRead[0])
    expect(pass.attentionBytesSkipped > 0).toBe(given.kind !== 'neurons' && given.kind !== 'hidden alone')
  })

  it.each(forms)('sequences together have the bits of each alone: $kind, $ffn', ({ ffn, cuts }) => {
    const model = engine({ ...config, ffn }, cuts, { kernels })
    const texts = [text, text.toReversed(), text.map(token => (token + 5) % 37)]
    const alone = texts.map(tokens => bitsOf(model.session().prefill(tokens)))
    const together = texts.map(() => model.session())
    for (let t = 0; t < text.length; t++)
      Session.stepTogether(
        together,
        texts.map(tokens => tokens[t]),
      )
    expect(together.map(({ logits }) => bitsOf(logits))).toEqual(alone)
  })

  it.each(forms)(
    'positions before sparseFrom are uncut, however the prompt is split: $kind, $ffn',
    ({ ffn, cuts }) => {
      const form: ModelConfig = { ...config, ffn }
      const model = engine(form, cuts, { kernels })
      const all = new Float32Array(text.length * form.vocabSize)
      model.session({ sparseFrom: 12 }).prefill(text, all)
      const exact = engine(form, null, { kernels }).logits(text)
      const before = 12 * form.vocabSize
      const difference = (from: number, to: number) => {
        let most = 0
        for (let i = from; i < to; i++) most = Math.max(most, Math.abs(all[i] - exact[i]))
        return most
      }
      expect(difference(0, before)).toBeLessThan(1e-3)
      expect(difference(before, all.length)).toBeGreaterThan(1e-2)
      const split = model.session({ sparseFrom: 12 })
      for (const part of [text.slice(0, 7), text.slice(7, 15), text.slice(15)]) split.prefill(part)
      expect(bitsOf(split.logits)).toEqual(bitsOf(all.subarray((text.length - 1) * form.vocabSize)))
    },
  )
})

describe('a model with cuts', () => {
  it('says which positions of a prompt they apply to', () => {
    const from = (sparsePrompt?: 'none' | 'half' | 'all') =>
      engine(config, kinds.inputs, { sparsePrompt }).sparseFrom(9)
    expect([from(), from('none'), from('half'), from('all')]).toEqual([9, 9, 4, 0])
  })

  it('is called approximate, and one without cuts is not', () => {
    expect(engine(config, kinds.inputs).approximate).toBe(true)
    expect(engine(config, null).approximate).toBe(false)
  })

  it.each([
    [{ compact: [1, 2] }, 'COMPACT_CUTS'],
    [{ sparsePrompt: 'some' as 'all' }, 'SPARSE_PROMPT_UNKNOWN'],
  ])('refuses %o', (options, code) => {
    expect(() => engine(config, kinds.neurons, options)).toThrow(expect.objectContaining({ code }))
  })

  it.each([-1, 1.5, Number.NaN])('refuses sparseFrom %d', sparseFrom => {
    expect(() => engine(config, kinds.neurons).session({ sparseFrom })).toThrow(
      expect.objectContaining({ code: 'OPTION_TYPE' }),
    )
  })
})
