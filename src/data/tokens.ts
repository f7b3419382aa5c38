// Text as training sees it: documents as one flat run of tokens, and the batches cut from it. Which window a row
// gets is a pure function of (seed, step, row), so a run that is resumed, or split into micro-batches, sees the
// same data.

import { CorpusError, OptionError, TokenizerError } from '../errors.js'
import { Purpose, philox4x32, RandomStream, seedWords } from '../kernels/philox.js'
import type { Document } from './corpus.js'
import type { Tokenizer } from './tokenizers/tokenizer.js'
import { requireId } from './tokenizers/tokenizer.js'

export type TokenIds = Uint16Array | Int32Array

export interface TokenizedText {
  readonly tokens: TokenIds
  /** UTF-8 bytes of the documents, for bits per byte. */
  readonly bytes: number
}

/**
 * The documents' tokens one after another, with the end-of-text token between documents when the tokenizer has
 * one. 16 bits per token where the vocabulary allows. Throws TokenizerError for an id outside the vocabulary.
 */
export function tokenize(
  documents: readonly Document[],
  tokenizer: Tokenizer,
  options: { onProgress?: (bytesDone: number) => void } = {},
): TokenizedText {
  const runs: Int32Array[] = []
  let bytes = 0
  for (const { text } of documents) {
    if (runs.length > 0 && tokenizer.endOfText !== null) runs.push(Int32Array.of(tokenizer.endOfText))
    runs.push(tokenizer.encode(text))
    bytes += Buffer.byteLength(text)
    options.onProgress?.(bytes)
  }
  const length = runs.reduce((sum, run) => sum + run.length, 0)
  const tokens = tokenizer.vocabSize <= 2 ** 16 ? new Uint16Array(length) : new Int32Array(length)
  let at = 0
  for (const run of runs) {
    for (const id of run) if (id < 0 || id >= tokenizer.vocabSize) requireId(tokenizer, id)
    tokens.set(run, at)
    at += run.length
  }
  return { tokens, bytes }
}

/**
 * Bytes of text behind each id, 0 for the end-of-text token: summed over the targets of a loss they turn nats per
 * token into bits per byte.
 */
export function tokenByteLengths(tokenizer: Tokenizer): Int32Array {
  return Int32Array.from({ length: tokenizer.vocabSize }, (_, id) =>
    id === tokenizer.endOfText ? 0 : tokenizer.tokenBytes(id).length,
  )
}

/**
 * Throws CorpusError unless `tokens` holds one window: `context` inputs and the target of the last. `split`: how the
 * corpus was split, for the message.
 */
export function requireOneContext(
  tokens: TokenIds,
  context: number,
  side: 'training' | 'validation',
  split?: string,
): void {
  if (tokens.length > context) return
  throw new CorpusError(
    'CORPUS_TOO_SHORT',
    `corpus: the ${side} text has ${tokens.length} tokens, but one context needs ${context + 1} (${context} and the ` +
      `token after them)${split === undefined ? '' : `; the split: ${split}`}; give a longer corpus or a smaller context`,
  )
}

/** Throws TokenizerError when a token has no row in a model of `vocabSize`. */
export function requireTokensFit(tokens: TokenIds, vocabSize: number): void {
  const at = tokens.findIndex((token: number) => token < 0 || token >= vocabSize)
  if (at < 0) return
  throw new TokenizerError(
    'VOCABULARY_MISMATCH',
    `token ${tokens[at]} at position ${at} does not fit the model's vocabulary of ${vocabSize}; ` +
      'use the tokenizer that the model was trained with',
  )
}

/** inputs and targets: (rows · context), row after row; targets[i] is the token after inputs[i], −1 for padding. */
export interface Batch {
  readonly inputs: Int32Array
  readonly targets: Int32Array
}

export interface BatchShape {
  /** Rows per batch. */
  readonly batchSize: number
  /** Tokens per row. */
  readonly context: number
}

export interface TrainingBatchOptions extends BatchShape {
  readonly seed: number | bigint
  /** Optimizer step. */
  readonly step: number
  /** Which micro-batch of the step: its rows count on from the ones before. Default 0. */
  readonly micro?: number
}

/**
 * Windows of context + 1 tokens at random places. The start of row r of micro-batch m is drawn uniformly from all
 * places by (seed, step, m · batchSize + r). Throws CorpusError when the text is shorter than one window.
 */
export function trainingBatch(tokens: TokenIds, options: TrainingBatchOptions): Batch {
  const { batchSize, context, seed, step, micro = 0 } = options
  requireShape(options)
  requireOneContext(tokens, context, 'training')
  const [seedLow, seedHigh] = seedWords(seed)
  const words = new Uint32Array(4)
  const inputs = new Int32Array(batchSize * context)
  const targets = new Int32Array(batchSize * context)
  for (let r = 0; r < batchSize; r++) {
    philox4x32(0, micro * batchSize + r, step, Purpose.data << 16, seedLow, seedHigh, words)
    // 53 bits of two words: uniform over corpora of any size to far below one part in a million.
    const uniform = ((words[0] >>> 5) * 2 ** 26 + (words[1] >>> 6)) * 2 ** -53
    const start = Math.floor(uniform * (tokens.length - context))
    inputs.set(tokens.subarray(start, start + context), r * context)
    targets.set(tokens.subarray(start + 1, start + 1 + context), r * context)
  }
  return { inputs, targets }
}

export interface ValidationBatch extends Batch {
  /** Targets that are not padding. */
  readonly targetCount: number
  /** Index in the text of the first row's window. */
  readonly firstWindow: number
}

/** Which windows of a text are measured: all of them, or a sample. */
export interface MeasuredWindows {
  /** Indexes of the windows, ascending; window w holds the inputs w · context … (w + 1) · context − 1. */
  readonly windows: Int32Array
  /** Windows in the whole text. */
  readonly of: number
}

/**
 * The windows to measure: all, or where these have more than `maxTargets` targets a sample of that size (rounded up to
 * whole windows), drawn from the whole text by `seed` without replacement. Throws CorpusError when the text is shorter
 * than one window.
 */
export function measuredWindows(
  tokens: TokenIds,
  options: { readonly context: number; readonly maxTargets?: number; readonly seed: number },
): MeasuredWindows {
  const { context, maxTargets = Number.POSITIVE_INFINITY, seed } = options
  requireShape({ batchSize: 1, context })
  requireOneContext(tokens, context, 'validation')
  const of = Math.ceil((tokens.length - 1) / context)
  const windows = Int32Array.from({ length: of }, (_, i) => i)
  const wanted = Math.max(1, Math.ceil(maxTargets / context))
  if (wanted >= of) return { windows, of }
  // The first `wanted` places of a Fisher–Yates shuffle.
  const random = new RandomStream({ seed, purpose: Purpose.heldOut, stream: 0 })
  for (let i = 0; i < wanted; i++) {
    const other = i + random.below(of - i)
    const window = windows[other]
    windows[other] = windows[i]
    windows[i] = window
  }
  return { windows: windows.slice(0, wanted).sort(), of }
}

/**
 * Windows of the text as batches, one window per row, in the given order. Windows do not overlap: over all of them
 * every token but the first is a target exactly once. Padding (input 0, target −1) fills the last window of the text
 * and the last batch, so every batch has the same shape.
 */
export function* validationBatches(
  tokens: TokenIds,
  windows: Int32Array,
  options: BatchShape,
): Generator<ValidationBatch> {
  const { batchSize, context } = options
  requireShape(options)
  for (let first = 0; first < windows.length; first += batchSize) {
    const inputs = new Int32Array(batchSize * context)
    const targets = new Int32Array(batchSize * context).fill(-1)
    let targetCount = 0
    for (const [row, window] of windows.subarray(first, first + batchSize).entries()) {
      const start = window * context
      const end = Math.min(start + context, tokens.length - 1)
      inputs.set(tokens.subarray(start, end), row * context)
      targets.set(tokens.subarray(start + 1, end + 1), row * context)
      targetCount += end - start
    }
    yield { inputs, targets, targetCount, firstWindow: windows[first] }
  }
}

function requireShape({ batchSize, context }: BatchShape): void {
  for (const [name, value] of Object.entries({ batchSize, context })) {
    if (Number.isInteger(value) && value >= 1) continue
    throw new OptionError('BATCH_SHAPE', `${name} must be an integer of at least 1, not ${value}`)
  }
}
