// Which neurons of a layer fire: are not exactly 0.

import type { Tensor } from '../tensor/index.js'

/** Whether `neuron` is not 0 in one of the first `count` rows of the hidden activations (rows, h); most are within a few. */
export function firesIn({ data, width, rows }: Tensor, neuron: number, count = rows): boolean {
  for (let i = neuron; i < count * width; i += width) if (data[i] !== 0) return true
  return false
}
