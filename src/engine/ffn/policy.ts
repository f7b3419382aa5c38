// How an FFN is computed: dense, skipping inactive neurons, with the narrow gate or without. The choice rests on counts
// of earlier tokens and on speeds measured on this machine (crossover.ts). It changes how long a token takes, never its
// result. ffn.ts computes what is chosen here.

import type { Activation } from '../../activations/index.js'
import { OptionError } from '../../errors.js'
import {
  type DecodeKernels,
  type Draw,
  type Kernels,
  type NarrowGateKernels,
  type NarrowGateOptions,
  type NarrowIndex,
  narrowable,
  narrowGateKernelsOf,
  narrowIndexBytes,
  type Weights,
  type WeightType,
  weightTypeOf,
} from '../../kernels/index.js'
import { ffnWidths, type ModelConfig } from '../../nn/config.js'
import type { Cut } from '../../nn/cuts.js'
import { CompactNeurons } from '../model/compact-neurons.js'
import type { Memory } from '../model/memory.js'
import { type FfnWeights, ffnBytes, gateTypesOf, isByChannel, storedNeurons } from '../model/weights.js'
import { received } from '../option-checks.js'
import { type FfnWork, forcedCrossover, gateCrossover, neuronCrossover } from './crossover.js'
import type { NeuronSelector } from './neuron-selector.js'

/** `auto`: skip where counted zeros make it faster; `sparse`: wherever the activation is exactly 0; `dense`: nowhere. */
export const FFN_MODES = ['auto', 'dense', 'sparse'] as const
export type FfnMode = (typeof FFN_MODES)[number]
/** Throws OptionError FFN_UNKNOWN for what is neither a mode nor left out. */
export function requireFfnMode(ffn: FfnMode | undefined): void {
  if (ffn === undefined || FFN_MODES.includes(ffn)) return
  throw new OptionError('FFN_UNKNOWN', `ffn must be one of ${FFN_MODES.join(', ')}, not ${received(ffn)}`)
}

/** `on`: at every token, refused where that is not possible. `auto`: where it is faster. */
export type NarrowGateMode = 'on' | 'off' | 'auto'

export interface FfnOptions {
  readonly ffn: FfnMode
  readonly narrowGate: NarrowGateMode
}

/** The rows of one sequence in a pass: consecutive positions, one activation. */
export interface FfnRows {
  readonly activation: Activation
  readonly count: number
  /** Of the first row; the others follow. */
  readonly draw: Draw
  /** Receives the number of active neurons in the last row, at the index of the layer. */
  readonly activeNeurons: Int32Array
  /** Receives the signs of the last row's activations, layers × h: neuron-signs.ts. Default: nobody asks. */
  readonly neurons?: Uint8Array
  /** The first of the rows that the model's cuts apply to. Default: none. */
  readonly firstCut?: number
  /** The same object for all rows of a sequence, in every pass. */
  readonly sequence?: object
  /** The first position of the sequence that approximations apply to. Default: none. */
  readonly approximateFrom?: number
  /** Instead of the model's. */
  readonly ffn?: FfnMode
}

/** How one layer's FFN computes the rows of a pass. */
export interface FfnPlan {
  /** Prove neurons inactive with this narrow copy of the gate; null: read the whole gate. */
  readonly narrow: { readonly index: NarrowIndex; readonly options: NarrowGateOptions } | null
  /** Skip inactive neurons where at most this many are active at one or more rows; 0: compute every neuron. */
  readonly maxActive: number
  /** Set neurons to 0 as this says, in the rows that the model's cuts apply to: approximate. Default: none. */
  readonly cut?: Cut | null
  /** Compute the neurons alone that this chooses, at tokens that are read alone: approximate. Default: all. */
  readonly selector?: NeuronSelector
}

/** What a layer's FFN showed while it was computed. */
export interface FfnObservation {
  readonly rows: number
  /** Neurons that the gate left active at one or more rows. */
  readonly active: number
  /** Gate rows that were read in full; null where the narrow gate was not used. */
  readonly gateRowsRead: number | null
}

/**
 * Decides how FFNs are computed. Both implementations here are exact. Those that may be wrong (cut-policy.ts,
 * selecting-policy.ts) are never chosen by default.
 */
export interface FfnPolicy {
  /** Throws OptionError where the options rule this activation out. */
  requireUsable(activation: Activation): void
  /** layer: the number of the FFN among those of the model: of the layer, or of an expert. */
  plan(layer: number, sequences: readonly FfnRows[], rows: number): FfnPlan
  /** Called after every pass in which neurons could be inactive. */
  observe(layer: number, observation: FfnObservation): void
  /**
   * Of matrices stored by input channel: skip where at most this fraction of the channels has an element that is not 0.
   * Default 0: read all.
   */
  readonly mostActiveChannels?: number
}

/** Computes every neuron. */
export const DENSE_POLICY: FfnPolicy = {
  requireUsable() {},
  plan: () => ({ narrow: null, maxActive: 0 }),
  observe() {},
}

/** The narrow gate is used for up to this many rows: of more rows, few neurons are inactive at all of them. */
const NARROW_ROWS = 4
/** `auto` makes narrow gates only where free memory is this many times their size. */
const NARROW_MEMORY = 2
/** The crossover is measured for 1, 2, 4, … rows up to this many; for more rows the kernel decides by counts. */
const MOST_MEASURED_ROWS = 16
/** Bytes of FFN weights that fit into caches, where a measurement takes longer than skipping could save. */
const SMALL_MODEL = 16 * 2 ** 20
/** Where nothing is measured: about what is found elsewhere. */
const USUAL_CROSSOVER = 0.7

/** The same for input channels, whose rows are read in order: skipping pays almost at once. */
const USUAL_CHANNEL_CROSSOVER = 0.9

/** Whether an activation of these rows makes neurons exactly 0. */
export function hasZeros(sequences: readonly FfnRows[]): boolean {
  return sequences.some(({ activation }) => activation.exactZeros)
}

/** Chooses among the exact ways as the options say, or by measured speed. */
export class ExactFfnPolicy implements FfnPolicy {
  readonly #config: ModelConfig
  readonly #options: FfnOptions
  readonly #layers: readonly FfnWeights[]
  readonly #kernels: Kernels
  readonly #decode: DecodeKernels
  readonly #memory: Memory
  /** By number of rows. */
  readonly #crossovers = new Map<number, number>()
  #narrowGates: NarrowGates | 'unavailable' | null = null

  /** Speed is measured with the weights of `layers`, the FFNs of the model (`ffnsOf`). */
  constructor(
    config: ModelConfig,
    layers: readonly FfnWeights[],
    using: { readonly kernels: Kernels; readonly decode: DecodeKernels; readonly memory: Memory },
    options: FfnOptions,
  ) {
    this.#config = config
    this.#layers = layers
    this.#kernels = using.kernels
    this.#decode = using.decode
    this.#memory = using.memory
    this.#options = options
    if (options.narrowGate === 'on' && isByChannel(layers[0]?.storage)) {
      throw new OptionError(
        'NARROW_GATE_STORAGE',
        'narrowGate "on" needs the gate neuron by neuron, and this model is stored by input channel, as its inputs have ' +
          'zeros; use narrowGate "auto"',
      )
    }
  }

  requireUsable(activation: Activation): void {
    requireNarrowGate(this.#options.narrowGate, activation, gateTypesOf(this.#layers))
  }

  plan(layer: number, sequences: readonly FfnRows[], rows: number): FfnPlan {
    return this.planFor(layer, sequences, rows, hasZeros(sequences))
  }

  /** `plan`, told whether neurons can be 0. */
  planFor(layer: number, sequences: readonly FfnRows[], rows: number, zeros: boolean): FfnPlan {
    const narrow = this.#narrow(layer, sequences, rows)
    return { narrow, maxActive: zeros ? this.#maxActive(rows, this.#modeOf(sequences)) : 0 }
  }

  observe(layer: number, { rows, active, gateRowsRead }: FfnObservation): void {
    if (rows <= NARROW_ROWS && this.#narrowGates instanceof NarrowGates) {
      this.#narrowGates.observe(layer, active, gateRowsRead)
    }
  }

  get mostActiveChannels(): number {
    return { auto: USUAL_CHANNEL_CROSSOVER, sparse: 1, dense: 0 }[this.#options.ffn]
  }

  /** What all sequences of a pass ask for; `auto` where they differ: the result is the same. */
  #modeOf(sequences: readonly FfnRows[]): FfnMode {
    const { ffn } = this.#options
    const mode = sequences[0]?.ffn ?? ffn
    return sequences.every(sequence => (sequence.ffn ?? ffn) === mode) ? mode : 'auto'
  }

  #maxActive(rows: number, ffn: FfnMode): number {
    const { intermediateSize: h } = this.#config
    if (ffn !== 'auto') return ffn === 'sparse' ? h : 0
    // Of many rows almost every neuron is active at some. The kernel uses each row's own where that is less work.
    return rows > MOST_MEASURED_ROWS ? h : Math.floor(this.#crossover(rows) * h)
  }

  /** The fraction of active neurons up to which skipping is faster for this many rows. */
  #crossover(rows: number): number {
    const batch = 2 ** Math.floor(Math.log2(Math.min(rows, MOST_MEASURED_ROWS)))
    let fraction = this.#crossovers.get(batch)
    if (fraction === undefined) {
      const work = this.#work(batch)
      const measurable = work.neurons.length > 0 && !this.#small
      fraction = measurable ? neuronCrossover(work, this.#decode) : (forcedCrossover() ?? USUAL_CROSSOVER)
      this.#crossovers.set(batch, fraction)
    }
    return fraction
  }

  get #small(): boolean {
    return this.#layers.reduce((sum, layer) => sum + ffnBytes(this.#config, layer), 0) < SMALL_MODEL
  }

  #work(batch: number): FfnWork {
    const { hiddenSize, intermediateSize } = this.#config
    const { gate: gateWidth, up: upWidth } = ffnWidths(this.#config)
    return {
      ...{ hiddenSize, intermediateSize, gateWidth, upWidth, batch },
      gated: this.#layers[0].gated,
      dtype: weightTypeOf(storedNeurons(this.#layers[0])),
      gates: this.#layers.map(({ gate }) => gate),
      neurons: this.#layers.flatMap(({ neurons }) =>
        neurons === null || neurons instanceof CompactNeurons ? [] : [neurons],
      ),
      threads: this.#kernels.threads,
    }
  }

  /** The narrow gate of this layer where these rows can use it and it pays; else null. */
  #narrow(layer: number, sequences: readonly FfnRows[], rows: number): FfnPlan['narrow'] {
    if (this.#options.narrowGate === 'off' || rows > NARROW_ROWS) return null
    if (isByChannel(this.#layers[layer].storage)) return null
    const [{ activation }] = sequences
    const alike = sequences.every(sequence => sequence.activation.spec === activation.spec)
    if (!alike || !isProvable(activation)) return null
    this.#narrowGates ??= this.#makeNarrowGates()
    if (this.#narrowGates === 'unavailable') return null
    const index = this.#narrowGates.next(layer)
    return index === null ? null : { index, options: narrowGateOptions(activation, sequences, rows) }
  }

  /** Those of the model, or `unavailable` where they are not possible or not worth their memory. */
  #makeNarrowGates(): NarrowGates | 'unavailable' {
    const { narrowGate: mode } = this.#options
    const { intermediateSize: rows } = this.#config
    const { gate: columns } = ffnWidths(this.#config)
    const work = this.#work(1)
    if (!work.gates.every(gate => narrowable(weightTypeOf(gate)))) return 'unavailable'
    const wanted = NARROW_MEMORY * work.gates.length * narrowIndexBytes(rows, columns)
    if (mode === 'auto' && (this.#small || this.#memory.available() < wanted)) return 'unavailable'
    const crossover = mode === 'auto' ? gateCrossover(work, this.#decode) : 1
    return new NarrowGates(work.gates, { rows, columns }, narrowGateKernelsOf(this.#decode), mode, crossover)
  }
}

/**
 * Throws OptionError NARROW_GATE_DTYPE, NARROW_GATE_ACTIVATION where the narrow gate is on and these weights or this
 * activation cannot have one.
 */
export function requireNarrowGate(
  mode: NarrowGateMode,
  activation: Activation,
  gateTypes: Iterable<WeightType>,
): void {
  if (mode !== 'on') return
  for (const type of gateTypes) {
    if (narrowable(type)) continue
    throw new OptionError(
      'NARROW_GATE_DTYPE',
      `narrowGate "on" needs gate weights in f32, bf16 or f16, not ${type}; use dtype bf16, or narrowGate "auto"`,
    )
  }
  if (!isProvable(activation)) {
    throw new OptionError(
      'NARROW_GATE_ACTIVATION',
      `narrowGate "on" needs an activation that is exactly 0 below a fixed threshold, such as relu, and ` +
        `${activation.spec} is not; use narrowGate "auto"`,
    )
  }
}

/** Whether a bound on a pre-activation can prove that the activation is 0 there. */
function isProvable(activation: Activation): boolean {
  const { zeroBelow, rowwise, draws, fused, drawPer } = activation
  return zeroBelow !== undefined && !rowwise && (!draws || (fused !== undefined && drawPer === 'element'))
}

function narrowGateOptions(
  { zeroBelow: threshold = Number.NEGATIVE_INFINITY, draws, fused }: Activation,
  sequences: readonly FfnRows[],
  batch: number,
): NarrowGateOptions {
  if (!draws) return { batch, threshold }
  const perRow = sequences.flatMap(({ draw, count }) =>
    Array.from({ length: count }, (_, i) => ({ ...draw, firstRow: draw.firstRow + i })),
  )
  return { batch, threshold, drawn: { p: fused?.p ?? 1, draws: perRow } }
}

/** Tokens that the dense gate is used for after the narrow one has not paid: the first time and at most; it doubles. */
const [FIRST_PAUSE, LAST_PAUSE] = [8, 512]
/** Weight of each new token in the running mean of the fraction of active neurons. */
const SMOOTHING = 0.25

interface NarrowLayer {
  readonly gate: Weights
  index: NarrowIndex | null
  /** Running mean of the fraction of active neurons; NaN before the first token. */
  active: number
  /** Tokens until the narrow gate is tried again. */
  wait: number
  pause: number
}

/** The narrow gates of a model: an index per layer, made when it first pays, and for each token whether to use it. */
export class NarrowGates {
  readonly #kernels: NarrowGateKernels
  readonly #mode: NarrowGateMode
  readonly #layers: NarrowLayer[]
  readonly #rows: number
  readonly #columns: number
  readonly #crossover: number

  /**
   * gates: each layer's (rows, columns). crossover: the fraction of rows read in full up to which the narrow gate is
   * faster (`gateCrossover`); used by mode `auto` alone.
   */
  constructor(
    gates: readonly Weights[],
    shape: { readonly rows: number; readonly columns: number },
    kernels: NarrowGateKernels,
    mode: NarrowGateMode,
    crossover: number,
  ) {
    this.#kernels = kernels
    this.#mode = mode
    this.#rows = shape.rows
    this.#columns = shape.columns
    this.#crossover = crossover
    this.#layers = gates.map(gate => ({ gate, index: null, active: Number.NaN, wait: 0, pause: FIRST_PAUSE }))
  }

  /** The index to use for the next token of this layer, or null for the dense gate. */
  next(layer: number): NarrowIndex | null {
    const state = this.#layers[layer]
    if (this.#mode === 'off') return null
    if (this.#mode === 'auto') {
      // At least the active rows are read in full; before the first token their number is not known.
      if (!(state.active <= this.#crossover)) return null
      if (state.wait > 0) {
        state.wait--
        return null
      }
    }
    state.index ??= this.#kernels.buildNarrowIndex(state.gate, this.#rows, this.#columns)
    return state.index
  }

  /** What a token showed: its active neurons, and the gate rows read in full, or null after the dense gate. */
  observe(layer: number, active: number, read: number | null): void {
    const state = this.#layers[layer]
    const fraction = active / this.#rows
    state.active = Number.isNaN(state.active)
      ? fraction
      : state.active + SMOOTHING * (fraction - state.active)
    if (read === null) return
    if (read <= this.#crossover * this.#rows) {
      state.pause = FIRST_PAUSE
      return
    }
    state.wait = state.pause
    state.pause = Math.min(LAST_PAUSE, 2 * state.pause)
  }
}
