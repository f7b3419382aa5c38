// The policy of a model with cuts on its neurons (`flicker sparsify`): each layer's neurons become 0 as its cut says, and
// the exact policy decides how the others are computed. Approximate: the results are those of the masked model.

import type { Activation } from '../../activations/index.js'
import type { LayerWeights } from '../model/weights.js'
import {
  type ExactFfnPolicy,
  type FfnObservation,
  type FfnPlan,
  type FfnPolicy,
  type FfnRows,
  hasZeros,
} from './policy.js'

export class CutFfnPolicy implements FfnPolicy {
  readonly #exact: ExactFfnPolicy
  readonly #layers: readonly LayerWeights[]

  /** The cuts are those of `layers`. */
  constructor(exact: ExactFfnPolicy, layers: readonly LayerWeights[]) {
    this.#exact = exact
    this.#layers = layers
  }

  get mostActiveChannels(): number {
    return this.#exact.mostActiveChannels
  }

  requireUsable(activation: Activation): void {
    this.#exact.requireUsable(activation)
  }

  plan(layer: number, sequences: readonly FfnRows[], rows: number): FfnPlan {
    const applies = sequences.some(({ firstCut, count }) => firstCut !== undefined && firstCut < count)
    const cut = applies ? (this.#layers[layer].cuts?.neurons ?? null) : null
    return { ...this.#exact.planFor(layer, sequences, rows, cut !== null || hasZeros(sequences)), cut }
  }

  observe(layer: number, observation: FfnObservation): void {
    this.#exact.observe(layer, observation)
  }
}
