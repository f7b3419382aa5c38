// What every kind of model file is to the rest of Flicker: a config, a tokenizer and tensors under Hugging Face's
// names, read from the disk one at a time.

import type { Tokenizer } from '../data/tokenizers/tokenizer.js'
import { didYouMean } from '../did-you-mean.js'
import { CheckpointError } from '../errors.js'
import type { ModelConfig } from '../nn/config.js'
import type { LayerCuts } from '../nn/cuts.js'
import { type ParameterShape, parameterShapes } from '../nn/parameters.js'
import type { TensorReader } from './file-bytes.js'
import type { SparsityRecord } from './huggingface/cuts-file.js'
import { quoted } from './safetensors.js'
import type { StoredDtype } from './stored.js'

export interface StoredTensor {
  readonly dtype: StoredDtype
  /** Row-major, slowest first: (out, in) for matrices. */
  readonly shape: readonly number[]
  /** The values as `dtype` says, little-endian; a buffer of its own, starting at a multiple of 8. */
  readonly bytes: Uint8Array
}

/** An open model. Tensors are those of `parameterShapes(config)`, rotary halves split as in Hugging Face's layout. */
export interface ModelSource {
  /** What was opened, for messages: the path. */
  readonly path: string
  readonly format: 'hf' | 'gguf' | 'llama2c'
  readonly config: ModelConfig
  /** What a user should know about how the file was understood (a context cut to a sliding window); often empty. */
  readonly notes: readonly string[]
  /** Jinja templates of conversations by name; the one for everyday use is called `default`. Often empty. */
  readonly chatTemplates: ReadonlyMap<string, string>
  /** Ids that end a text or a turn, as the model's own files name them; the tokenizer's end of text may be missing. */
  readonly endOfText: readonly number[]
  /** Texts of `bos_token`, `eos_token`, … for the templates. */
  readonly specialTokens: Readonly<Record<string, string>>
  /** Names of the tensors, as in `parameterShapes(config)`. */
  readonly names: readonly string[]
  /** The tokenizer of the model, checked against its vocabulary. Throws TokenizerError. */
  tokenizer(): Tokenizer
  /** How a tensor is stored, without reading it. Throws CheckpointError TENSOR_MISSING. */
  info(name: string): { readonly dtype: StoredDtype; readonly shape: readonly number[] }
  /** A tensor as float32. Throws CheckpointError. */
  tensor(name: string): Float32Array
  /** A tensor as it is stored, without widening. Throws CheckpointError. */
  stored(name: string): StoredTensor
  /**
   * Reads parts of the bytes that `stored` gives, without reading the others; null where they do not stand in the file as
   * they are. Absent: never. Throws CheckpointError.
   */
  reader?(name: string): TensorReader | null
  /**
   * What `flicker sparsify` sets to 0 in each layer; null for a model without. Absent: the format has none. Throws
   * CheckpointError CUTS_INVALID.
   */
  cuts?(): readonly LayerCuts[] | null
  /** What `cuts` are; null for a model without. */
  readonly sparsity?: SparsityRecord | null
  close(): void
}

/** The error for a name that is none of `names`. */
export function missingTensor(path: string, name: string, names: readonly string[]): CheckpointError {
  return new CheckpointError(
    'TENSOR_MISSING',
    `${path} has no tensor ${quoted(name)}.${didYouMean(name, names)}`,
  )
}

/**
 * `parameterShapes(config)`, each given to `check` first. What the activations learn is made at its start values, as
 * long as the config says: so only after the tensors that are as long have been found in the file.
 */
export function checkedParameters(
  config: ModelConfig,
  check: (parameter: ParameterShape) => void,
): ParameterShape[] {
  const plain = parameterShapes({ ...config, activation: 'relu', trainedActivations: [] })
  for (const parameter of plain) check(parameter)
  const all = parameterShapes(config)
  for (const parameter of all.slice(plain.length)) check(parameter)
  return all
}

/**
 * The context of a model whose attention sees a sliding window of `window` tokens (0: all of them): within the window,
 * that is ordinary attention, so up to there the model is exact.
 */
export function contextWithin(
  window: number,
  context: number,
): { maxPositionEmbeddings: number; notes: string[] } {
  if (window <= 0 || window >= context) return { maxPositionEmbeddings: context, notes: [] }
  return {
    maxPositionEmbeddings: window,
    notes: [
      `the model's attention sees a sliding window of ${window} tokens: its context is ${window} here, not ${context}`,
    ],
  }
}
