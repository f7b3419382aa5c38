// The neurons of one layer of which only some are in memory: those that never fired on a calibration text are in a file.
// The gate of all neurons is computed as always; when it makes one of them active, its rows are read back before they are
// needed, and stay in memory. So nothing that is computed changes.

import { allocateRows, bytesOf, type Weights, weightTypeOf } from '../../kernels/index.js'
import type { SpillFile } from './spill-file.js'

/** Spare capacity, as a fraction of the neurons that fired, and the factor by which it grows when it is used up. */
const SLACK = 1 / 16
const GROWTH = 1.25

export class CompactNeurons {
  /** The neurons in memory; another matrix after `recall`. */
  weights: Weights
  /** (neurons): the index in `weights` of each neuron, −1 for those in the file. */
  readonly rowOf: Int32Array
  /** How many have been read back. */
  recalled = 0
  /** Those in the file, ascending. */
  #cold: Int32Array
  #stored = 0
  #capacity: number
  readonly #file: SpillFile
  readonly #offsets: Float64Array
  readonly #neuronBytes: number

  /** Keeps the neurons of `full`, of `neuronBytes` each, that have `fired`, and writes the others to `file`. */
  constructor(full: Weights, neuronBytes: number, fired: Uint8Array, file: SpillFile) {
    const neurons = fired.length
    this.#file = file
    this.#neuronBytes = neuronBytes
    this.rowOf = new Int32Array(neurons).fill(-1)
    this.#offsets = new Float64Array(neurons)
    const hot = fired.reduce((sum, flag) => sum + flag, 0)
    this.#capacity = Math.min(neurons, Math.ceil(hot * (1 + SLACK)))
    this.weights = allocateRows(weightTypeOf(full), this.#capacity * neuronBytes)
    const [from, to] = [bytesOf(full), bytesOf(this.weights)]
    const cold: number[] = []
    for (let neuron = 0; neuron < neurons; neuron++) {
      const rows = from.subarray(neuron * this.#neuronBytes, (neuron + 1) * this.#neuronBytes)
      if (fired[neuron] === 0) {
        this.#offsets[neuron] = file.append(rows)
        cold.push(neuron)
      } else {
        to.set(rows, this.#stored * this.#neuronBytes)
        this.rowOf[neuron] = this.#stored++
      }
    }
    this.#cold = Int32Array.from(cold)
  }

  /** Neurons in the file. */
  get dropped(): number {
    return this.#cold.length
  }

  /** Bytes that are in the file instead of in memory. */
  get droppedBytes(): number {
    return (this.rowOf.length - this.#capacity) * this.#neuronBytes
  }

  /** Reads back every neuron for which `active` returns true. Throws StorageError. */
  recall(active: (neuron: number) => boolean): void {
    const needed = this.#cold.filter(active)
    if (needed.length === 0) return
    this.#reserve(this.#stored + needed.length)
    const to = bytesOf(this.weights)
    for (const neuron of needed) {
      const start = this.#stored * this.#neuronBytes
      this.#file.read(this.#offsets[neuron], to.subarray(start, start + this.#neuronBytes))
      this.rowOf[neuron] = this.#stored++
    }
    this.#cold = this.#cold.filter(neuron => this.rowOf[neuron] < 0)
    this.recalled += needed.length
  }

  #reserve(neurons: number): void {
    if (neurons <= this.#capacity) return
    this.#capacity = Math.min(this.rowOf.length, Math.max(neurons, Math.ceil(this.#capacity * GROWTH)))
    const grown = allocateRows(weightTypeOf(this.weights), this.#capacity * this.#neuronBytes)
    bytesOf(grown).set(bytesOf(this.weights).subarray(0, this.#stored * this.#neuronBytes))
    this.weights = grown
  }
}
