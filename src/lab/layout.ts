// The lab's network: n_features → b → n_features → b → … → n_classes, an activation after every hidden linear layer.
// All numbers that are trained stand in one buffer; here is where each of them stands, and where it starts.

import { type Activation, parameterCount, startParameters } from '../activations/index.js'
import { Purpose, philox4x32, seedWords } from '../kernels/philox.js'

/** One linear layer and, unless it is the last, the activation after it; offsets into the parameter buffer. */
export interface LayerPlace {
  readonly inputs: number
  readonly outputs: number
  /** (outputs, inputs), row by row. */
  readonly weight: number
  /** (outputs). */
  readonly bias: number
  /** The activation's learned parameters, as `parameterLayout(activation, outputs)` lays them out. */
  readonly learned: number
  readonly learnedLength: number
}

export interface NetworkLayout {
  /** n_features, then the width of each layer's output: 30, 4, 30, 4, 30, 2. */
  readonly widths: readonly number[]
  readonly layers: readonly LayerPlace[]
  /** Length of the parameter buffer. */
  readonly length: number
}

/** Widths of the stack; hidden layers alternate between the bottleneck and n_features. */
export function stackWidths(shape: {
  features: number
  classes: number
  nLayers: number
  bottleneck: number
}): number[] {
  const hidden = Array.from({ length: shape.nLayers }, (_, i) =>
    i % 2 === 0 ? shape.bottleneck : shape.features,
  )
  return [shape.features, ...hidden, shape.classes]
}

export function networkLayout(widths: readonly number[], activation: Activation): NetworkLayout {
  let length = 0
  const layers = widths.slice(1).map((outputs, i) => {
    const inputs = widths[i]
    const weight = length
    const bias = weight + inputs * outputs
    const learned = bias + outputs
    const learnedLength = i === widths.length - 2 ? 0 : parameterCount(activation, outputs)
    length = learned + learnedLength
    return { inputs, outputs, weight, bias, learned, learnedLength }
  })
  return { widths, layers, length }
}

/**
 * The parameters at the start: weights and biases uniform in ±1/√inputs (PyTorch's `nn.Linear`: Kaiming uniform with
 * a = √5), learned parameters of the activation at their start values. Weights depend on `seed` and the layer alone,
 * so that runs with other activations start from the same network.
 */
export function initialParameters(layout: NetworkLayout, activation: Activation, seed: number): Float64Array {
  const parameters = new Float64Array(layout.length)
  layout.layers.forEach((layer, i) => {
    const bound = 1 / Math.sqrt(layer.inputs)
    fillUniform(parameters.subarray(layer.weight, layer.bias), seed, 2 * i, bound)
    fillUniform(parameters.subarray(layer.bias, layer.learned), seed, 2 * i + 1, bound)
    if (layer.learnedLength > 0) parameters.set(startParameters(activation, layer.outputs), layer.learned)
  })
  return parameters
}

/** Uniform numbers in [−bound, bound); element i depends on the seed, the stream and i alone. */
function fillUniform(out: Float64Array, seed: number, stream: number, bound: number): void {
  const [low, high] = seedWords(seed)
  const words = new Uint32Array(4)
  for (let i = 0; i < out.length; i += 4) {
    philox4x32(i >>> 2, stream, 2, Purpose.init << 16, low, high, words)
    for (let k = 0; k < 4 && i + k < out.length; k++) out[i + k] = (words[k] * 2 ** -31 - 1) * bound
  }
}

/**
 * order (n) = 0 … n − 1 shuffled for one epoch (Fisher and Yates); a function of the seed and the epoch alone. An
 * index is a random word's fraction of its range, which favors none by more than n · 2⁻³².
 */
export function shuffleForEpoch(order: Int32Array, seed: number, epoch: number): void {
  const [low, high] = seedWords(seed)
  const words = new Uint32Array(4)
  for (let i = 0; i < order.length; i++) order[i] = i
  for (let i = order.length - 1, drawn = 0; i > 0; i--, drawn++) {
    if ((drawn & 3) === 0) philox4x32(drawn >>> 2, epoch, 2, Purpose.data << 16, low, high, words)
    const j = Math.floor(words[drawn & 3] * 2 ** -32 * (i + 1))
    const kept = order[i]
    order[i] = order[j]
    order[j] = kept
  }
}
