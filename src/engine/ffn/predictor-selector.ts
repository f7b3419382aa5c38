// Neurons that a trained low-rank predictor takes for active.

import { type DecodeKernels, weightBytes } from '../../kernels/index.js'
import type { Predictor } from '../../nn/predictor.js'
import type { NeuronSelector, SelectedToken } from './neuron-selector.js'

export class PredictorSelector implements NeuronSelector {
  readonly description: string
  readonly bytes: number
  readonly #predictor: Predictor
  readonly #decode: DecodeKernels
  readonly #components: Float32Array

  /** The predictor fits the model: `predictorProblem`. */
  constructor(predictor: Predictor, decode: DecodeKernels) {
    const { rank, layers } = predictor
    this.#predictor = predictor
    this.#decode = decode
    this.#components = new Float32Array(rank)
    this.description = `only neurons that a predictor of rank ${rank} takes for active are computed`
    const [{ into, out, bias }] = layers
    this.bytes = weightBytes('f32', into.length + out.length + bias.length)
  }

  select(
    layer: number,
    { position, from }: SelectedToken,
    input: Float32Array,
    chosen: Float32Array,
  ): boolean {
    if (position < from) return false
    const { rank, layers } = this.#predictor
    const { into, out, bias } = layers[layer]
    this.#decode.matvec(into, input, this.#components, rank, into.length / rank, 1, false)
    this.#decode.matvec(out, this.#components, chosen, bias.length, rank, 1, false, bias)
    for (let i = 0; i < bias.length; i++) chosen[i] = chosen[i] > 0 ? 1 : 0
    return true
  }

  observe(): void {}
}
