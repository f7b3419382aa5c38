// The policy of a model that decodes approximately: a selector chooses neurons before the exact policy decides how those that
// are left are computed.

import type { Activation } from '../../activations/index.js'
import type { NeuronSelector } from './neuron-selector.js'
import {
  type ExactFfnPolicy,
  type FfnObservation,
  type FfnPlan,
  type FfnPolicy,
  type FfnRows,
  hasZeros,
} from './policy.js'

export class SelectingFfnPolicy implements FfnPolicy {
  readonly #exact: ExactFfnPolicy
  readonly #selector: NeuronSelector

  constructor(exact: ExactFfnPolicy, selector: NeuronSelector) {
    this.#exact = exact
    this.#selector = selector
  }

  requireUsable(activation: Activation): void {
    this.#exact.requireUsable(activation)
  }

  plan(layer: number, sequences: readonly FfnRows[], rows: number): FfnPlan {
    const plan = this.#exact.plan(layer, sequences, rows)
    return hasZeros(sequences) ? { ...plan, selector: this.#selector } : plan
  }

  observe(layer: number, observation: FfnObservation): void {
    this.#exact.observe(layer, observation)
  }
}
