// The FFN of a pass: the gate selects neurons, the activation says which of them are exactly 0, and the rest is either
// computed or skipped, whichever is faster for the number of zeros there are. The result is the same bits either way.

import type { Activation } from '../../activations/index.js'
import {
  type DecodeKernels,
  type Draw,
  type Kernels,
  type NarrowGateKernels,
  type NarrowIndex,
  narrowable,
  narrowGateKernelsOf,
  narrowIndexBytes,
  type Weights,
  weightBytes,
  weightTypeOf,
} from '../../kernels/index.js'
import { ffnWidths, type ModelConfig } from '../../nn/config.js'
import { CompactNeurons } from '../model/compact-neurons.js'
import type { Memory } from '../model/memory.js'
import { hasUpRows, type LayerWeights, neuronBytes } from '../model/weights.js'
import type { Workspace } from '../model/workspace.js'
import { type FfnWork, gateCrossover, neuronCrossover } from './crossover.js'
import { type NarrowGateMode, NarrowGates } from './narrow-gates.js'
import { type NeuronSelector, narrowGate, wholeGate } from './neuron-selector.js'
import type { PassStats } from './stats.js'

/** `auto`: skip where counted zeros make it faster; `sparse`: wherever the activation has zeros; `dense`: nowhere. */
export type FfnMode = 'auto' | 'dense' | 'sparse'

/** Rows up to which the narrow gate is asked: of more rows, few neurons are inactive at all. */
const NARROW_ROWS = 4
/** Memory that must be left for the narrow gate to be made unasked, in sizes of it. */
const NARROW_ROOM = 2
/** The crossover is measured for 1, 2, 4, … rows; for more the kernel decides by counts. */
const MOST_MEASURED_ROWS = 16
/** FFN weights of a model that lives in the caches, where a measurement could not win what it costs. */
const SMALL_MODEL = 16 * 2 ** 20
/** Where nothing is measured: about what is found elsewhere. */
const USUAL_CROSSOVER = 0.7

export interface FfnOptions {
  readonly ffn: FfnMode
  readonly narrow: NarrowGateMode
}

/** Rows of one text, as the FFN sees them: what to apply and whose draws. */
export interface FfnRows {
  readonly activation: Activation
  readonly count: number
  /** Of the first row; the others follow. */
  readonly draw: Draw
  /** Receives the active neurons of the last row. */
  readonly activeNeurons: Int32Array
}

export class FeedForward {
  readonly #config: ModelConfig
  readonly #kernels: Kernels
  readonly #decode: DecodeKernels
  readonly #memory: Memory
  readonly #options: FfnOptions
  readonly #layers: readonly LayerWeights[]
  readonly #widths: ReturnType<typeof ffnWidths>
  readonly #whole: NeuronSelector
  readonly #narrowKernels: NarrowGateKernels
  readonly #crossovers = new Map<number, number>()
  /** One flag per neuron. */
  readonly #anywhere: Uint8Array
  #narrow: NarrowGates | 'never' | null = null

  /** `layers` are those that speed is measured with. */
  constructor(
    config: ModelConfig,
    layers: readonly LayerWeights[],
    context: { readonly kernels: Kernels; readonly decode: DecodeKernels; readonly memory: Memory },
    options: FfnOptions,
  ) {
    this.#config = config
    this.#layers = layers
    this.#kernels = context.kernels
    this.#decode = context.decode
    this.#memory = context.memory
    this.#options = options
    this.#widths = ffnWidths(config)
    this.#whole = wholeGate(context.decode)
    this.#narrowKernels = narrowGateKernelsOf(context.decode)
    this.#anywhere = new Uint8Array(config.intermediateSize)
  }

  /** workspace.x += FFN(workspace.normed), the rows of `texts` one after the other; what was read goes into `stats`. */
  run(
    { layer, index }: { readonly layer: LayerWeights; readonly index: number },
    texts: readonly FfnRows[],
    workspace: Workspace,
    stats: PassStats,
  ): void {
    const { hiddenSize: d, intermediateSize: h } = this.#config
    const widths = this.#widths
    const { x, activated, active } = workspace
    const { rows } = stats
    const { forGate, forUp } = workspace.ffnInputs(rows)
    const zeros = texts.some(({ activation }) => activation.exactZeros)

    const narrow = this.#narrowIndex(index, texts, rows)
    const selector = narrow === null ? this.#whole : this.#narrowSelector(narrow, texts)
    const read = selector.select(
      { gate: layer.gate, x: forGate, rows, neurons: h, width: widths.gate },
      activated,
    )
    this.#activate(layer, texts, activated)
    let bytes =
      read * rowBytes(layer.gate, widths.gate) + (narrow === null ? 0 : narrowIndexBytes(h, widths.gate))

    let passedGate: number | null = null
    if (layer.up !== null) {
      // An activation of whole rows needs every up, whichever of them the gate has left.
      const wholeRows = texts.some(({ activation }) => activation.rowwise)
      passedGate = zeros ? this.#union(activated, rows) : h
      const skips = zeros && !wholeRows && passedGate <= this.#mostActive(rows)
      this.#multiplyUp(layer, layer.up, texts, workspace, { rows, skips })
      bytes += (skips ? passedGate : h) * rowBytes(layer.up, d)
    }
    const sparse = zeros && this.#mostActive(rows)
    const compact = layer.neurons instanceof CompactNeurons ? layer.neurons : null
    compact?.recall(neuron => isActive(activated, neuron, rows, h))
    const shape = {
      neurons: h,
      width: d,
      upWidth: widths.up,
      batch: rows,
      gated: layer.gated,
      sparse,
      places: compact?.places,
    }
    const union = this.#decode.ffnNeurons(neuronsOf(layer), activated, forUp, x, active, shape)
    const skipped = sparse !== false && union <= sparse
    bytes += (skipped ? union : h - (compact?.dropped ?? 0)) * this.#neuronBytes(layer)
    if (zeros && rows <= NARROW_ROWS && this.#narrow instanceof NarrowGates) {
      this.#narrow.seen(index, passedGate ?? union, narrow === null ? null : read)
    }

    stats.ffnBytesRead[index] = bytes
    stats.ffnBytesSkipped[index] = Math.max(0, this.#bytes(layer) - bytes)
    let row = 0
    for (const { count, activeNeurons } of texts) {
      row += count
      activeNeurons[index] = active[row - 1]
    }
  }

  /** Applies each text's activation to its rows of `values` (rows, h). */
  #activate(layer: LayerWeights, texts: readonly FfnRows[], values: Float32Array): void {
    const { intermediateSize: h } = this.#config
    let start = 0
    for (let i = 0; i < texts.length; ) {
      const { activation, draw } = texts[i]
      let count = texts[i++].count
      // Rows that draw nothing are all alike.
      while (!activation.draws && i < texts.length && texts[i].activation === activation) {
        count += texts[i++].count
      }
      const own = values.subarray(start, start + count * h)
      this.#kernels.activation(activation, own, own, count, h, draw, layer.learned?.of(activation))
      start += count * h
    }
  }

  /** dReLU: activated *= activation(up · x); rows of up whose neurons the gate has made 0 need not be read. */
  #multiplyUp(
    layer: LayerWeights,
    up: Weights,
    texts: readonly FfnRows[],
    workspace: Workspace,
    { rows, skips }: { readonly rows: number; readonly skips: boolean },
  ): void {
    const { hiddenSize: d, intermediateSize: h } = this.#config
    const { normed, activated } = workspace
    const values = workspace.upFor(rows)
    if (skips) this.#decode.selectedRows(up, activated, normed, values, h, d, rows)
    else this.#decode.matvec(up, normed, values, h, d, rows, false)
    this.#activate(layer, texts, values)
    this.#kernels.multiply(activated, values, activated, rows * h)
  }

  /** How many neurons are active at one or more of the rows. */
  #union(activated: Float32Array, rows: number): number {
    const { intermediateSize: h } = this.#config
    if (rows === 1) return h - this.#kernels.countZeros(activated, h)
    const anywhere = this.#anywhere.fill(0)
    for (let row = 0, at = 0; row < rows; row++) {
      for (let i = 0; i < h; i++, at++) if (activated[at] !== 0) anywhere[i] = 1
    }
    return anywhere.reduce((sum, flag) => sum + flag, 0)
  }

  /** Up to so many neurons that are active at one or more of the rows, the others are skipped. */
  #mostActive(rows: number): number {
    const { intermediateSize: h } = this.#config
    const { ffn } = this.#options
    if (ffn !== 'auto') return ffn === 'sparse' ? h : 0
    // Of many rows almost every neuron is active at some. The kernel goes through each row's own where that is less work.
    return rows > MOST_MEASURED_ROWS ? h : Math.floor(this.#crossover(rows) * h)
  }

  /** The share of active neurons up to which skipping is faster for so many rows. */
  #crossover(rows: number): number {
    const batch = 2 ** Math.floor(Math.log2(Math.min(rows, MOST_MEASURED_ROWS)))
    let share = this.#crossovers.get(batch)
    if (share === undefined) {
      const work = this.#work(batch)
      const measurable = work.neurons.length > 0 && !this.#small
      share = measurable ? neuronCrossover(work, this.#decode) : USUAL_CROSSOVER
      this.#crossovers.set(batch, share)
    }
    return share
  }

  get #small(): boolean {
    return this.#layers.reduce((sum, layer) => sum + this.#bytes(layer), 0) < SMALL_MODEL
  }

  #work(batch: number): FfnWork {
    const { hiddenSize, intermediateSize, ffn } = this.#config
    const layers = this.#layers
    const { gate: gateWidth, up: upWidth } = this.#widths
    return {
      hiddenSize,
      intermediateSize,
      gateWidth,
      upWidth,
      batch,
      gated: hasUpRows(ffn),
      dtype: weightTypeOf(neuronsOf(layers[0])),
      gates: layers.map(({ gate }) => gate),
      neurons: layers.flatMap(({ neurons }) => (neurons instanceof CompactNeurons ? [] : [neurons])),
      threads: this.#kernels.threads,
    }
  }

  /** The narrow copy of the gate where these rows can use it and it pays; else null. */
  #narrowIndex(index: number, texts: readonly FfnRows[], rows: number): NarrowIndex | null {
    const { narrow: mode } = this.#options
    if (mode === 'off' || rows > NARROW_ROWS || !provable(texts)) return null
    this.#narrow ??= this.#narrowGates()
    return this.#narrow === 'never' ? null : this.#narrow.next(index)
  }

  /** Those of the model, or `never` where they are not possible or not worth their memory. */
  #narrowGates(): NarrowGates | 'never' {
    const { narrow: mode } = this.#options
    const { intermediateSize: rows } = this.#config
    const { gate: columns } = this.#widths
    const work = this.#work(1)
    if (!work.gates.every(gate => narrowable(weightTypeOf(gate)))) return 'never'
    const room = NARROW_ROOM * work.gates.length * narrowIndexBytes(rows, columns)
    if (mode === 'auto' && (this.#small || this.#memory.available() < room)) return 'never'
    const crossover = mode === 'auto' ? gateCrossover(work, this.#decode) : 1
    return new NarrowGates(work.gates, { rows, columns }, this.#narrowKernels, mode, crossover)
  }

  #narrowSelector(index: NarrowIndex, texts: readonly FfnRows[]): NeuronSelector {
    const { activation } = texts[0]
    const threshold = activation.zeroBelow ?? Number.NEGATIVE_INFINITY
    if (!activation.draws) return narrowGate(this.#narrowKernels, index, { threshold })
    const draws = texts.flatMap(({ draw, count }) =>
      Array.from({ length: count }, (_, i) => ({ ...draw, firstRow: draw.firstRow + i })),
    )
    const drawn = { p: activation.fused?.p ?? 1, draws }
    return narrowGate(this.#narrowKernels, index, { threshold, drawn })
  }

  #bytes(layer: LayerWeights): number {
    const { hiddenSize: d, intermediateSize: h } = this.#config
    const gate = rowBytes(layer.gate, this.#widths.gate)
    const up = layer.up === null ? 0 : rowBytes(layer.up, d)
    return h * (gate + up + this.#neuronBytes(layer))
  }

  /** Bytes of the rows of one neuron that are read after the gate. */
  #neuronBytes(layer: LayerWeights): number {
    return neuronBytes(this.#config, weightTypeOf(neuronsOf(layer)))
  }
}

/** Whether the rows share a bound below which their activation is 0, or a draw says that it is. */
function provable(texts: readonly FfnRows[]): boolean {
  const [{ activation }] = texts
  return (
    activation.zeroBelow !== undefined &&
    !activation.rowwise &&
    (!activation.draws || (activation.fused !== undefined && activation.drawPer === 'element')) &&
    texts.every(text => text.activation.spec === activation.spec)
  )
}

function rowBytes(w: Weights, columns: number): number {
  return weightBytes(weightTypeOf(w), columns)
}

function neuronsOf({ neurons }: LayerWeights): Weights {
  return neurons instanceof CompactNeurons ? neurons.weights : neurons
}

function isActive(activated: Float32Array, neuron: number, rows: number, width: number): boolean {
  for (let at = neuron; at < rows * width; at += width) if (activated[at] !== 0) return true
  return false
}
