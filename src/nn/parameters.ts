// Names and shapes of a model's parameters, as Hugging Face's Llama has them (Gemma's and OLMo 2's where it has none), and those
// that its activation learns.

import { type Activation, parameterLayout, parseActivation, startParameters } from '../activations/index.js'
import { CheckpointError } from '../errors.js'
import { ffnWidths, headDimOf, layerNorms, type ModelConfig } from './config.js'

export interface ParameterShape {
  readonly name: string
  readonly shape: readonly number[]
  /** Values before training, for those that are not drawn at random. */
  readonly start?: ArrayLike<number>
}

/**
 * Every parameter that a model of this config has, in the order of the forward pass, then those of the activations. Matrices are
 * (out, in), biases (out). Throws ActivationError, CheckpointError ACTIVATION_PARAMETERS_CLASH.
 */
export function parameterShapes(config: ModelConfig): ParameterShape[] {
  const { vocabSize, hiddenSize: d, intermediateSize: h, attentionBias } = config
  const { numAttentionHeads, numKeyValueHeads } = config
  const q = headDimOf(config) * numAttentionHeads
  const kv = headDimOf(config) * numKeyValueHeads
  const { gate, up } = ffnWidths(config)
  const shapes: ParameterShape[] = [{ name: 'model.embed_tokens.weight', shape: [vocabSize, d] }]
  if (config.learnedPositions !== undefined) {
    const positions = config.maxPositionEmbeddings + config.learnedPositions.offset
    shapes.push({ name: 'model.embed_positions.weight', shape: [positions, d] })
  }
  const norms = layerNorms(config)
  const addNorm = (name: string) => {
    shapes.push({ name: `${name}.weight`, shape: [d] })
    if (config.norm === 'layer') shapes.push({ name: `${name}.bias`, shape: [d] })
  }
  for (let layer = 0; layer < config.numHiddenLayers; layer++) {
    const add = (name: string, ...shape: number[]) =>
      shapes.push({ name: `model.layers.${layer}.${name}.weight`, shape })
    const project = (name: string, bias: boolean, ...shape: [out: number, from: number]) => {
      add(name, ...shape)
      if (bias) shapes.push({ name: `model.layers.${layer}.${name}.bias`, shape: [shape[0]] })
    }
    const layerNorm = (name: string | null) => {
      if (name !== null) addNorm(`model.layers.${layer}.${name}`)
    }
    layerNorm(norms.attentionInput)
    project('self_attn.q_proj', attentionBias !== undefined, q, d)
    project('self_attn.k_proj', attentionBias !== undefined, kv, d)
    project('self_attn.v_proj', attentionBias !== undefined, kv, d)
    project('self_attn.o_proj', attentionBias === 'qkvo', d, q)
    if (config.qkNorm !== undefined) {
      const heads = config.qkNorm === 'head'
      add('self_attn.q_norm', heads ? headDimOf(config) : q)
      add('self_attn.k_norm', heads ? headDimOf(config) : kv)
    }
    layerNorm(norms.attentionOutput)
    layerNorm(norms.ffnInput)
    const { experts } = config
    if (experts !== undefined) add('mlp.gate', experts.count, d)
    for (let expert = 0; expert < (experts?.count ?? 1); expert++) {
      const ffn = experts === undefined ? 'mlp' : expertName(expert)
      if (config.ffn !== 'plain') add(`${ffn}.gate_proj`, h, gate)
      project(`${ffn}.up_proj`, config.ffnBias === true, h, up)
      project(`${ffn}.down_proj`, config.ffnBias === true, d, h)
    }
    layerNorm(norms.ffnOutput)
  }
  addNorm('model.norm')
  if (!config.tieWordEmbeddings) shapes.push({ name: 'lm_head.weight', shape: [vocabSize, d] })
  if (config.headBias === true) shapes.push({ name: 'lm_head.bias', shape: [vocabSize] })
  const learned = learnedParameters(config)
  for (let layer = 0; layer < config.numHiddenLayers; layer++) {
    for (const { name, start } of learned.values()) {
      shapes.push({ name: activationParameterName(layer, name), shape: [start.length], start })
    }
  }
  return shapes
}

/** Where an expert's matrices are in a layer: `mlp.experts.3`. */
export function expertName(expert: number): string {
  return `mlp.experts.${expert}`
}

/** The expert that a part of a layer belongs to, and its name without it: `mlp.up_proj` of `mlp.experts.3.up_proj`; else null. */
export function expertPart(part: string): { readonly expert: number; readonly part: string } | null {
  const match = /^mlp\.experts\.(\d+)\.(.+)$/.exec(part)
  return match === null ? null : { expert: Number(match[1]), part: `mlp.${match[2]}` }
}

/** Parameters of a model, and those of them that a token's pass reads: of a mixture the chosen experts' alone. */
export function parameterCounts(config: ModelConfig): { readonly total: number; readonly active: number } {
  const { experts } = config
  let [total, ofExperts] = [0, 0]
  for (const { name, shape } of parameterShapes(config)) {
    const size = shape.reduce((a, b) => a * b)
    total += size
    if (name.includes('.mlp.experts.')) ofExperts += size
  }
  const idle = experts === undefined ? 0 : (ofExperts / experts.count) * (experts.count - experts.perToken)
  return { total, active: total - idle }
}

/** `model.layers.0.mlp.act.alpha`. */
export function activationParameterName(layer: number, name: string): string {
  return `model.layers.${layer}.mlp.act.${name}`
}

/**
 * The flat buffer of learned parameters that the kernels take for one layer; undefined for an activation without any.
 * `tensor` gives a stored parameter, undefined where the model has none by that name: then it is at its start value.
 */
export function activationParameters(
  act: Activation,
  width: number,
  layer: number,
  tensor: (name: string) => ArrayLike<number> | undefined,
): Float32Array | undefined {
  if (act.learned.length === 0) return undefined
  const values = Float32Array.from(startParameters(act, width))
  for (const { name, offset, length } of parameterLayout(act, width)) {
    const stored = tensor(activationParameterName(layer, name))
    if (stored?.length === length) values.set(stored, offset)
  }
  return values
}

/** What the config's activations learn, by name; two of them may share a parameter. */
function learnedParameters(config: ModelConfig): Map<string, { name: string; start: Float64Array }> {
  const found = new Map<string, { name: string; start: Float64Array }>()
  for (const spec of [config.activation, ...(config.trainedActivations ?? [])]) {
    const act = parseActivation(spec)
    if (act.learned.length === 0) continue
    const all = startParameters(act, config.intermediateSize)
    for (const { name, offset, length } of parameterLayout(act, config.intermediateSize)) {
      const before = found.get(name)
      if (before !== undefined && before.start.length !== length) {
        throw new CheckpointError(
          'ACTIVATION_PARAMETERS_CLASH',
          `${act.spec} learns ${length} values as "${name}", another activation of this model ${before.start.length}; ` +
            'one model cannot hold both',
        )
      }
      if (before === undefined) found.set(name, { name, start: all.slice(offset, offset + length) })
    }
  }
  return found
}
