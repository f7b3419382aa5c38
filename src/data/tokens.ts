// Text as training sees it: documents as one flat run of tokens, and the batches cut from it. Which window a row
// gets is a pure function of (seed, step, row), so a run that is resumed, or split into micro-batches, sees the
// same data.

import { CorpusError, OptionError, TokenizerError } from '../errors.js'
import { Purpose, philox4x32, seedWords } from '../kernels/philox.js'
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

/** Throws CorpusError unless `tokens` holds one window: `context` inputs and the target of the last. */
export function requireOneContext(tokens: TokenIds, context: number, side: 'training' | 'validation'): void {
  if (tokens.length > context) return
  throw new CorpusError(
    'CORPUS_TOO_SHORT',
    `corpus: the ${side} text has ${tokens.length} tokens, but one context needs ${context + 1} (${context} and the ` +
      'token after them); give a longer corpus or a smaller context',
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
}

/**
 * The text in order, cut into windows that do not overlap: every token but the first is a target exactly once. The
 * rest of the last batch is padding (input 0, target −1), so every batch has the same shape.
 * maxTargets: stop after so many. Throws CorpusError when the text is shorter than one window.
 */
export function* validationBatches(
  tokens: TokenIds,
  options: BatchShape & { readonly maxTargets?: number },
): Generator<ValidationBatch> {
  const { batchSize, context, maxTargets = Number.POSITIVE_INFINITY } = options
  requireShape(options)
  requireOneContext(tokens, context, 'validation')
  const total = Math.min(tokens.length - 1, maxTargets)
  const size = batchSize * context
  for (let start = 0; start < total; start += size) {
    const targetCount = Math.min(size, total - start)
    const inputs = new Int32Array(size)
    const targets = new Int32Array(size).fill(-1)
    inputs.set(tokens.subarray(start, start + targetCount))
    targets.set(tokens.subarray(start + 1, start + 1 + targetCount))
    yield { inputs, targets, targetCount }
  }
}

function requireShape({ batchSize, context }: BatchShape): void {
  for (const [name, value] of Object.entries({ batchSize, context })) {
    if (Number.isInteger(value) && value >= 1) continue
    throw new OptionError('BATCH_SHAPE', `${name} must be a whole number of at least 1, not ${value}`)
  }
}
