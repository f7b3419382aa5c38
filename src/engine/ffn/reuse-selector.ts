// Re-use of neurons (ReLU Strikes Back, Mirzadeh et al. 2023): for γ tokens only the neurons that were active at one of the γ
// tokens before are computed, then γ tokens are computed in full, and so on.

import { OptionError } from '../../errors.js'
import { received } from '../option-checks.js'
import type { NeuronSelector, SelectedToken } from './neuron-selector.js'

interface Seen {
  /** The first position that was computed in full and seen; all after it are known. */
  readonly since: number
  /** Per layer and neuron the last position at which it was active; −1: none. */
  readonly last: Int32Array[]
}

export class ReuseSelector implements NeuronSelector {
  readonly description: string
  readonly bytes = 0
  readonly #gamma: number
  readonly #layers: number
  readonly #neurons: number
  readonly #seen = new WeakMap<object, Seen>()

  /** Throws OptionError REUSE_RANGE unless gamma is an integer of at least 1. */
  constructor(gamma: number, { layers, neurons }: { readonly layers: number; readonly neurons: number }) {
    if (!(Number.isInteger(gamma) && gamma >= 1)) {
      throw new OptionError(
        'REUSE_RANGE',
        `reuse must be an integer of at least 1, the tokens for which neurons are re-used, not ${received(gamma)}`,
      )
    }
    this.#gamma = gamma
    this.#layers = layers
    this.#neurons = neurons
    this.description = `of every ${2 * gamma} tokens, ${gamma} compute the neurons alone that the ${gamma} before them used`
  }

  select(layer: number, token: SelectedToken, _: Float32Array, chosen: Float32Array): boolean {
    const { sequence, position, from } = token
    if (position < from) return false
    const block = Math.floor((position - from) / this.#gamma)
    const start = from + block * this.#gamma
    const window = Math.max(0, start - this.#gamma)
    const seen = this.#seen.get(sequence)
    // A sequence that was forked has not seen what came before it.
    if (block % 2 === 1 || start === 0 || seen === undefined || seen.since > window) return false
    const last = seen.last[layer]
    for (let i = 0; i < last.length; i++) chosen[i] = last[i] >= window ? 1 : 0
    return true
  }

  observe(layer: number, { sequence, position }: SelectedToken, activated: Float32Array): void {
    let seen = this.#seen.get(sequence)
    if (seen === undefined) {
      const last = Array.from({ length: this.#layers }, () => new Int32Array(this.#neurons).fill(-1))
      seen = { since: position, last }
      this.#seen.set(sequence, seen)
    }
    const last = seen.last[layer]
    for (let i = 0; i < last.length; i++) if (activated[i] !== 0) last[i] = position
  }
}
