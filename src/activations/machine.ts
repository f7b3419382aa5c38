// The portable machine: runs a program on a block of elements in double precision, instruction by instruction, each a
// loop over the block. native/activation_program.h is its twin in f32.

import { type Operation, operations } from './expression.js'
import type { Program, ProgramInput } from './programs.js'
import { scalarFunctions } from './scalar-functions.js'

/** Elements that a machine takes at a time. */
export const BLOCK = 256

type Step = (n: number) => void

/** A slot's numbers; a uniform's stand once, and `mask` 0 makes every index find it. */
interface Slot {
  readonly values: Float64Array
  readonly mask: number
}

export class Machine {
  readonly program: Program
  /** Set with `program.fillUniforms` before `run`. */
  readonly uniforms: Float64Array
  readonly #slots: Slot[]
  readonly #steps: Step[]

  constructor(program: Program) {
    this.program = program
    const { uniformCount, inputs, temporaries, instructions } = program
    this.uniforms = new Float64Array(uniformCount)
    this.#slots = [
      ...Array.from({ length: uniformCount }, (_, i) => ({
        values: this.uniforms.subarray(i, i + 1),
        mask: 0,
      })),
      ...Array.from({ length: inputs.length + temporaries }, () => ({
        values: new Float64Array(BLOCK),
        mask: -1,
      })),
    ]
    const names = Object.keys(operations) as Operation[]
    this.#steps = []
    for (let at = 0; at < instructions.length; at += 5) {
      const [code, out, a, b, c] = instructions.subarray(at, at + 5)
      const slots = [out, a, b, c].map(slot => this.#slots[slot])
      this.#steps.push(step(names[code], slots[0].values, slots[1], slots[2], slots[3]))
    }
  }

  /** What each input wants, with the buffer to put it into (BLOCK numbers). */
  get inputs(): { readonly input: ProgramInput; readonly values: Float64Array }[] {
    const { inputs, uniformCount } = this.program
    return inputs.map((input, i) => ({ input, values: this.#slots[uniformCount + i].values }))
  }

  /** Computes the first n elements, n ≤ BLOCK. */
  run(n: number): void {
    for (const step of this.#steps) step(n)
  }

  /** Output `which` of element i is values[i & mask]. */
  output(which: number): Slot {
    return this.#slots[this.program.outputs[which]]
  }
}

function step(operation: Operation, out: Float64Array, a: Slot, b: Slot, c: Slot): Step {
  const [p, q, r] = [a.values, b.values, c.values]
  const [mp, mq, mr] = [a.mask, b.mask, c.mask]
  const f = scalarFunctions[operation]
  switch (operation) {
    // The commonest without a call in the loop.
    case 'add':
      return n => {
        for (let i = 0; i < n; i++) out[i] = p[i & mp] + q[i & mq]
      }
    case 'sub':
      return n => {
        for (let i = 0; i < n; i++) out[i] = p[i & mp] - q[i & mq]
      }
    case 'mul':
      return n => {
        for (let i = 0; i < n; i++) out[i] = p[i & mp] * q[i & mq]
      }
    case 'select':
      return n => {
        for (let i = 0; i < n; i++) out[i] = p[i & mp] !== 0 ? q[i & mq] : r[i & mr]
      }
    default:
      return operations[operation] === 1
        ? n => {
            for (let i = 0; i < n; i++) out[i] = f(p[i & mp], 0, 0)
          }
        : n => {
            for (let i = 0; i < n; i++) out[i] = f(p[i & mp], q[i & mq], 0)
          }
  }
}
