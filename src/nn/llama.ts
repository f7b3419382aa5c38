// The Llama-style decoder as a graph on the tape: RMSNorm before each part, rotary positions, grouped-query
// attention, gated, plain, dReLU or Spark FFN. Parameters carry Hugging Face's names.

import { type Activation, parameterLayout } from '../activations/activation.js'
import { CheckpointError } from '../errors.js'
import type { Draw } from '../kernels/index.js'
import { fillNormal, Purpose } from '../kernels/philox.js'
import { constant, type DType, ops, parameter, sizeOf, type Tape, type Tensor } from '../tensor/index.js'
import type { RopeTable } from '../tensor/ops/index.js'
import { ffnWidths, headDimOf, type ModelConfig } from './config.js'
import { activationParameterName, parameterShapes } from './parameters.js'
import { ropeFrequencies, ropeTable } from './rope.js'

/** Standard deviation of the initial weights; the two projections back into the residual stream get 1/√(2L) of it. */
export const INITIAL_STD = 0.02

/** Options of one forward pass. */
export interface ForwardOptions {
  /** The activation of the FFN: it may differ from the one in the config, and change from step to step. */
  readonly activation: Activation
  /** What the activation's random numbers depend on; `layer` is filled in per layer. */
  readonly draw: Omit<Draw, 'layer'>
  /** Called with the FFN's hidden activations (rows, h) of every layer. */
  readonly onHidden?: (layer: number, hidden: Tensor) => void
  /** An L1 penalty on the FFN's hidden activations. */
  readonly penalty?: HiddenPenalty
}

/** loss += factor · Σ |h| over all layers, rows and neurons of a pass. */
export interface HiddenPenalty {
  readonly factor: number
  /** Called in the backward pass with a layer's Σ |h|, how many of its h are exactly zero, and how many there are. */
  observe(magnitudes: number, zeros: number, elements: number): void
}

export class Llama {
  /** By Hugging Face name, in the order of the forward pass. */
  readonly parameters: ReadonlyMap<string, Tensor>
  #ropeTable: RopeTable | undefined

  private constructor(
    readonly config: ModelConfig,
    parameters: Map<string, Tensor>,
  ) {
    this.parameters = parameters
  }

  /** A new model: weights ~ N(0, 0.02²) drawn from `seed`, smaller into the residual stream; norms 1, biases 0. */
  static initialize(config: ModelConfig, seed: number, dtype: DType = 'f32'): Llama {
    const residualStd = INITIAL_STD / Math.sqrt(2 * config.numHiddenLayers)
    const parameters = new Map<string, Tensor>()
    for (const [index, { name, shape, start }] of parameterShapes(config).entries()) {
      const data = dtype === 'f32' ? new Float32Array(sizeOf(shape)) : new Float64Array(sizeOf(shape))
      if (start !== undefined) data.set(start)
      else if (shape.length === 1) data.fill(name.endsWith('.bias') ? 0 : 1)
      else {
        const intoResidual = name.endsWith('o_proj.weight') || name.endsWith('down_proj.weight')
        fillNormal(
          data,
          { seed, purpose: Purpose.init, stream: index },
          0,
          intoResidual ? residualStd : INITIAL_STD,
        )
      }
      parameters.set(name, parameter(data, shape))
    }
    return new Llama(config, parameters)
  }

  /**
   * A model from stored weights. `tensor` returns the values of a parameter by its name; those that `isTrained` refuses
   * stay as they are in training. Throws CheckpointError TENSOR_SHAPE.
   */
  static from(
    config: ModelConfig,
    tensor: (name: string) => Float32Array,
    isTrained: (name: string) => boolean = () => true,
  ): Llama {
    const parameters = new Map<string, Tensor>()
    for (const { name, shape } of parameterShapes(config)) {
      const data = tensor(name)
      if (data.length !== sizeOf(shape)) {
        throw new CheckpointError(
          'TENSOR_SHAPE',
          `tensor ${name} holds ${data.length} values, the config needs ${shape.join(' × ')}`,
        )
      }
      parameters.set(name, isTrained(name) ? parameter(data, shape) : constant(data, shape))
    }
    return new Llama(config, parameters)
  }

  /** Number of trained weights. */
  get parameterCount(): number {
    let count = 0
    for (const tensor of this.parameters.values()) count += tensor.size
    return count
  }

  /**
   * Logits for every position: tokens (batch·seq) → (batch·seq, vocab). Sequence b is tokens [b·seq, (b + 1)·seq) at
   * positions 0 … seq − 1; row r of the batch draws as row `draw.firstRow + r`.
   */
  logits(tape: Tape, tokens: Int32Array, seq: number, options: ForwardOptions): Tensor {
    const { config } = this
    const hidden = this.#decoder(tape, tokens, seq, options)
    const head = this.#get(config.tieWordEmbeddings ? 'model.embed_tokens.weight' : 'lm_head.weight')
    return ops.linear(tape, hidden, head)
  }

  /** Mean cross-entropy (nats per token) of predicting `targets`, where −1 means "do not count". */
  loss(tape: Tape, tokens: Int32Array, targets: Int32Array, seq: number, options: ForwardOptions): Tensor {
    return ops.crossEntropy(tape, this.logits(tape, tokens, seq, options), targets)
  }

  #get(name: string): Tensor {
    const tensor = this.parameters.get(name)
    if (tensor === undefined) throw new CheckpointError('TENSOR_MISSING', `the model has no tensor ${name}`)
    return tensor
  }

  #decoder(tape: Tape, tokens: Int32Array, seq: number, options: ForwardOptions): Tensor {
    const { numHiddenLayers, rmsNormEps } = this.config
    const rope = this.#rope(tape, seq)
    let x = ops.embedding(tape, tokens, this.#get('model.embed_tokens.weight'))
    for (let layer = 0; layer < numHiddenLayers; layer++) {
      const prefix = `model.layers.${layer}`
      x = this.#attention(tape, x, prefix, rope)
      x = this.#feedForward(tape, x, prefix, layer, seq, options)
    }
    return ops.rmsNorm(tape, x, this.#get('model.norm.weight'), rmsNormEps)
  }

  /** x + o_proj(attention(norm(x))). */
  #attention(tape: Tape, x: Tensor, prefix: string, table: RopeTable): Tensor {
    const { numAttentionHeads: heads, numKeyValueHeads: kvHeads, rmsNormEps } = this.config
    const normed = ops.rmsNorm(tape, x, this.#get(`${prefix}.input_layernorm.weight`), rmsNormEps)
    const bias = (name: string) => this.parameters.get(`${prefix}.self_attn.${name}.bias`) ?? null
    const project = (name: string) =>
      ops.linear(tape, normed, this.#get(`${prefix}.self_attn.${name}.weight`), { bias: bias(name) })
    const q = ops.rope(tape, project('q_proj'), table)
    const k = ops.rope(tape, project('k_proj'), table)
    const v = project('v_proj')
    const { seq, headDim } = table
    const mixed = ops.attention(tape, q, k, v, { batch: x.rows / seq, seq, heads, kvHeads, headDim })
    const output = this.#get(`${prefix}.self_attn.o_proj.weight`)
    return ops.linear(tape, mixed, output, { bias: bias('o_proj'), residual: x })
  }

  /** x + down(hidden), hidden as the form of the FFN in the config says, of norm(x). */
  #feedForward(
    tape: Tape,
    x: Tensor,
    prefix: string,
    layer: number,
    seq: number,
    options: ForwardOptions,
  ): Tensor {
    const { ffn, rmsNormEps } = this.config
    const normed = ops.rmsNorm(tape, x, this.#get(`${prefix}.post_attention_layernorm.weight`), rmsNormEps)
    const project = (name: string, input = normed) =>
      ops.linear(tape, input, this.#get(`${prefix}.mlp.${name}.weight`))
    const draw = { ...options.draw, layer, rowsPerSample: seq }
    const { activation } = options
    const learned = this.#learned(activation, layer)
    let hidden: Tensor
    if (ffn === 'plain') {
      hidden = ops.activation(tape, activation, project('up_proj'), draw, learned)
    } else {
      const [forGate, forUp] = ffn === 'spark' ? this.#split(tape, normed) : [normed, normed]
      const [gate, up] = [project('gate_proj', forGate), project('up_proj', forUp)]
      const combine = ffn === 'drelu' ? ops.dualGate : ops.gate
      hidden = combine(tape, activation, gate, up, draw, learned)
    }
    options.onHidden?.(layer, hidden)
    const { penalty } = options
    if (penalty !== undefined) {
      ops.l1Penalty(tape, hidden, penalty.factor, (magnitudes, zeros) =>
        penalty.observe(magnitudes, zeros, hidden.size),
      )
    }
    return ops.linear(tape, hidden, this.#get(`${prefix}.mlp.down_proj.weight`), { residual: x })
  }

  /** The parts of a Spark FFN's input: what the gate reads, and the rest. */
  #split(tape: Tape, x: Tensor): [forGate: Tensor, forUp: Tensor] {
    const { gate } = ffnWidths(this.config)
    return [ops.columns(tape, x, 0, gate), ops.columns(tape, x, gate, x.width)]
  }

  /** The learned parameters of the activation in one layer; undefined where the model holds none: their start values. */
  #learned(act: Activation, layer: number): Tensor[] | undefined {
    const tensors = parameterLayout(act, this.config.intermediateSize).map(({ name }) =>
      this.parameters.get(activationParameterName(layer, name)),
    )
    const held = tensors.filter(tensor => tensor !== undefined)
    return held.length > 0 && held.length === tensors.length ? held : undefined
  }

  /** The rotation angles, computed once per context length and number type. */
  #rope(tape: Tape, seq: number): RopeTable {
    const fits =
      this.#ropeTable?.seq === seq && this.#ropeTable.cos instanceof Float32Array === (tape.dtype === 'f32')
    if (!fits)
      this.#ropeTable = ropeTable(tape.dtype, seq, ropeFrequencies(this.config, headDimOf(this.config)))
    return this.#ropeTable as RopeTable
  }
}
