// One optimizer step: forward and backward over the micro-batches, then AdamW. The trainer repeats it, and benchmarks
// measure it.

import type { Activation } from '../activations/index.js'
import type { Floats, Kernels } from '../kernels/index.js'
import { Purpose, seedWords } from '../kernels/philox.js'
import type { ForwardOptions, HiddenObserver, Llama } from '../nn/llama.js'
import { Tape } from '../tensor/index.js'
import { AdamW, type AdamWOptions } from './optimizer.js'

/** One micro-batch: inputs and targets (batch·seq); a target of −1 is not counted. */
export interface Batch {
  readonly inputs: Int32Array
  readonly targets: Int32Array
  readonly seq: number
}

export interface StepResult {
  /** Mean over the micro-batches, nats per token. */
  readonly loss: number
  /** Global norm of the gradient before clipping. */
  readonly gradNorm: number
  /** Of a penalized step: what the penalty adds to the loss, and the fraction of hidden activations that are not 0. */
  readonly penalty?: { readonly value: number; readonly active: number }
}

/** What a step does with the FFN's hidden activations beside computing with them. */
export interface HiddenOptions {
  /** What the |h| of one element adds to the loss of a micro-batch of `rows` tokens; 0: no penalty. */
  factor(rows: number): number
  /** Called with the hidden activations of every layer. */
  readonly onHidden?: HiddenObserver
}

/** A model, its optimizer and the tape whose buffers every step reuses. */
export class TrainingStep {
  readonly model: Llama
  readonly optimizer: AdamW
  readonly #tape: Tape
  readonly #seed: [low: number, high: number]

  readonly #sparseProductsBelow: number | undefined

  constructor(
    kernels: Kernels,
    model: Llama,
    options: AdamWOptions & Pick<ForwardOptions, 'sparseProductsBelow'> & { seed: number },
  ) {
    this.model = model
    this.#sparseProductsBelow = options.sparseProductsBelow
    this.optimizer = new AdamW(kernels, model.parameters, options)
    this.#tape = new Tape(kernels)
    this.#seed = seedWords(options.seed)
  }

  /**
   * Step number `step` (from 1) with learning rate `lr`. When the loss or the gradient is not finite, weights and
   * moments stay as they were. An update may still overflow: see `nonFinite`.
   */
  run(
    step: number,
    lr: number,
    activation: Activation,
    batches: readonly Batch[],
    hidden?: HiddenOptions,
  ): StepResult {
    const [seedLow, seedHigh] = this.#seed
    const seen = { penalty: 0, active: 0, elements: 0 }
    let loss = 0
    let firstRow = 0
    for (const { inputs, targets, seq } of batches) {
      this.#tape.reset()
      const draw = { seedLow, seedHigh, purpose: Purpose.activation, step, firstRow }
      const factor = hidden?.factor(inputs.length) ?? 0
      const batchLoss = this.model.loss(this.#tape, inputs, targets, seq, {
        activation,
        draw,
        sparseProductsBelow: this.#sparseProductsBelow,
        ...(hidden?.onHidden !== undefined && { onHidden: hidden.onHidden }),
        ...(factor > 0 && {
          penalty: {
            factor,
            observe(magnitudes, zeros, elements) {
              seen.penalty += (factor * magnitudes) / batches.length
              seen.active += elements - zeros
              seen.elements += elements
            },
          },
        }),
      })
      loss += batchLoss.data[0] / batches.length
      if (!Number.isFinite(loss)) return { loss, gradNorm: Number.NaN }
      this.#tape.backward(batchLoss)
      firstRow += inputs.length
    }
    const gradNorm = this.optimizer.update(lr, 1 / batches.length)
    if (seen.elements === 0) return { loss, gradNorm }
    return { loss, gradNorm, penalty: { value: seen.penalty, active: seen.active / seen.elements } }
  }

  /** What holds a value that is not finite, for a message: a parameter or one of its moments; null when none does. */
  nonFinite(): string | null {
    for (const [name, { data }] of this.model.parameters) {
      if (!allFinite(data)) return `a value of the parameter ${name}`
    }
    for (const [name, { m, v }] of this.optimizer.moments) {
      if (!allFinite(m) || !allFinite(v)) return `a moment of ${name}`
    }
    return null
  }

  /** Bytes of the working buffers (without weights, moments and gradients). */
  get workingBytes(): number {
    return this.#tape.bytes
  }
}

function allFinite(values: Floats): boolean {
  for (let i = 0; i < values.length; i++) if (!Number.isFinite(values[i])) return false
  return true
}
