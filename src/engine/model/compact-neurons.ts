// The neurons of one layer of which only some are in memory: those that never fired on a calibration text stand in a
// file. The gate of all neurons is computed as ever; when it revives one of them, its rows are read back before they
// are needed, and stay. So nothing that is computed changes.

import { allocateRows, bytesOf, type Weights, weightTypeOf } from '../../kernels/index.js'
import type { SpillFile } from './spill-file.js'

/** Room for so many more neurons than fired, as a share of them, and how much more when that is full. */
const SLACK = 1 / 16
const GROWTH = 1.25

export class CompactNeurons {
  /** The rows in memory; another matrix after `recall`. */
  weights: Weights
  /** (neurons): which of the stored neurons each is, −1 for those in the file. */
  readonly places: Int32Array
  /** How many have been read back. */
  recalled = 0
  /** Those in the file, ascending. */
  #cold: Int32Array
  #stored = 0
  #room: number
  readonly #file: SpillFile
  readonly #offsets: Float64Array
  readonly #neuronBytes: number

  /** Keeps the neurons of `full`, of `neuronBytes` each, that have `fired`, and writes the others to `file`. */
  constructor(full: Weights, neuronBytes: number, fired: Uint8Array, file: SpillFile) {
    const neurons = fired.length
    this.#file = file
    this.#neuronBytes = neuronBytes
    this.places = new Int32Array(neurons).fill(-1)
    this.#offsets = new Float64Array(neurons)
    const hot = fired.reduce((sum, flag) => sum + flag, 0)
    this.#room = Math.min(neurons, Math.ceil(hot * (1 + SLACK)))
    this.weights = allocateRows(weightTypeOf(full), this.#room * neuronBytes)
    const [from, to] = [bytesOf(full), bytesOf(this.weights)]
    const cold: number[] = []
    for (let neuron = 0; neuron < neurons; neuron++) {
      const rows = from.subarray(neuron * this.#neuronBytes, (neuron + 1) * this.#neuronBytes)
      if (fired[neuron] === 0) {
        this.#offsets[neuron] = file.append(rows)
        cold.push(neuron)
      } else {
        to.set(rows, this.#stored * this.#neuronBytes)
        this.places[neuron] = this.#stored++
      }
    }
    this.#cold = Int32Array.from(cold)
  }

  /** Neurons in the file. */
  get dropped(): number {
    return this.#cold.length
  }

  /** Bytes that stand in the file instead of in memory. */
  get droppedBytes(): number {
    return (this.places.length - this.#room) * this.#neuronBytes
  }

  /** Reads back every neuron that `active` says is needed. Throws StorageError. */
  recall(active: (neuron: number) => boolean): void {
    const needed = this.#cold.filter(active)
    if (needed.length === 0) return
    this.#reserve(this.#stored + needed.length)
    const to = bytesOf(this.weights)
    for (const neuron of needed) {
      const start = this.#stored * this.#neuronBytes
      this.#file.read(this.#offsets[neuron], to.subarray(start, start + this.#neuronBytes))
      this.places[neuron] = this.#stored++
    }
    this.#cold = this.#cold.filter(neuron => this.places[neuron] < 0)
    this.recalled += needed.length
  }

  #reserve(neurons: number): void {
    if (neurons <= this.#room) return
    this.#room = Math.min(this.places.length, Math.max(neurons, Math.ceil(this.#room * GROWTH)))
    const grown = allocateRows(weightTypeOf(this.weights), this.#room * this.#neuronBytes)
    bytesOf(grown).set(bytesOf(this.weights).subarray(0, this.#stored * this.#neuronBytes))
    this.weights = grown
  }
}
