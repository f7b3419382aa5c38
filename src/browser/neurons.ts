// Which neurons were active for each token: seen by the engine's observer while a step runs, given out with the tokens
// that it leads to.

import type { VectorObserver } from '../engine/attention/attention.js'
import type { GeneratedToken } from '../engine/generation/continuation.js'
import type { ModelConfig } from '../nn/config.js'

/** A neuron's activation: exactly 0, above, below. */
const ZERO = 0
const POSITIVE = 1
const NEGATIVE = 2

/** The last pass, as far as it can be one token of each sequence. */
export class NeuronRecorder {
  /** Set while a page wants to see neurons: no time is spent otherwise. */
  wanted = false
  #config: ModelConfig | null = null
  /** (rows, layers, neurons) of the last pass with at most `#most` rows; of a longer one its last row. */
  #seen: Uint8Array[] = []
  #rows = 0
  #most = 1

  readonly observer: VectorObserver = (vector, layer, values, rows, width) => {
    if (!this.wanted || vector !== 'gate' || this.#config === null) return
    const { numHiddenLayers } = this.#config
    if (layer === 0) {
      this.#rows = rows
      const kept = rows <= this.#most ? rows : 1
      this.#seen = Array.from({ length: kept }, () => new Uint8Array(numHiddenLayers * width))
    }
    for (const [i, seen] of this.#seen.entries()) {
      const row = this.#rows <= this.#most ? i : rows - 1
      const to = layer * width
      for (let k = 0, from = row * width; k < width; k++, from++) {
        const value = values[from]
        seen[to + k] = value === 0 ? ZERO : value > 0 ? POSITIVE : NEGATIVE
      }
    }
  }

  modelIs(config: ModelConfig): void {
    this.#config = config
  }

  /** Tells of each token of a call which neurons were active; the tokens in the order in which they are generated. */
  follow(sequences: readonly number[]): (token: GeneratedToken) => Uint8Array | undefined {
    let order = [...sequences]
    let next: number[] = []
    this.#most = sequences.length
    return ({ sequence, finishReason }) => {
      const place = order.indexOf(sequence)
      if (finishReason === null) next.push(sequence)
      const found = this.#seen[Math.min(Math.max(place, 0), this.#seen.length - 1)]
      // The tokens of one step come in order: after the last one, the next step.
      if (place === order.length - 1) {
        order = next
        next = []
      }
      return found?.slice()
    }
  }
}
