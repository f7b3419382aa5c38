// From any model that Flicker reads to a Hugging Face directory or a GGUF file.

import fs from 'node:fs'
import path from 'node:path'
import type { Tokenizer } from '../data/tokenizers/tokenizer.js'
import { OptionError } from '../errors.js'
import type { ModelConfig } from '../nn/config.js'
import type { LayerCuts } from '../nn/cuts.js'
import { parameterShapes } from '../nn/parameters.js'
import { ggufArchitecture, writeGguf } from './gguf/index.js'
import type { WrittenDtype } from './gguf/mixes.js'
import type { Unblocked } from './gguf/write.js'
import { type Checkpoint, type SpecialToken, writeCheckpoint } from './huggingface/index.js'
import type { ModelSource } from './model-source.js'
import { openModel } from './open-model.js'
import type { NamedTensor } from './safetensors.js'
import { heldAs, heldBlocks, isWeightDtype, isWritten, type WeightDtype, WRITTEN_TYPES } from './stored.js'

export type ModelFormat = 'hf' | 'gguf'

export interface ConvertOptions {
  readonly to: ModelFormat
  /**
   * How matrices are stored; `q4_k_m` is llama.cpp's mix of q4_k and q6_k. Default: as the model has them, or f32 where
   * the format cannot hold them, so that no number changes; types that are only read become what the engine holds them
   * as, with a note.
   */
  readonly dtype?: WrittenDtype
  /** A tokenizer instead of the model's own: any file or directory that loadTokenizer reads. */
  readonly tokenizer?: string
  /** Replace what exists at the destination. Default false. */
  readonly force?: boolean
  /** Told of every tensor written. */
  readonly onTensor?: (done: number, all: number) => void
}

export interface Conversion {
  readonly format: ModelFormat
  readonly dtype: WrittenDtype
  readonly tensors: number
  /** Of all files written. */
  readonly bytes: number
  /** What a user should know: a context cut short, a file that llama.cpp cannot use. */
  readonly notes: readonly string[]
}

/**
 * Writes the model at `from` to `to`, which is afterwards either complete or as it was. One tensor is in memory at a
 * time. Throws OptionError DESTINATION_EXISTS, DTYPE_FORMAT; CheckpointError, TokenizerError, StorageError.
 */
export function convertModel(from: string, destination: string, options: ConvertOptions): Conversion {
  if (options.force !== true && fs.existsSync(destination)) {
    throw new OptionError(
      'DESTINATION_EXISTS',
      `${destination} exists; give --force to replace it, or another name`,
    )
  }
  const source = openModel(from, { tokenizer: options.tokenizer })
  try {
    const tokenizer = source.tokenizer()
    const written =
      options.to === 'gguf'
        ? toGguf(source, tokenizer, destination, options)
        : toHuggingFace(source, tokenizer, destination, options)
    return {
      format: options.to,
      tensors: source.names.length,
      bytes: sizeOf(destination),
      dtype: written.dtype,
      notes: [...source.notes, ...written.notes],
    }
  } finally {
    source.close()
  }
}

interface Written {
  readonly dtype: WrittenDtype
  readonly notes: readonly string[]
}

function toGguf(source: ModelSource, tokenizer: Tokenizer, file: string, options: ConvertOptions): Written {
  const held = (name: string) => heldAs(source.info(name).dtype)
  const { config, notes: ownNotes } = runnableConfig(source.config)
  const { architecture, tokenizerKnown, tokenizerNotes, unblocked } = writeGguf(
    file,
    {
      config,
      tokenizer,
      chatTemplates: source.chatTemplates,
      endOfText: source.endOfText,
      dtype: options.dtype ?? held,
      name: path.parse(file).name,
      tensor: name => source.tensor(name),
      bytes: (name, wanted) => {
        const { dtype } = source.info(name)
        if (dtype === wanted) return source.stored(name).bytes
        return heldAs(dtype) === wanted ? heldBlocks(dtype, source.stored(name).bytes) : null
      },
    },
    options.onTensor,
  )
  const notes: string[] = [...ownNotes]
  if (architecture === 'flicker') {
    const { activation, ffn } = source.config
    notes.push(
      `llama.cpp runs no ${ffn} FFN with ${activation} in such a block, and will refuse this file rather than run another model`,
    )
  } else if (!tokenizerKnown) {
    notes.push('llama.cpp has no tokenizer that gives the same ids; in it, this file takes token ids alone')
  }
  if (architecture !== 'flicker') notes.push(...tokenizerNotes)
  if (source.sparsity) {
    notes.push(
      'a GGUF file holds no cuts of flicker sparsify: this one has the weights alone and runs exactly',
    )
  }
  notes.push(...unblockedNotes(unblocked))
  if (options.dtype === undefined) notes.push(...rewrittenNotes(source))
  return { dtype: options.dtype ?? held(FIRST_MATRIX), notes }
}

function unblockedNotes(unblocked: readonly Unblocked[]): string[] {
  const kindOf = ({ asked, written }: Unblocked) => `${written} instead of ${asked}`
  return [...new Set(unblocked.map(kindOf))].map(kind => {
    const own = unblocked.filter(one => kindOf(one) === kind)
    const parts = new Map(own.map(({ name, columns }) => [name.split('.').at(-2), columns]))
    const widths = [...parts].map(([part, columns]) => `${part} (${columns})`).join(', ')
    const { values } = WRITTEN_TYPES[own[0].asked]
    return `rows of ${widths} are not multiples of ${values} values: they are stored as ${kind}`
  })
}

/** For types that are only read: what their tensors are written as. */
function rewrittenNotes(source: ModelSource): string[] {
  const types = new Set(source.names.map(name => source.info(name).dtype))
  return [...types].flatMap(dtype =>
    isWritten(dtype) ? [] : [`${dtype} tensors are written as ${heldAs(dtype)}`],
  )
}

/**
 * The model, or where llama.cpp knows its block but no sliding window of it, the same with a context that ends where the window
 * does: up to there both are the same.
 */
function runnableConfig(config: ModelConfig): { config: ModelConfig; notes: readonly string[] } {
  const { slidingWindow: window, windowLayers, maxPositionEmbeddings: context } = config
  if (window === undefined || window >= context || ggufArchitecture(config) !== 'flicker') {
    return { config, notes: [] }
  }
  const { slidingWindow: _, windowLayers: __, ...rest } = config
  const within = { ...rest, maxPositionEmbeddings: window }
  if (ggufArchitecture(within) === 'flicker') return { config, notes: [] }
  const where = windowLayers === undefined ? 'all layers' : 'some layers'
  return {
    config: within,
    notes: [
      `llama.cpp has no sliding window of ${where} for this architecture: the context of the file is ${window} tokens, not ${context}`,
    ],
  }
}

function toHuggingFace(
  source: ModelSource,
  tokenizer: Tokenizer,
  directory: string,
  { dtype: asked, onTensor = () => {} }: ConvertOptions,
): Written {
  if (asked !== undefined && (asked === 'q4_k_m' || !isWeightDtype(asked))) {
    throw new OptionError(
      'DTYPE_FORMAT',
      `a Hugging Face directory holds f32, f16 or bf16, not ${asked}; convert to gguf for that`,
    )
  }
  const stored = asked ?? directoryDtype(source)
  writeModelDirectory(source, tokenizer, directory, {
    dtype: stored,
    onTensor,
    cuts: source.cuts?.() ?? null,
  })
  return { dtype: stored, notes: [] }
}

export interface ModelDirectoryOptions {
  /** How matrices are stored. Default: as the model has them, or f32 where the format cannot hold them. */
  readonly dtype?: WeightDtype
  readonly onTensor?: (done: number, all: number) => void
  readonly cuts?: readonly LayerCuts[] | null
  /** More to keep under `flicker` in config.json. */
  readonly flicker?: Record<string, unknown>
}

/**
 * Writes an open model as a Hugging Face directory, one tensor in memory at a time; `directory` is afterwards either
 * complete or as it was. Throws CheckpointError, StorageError.
 */
export function writeModelDirectory(
  source: ModelSource,
  tokenizer: Tokenizer,
  directory: string,
  options: ModelDirectoryOptions,
): void {
  const { onTensor = () => {}, cuts, flicker } = options
  const { dtype = directoryDtype(source) } = options
  const shapes = parameterShapes(source.config)
  function* tensors(): Generator<NamedTensor> {
    for (const [index, { name, shape }] of shapes.entries()) {
      yield { name, shape, data: source.tensor(name) }
      onTensor(index + 1, shapes.length)
    }
  }
  writeCheckpoint(directory, {
    config: source.config,
    tensors: tensors(),
    dtype,
    tokenizer: tokenizer.toJSON(),
    specialTokens: {
      start: specialToken(tokenizer, tokenizer.startOfText ?? null),
      end: specialToken(tokenizer, tokenizer.endOfText),
    },
    chatTemplates: source.chatTemplates,
    endOfText: source.endOfText,
    flicker: { ...(isCheckpoint(source) ? source.flicker : {}), ...flicker },
    cuts,
  })
}

/** Whose type is that of the model, for messages. */
const FIRST_MATRIX = 'model.layers.0.self_attn.q_proj.weight'

/** As the model has its matrices, or f32 where safetensors cannot hold that. */
function directoryDtype(source: ModelSource): WeightDtype {
  const { dtype } = source.info(FIRST_MATRIX)
  return isWeightDtype(dtype) ? dtype : 'f32'
}

function isCheckpoint(source: ModelSource): source is Checkpoint {
  return source.format === 'hf'
}

function specialToken(tokenizer: Tokenizer, id: number | null): SpecialToken | null {
  return id === null ? null : { id, content: new TextDecoder().decode(tokenizer.tokenBytes(id)) }
}

/** Of a file, or of the files in a directory. */
function sizeOf(written: string): number {
  const stat = fs.statSync(written)
  if (!stat.isDirectory()) return stat.size
  return fs.readdirSync(written).reduce((sum, name) => sum + fs.statSync(path.join(written, name)).size, 0)
}
