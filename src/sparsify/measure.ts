// What cuts cost and save on held-out text: perplexity through the engine, and the fraction of the weights that were not
// needed, counted token by token.

import type { VectorObserver } from '../engine/attention/attention.js'
import { cutRow } from '../engine/cuts.js'
import { logSumExp } from '../engine/generation/logprobs.js'
import type { EngineModel } from '../engine/index.js'
import type { Kernels } from '../kernels/index.js'
import type { ModelConfig } from '../nn/config.js'
import { type LayerCuts, type MatrixName, matricesOf, matrixShape } from '../nn/cuts.js'
import { INPUT_OF } from './statistics.js'

/** Positions whose logits are kept at a time. */
const BLOCK = 64

/** Cross-entropy of a text in windows. */
export interface TextLoss {
  /** Mean negative log-likelihood per predicted token, nats. */
  readonly loss: number
  readonly perplexity: number
  readonly tokens: number
}

/**
 * The loss of an engine on `tokens` in windows of `context` predicted tokens that do not overlap; each starts without
 * context. `tokens` holds at least one window and the token after it.
 */
export function textLoss(
  engine: EngineModel,
  kernels: Kernels,
  tokens: ArrayLike<number>,
  context: number,
  onWindow: (done: number, all: number) => void = () => {},
): TextLoss {
  const { vocabSize } = engine.config
  const ids = Int32Array.from(tokens)
  const windows = Math.floor((ids.length - 1) / context)
  const logits = new Float32Array(BLOCK * vocabSize)
  let nats = 0
  for (let window = 0; window < windows; window++) {
    const session = engine.session({ sparseFrom: engine.sparseFrom(context) })
    for (let start = 0; start < context; start += BLOCK) {
      const count = Math.min(BLOCK, context - start)
      const first = window * context + start
      const block = logits.subarray(0, count * vocabSize)
      session.prefill(ids.subarray(first, first + count), block)
      for (let i = 0; i < count; i++) {
        const row = block.subarray(i * vocabSize, (i + 1) * vocabSize)
        nats += logSumExp(kernels, row) - row[ids[first + i + 1]]
      }
    }
    onWindow(window + 1, windows)
  }
  const loss = nats / (windows * context)
  return { loss, perplexity: Math.min(Math.exp(loss), Number.MAX_VALUE), tokens: windows * context }
}

/** Zeros among the inputs of each matrix, counted over all rows of an engine that has this counter as its observer. */
export class ZeroCounter {
  readonly #config: ModelConfig
  readonly #cuts: readonly LayerCuts[]
  readonly #zeros: Partial<Record<MatrixName, number>>[]
  readonly #seen: Partial<Record<MatrixName, number>>[]
  #row = new Float32Array(0)

  constructor(config: ModelConfig, cuts: readonly LayerCuts[]) {
    this.#config = config
    this.#cuts = cuts
    this.#zeros = cuts.map(() => ({}))
    this.#seen = cuts.map(() => ({}))
  }

  readonly observe: VectorObserver = (vector, layer, values, rows, width) => {
    const { inputs, neurons } = this.#cuts[layer]
    // The activated gate has been cut already: its zeros skip up rows and down columns.
    if (neurons !== null && vector === 'gate') {
      const zeros = countZeros(values, rows * width)
      for (const matrix of ['up', 'down'] as const) this.#count(layer, matrix, zeros, rows * width)
    }
    for (const matrix of matricesOf(this.#config)) {
      const cut = inputs[matrix]
      if (cut === undefined || INPUT_OF[matrix] !== vector) continue
      if (this.#row.length !== width) this.#row = new Float32Array(width)
      let zeros = 0
      for (let row = 0; row < rows; row++) {
        this.#row.set(values.subarray(row * width, (row + 1) * width))
        cutRow(cut, this.#row)
        zeros += countZeros(this.#row, width)
      }
      this.#count(layer, matrix, zeros, rows * width)
    }
  }

  /** Fraction of zeros at the input of each matrix that is cut, per layer. */
  get levels(): Partial<Record<MatrixName, number>>[] {
    return this.#zeros.map((zeros, layer) =>
      Object.fromEntries(
        (Object.keys(zeros) as MatrixName[]).map(matrix => [
          matrix,
          (zeros[matrix] ?? 0) / Math.max(1, this.#seen[layer][matrix] ?? 0),
        ]),
      ),
    )
  }

  /**
   * Fraction of the weights of all layers' matrices that no token needed, mean over tokens; less the weights of rotations and
   * low-rank terms, which every token needs.
   */
  get weightsSkipped(): number {
    let [skipped, all] = [0, 0]
    for (const [layer, levels] of this.levels.entries()) {
      const { lowRank = {}, rotations = {} } = this.#cuts[layer]
      for (const { into, out } of Object.values(lowRank)) skipped -= into.length + out.length
      for (const rotation of Object.values<Float32Array>(rotations)) skipped -= rotation.length
      for (const matrix of matricesOf(this.#config)) {
        const { rows, columns } = matrixShape(this.#config, matrix)
        skipped += (levels[matrix] ?? 0) * rows * columns
        all += rows * columns
      }
    }
    return skipped / all
  }

  #count(layer: number, matrix: MatrixName, zeros: number, seen: number): void {
    this.#zeros[layer][matrix] = (this.#zeros[layer][matrix] ?? 0) + zeros
    this.#seen[layer][matrix] = (this.#seen[layer][matrix] ?? 0) + seen
  }
}

function countZeros(values: Float32Array, n: number): number {
  let zeros = 0
  for (let i = 0; i < n; i++) if (values[i] === 0) zeros++
  return zeros
}
