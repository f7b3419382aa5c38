// The lab's network as training sees it: one buffer of parameters, gradients of a batch, a forward pass.

import { type Activation, expectationOf } from '../activations/index.js'
import type { Floats } from '../kernels/index.js'
import type { Purpose } from '../kernels/philox.js'
import type { LabSplit } from './data/index.js'
import type { NetworkLayout } from './layout.js'

/** Which activation with which settings, and which random numbers, one pass uses. */
export interface Moment {
  readonly activation: Activation
  readonly seed: number
  readonly purpose: Purpose
  /** Passes with the same step draw the same numbers. */
  readonly step: number
  readonly dropout: number
}

/** What a forward pass leaves behind; buffers are good until the next pass. */
export interface Forward {
  /** samples × classes. */
  readonly logits: Floats
  /** Of every hidden layer in turn (width × samples), after dropout. */
  readonly hidden: Floats
  /** The activation's gate at the same places: ReLU's weight; null for activations without one. */
  readonly gates: Floats | null
}

export interface Network {
  readonly layout: NetworkLayout
  /** f32, or f64 for checks; `optimize` changes them in place. */
  readonly parameters: Floats
  /** Of the last batch. */
  readonly gradients: Floats
  /** Gradients of the mean loss over samples order[first … first + count) of `data`; returns the sum of their losses. */
  learn(data: LabSplit, order: Int32Array, first: number, count: number, moment: Moment): number
  forward(x: Float32Array, samples: number, moment: Moment): Forward
}

/** The activation, or the mean over its draws. */
export function inMode(activation: Activation, mode: 'drawn' | 'expectation'): Activation {
  return mode === 'expectation' ? expectationOf(activation) : activation
}
