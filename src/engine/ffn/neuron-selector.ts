// Which neurons of a layer are worth computing: the door through which everything that skips neurons comes. Both
// selectors here are exact. One that may be wrong (a predictor, the neurons of recent tokens) would be a third: its
// results are approximate, so it is never chosen by itself, and what it did is in the same telemetry.

import type {
  DecodeKernels,
  NarrowGateKernels,
  NarrowGateOptions,
  NarrowIndex,
  Weights,
} from '../../kernels/index.js'

/** The input of one layer's FFN at some positions. */
export interface SelectorInput {
  /** The gate's weights, (h, d). */
  readonly gate: Weights
  /** (rows, d). */
  readonly x: Float32Array
  readonly rows: number
  readonly neurons: number
  readonly width: number
}

/**
 * Fills `out` (rows, h) with the pre-activations of the neurons that it selects, and gives every other one a value that
 * the activation makes exactly 0 of: such neurons are never read. Returns how many rows of the gate it has read in full.
 */
export interface NeuronSelector {
  select(input: SelectorInput, out: Float32Array): number
}

/** Selects all neurons: the whole gate is read, and the activation says which are 0. */
export function wholeGate(decode: DecodeKernels): NeuronSelector {
  return {
    select({ gate, x, rows, neurons, width }, out) {
      decode.matvec(gate, x, out, neurons, width, rows, false)
      return neurons
    },
  }
}

/** Selects the neurons that a narrow copy of the gate cannot prove to lie below the threshold (docs/narrow-gate.md). */
export function narrowGate(
  kernels: NarrowGateKernels,
  index: NarrowIndex,
  options: Omit<NarrowGateOptions, 'batch'>,
): NeuronSelector {
  return {
    select: ({ gate, x, rows }, out) => kernels.narrowGate(gate, index, x, out, { batch: rows, ...options }),
  }
}
