// Reverse-mode differentiation by a tape: each op computes its value at once and records how to pass gradients back.
// Ops are coarse (a linear layer, an attention), so a training step is a few hundred records, not millions.

import { FlickerError } from '../errors.js'
import type { Floats, Kernels } from '../kernels/index.js'
import { Arena } from './arena.js'
import { type DType, type Shape, sizeOf, Tensor } from './tensor.js'

export class Tape {
  readonly kernels: Kernels
  readonly dtype: DType
  /** Whether ops are recorded; without it a forward pass keeps nothing for a backward pass. */
  readonly training: boolean
  readonly #arena: Arena
  readonly #records: { output: Tensor; backward: (dOut: Floats) => void; amends: boolean }[] = []

  constructor(kernels: Kernels, options: { dtype?: DType; training?: boolean } = {}) {
    this.kernels = kernels
    this.dtype = options.dtype ?? 'f32'
    this.training = options.training ?? true
    this.#arena = new Arena(this.dtype)
    if (this.dtype === 'f64' && kernels.backend !== 'portable') {
      throw new FlickerError('DTYPE_BACKEND', 'only the portable backend computes in f64')
    }
  }

  /** A scratch buffer, free again at the next reset. */
  readonly take = (size: number): Floats => this.#arena.take(size)

  /** Gives a scratch buffer back before the next reset. */
  give(buffer: Floats): void {
    this.#arena.give(buffer)
  }

  /** The result of an op, with unspecified content; it requires a gradient when one of `inputs` does. */
  output(shape: Shape, ...inputs: (Tensor | null | undefined)[]): Tensor {
    const requiresGrad = this.training && inputs.some(input => input?.requiresGrad === true)
    return new Tensor(this.take(sizeOf(shape)), shape, requiresGrad)
  }

  /** Remembers how the gradient of `output` reaches the op's inputs; `backward` adds into their gradients. */
  record(output: Tensor, backward: (dOut: Floats) => void): void {
    if (output.requiresGrad) this.#records.push({ output, backward, amends: false })
  }

  /** Changes the gradient of `output` in place before it is passed on: a term of the loss that depends on it alone. */
  amendGrad(output: Tensor, amend: (dOut: Floats) => void): void {
    if (output.requiresGrad) this.#records.push({ output, backward: amend, amends: true })
  }

  /** The gradient buffer of `tensor`, to be added into; zeroed first when nothing has been added in this pass. */
  gradToAdd(tensor: Tensor): Floats {
    const { buffer, accumulate } = this.gradToWrite(tensor)
    if (!accumulate) buffer.fill(0)
    return buffer
  }

  /** The gradient buffer of `tensor` and whether it already holds something to add to; else overwrite it. */
  gradToWrite(tensor: Tensor): { buffer: Floats; accumulate: boolean } {
    // An input that is not trained gets a scratch buffer, so that ops need not tell the cases apart.
    if (!tensor.requiresGrad) return { buffer: this.take(tensor.size), accumulate: false }
    tensor.grad ??= this.take(tensor.size)
    const accumulate = tensor.hasGrad
    tensor.hasGrad = true
    return { buffer: tensor.grad, accumulate }
  }

  /**
   * Calls `write` with a buffer per tensor to overwrite with its part of the gradient. Where something stands already
   * the buffer is scratch, and is added afterwards.
   */
  writeGrads(tensors: readonly Tensor[], write: (...buffers: Floats[]) => void): void {
    const targets = tensors.map(tensor => {
      const { buffer, accumulate } = this.gradToWrite(tensor)
      return { buffer, addTo: null as Floats | null, accumulate }
    })
    for (const target of targets) {
      if (!target.accumulate) continue
      target.addTo = target.buffer
      target.buffer = this.take(target.buffer.length)
    }
    write(...targets.map(({ buffer }) => buffer))
    for (const { buffer, addTo } of targets) {
      if (addTo === null) continue
      this.kernels.axpy(1, buffer, addTo, buffer.length)
      this.give(buffer)
    }
  }

  /** Adds d`loss`/d`parameter` into the gradient of every parameter that the loss depends on. */
  backward(loss: Tensor): void {
    this.gradToAdd(loss).fill(1)
    for (let i = this.#records.length - 1; i >= 0; i--) {
      const { output, backward, amends } = this.#records[i]
      if (output.grad === null || !output.hasGrad) continue
      backward(output.grad)
      if (amends) continue
      // Whoever adopted the buffer owns it now; otherwise nobody needs it any more.
      if (output.grad !== null) this.give(output.grad)
      output.grad = null
      output.hasGrad = false
    }
    this.#records.length = 0
  }

  /** Passes the gradient buffer of `from` on to `to`, without a copy where nothing stands there yet. */
  passGrad(from: Tensor, to: Tensor): void {
    if (!to.requiresGrad || from.grad === null) return
    if (to.grad === null) {
      to.grad = from.grad
      to.hasGrad = true
      from.grad = null
    } else {
      this.kernels.axpy(1, from.grad, this.gradToAdd(to), to.size)
    }
  }

  /** Forgets all records and frees all buffers: results of earlier ops may not be used any longer. */
  reset(): void {
    this.#records.length = 0
    this.#arena.giveAll()
  }

  /** Bytes of all buffers that the tape holds. */
  get bytes(): number {
    return this.#arena.bytes
  }
}
