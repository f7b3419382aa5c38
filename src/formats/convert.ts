// From any model that Flicker reads to a Hugging Face directory or a GGUF file.

import fs from 'node:fs'
import path from 'node:path'
import type { Tokenizer } from '../data/tokenizers/tokenizer.js'
import { OptionError } from '../errors.js'
import type { LayerCuts } from '../nn/cuts.js'
import { parameterShapes } from '../nn/parameters.js'
import { writeGguf } from './gguf/index.js'
import { type Checkpoint, type SpecialToken, writeCheckpoint } from './huggingface/index.js'
import type { ModelSource } from './model-source.js'
import { openModel } from './open-model.js'
import type { NamedTensor } from './safetensors.js'
import { isWeightDtype, type StoredDtype, type WeightDtype } from './stored.js'

export type ModelFormat = 'hf' | 'gguf'

export interface ConvertOptions {
  readonly to: ModelFormat
  /**
   * How matrices are stored. Default: as the model has them, or f32 where the format cannot hold them, so that no
   * number changes.
   */
  readonly dtype?: StoredDtype
  /** A tokenizer instead of the model's own: any file or directory that loadTokenizer reads. */
  readonly tokenizer?: string
  /** Replace what exists at the destination. Default false. */
  readonly force?: boolean
  /** Told of every tensor written. */
  readonly onTensor?: (done: number, all: number) => void
}

export interface Conversion {
  readonly format: ModelFormat
  readonly dtype: StoredDtype
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
  readonly dtype: StoredDtype
  readonly notes: readonly string[]
}

function toGguf(source: ModelSource, tokenizer: Tokenizer, file: string, options: ConvertOptions): Written {
  const dtype = options.dtype ?? storedAs(source)
  const { architecture, tokenizerKnown, tokenizerNotes, unblocked } = writeGguf(
    file,
    {
      config: source.config,
      tokenizer,
      chatTemplates: source.chatTemplates,
      endOfText: source.endOfText,
      dtype,
      name: path.parse(file).name,
      tensor: name => source.tensor(name),
      bytes: (name, wanted) => (source.info(name).dtype === wanted ? source.stored(name).bytes : null),
    },
    options.onTensor,
  )
  const notes: string[] = []
  if (architecture === 'flicker') {
    const { activation, ffn } = source.config
    notes.push(
      `llama.cpp runs no ${ffn} FFN with ${activation}, and will refuse this file rather than run another activation`,
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
  if (unblocked.length > 0) {
    const parts = new Map(unblocked.map(({ name, columns }) => [name.split('.').at(-2), columns]))
    const widths = [...parts].map(([part, columns]) => `${part} (${columns})`).join(', ')
    notes.push(`rows of ${widths} are not multiples of 32 values: they are stored as f16 instead of ${dtype}`)
  }
  return { dtype, notes }
}

function toHuggingFace(
  source: ModelSource,
  tokenizer: Tokenizer,
  directory: string,
  { dtype: asked, onTensor = () => {} }: ConvertOptions,
): Written {
  const dtype = asked ?? storedAs(source)
  if (!isWeightDtype(dtype) && asked !== undefined) {
    throw new OptionError(
      'DTYPE_FORMAT',
      `a Hugging Face directory holds f32, f16 or bf16, not ${dtype}; convert to gguf for that`,
    )
  }
  const stored = isWeightDtype(dtype) ? dtype : 'f32'
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
  const asSource = storedAs(source)
  const { dtype = isWeightDtype(asSource) ? asSource : 'f32' } = options
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

/** The type of the model's first large matrix. */
function storedAs(source: ModelSource): StoredDtype {
  return source.info('model.layers.0.self_attn.q_proj.weight').dtype
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
