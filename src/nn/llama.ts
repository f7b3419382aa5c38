// The decoder as a graph on the tape, as the config describes it: Llama's block and its differences in other families.
// Parameters carry Hugging Face's names.

import { type Activation, parameterLayout } from '../activations/activation.js'
import { parseActivation } from '../activations/index.js'
import { ActivationError, CheckpointError } from '../errors.js'
import type { Draw, Floats } from '../kernels/index.js'
import { fillNormal, Purpose } from '../kernels/philox.js'
import { constant, type DType, ops, parameter, sizeOf, type Tape, type Tensor } from '../tensor/index.js'
import type { RopeTable } from '../tensor/ops/index.js'
import {
  drawLayer,
  type ExpertsConfig,
  ffnWidths,
  headDimOf,
  layerKind,
  layerNorms,
  type ModelConfig,
} from './config.js'
import { activationParameterName, expertName, parameterShapes } from './parameters.js'
import { type RopeKind, ropeTable, rotationOf } from './rope.js'

/** Standard deviation of the initial weights; the two projections back into the residual stream get 1/√(2L) of it. */
export const INITIAL_STD = 0.02

/** Options of one forward pass. */
export interface ForwardOptions {
  /** The activation of the FFN: it may differ from the one in the config, and change from step to step. */
  readonly activation: Activation
  /** What the activation's random numbers depend on; `layer` is filled in per layer. */
  readonly draw: Omit<Draw, 'layer'>
  /** Called with the FFN's hidden activations of every layer. */
  readonly onHidden?: HiddenObserver
  /** Called with what the activation is applied to, (rows, h), of every layer; of a mixture for each expert that some rows chose. */
  readonly onPreActivation?: (layer: number, values: Tensor) => void
  /** An L1 penalty on the FFN's hidden activations. */
  readonly penalty?: HiddenPenalty
  /**
   * Products of an FFN leave its inactive neurons out where at most this fraction is active: the same sums in another order.
   * Default SPARSE_PRODUCTS_BELOW; 0: never.
   */
  readonly sparseProductsBelow?: number
}

/**
 * `hidden`: (rows, h). Of a mixture of experts it is called for each expert that some rows chose: `expert` is its number, and
 * `rows` are those of the batch, ascending.
 */
export type HiddenObserver = (
  layer: number,
  hidden: Tensor,
  of?: { readonly expert: number; readonly rows: Int32Array },
) => void

/** loss += factor · Σ |h| over all layers, rows and neurons of a pass. */
export interface HiddenPenalty {
  readonly factor: number
  /** Called in the backward pass with a layer's Σ |h|, how many of its h are exactly zero, and how many there are. */
  observe(magnitudes: number, zeros: number, elements: number): void
}

export class Llama {
  /** By Hugging Face name, in the order of the forward pass. */
  readonly parameters: ReadonlyMap<string, Tensor>
  readonly #ropeTables = new Map<RopeKind, RopeTable>()

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
    const bias = this.parameters.get('lm_head.bias') ?? null
    const logits = this.#scaled(tape, ops.linear(tape, hidden, head, { bias }), config.logitScale)
    return config.finalSoftcap === undefined ? logits : ops.softcap(tape, logits, config.finalSoftcap)
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
    const { config } = this
    const { parallelBranches } = config
    const norms = layerNorms(config)
    let x = this.#embedded(tape, tokens, seq)
    for (let layer = 0; layer < config.numHiddenLayers; layer++) {
      const prefix = `model.layers.${layer}`
      const named = (name: string | null) => (name === null ? null : `${prefix}.${name}`)
      const input = (from: Tensor, norm: string | null) =>
        this.#rectified(tape, this.#normed(tape, from, named(norm)), { ...options.draw, layer })
      const attentionInput = input(x, norms.attentionInput)
      const mixed = this.#attention(tape, attentionInput, layer, seq)
      const after = this.#joined(tape, x, mixed, named(norms.attentionOutput))
      let ffnInput = attentionInput
      if (parallelBranches !== 'oneNorm') {
        ffnInput = input(parallelBranches === 'twoNorms' ? x : after, norms.ffnInput)
      }
      const branch =
        config.experts === undefined
          ? this.#feedForward(tape, ffnInput, layer, seq, options)
          : this.#mixture(tape, ffnInput, layer, seq, options, config.experts)
      x = this.#joined(tape, after, branch, named(norms.ffnOutput))
    }
    return this.#normed(tape, x, 'model.norm')
  }

  /** Embeddings of the tokens, with those of their positions where the model learns these. */
  #embedded(tape: Tape, tokens: Int32Array, seq: number): Tensor {
    const { learnedPositions, embeddingScale } = this.config
    const x = this.#scaled(
      tape,
      ops.embedding(tape, tokens, this.#get('model.embed_tokens.weight')),
      embeddingScale,
    )
    if (learnedPositions === undefined) return x
    const positions = tokens.map((_, row) => (row % seq) + learnedPositions.offset)
    return ops.add(tape, x, ops.embedding(tape, positions, this.#get('model.embed_positions.weight')))
  }

  #scaled(tape: Tape, x: Tensor, factor: number | undefined): Tensor {
    return factor === undefined ? x : ops.scale(tape, x, factor)
  }

  /** x itself without a norm of that name. */
  #normed(tape: Tape, x: Tensor, name: string | null): Tensor {
    if (name === null) return x
    const { norm, rmsNormEps } = this.config
    const weight = this.#get(`${name}.weight`)
    if (norm !== 'layer') return ops.rmsNorm(tape, x, weight, rmsNormEps)
    return ops.layerNorm(tape, x, weight, this.#get(`${name}.bias`), rmsNormEps)
  }

  /** The normed input of a branch, with what the config applies to it. */
  #rectified(tape: Tape, x: Tensor, draw: Draw): Tensor {
    const { normActivation } = this.config
    return normActivation === undefined ? x : ops.activation(tape, parseActivation(normActivation), x, draw)
  }

  /** The residual stream with a branch added to it: the last projection of the branch, bias included, of `input`. */
  #joined(tape: Tape, x: Tensor, branch: Branch | Tensor, norm: string | null): Tensor {
    const { residualScale } = this.config
    if ('weight' in branch && norm === null && residualScale === undefined) {
      const { input: hidden, active } = branch
      if (active !== undefined) return ops.sparseDown(tape, { hidden, active }, branch.weight, x)
      return ops.linear(tape, branch.input, branch.weight, { bias: branch.bias, residual: x })
    }
    const projected =
      'weight' in branch ? ops.linear(tape, branch.input, branch.weight, { bias: branch.bias }) : branch
    const output = this.#normed(tape, projected, norm)
    return ops.add(tape, this.#scaled(tape, output, residualScale), x)
  }

  /** Attention up to its output projection, of its normed input. */
  #attention(tape: Tape, input: Tensor, layer: number, seq: number): Branch {
    const { config } = this
    const { numAttentionHeads: heads, numKeyValueHeads: kvHeads, rmsNormEps, qkNorm } = config
    const prefix = `model.layers.${layer}.self_attn`
    const kind = layerKind(config, layer)
    const table = this.#rope(tape, seq, kind.rope)
    const bias = (name: string) => this.parameters.get(`${prefix}.${name}.bias`) ?? null
    const project = (name: string) =>
      ops.linear(tape, input, this.#get(`${prefix}.${name}.weight`), { bias: bias(name) })
    const rotated = (name: string, norm: string) => {
      const projected = project(name)
      const normed =
        qkNorm === undefined
          ? projected
          : ops.rmsNormOfParts(tape, projected, this.#get(`${prefix}.${norm}.weight`), rmsNormEps)
      return kind.rope === 'none' ? normed : ops.rope(tape, normed, table)
    }
    const q = rotated('q_proj', 'q_norm')
    const k = rotated('k_proj', 'k_norm')
    const v = project('v_proj')
    const { headDim } = table
    const mixed = ops.attention(tape, q, k, v, {
      ...{ batch: input.rows / seq, seq, heads, kvHeads, headDim },
      ...{ scale: config.attentionScale, softcap: config.attentionSoftcap, window: kind.window },
    })
    return { input: mixed, weight: this.#get(`${prefix}.o_proj.weight`), bias: bias('o_proj') }
  }

  /** The experts that each row has chosen, mixed: (rows, d). */
  #mixture(
    tape: Tape,
    normed: Tensor,
    layer: number,
    seq: number,
    options: ForwardOptions,
    experts: ExpertsConfig,
  ): Tensor {
    const logits = ops.linear(tape, normed, this.#get(`model.layers.${layer}.mlp.gate.weight`))
    const routed = ops.routing(tape, logits, experts)
    const outputs = routed.rows.map((rows, expert) => {
      if (rows.length === 0) return null
      const own = ops.selectRows(tape, normed, rows)
      const { input, weight } = this.#feedForward(tape, own, layer, seq, options, { expert, rows })
      return ops.linear(tape, input, weight)
    })
    return ops.mixExperts(tape, routed, outputs, normed.width)
  }

  /**
   * The FFN, or one expert of a mixture at its `rows`, up to its down projection, of its normed input; its hidden activations as
   * the form in the config says.
   */
  #feedForward(
    tape: Tape,
    normed: Tensor,
    layer: number,
    seq: number,
    options: ForwardOptions,
    of?: { readonly expert: number; readonly rows: Int32Array },
  ): Branch {
    const { ffn } = this.config
    const prefix = `model.layers.${layer}.${of === undefined ? 'mlp' : expertName(of.expert)}`
    const bias = (name: string) => this.parameters.get(`${prefix}.${name}.bias`) ?? null
    // What a sparse gate will find out about the gradient of the gate's projection.
    const gradient = { mostlyZero: false }
    const project = (name: string, input = normed) =>
      ops.linear(tape, input, this.#get(`${prefix}.${name}.weight`), {
        bias: bias(name),
        ...(name === 'gate_proj' && { gradient }),
      })
    const draw = { ...options.draw, layer: drawLayer(this.config, layer, of?.expert), rowsPerSample: seq }
    const { activation } = options
    if (of !== undefined && activation.draws) throw drawingExperts(activation)
    const learned = this.#learned(activation, layer)
    let hidden: Tensor
    let active: Floats | undefined
    if (ffn === 'plain') {
      const up = project('up_proj')
      options.onPreActivation?.(layer, up)
      hidden = ops.activation(tape, activation, up, draw, learned)
    } else {
      const [forGate, forUp] = ffn === 'spark' ? this.#split(tape, normed) : [normed, normed]
      const gate = project('gate_proj', forGate)
      options.onPreActivation?.(layer, gate)
      const sparse =
        ffn === 'gated' && of === undefined && bias('up_proj') === null && bias('down_proj') === null
          ? ops.sparseGate(tape, activation, gate, forUp, this.#get(`${prefix}.up_proj.weight`), {
              ...{ draw, gradient, most: options.sparseProductsBelow },
            })
          : null
      const combine = ffn === 'drelu' ? ops.dualGate : ops.gate
      hidden = sparse?.hidden ?? combine(tape, activation, gate, project('up_proj', forUp), draw, learned)
      active = sparse?.active
    }
    options.onHidden?.(layer, hidden, of)
    const { penalty } = options
    if (penalty !== undefined) {
      ops.l1Penalty(tape, hidden, penalty.factor, (magnitudes, zeros) =>
        penalty.observe(magnitudes, zeros, hidden.size),
      )
    }
    return { input: hidden, weight: this.#get(`${prefix}.down_proj.weight`), bias: bias('down_proj'), active }
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

  /** The rotation angles of one kind of layers, computed once per context length and number type. */
  #rope(tape: Tape, seq: number, kind: RopeKind): RopeTable {
    const known = this.#ropeTables.get(kind)
    if (known?.seq === seq && known.cos instanceof Float32Array === (tape.dtype === 'f32')) return known
    const table = ropeTable(tape.dtype, seq, rotationOf(this.config, headDimOf(this.config), kind, seq))
    this.#ropeTables.set(kind, table)
    return table
  }
}

/** What a branch adds to the residual stream, before its last projection. */
interface Branch {
  readonly input: Tensor
  readonly weight: Tensor
  readonly bias: Tensor | null
  /** Not 0 where the input is computed at all: most of it is 0. */
  readonly active?: Floats
}

/** The rows of an expert are not consecutive, and draws are made for consecutive rows. */
function drawingExperts({ spec }: Activation): ActivationError {
  return new ActivationError(
    'ACTIVATION_EXPERTS',
    `${spec} draws random numbers, which training a mixture of experts does not support; use an activation that draws none, such as relu`,
  )
}
