// The Llama decoder written out from its definition in f64, one number after the other; shares no code with the engine
// but Philox and the activation's formula. And random models to try it on.

import { type Activation, parseActivation } from '../../src/activations/index.js'
import type { LayerWeights } from '../../src/engine/model/weights.js'
import { decodeStored, encodeStored, STORED_TYPES } from '../../src/formats/stored.js'
import type { QuantizedType } from '../../src/kernels/index.js'
import { Purpose, philox4x32, RandomStream } from '../../src/kernels/philox.js'
import type { ModelConfig } from '../../src/nn/config.js'
import { parameterShapes } from '../../src/nn/parameters.js'

export type Tensors = Map<string, Float32Array>

/** The parts of a layer that tests of its FFN do not use. */
export const unusedParts = {
  inputNorm: null,
  qkv: [],
  qkvBias: null,
  output: new Float32Array(0),
  outputBias: null,
  qNorm: null,
  kNorm: null,
  attentionNorm: null,
  ffnNorm: null,
  ffnOutputNorm: null,
  gateBias: null,
  downBias: null,
} satisfies Partial<LayerWeights>

export const smallConfig: ModelConfig = {
  vocabSize: 37,
  hiddenSize: 24,
  intermediateSize: 70,
  numHiddenLayers: 2,
  numAttentionHeads: 4,
  numKeyValueHeads: 2,
  maxPositionEmbeddings: 96,
  rmsNormEps: 1e-5,
  ropeTheta: 10_000,
  tieWordEmbeddings: false,
  ffn: 'gated',
  activation: 'relu',
}

/** Weights large enough that every part of the model matters to the logits. */
export function randomTensors(config: ModelConfig, seed: number): Tensors {
  const tensors: Tensors = new Map()
  for (const [stream, { name, shape }] of parameterShapes(config).entries()) {
    const random = new RandomStream({ seed, purpose: Purpose.init, stream })
    const size = shape.reduce((a, b) => a * b)
    const scale = shape.length === 1 ? 0.5 : Math.sqrt(3 / shape[1]) * (name.includes('embed') ? 3 : 1)
    const offset = shape.length === 1 && !name.endsWith('.bias') ? 1 : 0
    tensors.set(
      name,
      Float32Array.from({ length: size }, () => offset + scale * (2 * random.uniform() - 1)),
    )
  }
  return tensors
}

export function tensorOf(tensors: Tensors): (name: string) => Float32Array {
  return name => {
    const tensor = tensors.get(name)
    if (tensor === undefined) throw new Error(`no tensor ${name}`)
    return tensor
  }
}

/** The matrices rounded to bf16 (to nearest, ties to even, by arithmetic on the significand). */
export function roundedToBf16(tensors: Tensors): Tensors {
  return roundedTo(7, -126, tensors)
}

/** As roundedToBf16, to f16, whose least normal number is 2⁻¹⁴. */
export function roundedToF16(tensors: Tensors): Tensors {
  return roundedTo(10, -14, tensors)
}

function roundedTo(bits: number, leastExponent: number, tensors: Tensors): Tensors {
  const round = (x: number) => {
    if (x === 0) return x
    const unit = 2 ** (Math.max(leastExponent, Math.floor(Math.log2(Math.abs(x)))) - bits)
    const [below, rest] = [Math.floor(x / unit), x / unit - Math.floor(x / unit)]
    return unit * (rest > 0.5 || (rest === 0.5 && below % 2 !== 0) ? below + 1 : below)
  }
  return new Map(
    [...tensors].map(([name, data]) => [name, /norm|bias|mlp\.gate\./.test(name) ? data : data.map(round)]),
  )
}

/**
 * The matrices rounded to blocks along the rows of the engine's layout: the columns of down_proj where neurons can be skipped, the
 * rows of all others. Rows are filled up with zeros.
 */
export function roundedToBlocks(config: ModelConfig, tensors: Tensors, dtype: QuantizedType): Tensors {
  const { hiddenSize: d, intermediateSize: h } = config
  const { activation, ffn, experts } = config
  const isPlain = (ffn === 'gated' || ffn === 'plain') && experts === undefined
  const byNeuron = !isPlain || parseActivation(activation).exactZeros
  const round = (row: Float32Array, type: QuantizedType): Float32Array => {
    const { values } = STORED_TYPES[type]
    const padded = new Float32Array(Math.ceil(row.length / values) * values)
    padded.set(row)
    return decodeStored(type, encodeStored(type, padded)).subarray(0, row.length)
  }
  const rounded: Tensors = new Map()
  for (const { name, shape } of parameterShapes(config)) {
    const data = tensorOf(tensors)(name)
    const out = data.slice()
    // 4 bits are too few for the embedding and the head.
    const vocabulary = dtype === 'q4_k' || dtype === 'q5_k' ? 'q6_k' : dtype === 'q4_0' ? 'q8_0' : dtype
    const type = /embed_tokens|lm_head/.test(name) ? vocabulary : dtype
    if (byNeuron && name.includes('down_proj')) {
      for (let i = 0; i < h; i++) {
        const column = round(
          Float32Array.from({ length: d }, (_, k) => data[k * h + i]),
          type,
        )
        for (let k = 0; k < d; k++) out[k * h + i] = column[k]
      }
    } else if (shape.length === 2 && !name.endsWith('mlp.gate.weight')) {
      const [rows, columns] = shape
      for (let r = 0; r < rows; r++)
        out.set(round(data.subarray(r * columns, (r + 1) * columns), type), r * columns)
    }
    rounded.set(name, out)
  }
  return rounded
}

export interface NaiveRun {
  readonly activation: Activation
  readonly seed?: number
  readonly sequence?: number
  /** Replaces the input of a matrix, such as `q_proj`, or the activated gate, `neurons`. */
  readonly cut?: (name: string, layer: number, x: number[]) => number[]
  /** Joins the output of a matrix, of its input before `cut`; null for nothing. */
  readonly add?: (name: string, layer: number, x: number[]) => number[] | null
}

/** Logits of every position, and the number of active neurons [layer][position]. */
export function naiveForward(
  config: ModelConfig,
  tensors: Tensors,
  tokens: readonly number[],
  run: NaiveRun,
): { logits: number[][]; active: number[][] } {
  const { hiddenSize: d, intermediateSize: h, numAttentionHeads: heads, numKeyValueHeads: kvHeads } = config
  const headDim = config.headDim ?? d / heads
  const { cut = (_name, _layer, x) => x } = run
  const frequencies = naiveFrequencies(config, headDim)
  const tensor = tensorOf(tensors)
  const times = (name: string, input: number[]): number[] => {
    const [, layer] = /layers\.(\d+)/.exec(name) ?? []
    const x = layer === undefined ? input : cut(name.split('.').at(-1) ?? '', Number(layer), input)
    const w = tensor(`${name}.weight`)
    const bias = tensors.get(`${name}.bias`)
    const more = layer === undefined ? null : run.add?.(name.split('.').at(-1) ?? '', Number(layer), input)
    return Array.from({ length: w.length / x.length }, (_, row) =>
      x.reduce(
        (sum, value, column) => sum + w[row * x.length + column] * value,
        (bias?.[row] ?? 0) + (more?.[row] ?? 0),
      ),
    )
  }
  const norm = (name: string, x: number[]): number[] => {
    const w = tensor(`${name}.weight`)
    const meanSquare = x.reduce((sum, value) => sum + value * value, 0) / d
    return x.map((value, i) => (value / Math.sqrt(meanSquare + config.rmsNormEps)) * w[i])
  }
  /** Pairs (i, i + headDim/2) as complex numbers, times e^(i·angle). */
  const turn = (x: number[], position: number): number[] =>
    x.map((value, at) => {
      const i = at % headDim
      const half = headDim / 2
      const angle = position * frequencies[i % half]
      return i < half
        ? value * Math.cos(angle) - x[at + half] * Math.sin(angle)
        : value * Math.cos(angle) + x[at - half] * Math.sin(angle)
    })
  /** The up side of dReLU draws under a purpose that is 128 higher. */
  const draw = (
    layer: number,
    position: number,
    neuron: number,
    purpose: number = Purpose.decode,
  ): number => {
    const words = new Uint32Array(4)
    const tag = (purpose << 16) | layer
    philox4x32(neuron >> 2, position, run.sequence ?? 0, tag, run.seed ?? 0, 0, words)
    return (words[neuron & 3] >>> 8) / 2 ** 24
  }

  const active: number[][] = Array.from({ length: config.numHiddenLayers }, () => [])
  let stream = tokens.map(token => [...tensor('model.embed_tokens.weight').slice(token * d, (token + 1) * d)])
  for (let layer = 0; layer < config.numHiddenLayers; layer++) {
    const part = (name: string) => `model.layers.${layer}.${name}`
    const input = (name: string, x: number[]) => {
      const normed = norm(part(name), x)
      return config.normActivation === 'relu' ? normed.map(value => Math.max(value, 0)) : normed
    }
    const normed = stream.map(x => input('input_layernorm', x))
    const q = normed.map((x, t) => turn(times(part('self_attn.q_proj'), x), t))
    const k = normed.map((x, t) => turn(times(part('self_attn.k_proj'), x), t))
    const v = normed.map(x => times(part('self_attn.v_proj'), x))
    stream = stream.map((x, t) => {
      const mixed: number[] = []
      for (let head = 0; head < heads; head++) {
        const kv = Math.floor(head / (heads / kvHeads)) * headDim
        const weights = Array.from({ length: t + 1 }, (_, s) => {
          let score = 0
          for (let i = 0; i < headDim; i++) score += q[t][head * headDim + i] * k[s][kv + i]
          return Math.exp(score / Math.sqrt(headDim))
        })
        const total = weights.reduce((a, b) => a + b)
        for (let i = 0; i < headDim; i++) {
          mixed.push(weights.reduce((sum, weight, s) => sum + (weight / total) * v[s][kv + i], 0))
        }
      }
      const added = times(part('self_attn.o_proj'), mixed)
      return x.map((value, i) => value + added[i])
    })
    /** What one FFN adds, and its active neurons. `drawn`: the layer that its draws are of. */
    const feedForward = (prefix: string, drawn: number, normed: number[], t: number) => {
      const activate = (values: number[]) => activateRow(run.activation, values, i => draw(drawn, t, i))
      const split = config.ffn === 'spark' ? (config.sparkPredictorWidth ?? d / 2) : null
      const up = times(`${prefix}.up_proj`, split === null ? normed : normed.slice(split))
      const gate = () => times(`${prefix}.gate_proj`, split === null ? normed : normed.slice(0, split))
      const activated = cut('neurons', layer, activate(config.ffn === 'plain' ? up : gate()))
      const other = {
        plain: () => Array(h).fill(1),
        gated: () => up,
        drelu: () => activateRow(run.activation, up, i => draw(drawn, t, i, Purpose.decode + 128)),
        spark: () => up,
      }[config.ffn]()
      const hidden = activated.map((value, i) => value * other[i])
      const counted = config.ffn === 'drelu' ? hidden : activated
      return {
        added: times(`${prefix}.down_proj`, hidden),
        count: counted.filter(value => value !== 0).length,
      }
    }
    stream = stream.map((x, t) => {
      const normed = input('post_attention_layernorm', x)
      const { experts } = config
      const parts: { factor: number; of: ReturnType<typeof feedForward> }[] = []
      if (experts === undefined) parts.push({ factor: 1, of: feedForward(part('mlp'), layer, normed, t) })
      else {
        const scores = times(part('mlp.gate'), normed).map(Math.exp)
        const chosen = scores
          .map((score, expert) => ({ score, expert }))
          .sort((a, b) => b.score - a.score)
          .slice(0, experts.perToken)
        const total = (experts.normalized ? chosen.map(({ score }) => score) : scores).reduce((a, b) => a + b)
        for (const { score, expert } of chosen) {
          const drawn = layer + expert * config.numHiddenLayers
          const of = feedForward(part(`mlp.experts.${expert}`), drawn, normed, t)
          parts.push({ factor: score / total, of })
        }
      }
      active[layer].push(parts.reduce((sum, { of }) => sum + of.count, 0))
      return x.map((value, i) => parts.reduce((sum, { factor, of }) => sum + factor * of.added[i], value))
    })
  }
  const head = config.tieWordEmbeddings ? 'model.embed_tokens' : 'lm_head'
  return { logits: stream.map(x => times(head, norm('model.norm', x))), active }
}

/** An activation by its definition of one element; of a whole row for those that need one. */
function activateRow(activation: Activation, values: number[], draw: (neuron: number) => number): number[] {
  const { k, act } = activation.settings
  const kept = Number(k) < 1 ? Number(k) * values.length : Number(k)
  const after = (z: number) =>
    act === 'relu' ? z : z * (act === 'gelu' ? normalCdf(z) : 1 / (1 + Math.exp(-z)))
  if (activation.name === 'topk') {
    const threshold = values.toSorted((a, b) => b - a)[Math.round(kept) - 1]
    return values.map(value => (value < threshold ? 0 : after(Math.max(value, 0))))
  }
  if (activation.name === 'stat-topk') {
    const mean = values.reduce((a, b) => a + b) / values.length
    const variance = values.reduce((sum, value) => sum + (value - mean) ** 2, 0) / values.length
    const threshold = mean + Math.sqrt(variance) * normalQuantile(1 - kept / values.length)
    return values.map(value => after(Math.max(value - threshold, 0)))
  }
  return values.map((value, i) => activation.forward(value, draw(i)))
}

/** Φ(z) by its series ½ + φ(z)·(z + z³/3 + z⁵/15 + …). */
function normalCdf(z: number): number {
  let [sum, term] = [z, z]
  for (let i = 3; Math.abs(term) > 1e-17 * Math.abs(sum); i += 2) {
    term *= (z * z) / i
    sum += term
  }
  return 0.5 + (sum * Math.exp(-(z * z) / 2)) / Math.sqrt(2 * Math.PI)
}

/** Where Φ reaches `p`, by halving. */
function normalQuantile(p: number): number {
  let [below, above] = [-6, 6]
  for (let i = 0; i < 60; i++) {
    const middle = (below + above) / 2
    if (normalCdf(middle) < p) below = middle
    else above = middle
  }
  return below
}

/** Angle per position of each pair, as the papers define them. */
function naiveFrequencies(config: ModelConfig, headDim: number): number[] {
  const { ropeTheta, ropeScaling: scaling } = config
  return Array.from({ length: headDim / 2 }, (_, i) => {
    const wavelength = 2 * Math.PI * ropeTheta ** ((2 * i) / headDim)
    const frequency = (2 * Math.PI) / wavelength
    if (scaling === undefined) return frequency
    if (scaling.type === 'linear') return frequency / scaling.factor
    if (scaling.type === 'factors') return frequency / scaling.factors[i]
    if (scaling.type !== 'llama3') throw new Error(`no ${scaling.type} here`)
    const { factor, lowFreqFactor: low, highFreqFactor: high, originalMaxPositionEmbeddings: old } = scaling
    if (wavelength < old / high) return frequency
    if (wavelength > old / low) return frequency / factor
    const smooth = (old / wavelength - low) / (high - low)
    return (1 - smooth) * (frequency / factor) + smooth * frequency
  })
}
