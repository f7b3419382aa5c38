// Runs an activation's programs over one row of neurons, forward and backward, in double precision. The portable
// kernels and an entry's own functions of one number (a row of one neuron) both go through here.

import type { Settings } from './activation.js'
import { BLOCK, Machine } from './machine.js'
import type { ActivationPrograms, LearnedNumber } from './programs.js'

type Numbers = ArrayLike<number>

/** The k of `rowKthLargest` as a rank in a row: an integer from 1 to `width`. */
export function rankOf(k: number, width: number): number {
  return Math.min(width, Math.max(1, Math.round(k)))
}

/** Machines for one set of programs; `begin` once per call, then row after row. */
export class RowRunner {
  readonly #programs: ActivationPrograms
  readonly #numbers: readonly LearnedNumber[]
  /** How many learned parameters the layer shares; the rest are rows of neurons' parameters. */
  readonly #shared: number
  readonly #statistics: { readonly value: Machine; readonly k?: Machine; readonly derivatives?: Machine }[]
  readonly #forward: Machine
  #backward: Machine | undefined
  #settings: Settings = {}
  #parameters: Numbers = []
  #width = 0
  readonly #means: Float64Array
  readonly #adjoints: Float64Array
  #scratch = new Float64Array(0)

  constructor(programs: ActivationPrograms) {
    this.#programs = programs
    this.#numbers = programs.learned
    this.#shared = programs.learned.filter(({ per }) => per === 'layer').length
    this.#forward = new Machine(programs.forward)
    this.#statistics = programs.statistics.map(({ value, k, derivatives }) => ({
      value: new Machine(value),
      ...(k && { k: new Machine(k) }),
      ...(derivatives && { derivatives: new Machine(derivatives) }),
    }))
    this.#means = new Float64Array(programs.statistics.length)
    this.#adjoints = new Float64Array(programs.statistics.length)
  }

  /** Starts a call: rows of `width` neurons with these settings and the layer's flat parameter buffer. */
  begin(settings: Settings, parameters: Numbers, width: number): void {
    this.#settings = settings
    this.#parameters = parameters
    this.#width = width
    this.#fill(this.#forward)
    if (this.#backward !== undefined) this.#fill(this.#backward)
    for (const { value, k, derivatives } of this.#statistics) {
      this.#fill(value)
      if (k !== undefined) this.#fill(k)
      if (derivatives !== undefined) this.#fill(derivatives)
    }
    if (this.#scratch.length < width) this.#scratch = new Float64Array(width)
  }

  #fill(machine: Machine): void {
    machine.program.fillUniforms(machine.uniforms, this.#settings, this.#parameters, this.#width)
  }

  /** out[0 … width) = f(x[start …]); draws: a row of them per channel. */
  forward(x: Numbers, start: number, draws: readonly Numbers[], out: Float64Array): void {
    this.#computeStatistics(x, start, draws)
    this.#eachBlock(this.#forward, x, start, draws, (at, n) => this.#copy(this.#forward, 0, out, at, n))
  }

  /**
   * Given dOut[0 … width): value = f(x), dX = what dOut gives x, and gradients (flat, as the parameters) += what it
   * gives the learned parameters.
   */
  backward(
    x: Numbers,
    start: number,
    draws: readonly Numbers[],
    dOut: Float64Array,
    value: Float64Array,
    dX: Float64Array,
    gradients: Float64Array,
  ): void {
    if (this.#backward === undefined) {
      this.#backward = new Machine(this.#programs.backward)
      this.#fill(this.#backward)
    }
    const machine = this.#backward
    const width = this.#width
    const count = this.#numbers.length
    const { neighbors } = this.#programs
    this.#computeStatistics(x, start, draws)
    this.#adjoints.fill(0)
    if (neighbors) dX.fill(0, 0, width)
    this.#eachBlock(machine, x, start, draws, (at, n) => {
      this.#copy(machine, 0, value, at, n)
      const slope = machine.output(1)
      for (let i = 0; i < n; i++) {
        const share = slope.values[i & slope.mask] * dOut[at + i]
        dX[at + i] = neighbors ? dX[at + i] + share : share
      }
      this.#addGradients(machine, 2, dOut, at, n, 1, gradients)
      let output = 2 + count
      if (neighbors) {
        const [before, after] = [machine.output(output++), machine.output(output++)]
        for (let i = 0; i < n; i++) {
          if (at + i > 0) dX[at + i - 1] += before.values[i & before.mask] * dOut[at + i]
          if (at + i + 1 < width) dX[at + i + 1] += after.values[i & after.mask] * dOut[at + i]
        }
      }
      for (let s = 0; s < this.#adjoints.length; s++) {
        const slot = machine.output(output + s)
        for (let i = 0; i < n; i++) this.#adjoints[s] += slot.values[i & slot.mask] * dOut[at + i]
      }
    })
    this.#statisticsBackward(x, start, draws, dX, gradients)
  }

  /** From the last statistic to the first: what reached it goes on to x, the parameters and earlier statistics. */
  #statisticsBackward(
    x: Numbers,
    start: number,
    draws: readonly Numbers[],
    dX: Float64Array,
    gradients: Float64Array,
  ): void {
    const count = this.#numbers.length
    for (let s = this.#statistics.length - 1; s >= 0; s--) {
      const machine = this.#statistics[s].derivatives
      if (machine === undefined) continue
      const share = this.#adjoints[s] / this.#width
      this.#eachBlock(machine, x, start, draws, (at, n) => {
        const slope = machine.output(0)
        for (let i = 0; i < n; i++) dX[at + i] += slope.values[i & slope.mask] * share
        this.#addGradients(machine, 1, null, at, n, share, gradients)
        for (let earlier = 0; earlier < s; earlier++) {
          const slot = machine.output(1 + count + earlier)
          for (let i = 0; i < n; i++) this.#adjoints[earlier] += slot.values[i & slot.mask] * share
        }
      })
    }
  }

  /** gradients += factor · dOut · the outputs from `first` on, one per learned number. */
  #addGradients(
    machine: Machine,
    first: number,
    dOut: Float64Array | null,
    at: number,
    n: number,
    factor: number,
    gradients: Float64Array,
  ): void {
    for (let number = 0; number < this.#numbers.length; number++) {
      const slot = machine.output(first + number)
      const shared = number < this.#shared
      const row = shared ? number : this.#shared + (number - this.#shared) * this.#width + at
      for (let i = 0; i < n; i++) {
        const term = slot.values[i & slot.mask] * factor * (dOut === null ? 1 : dOut[at + i])
        gradients[shared ? row : row + i] += term
      }
    }
  }

  #computeStatistics(x: Numbers, start: number, draws: readonly Numbers[]): void {
    const width = this.#width
    for (const [s, { value, k }] of this.#statistics.entries()) {
      const row = this.#scratch.subarray(0, width)
      this.#eachBlock(value, x, start, draws, (at, n) => this.#copy(value, 0, row, at, n))
      if (k === undefined) {
        this.#means[s] = row.reduce((sum, each) => sum + each, 0) / width
      } else {
        const { values, mask } = k.output(0)
        this.#means[s] = row.sort()[width - rankOf(values[0 & mask], width)]
      }
    }
  }

  #copy(machine: Machine, output: number, into: Float64Array, at: number, n: number): void {
    const { values, mask } = machine.output(output)
    for (let i = 0; i < n; i++) into[at + i] = values[i & mask]
  }

  /** Runs `machine` over the row and calls `body` after each block of n elements from `at` on. */
  #eachBlock(
    machine: Machine,
    x: Numbers,
    start: number,
    draws: readonly Numbers[],
    body: (at: number, n: number) => void,
  ): void {
    const width = this.#width
    const inputs = machine.inputs
    for (let at = 0; at < width; at += BLOCK) {
      const n = Math.min(BLOCK, width - at)
      for (const { input, values } of inputs) {
        switch (input.kind) {
          case 'x':
            for (let i = 0; i < n; i++) values[i] = x[start + at + i]
            break
          case 'previous':
            for (let i = 0; i < n; i++) values[i] = at + i > 0 ? x[start + at + i - 1] : 0
            break
          case 'next':
            for (let i = 0; i < n; i++) values[i] = at + i + 1 < width ? x[start + at + i + 1] : 0
            break
          case 'draw':
            for (let i = 0; i < n; i++) values[i] = draws[input.index][at + i]
            break
          case 'neuron': {
            const row = this.#shared + input.index * width + at
            for (let i = 0; i < n; i++) values[i] = this.#parameters[row + i]
            break
          }
          case 'statistic':
            values.fill(this.#means[input.index], 0, n)
            break
        }
      }
      machine.run(n)
      body(at, n)
    }
  }
}
