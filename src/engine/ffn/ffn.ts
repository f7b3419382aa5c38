// One layer's FFN at the rows of a pass: the gate, the activation, and then the neurons that are not exactly 0, in the
// way that the policy has chosen (policy.ts). The result is the same bits whichever way that is.

import {
  type DecodeKernels,
  type Kernels,
  type NarrowGateKernels,
  narrowGateKernelsOf,
  narrowIndexBytes,
  upSideDraw,
  type Weights,
  weightBytes,
  weightTypeOf,
} from '../../kernels/index.js'
import { ffnWidths, type ModelConfig } from '../../nn/config.js'
import type { Cut } from '../../nn/cuts.js'
import { ChannelProduct, cutRow, type Traffic } from '../cuts.js'
import { CompactNeurons } from '../model/compact-neurons.js'
import { type FfnWeights, ffnBytes, isByChannel, neuronBytes, storedNeurons } from '../model/weights.js'
import type { NeuronSelector, SelectedToken } from './neuron-selector.js'
import { clearSigns, recordSigns } from './neuron-signs.js'
import { type FfnPlan, type FfnPolicy, type FfnRows, hasZeros } from './policy.js'

const NO_ROWS = new Uint8Array(0)

export class FeedForward {
  readonly #config: ModelConfig
  readonly #kernels: Kernels
  readonly #decode: DecodeKernels
  readonly #narrow: NarrowGateKernels
  readonly #policy: FfnPolicy
  readonly #channels: ChannelProduct
  readonly #widths: ReturnType<typeof ffnWidths>
  /** Pre-activations, then hidden activations, (rows, h). */
  #hidden = new Float32Array(0)
  /** Up projections where they are a matrix of their own, (rows, h). */
  #up = new Float32Array(0)
  /** Of a Spark FFN with several rows: the parts of its input, one after the other. */
  #parts = new Float32Array(0)
  /** Active neurons of each row. */
  #active = new Int32Array(0)
  /** Which neurons a selector has chosen, (rows, h). */
  #chosen = new Float32Array(0)
  /** One flag per neuron. */
  readonly #anywhere: Uint8Array
  #buffersMade = 0

  constructor(
    config: ModelConfig,
    using: { readonly kernels: Kernels; readonly decode: DecodeKernels },
    policy: FfnPolicy,
  ) {
    this.#config = config
    this.#kernels = using.kernels
    this.#decode = using.decode
    this.#narrow = narrowGateKernelsOf(using.decode)
    this.#policy = policy
    this.#channels = new ChannelProduct(using.decode)
    this.#widths = ffnWidths(config)
    this.#anywhere = new Uint8Array(config.intermediateSize)
  }

  /** Counts the times that buffers were replaced. */
  get buffersMade(): number {
    return this.#buffersMade
  }

  /** Active neurons of each row of the last run, (rows). */
  get active(): Int32Array {
    return this.#active
  }

  /** Hidden activations of the last run, (rows, h). */
  get hidden(): Float32Array {
    return this.#hidden
  }

  /**
   * x (rows, d) += FFN(normed (rows, d)), the rows of `sequences` one after the other. index: of the FFN among those of the
   * model, as the policy counts them; given: its plan, as the policy says, where it has been asked already.
   */
  run(
    layer: FfnWeights,
    index: number,
    sequences: readonly FfnRows[],
    normed: Float32Array,
    x: Float32Array,
    given?: FfnPlan,
  ): Traffic {
    const { hiddenSize: d, intermediateSize: h, ffn } = this.#config
    const widths = this.#widths
    const rows = sequences.reduce((sum, { count }) => sum + count, 0)
    const plan = given ?? this.#policy.plan(index, sequences, rows)
    this.#reserve(rows)
    const [hidden, active] = [this.#hidden, this.#active]
    const { forGate, forUp } = this.#inputs(normed, rows)
    const { cut = null } = plan
    const zeros = cut !== null || hasZeros(sequences)
    const tokens = plan.selector === undefined ? [] : tokensOf(sequences)
    const full = new Set<number>()
    const chosen =
      plan.selector === undefined ? null : this.#choose(plan.selector, index, tokens, normed, full)

    // 1. The gate: pre-activations of all neurons, or of those that the narrow gate cannot prove inactive.
    let gateRowsRead = h
    let bytes = 0
    if (isByChannel(layer.storage)) {
      const input = {
        ...{ x: forGate, rows, channels: widths.gate, cut: null, cutRows: NO_ROWS, zeros: true },
        mostActive: this.#policy.mostActiveChannels ?? 0,
      }
      const { read } = this.#channels.add(layer.gate, input, hidden.fill(0, 0, rows * h), h)
      if (layer.gateBias !== null) this.#kernels.addBias(hidden, layer.gateBias, rows, h)
      gateRowsRead = 0
      bytes += read
    } else if (chosen !== null) {
      // Where another row has chosen a neuron it is computed in this one too, and set to 0 below.
      this.#decode.selectedRows(layer.gate, chosen, forGate, hidden, h, widths.gate, rows)
      if (layer.gateBias !== null) this.#kernels.addBias(hidden, layer.gateBias, rows, h)
      gateRowsRead = this.#anywhereIn(chosen, rows)
      bytes += rows * (plan.selector?.bytes ?? 0)
    } else if (plan.narrow === null) {
      this.#decode.matvec(layer.gate, forGate, hidden, h, widths.gate, rows, false, layer.gateBias)
    } else {
      const { index: narrowIndex, options } = plan.narrow
      gateRowsRead = this.#narrow.narrowGate(layer.gate, narrowIndex, forGate, hidden, {
        ...options,
        bias: layer.gateBias,
      })
      bytes += narrowIndexBytes(h, widths.gate)
    }
    bytes += gateRowsRead * rowBytes(layer.gate, widths.gate)

    // 2. The activation, which makes inactive neurons exactly 0.
    activateRows(this.#kernels, layer, sequences, hidden, h)
    if (cut !== null) this.#cut(cut, sequences)
    if (chosen !== null) this.#kernels.multiply(hidden, chosen, hidden, rows * h)
    recordSigns(sequences, index, hidden, h)
    for (const row of full) {
      plan.selector?.observe(index, tokens[row], hidden.subarray(row * h, (row + 1) * h))
    }

    // 3. Where it is a matrix of its own: the up projection of the neurons that the gate has left, of a dReLU FFN activated.
    let leftByGate: number | null = null
    if (layer.up !== null) {
      leftByGate = zeros ? this.#activeAnywhere(rows) : h
      // An activation of whole rows needs every up projection, whichever of them the gate has left.
      const wholeRows = ffn === 'drelu' && sequences.some(({ activation }) => activation.rowwise)
      const skips = !wholeRows && leftByGate <= plan.maxActive
      this.#multiplyByUp(layer, layer.up, sequences, forUp, rows, skips)
      bytes += (skips ? leftByGate : h) * rowBytes(layer.up, widths.up)
      clearSigns(sequences, index, hidden, h)
    }

    // 4. Up and down projections of the neurons that are not 0, or of all.
    const compact = layer.neurons instanceof CompactNeurons ? layer.neurons : null
    compact?.recall(neuron => this.#isActive(neuron, rows))
    const union = this.#decode.ffnNeurons(storedNeurons(layer), hidden, forUp, x, active, {
      neurons: h,
      width: d,
      upWidth: widths.up,
      batch: rows,
      gated: layer.gated,
      maxActive: plan.maxActive,
      rowOf: compact?.rowOf,
    })
    if (layer.downBias !== null) this.#kernels.addBias(x, layer.downBias, rows, d)
    return this.#told(layer, index, sequences, plan, {
      gateRowsRead,
      bytes,
      union,
      active: leftByGate ?? union,
      zeros,
    })
  }

  /**
   * What `run` returns and tells of a single row whose kernel calls were repeated; `results`: what those returned that return a
   * number, from `at` on.
   */
  repeated(
    layer: FfnWeights,
    index: number,
    sequences: readonly FfnRows[],
    plan: FfnPlan,
    results: Float64Array,
    at: number,
  ): Traffic {
    const { intermediateSize: h } = this.#config
    const { gate: width } = this.#widths
    const [first, second] = [results[at], results[at + 1]]
    const [gateRowsRead, union] = plan.narrow === null ? [h, first] : [first, second]
    const narrowBytes = plan.narrow === null ? 0 : narrowIndexBytes(h, width)
    const bytes = narrowBytes + gateRowsRead * rowBytes(layer.gate, width)
    this.#active[0] = union
    const zeros = hasZeros(sequences)
    return this.#told(layer, index, sequences, plan, { gateRowsRead, bytes, union, active: union, zeros })
  }

  /** Tells the policy and the sequences what an FFN has shown; returns the bytes of weights that it read and left out. */
  #told(
    layer: FfnWeights,
    index: number,
    sequences: readonly FfnRows[],
    plan: FfnPlan,
    shown: {
      readonly gateRowsRead: number
      /** Bytes read but for neurons. */
      readonly bytes: number
      /** Neurons that are not 0 at one row or more; those that the gate left. */
      readonly union: number
      readonly active: number
      readonly zeros: boolean
    },
  ): Traffic {
    const { intermediateSize: h } = this.#config
    const { union, gateRowsRead } = shown
    const dropped = layer.neurons instanceof CompactNeurons ? layer.neurons.dropped : 0
    const computed = union <= plan.maxActive ? union : h - dropped
    const bytes = shown.bytes + computed * neuronBytes(this.#config, layer)
    let row = 0
    for (const { count, activeNeurons } of sequences) {
      row += count
      activeNeurons[index] = this.#active[row - 1]
    }
    if (shown.zeros) {
      const { active } = shown
      this.#policy.observe(index, {
        rows: row,
        active,
        gateRowsRead: plan.narrow === null ? null : gateRowsRead,
      })
    }
    return { read: bytes, skipped: Math.max(0, ffnBytes(this.#config, layer) - bytes) }
  }

  /**
   * (rows, h): 1 for the neurons that are computed; null where all are, in all rows. `full` receives the rows with all. A token
   * that is read together with others of its sequence is computed in full.
   */
  #choose(
    selector: NeuronSelector,
    index: number,
    tokens: readonly RowToken[],
    input: Float32Array,
    full: Set<number>,
  ): Float32Array | null {
    const { intermediateSize: h, hiddenSize: d } = this.#config
    const rows = tokens.length
    if (this.#chosen.length < rows * h) this.#chosen = new Float32Array(rows * h)
    for (const [row, token] of tokens.entries()) {
      const own = this.#chosen.subarray(row * h, (row + 1) * h)
      const selects =
        token.alone && selector.select(index, token, input.subarray(row * d, (row + 1) * d), own)
      if (selects) continue
      own.fill(1)
      full.add(row)
    }
    return full.size === rows ? null : this.#chosen.subarray(0, rows * h)
  }

  /** Neurons that the cut of the layer leaves out, in the rows that it applies to. */
  #cut(cut: Cut, sequences: readonly FfnRows[]): void {
    const { intermediateSize: h } = this.#config
    let start = 0
    for (const { count, firstCut = count } of sequences) {
      for (let row = start + firstCut; row < start + count; row++) {
        cutRow(cut, this.#hidden.subarray(row * h, (row + 1) * h))
      }
      start += count
    }
  }

  /**
   * hidden *= up · x (rows, width of up), of a dReLU FFN activation(up · x); with `skips`, up rows whose neurons the gate
   * has made 0 are not read.
   */
  #multiplyByUp(
    layer: FfnWeights,
    up: Weights,
    sequences: readonly FfnRows[],
    x: Float32Array,
    rows: number,
    skips: boolean,
  ): void {
    const { intermediateSize: h, ffn } = this.#config
    const columns = this.#widths.up
    if (this.#up.length < rows * h) this.#up = new Float32Array(rows * h)
    const [hidden, values] = [this.#hidden, this.#up.subarray(0, rows * h)]
    if (skips) this.#decode.selectedRows(up, hidden, x, values, h, columns, rows)
    else this.#decode.matvec(up, x, values, h, columns, rows, false)
    if (ffn === 'drelu') {
      const own = sequences.map(one => ({ ...one, draw: upSideDraw(one.draw) }))
      activateRows(this.#kernels, layer, own, values, h)
    }
    this.#kernels.multiply(hidden, values, hidden, rows * h)
  }

  /** What gate and up rows read of `normed`: of a Spark FFN (rows, r) and (rows, d − r), of all others `normed`. */
  #inputs(
    normed: Float32Array,
    rows: number,
  ): { readonly forGate: Float32Array; readonly forUp: Float32Array } {
    const { ffn, hiddenSize: d } = this.#config
    if (ffn !== 'spark') return { forGate: normed, forUp: normed }
    const { gate, up } = this.#widths
    if (rows === 1) return { forGate: normed.subarray(0, gate), forUp: normed.subarray(gate, d) }
    if (this.#parts.length < rows * d) this.#parts = new Float32Array(rows * d)
    const forGate = this.#parts.subarray(0, rows * gate)
    const forUp = this.#parts.subarray(rows * gate, rows * d)
    for (let row = 0; row < rows; row++) {
      forGate.set(normed.subarray(row * d, row * d + gate), row * gate)
      forUp.set(normed.subarray(row * d + gate, (row + 1) * d), row * up)
    }
    return { forGate, forUp }
  }

  /** How many neurons are active at one or more of the rows. */
  #activeAnywhere(rows: number): number {
    return this.#anywhereIn(this.#hidden, rows)
  }

  /** How many columns of `values` (rows, h) are not 0 in one or more rows. */
  #anywhereIn(values: Float32Array, rows: number): number {
    const { intermediateSize: h } = this.#config
    if (rows === 1) return h - this.#kernels.countZeros(values, h)
    const anywhere = this.#anywhere.fill(0)
    for (let row = 0, at = 0; row < rows; row++) {
      for (let i = 0; i < h; i++, at++) if (values[at] !== 0) anywhere[i] = 1
    }
    return anywhere.reduce((sum, flag) => sum + flag, 0)
  }

  #isActive(neuron: number, rows: number): boolean {
    const { intermediateSize: h } = this.#config
    for (let at = neuron; at < rows * h; at += h) if (this.#hidden[at] !== 0) return true
    return false
  }

  #reserve(rows: number): void {
    if (rows <= this.#active.length) return
    this.#buffersMade++
    this.#hidden = new Float32Array(rows * this.#config.intermediateSize)
    this.#active = new Int32Array(rows)
  }
}

/** A row of a pass, and whether it is the only one of its sequence. */
interface RowToken extends SelectedToken {
  readonly alone: boolean
}

function tokensOf(sequences: readonly FfnRows[]): RowToken[] {
  return sequences.flatMap(rows => {
    const { count, draw, sequence = rows, approximateFrom: from = Number.POSITIVE_INFINITY } = rows
    return Array.from({ length: count }, (_, i) => {
      return { sequence, position: draw.firstRow + i, from, alone: count === 1 }
    })
  })
}

/** Applies each sequence's activation to its rows of `values` (rows, neurons). */
export function activateRows(
  kernels: Kernels,
  layer: FfnWeights,
  sequences: readonly FfnRows[],
  values: Float32Array,
  neurons: number,
): void {
  let start = 0
  for (let i = 0; i < sequences.length; ) {
    const { activation, draw } = sequences[i]
    let count = sequences[i++].count
    // One call for neighbors with one activation that draws nothing.
    while (!activation.draws && i < sequences.length && sequences[i].activation === activation) {
      count += sequences[i++].count
    }
    const own = values.subarray(start, start + count * neurons)
    kernels.activation(activation, own, own, count, neurons, draw, layer.learned?.of(activation))
    start += count * neurons
  }
}

function rowBytes(w: Weights, columns: number): number {
  return weightBytes(weightTypeOf(w), columns)
}
