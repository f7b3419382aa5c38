// Which neurons a token has activated: of every neuron whether its activation was exactly 0, above or below.

import type { ModelConfig } from '../../nn/config.js'
import type { FfnRows } from './policy.js'

const ZERO = 0
const POSITIVE = 1
const NEGATIVE = 2

/** Room for the signs of one token, layers × intermediateSize; none of a mixture of experts, of whose neurons most do not run. */
export function roomForSigns({
  numHiddenLayers,
  intermediateSize,
  experts,
}: ModelConfig): Uint8Array | undefined {
  return experts === undefined ? new Uint8Array(numHiddenLayers * intermediateSize) : undefined
}

/** Writes the signs of the last row of each sequence that wants them. hidden: (rows, h), what the activation gave. */
export function recordSigns(
  sequences: readonly FfnRows[],
  index: number,
  hidden: Float32Array,
  h: number,
): void {
  eachWanted(sequences, h, (neurons, row) => {
    for (let k = 0, to = index * h, from = row * h; k < h; k++, to++, from++) {
      const value = hidden[from]
      neurons[to] = value === 0 ? ZERO : value > 0 ? POSITIVE : NEGATIVE
    }
  })
}

/** Takes out neurons that are 0 after all. hidden: (rows, h), activation times up projection. */
export function clearSigns(
  sequences: readonly FfnRows[],
  index: number,
  hidden: Float32Array,
  h: number,
): void {
  eachWanted(sequences, h, (neurons, row) => {
    for (let k = 0; k < h; k++) if (hidden[row * h + k] === 0) neurons[index * h + k] = ZERO
  })
}

function eachWanted(
  sequences: readonly FfnRows[],
  h: number,
  visit: (neurons: Uint8Array, row: number) => void,
): void {
  let end = 0
  for (const { count, neurons } of sequences) {
    end += count
    if (neurons !== undefined && h > 0) visit(neurons, end - 1)
  }
}
