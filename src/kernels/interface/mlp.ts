// The lab's network in one call: forward and backward of a whole stack for one batch. Only the native backend has it as
// a kernel; on others the lab runs the same network on the tape.

import { type Activation, parameterCount } from '../../activations/activation.js'
import type { Draw } from './training.js'

/** How a stack runs at one moment of training. */
export interface MlpMoment {
  /** After every layer but the last. */
  readonly activation: Activation
  /** Of the first hidden layer; the next one's `layer` is one more. */
  readonly draw: Draw
  /** Fraction of the hidden activations that are set to 0, the others divided by what is left. */
  readonly dropout: number
  /** Purpose of the dropout's draws: element (row, neuron) of hidden layer l as in `Draw`. */
  readonly dropoutPurpose: number
}

/** Samples × features and the classes of the samples. */
export interface MlpData {
  readonly x: Float32Array
  readonly y: Int32Array
  readonly samples: number
}

/**
 * A stack of linear layers. Its parameters are one buffer: of each layer in turn its weights (outputs × inputs), its
 * bias (outputs) and, unless it is the last, its activation's learned parameters (flat, as `parameterLayout` says).
 */
export interface MlpStack {
  /**
   * `gradients` = those of the mean cross-entropy over the samples order[first … first + count) of `data`. Returns the
   * sum of their losses in nats.
   */
  gradients(
    moment: MlpMoment,
    parameters: Float32Array,
    gradients: Float32Array,
    data: MlpData,
    order: Int32Array,
    first: number,
    count: number,
  ): number
  /**
   * The first `samples` rows of x forward: logits (samples × classes); of every hidden layer in turn (width × samples)
   * the hidden activations after dropout and, where asked for, the activation's gate (`Activation.gate`).
   */
  forward(
    moment: MlpMoment,
    parameters: Float32Array,
    x: Float32Array,
    samples: number,
    out: { logits: Float32Array; hidden: Float32Array; gates: Float32Array | null },
  ): void
}

/** Learned values of one activation that the native kernel has room for. */
export const MOST_LEARNED = 64

/** Whether the native kernel runs this activation: rows of neurons that depend on each other it does not. */
export function mlpSupports(activation: Activation): boolean {
  if (activation.fused !== undefined) return true
  return (
    !activation.rowwise && activation.programs !== undefined && parameterCount(activation, 1) <= MOST_LEARNED
  )
}
