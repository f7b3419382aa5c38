// What the model writes at each measurement, kept beside the metrics: samples.jsonl, which the board shows.

import fs from 'node:fs'
import path from 'node:path'
import type { Activation } from '../activations/index.js'
import type { TrainingData } from '../data/prepare.js'
import { storageError, writeFileAtomic } from '../formats/index.js'
import type { Kernels } from '../kernels/index.js'
import { Purpose, philox4x32, seedWords } from '../kernels/philox.js'
import type { Llama } from '../nn/llama.js'
import { Tape } from '../tensor/index.js'

const PROMPT_TOKENS = 12
const TEMPERATURE = 0.8

export interface SampleOptions {
  readonly directory: string
  /** Tokens to write. */
  readonly tokens: number
  readonly context: number
  readonly seed: number
}

export class TrainingSamples {
  readonly #file: string
  readonly #data: TrainingData
  readonly #options: SampleOptions
  readonly #tape: Tape

  /** Drops what an interrupted run wrote beyond `step`. Throws StorageError. */
  constructor(kernels: Kernels, data: TrainingData, options: SampleOptions, step: number) {
    this.#data = data
    this.#options = options
    this.#tape = new Tape(kernels, { training: false })
    this.#file = path.join(options.directory, 'samples.jsonl')
    const before = fs.existsSync(this.#file) ? fs.readFileSync(this.#file, 'utf8').split('\n') : []
    const kept = before.filter(line => stepOf(line) <= step).map(line => `${line}\n`)
    writeFileAtomic(this.#file, kept.join(''))
  }

  /** Continues the beginning of the held-out text. Throws StorageError. */
  write(model: Llama, step: number, activation: Activation): void {
    const { context, tokens, seed } = this.#options
    const { tokenizer, validation } = this.#data
    const ids = Array.from(validation.subarray(0, Math.min(PROMPT_TOKENS, context - 1)))
    const prompt = ids.length
    const [seedLow, seedHigh] = seedWords(seed)
    while (ids.length < Math.min(context, prompt + tokens)) {
      this.#tape.reset()
      const draw = { seedLow, seedHigh, purpose: Purpose.heldOut, step: 0, firstRow: 0 }
      const logits = model.logits(this.#tape, Int32Array.from(ids), ids.length, { activation, draw })
      const vocabulary = model.config.vocabSize
      const last = logits.data.subarray((ids.length - 1) * vocabulary, ids.length * vocabulary)
      ids.push(drawn(last, tokenizer.vocabSize, uniform(seedLow, seedHigh, ids.length)))
    }
    const line = {
      step,
      prompt: tokenizer.decode(ids.slice(0, prompt)),
      text: tokenizer.decode(ids.slice(prompt)),
    }
    try {
      fs.appendFileSync(this.#file, `${JSON.stringify(line)}\n`)
    } catch (cause) {
      throw storageError(cause, this.#file, 0)
    }
  }
}

function stepOf(line: string): number {
  try {
    const { step }: { step?: unknown } = JSON.parse(line)
    return typeof step === 'number' ? step : Number.POSITIVE_INFINITY
  } catch {
    return Number.POSITIVE_INFINITY
  }
}

/** In [0, 1), the same at every measurement: texts differ by what the model has learned. */
function uniform(seedLow: number, seedHigh: number, position: number): number {
  const words = new Uint32Array(4)
  philox4x32(0, position, 0, Purpose.sampler << 16, seedLow, seedHigh, words)
  return words[0] * 2 ** -32
}

/** The token at `target` of the cumulated probabilities. */
function drawn(logits: ArrayLike<number>, vocabulary: number, target: number): number {
  let most = Number.NEGATIVE_INFINITY
  for (let id = 0; id < vocabulary; id++) most = Math.max(most, logits[id])
  const weights = Array.from({ length: vocabulary }, (_, id) => Math.exp((logits[id] - most) / TEMPERATURE))
  let left = target * weights.reduce((sum, weight) => sum + weight, 0)
  const found = weights.findIndex(weight => {
    left -= weight
    return left < 0
  })
  return found === -1 ? vocabulary - 1 : found
}
