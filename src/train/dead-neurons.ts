// Neurons that have stopped firing: an L1 penalty makes them, and with ReLU they get no gradient that would bring them
// back. Counted over training batches, and on request revived: their gate weights move towards new random ones.
// arXiv 2603.23198, section on dead neurons.

import { fillNormal, Purpose } from '../kernels/philox.js'
import { neuronsPerLayer } from '../nn/config.js'
import { INITIAL_STD, type Llama } from '../nn/llama.js'
import { firesIn } from '../nn/neurons.js'
import { expertName } from '../nn/parameters.js'
import type { Tensor } from '../tensor/index.js'

/** For each layer the last step in which each neuron fired; of a mixture those of all experts, one expert after the other. */
export type LastFired = readonly (readonly number[])[]

export class DeadNeurons {
  readonly #lastFired: Int32Array[]

  /** `since`: the step after which it counts; neurons of which nothing is stored count as having fired then. */
  constructor({ config }: Pick<Llama, 'config'>, since: number, lastFired?: LastFired) {
    const neurons = neuronsPerLayer(config)
    this.#lastFired = Array.from({ length: config.numHiddenLayers }, (_, layer) => {
      const stored = lastFired?.[layer]
      return stored?.length === neurons ? Int32Array.from(stored) : new Int32Array(neurons).fill(since)
    })
  }

  /** Notes which neurons are not 0 in some row of `hidden` (rows, h), of a mixture those of one expert. */
  observe(step: number, layer: number, hidden: Tensor, expert = 0): void {
    const { width } = hidden
    const last = this.#lastFired[layer].subarray(expert * width, (expert + 1) * width)
    for (const neuron of last.keys()) if (firesIn(hidden, neuron)) last[neuron] = step
  }

  /** Of each layer the neurons that have not fired in the last `after` steps up to `step`, ascending. */
  dead(step: number, after: number): number[][] {
    return this.#lastFired.map(last => [...last.keys()].filter(neuron => last[neuron] <= step - after))
  }

  /**
   * Moves the gate weights w of every dead neuron (of an FFN without gate: its up weights) to (1 − λ)·w + λ·n, with n ~
   * N(0, 0.02²) drawn from (seed, step, layer). Returns how many neurons that were.
   */
  revive(model: Llama, step: number, options: { after: number; lambda: number; seed: number }): number {
    const { after, lambda, seed } = options
    const { ffn, numHiddenLayers, intermediateSize: h, experts } = model.config
    const gate = ffn === 'plain' ? 'up_proj' : 'gate_proj'
    let revived = 0
    for (const [layer, neurons] of this.dead(step, after).entries()) {
      if (neurons.length === 0) continue
      const gates = Array.from({ length: experts?.count ?? 1 }, (_, expert) => {
        const part = experts === undefined ? 'mlp' : expertName(expert)
        return model.parameters.get(`model.layers.${layer}.${part}.${gate}.weight`)
      })
      const [first] = gates
      if (first?.requiresGrad !== true) continue
      const { width } = first
      const fresh = new Float32Array(neurons.length * width)
      const stream = (step * numHiddenLayers + layer) % 2 ** 32
      fillNormal(fresh, { seed, purpose: Purpose.revival, stream }, 0, INITIAL_STD)
      for (const [at, neuron] of neurons.entries()) {
        const { data } = gates[Math.floor(neuron / h)] ?? first
        for (let i = 0; i < width; i++) {
          const w = (neuron % h) * width + i
          data[w] = (1 - lambda) * data[w] + lambda * fresh[at * width + i]
        }
      }
      revived += neurons.length
    }
    return revived
  }

  /** What a checkpoint stores. */
  get lastFired(): LastFired {
    return this.#lastFired.map(last => [...last])
  }
}
