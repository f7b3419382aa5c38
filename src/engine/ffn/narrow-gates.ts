// The narrow gates of a model: one index per layer, made when it first pays, and the choice from token to token whether
// to use it. The choice rests on counts of what was active and what was read; the text is the same either way.

import type { NarrowGateKernels, NarrowIndex, Weights } from '../../kernels/index.js'

/** `on`: at every token. `auto`: where it is faster. */
export type NarrowGateMode = 'on' | 'off' | 'auto'

/** Tokens that the dense gate is used for after the narrow one has not paid: from the first to the last, doubling. */
const [FIRST_PAUSE, LAST_PAUSE] = [8, 512]
/** How much of the mean share of active neurons each new token makes up. */
const MEMORY = 0.25

interface Layer {
  readonly gate: Weights
  index: NarrowIndex | null
  /** Mean share of active neurons lately; NaN before the first token. */
  active: number
  /** Tokens until the narrow gate is tried again. */
  wait: number
  pause: number
}

export class NarrowGates {
  readonly kernels: NarrowGateKernels
  readonly mode: NarrowGateMode
  readonly #layers: Layer[]
  readonly #rows: number
  readonly #columns: number
  readonly #crossover: number

  /**
   * gates: each layer's (rows, columns). crossover: the share of rows read in full up to which the narrow gate is faster
   * (`gateCrossover`); only `auto` asks for it.
   */
  constructor(
    gates: readonly Weights[],
    shape: { readonly rows: number; readonly columns: number },
    kernels: NarrowGateKernels,
    mode: NarrowGateMode,
    crossover: number,
  ) {
    this.kernels = kernels
    this.mode = mode
    this.#rows = shape.rows
    this.#columns = shape.columns
    this.#crossover = crossover
    this.#layers = gates.map(gate => ({ gate, index: null, active: Number.NaN, wait: 0, pause: FIRST_PAUSE }))
  }

  /** The index to use for the next token of this layer, or null for the dense gate. */
  next(layer: number): NarrowIndex | null {
    const state = this.#layers[layer]
    if (this.mode === 'off') return null
    if (this.mode === 'auto') {
      // At least the active rows are read in full; before the first token nobody knows how many they are.
      if (!(state.active <= this.#crossover)) return null
      if (state.wait > 0) {
        state.wait--
        return null
      }
    }
    state.index ??= this.kernels.buildNarrowIndex(state.gate, this.#rows, this.#columns)
    return state.index
  }

  /** What a token showed: its active neurons, and the gate rows read in full, or null after the dense gate. */
  seen(layer: number, active: number, read: number | null): void {
    const state = this.#layers[layer]
    const share = active / this.#rows
    state.active = Number.isNaN(state.active) ? share : state.active + MEMORY * (share - state.active)
    if (read === null) return
    if (read <= this.#crossover * this.#rows) {
      state.pause = FIRST_PAUSE
      return
    }
    state.wait = state.pause
    state.pause = Math.min(LAST_PAUSE, 2 * state.pause)
  }
}
