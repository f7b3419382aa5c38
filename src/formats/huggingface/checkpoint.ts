// Checkpoints as ordinary Hugging Face directories: config.json, model.safetensors, tokenizer.json,
// tokenizer_config.json, generation_config.json, written as one and checked as one.

import fs from 'node:fs'
import { isDeepStrictEqual } from 'node:util'
import { z } from 'zod'
import { loadTokenizer } from '../../data/tokenizers/load.js'
import { requireVocabularyFits } from '../../data/tokenizers/tokenizer.js'
import { CheckpointError, StorageError } from '../../errors.js'
import type { ModelConfig } from '../../nn/config.js'
import type { LayerCuts } from '../../nn/cuts.js'
import { type ParameterShape, parameterShapes } from '../../nn/parameters.js'
import {
  assembled,
  type FileTensorParts,
  fileShape,
  fileTensors,
  parameterOf,
  readerOf,
} from '../architectures/tensors.js'
import { contentFile, resolveDirectory, writeDirectoryAtomic } from '../atomic.js'
import { checkedParameters, type ModelSource, missingTensor, type StoredTensor } from '../model-source.js'
import { checkShape, type NamedTensor, quoted, safetensorsSize, writeSafetensors } from '../safetensors.js'
import type { SafetensorsDtype } from '../safetensors-types.js'
import { storageError } from '../storage.js'
import { decodeStored, isWeightDtype, type WeightDtype, WRITTEN_DTYPES, WRITTEN_TYPES } from '../stored.js'
import { configToJson } from './config.js'
import { CUTS_FILE, cutTensors, readCuts, type SparsityRecord, sparsityRecordSchema } from './cuts-file.js'
import { readHuggingFaceDirectory } from './directory.js'
import { withoutScales } from './quantization.js'
import { openWeights, WEIGHTS_FILE } from './shards.js'

export interface SpecialToken {
  readonly id: number
  readonly content: string
}

export interface CheckpointContent {
  config: ModelConfig
  /** Every tensor of `parameterShapes(config)` once, in any order; taken one at a time. */
  tensors: Iterable<NamedTensor>
  /** How weights are stored; f32 keeps every bit. Default f32. */
  dtype?: WeightDtype
  /** Content of tokenizer.json. Its end-of-text token becomes bos and eos, unless `specialTokens` says otherwise. */
  tokenizer?: object
  /** The tokens that every text begins and ends with, by id and text. */
  specialTokens?: { readonly start: SpecialToken | null; readonly end: SpecialToken | null }
  /** Ids that end a text when generating, where they are more than the tokenizer's end. */
  endOfText?: readonly number[]
  /** Jinja templates of conversations by name; the one for everyday use is called `default`. */
  chatTemplates?: ReadonlyMap<string, string>
  /** Fields of generation_config.json beside the token ids. */
  generation?: object
  /** More to keep under `flicker` in config.json: how the model was trained, for people and reports. */
  flicker?: Record<string, unknown>
  /** What makes the model sparse; `flicker.sparsity` says what it is. */
  cuts?: readonly LayerCuts[] | null
  /** More files by name: text, bytes, or tensors (stored as f32 safetensors). */
  files?: Record<string, string | Uint8Array | NamedTensor[]>
}

export interface Checkpoint extends ModelSource {
  readonly format: 'hf'
  /** What stands under `flicker` in config.json; empty for a checkpoint that Flicker did not write. */
  readonly flicker: Record<string, unknown>
}

/**
 * Writes a checkpoint as one: `directory` is afterwards either complete or as it was. An existing checkpoint is
 * replaced; a directory that holds anything else is refused. Throws CheckpointError (content that does not fit),
 * StorageError (DISK_FULL, PERMISSION_DENIED, NOT_A_CHECKPOINT, …).
 */
export function writeCheckpoint(directory: string, content: CheckpointContent): void {
  const { config, tensors, dtype = 'f32', tokenizer, generation, files = {} } = content
  const endOfText = tokenizer === undefined ? null : endOfTextToken(tokenizer)
  const { start, end } = content.specialTokens ?? { start: null, end: endOfText }
  const ends = [...new Set([...(end === null ? [] : [end.id]), ...(content.endOfText ?? [])])]
  const ids = { bos: (start ?? end)?.id ?? null, eos: ends.length > 1 ? ends : (ends[0] ?? null) }

  const templates: ReadonlyMap<string, string> = content.chatTemplates ?? new Map()

  const texts = new Map<string, string | Uint8Array>()
  const { json, tensors: map } = configToJson(config, { dtype, ...ids, flicker: content.flicker })
  texts.set('config.json', jsonText(json))
  texts.set(
    'generation_config.json',
    jsonText({ bos_token_id: ids.bos, eos_token_id: ids.eos, ...generation }),
  )
  if (tokenizer !== undefined) {
    texts.set('tokenizer.json', jsonText(tokenizer))
    texts.set('tokenizer_config.json', jsonText(tokenizerConfig(config, start, end, templates)))
  }
  if (hasOnlyDefault(templates)) texts.set('chat_template.jinja', templates.get('default')!)
  const weights = fileTensors(parameterShapes(config), map)
  const moreTensors = new Map<string, NamedTensor[]>()
  if (content.cuts) moreTensors.set(CUTS_FILE, cutTensors(content.cuts))
  for (const [name, file] of Object.entries(files)) {
    if (!/^\w[\w.-]*$/.test(name) || texts.has(name) || name === WEIGHTS_FILE) {
      throw new CheckpointError(
        'FILE_NAME',
        `${quoted(name)} cannot be the name of a further checkpoint file`,
      )
    }
    if (Array.isArray(file)) moreTensors.set(name, file)
    else texts.set(name, file)
  }

  refuseUnlessCheckpoint(directory, [...texts.keys(), ...moreTensors.keys()])
  writeDirectoryAtomic(directory, [
    ...[...texts].map(([name, text]) => contentFile(name, text)),
    {
      name: WEIGHTS_FILE,
      bytes: safetensorsSize(weights, dtype),
      write: file => writeSafetensors(file, weights, assembledTensors(weights, tensors), dtype),
    },
    ...[...moreTensors].map(([name, named]) => ({
      name,
      bytes: safetensorsSize(named),
      write: (file: string) => writeSafetensors(file, named, named),
    })),
  ])
}

/**
 * Opens a checkpoint and checks that config.json and the tensors fit together; close it when done.
 * Throws CheckpointError: CHECKPOINT_MISSING (no such directory), TENSOR_MISSING, TENSOR_SHAPE, TENSOR_UNKNOWN, and
 * what readHuggingFaceDirectory and openSafetensors throw.
 */
export function readCheckpoint(directory: string): Checkpoint {
  const { resolved, model, tokenizerConfig, endOfText, chatTemplates } = readHuggingFaceDirectory(directory)
  const { config, flicker, ignored, tensors: map, quantization } = model
  const plain = openWeights(resolved)
  const weights = quantization === null ? plain : withoutScales(plain, quantization, resolved)
  let expected: ParameterShape[]
  try {
    const present = new Set(weights.names)
    const found = new Set<string>()
    expected = checkedParameters(config, ({ name, shape }) => {
      const from = map(name)
      const wanted = fileShape(shape, from)
      if (!present.has(from.name)) {
        throw new CheckpointError(
          'TENSOR_MISSING',
          `${resolved}: tensor "${from.name}" of shape [${wanted.join(', ')}] is missing; config.json describes a model that has it`,
        )
      }
      checkShape(from.name, wanted, weights.info(from.name).shape, `in ${resolved} it`)
      found.add(from.name)
    })
    const unknown = [...present].filter(name => !found.has(name) && !ignored(name))
    if (unknown.length > 0) {
      const more = unknown.length > 3 ? ` and ${unknown.length - 3} more` : ''
      throw new CheckpointError(
        'TENSOR_UNKNOWN',
        `${resolved}: ${unknown.slice(0, 3).map(quoted).join(', ')}${more} do not belong to this model; ` +
          'config.json describes another one than the weights',
      )
    }
  } catch (error) {
    weights.close()
    throw error
  }
  const shapes = new Map(expected.map(({ name, shape }) => [name, shape]))
  const parameter = (name: string) => {
    const shape = shapes.get(name)
    if (shape === undefined) throw missingTensor(resolved, name, [...shapes.keys()])
    return { shape, from: map(name) }
  }
  const stored = (name: string): StoredTensor => {
    const { shape, from } = parameter(name)
    return parameterOf(storedTensor(weights, from.name), shape, from)
  }
  return {
    path: directory,
    format: 'hf',
    config,
    flicker,
    notes: [],
    chatTemplates,
    endOfText,
    specialTokens: tokenizerConfig.specialTokens,
    names: expected.map(({ name }) => name),
    cuts: () => readCuts(resolved, config, flicker),
    sparsity: sparsityOf(flicker),
    tokenizer() {
      const tokenizer = loadTokenizer(resolved, tokenizerConfig)
      requireVocabularyFits(tokenizer, config.vocabSize)
      return tokenizer
    },
    info(name) {
      const { dtype } = weights.info(parameter(name).from.name)
      return { dtype: storedAs(dtype) ?? 'f32', shape: parameter(name).shape }
    },
    tensor(name) {
      const { dtype, bytes } = stored(name)
      return decodeStored(dtype, bytes)
    },
    stored,
    reader(name) {
      const { from } = parameter(name)
      const whole = storedAs(weights.info(from.name).dtype) === undefined ? null : weights.reader(from.name)
      return whole === null ? null : readerOf(whole, weights.info(from.name), from)
    },
    close() {
      weights.close()
    },
  }
}

/** What `flicker.sparsity` says; null without it, or where it cannot be read: `cuts()` then says why. */
function sparsityOf(flicker: Record<string, unknown>): SparsityRecord | null {
  const record = sparsityRecordSchema.safeParse(flicker.sparsity)
  return record.success ? record.data : null
}

/** A tensor of the file, as f32 where its type is none of ours. */
function storedTensor(weights: ReturnType<typeof openWeights>, name: string): StoredTensor {
  const { dtype, shape } = weights.info(name)
  const stored = storedAs(dtype)
  if (stored !== undefined) return { dtype: stored, shape, bytes: weights.readBytes(name) }
  return { dtype: 'f32', shape, bytes: new Uint8Array(weights.readFloat32(name).buffer) }
}

/** The tensors of the file, each as soon as the last of its parameters has come. */
function* assembledTensors(
  weights: readonly FileTensorParts[],
  parameters: Iterable<NamedTensor>,
): Generator<NamedTensor> {
  const partOf = new Map(
    weights.flatMap(tensor => tensor.parts.map(({ parameter: { name } }) => [name, tensor] as const)),
  )
  const waiting = new Map<string, NamedTensor>()
  for (const parameter of parameters) {
    const tensor = partOf.get(parameter.name)
    // What does not belong to the model is for the writer to refuse.
    if (tensor === undefined) {
      yield parameter
      continue
    }
    waiting.set(parameter.name, parameter)
    if (!tensor.parts.every(({ parameter: { name } }) => waiting.has(name))) continue
    for (const { parameter: of } of tensor.parts) {
      const given = waiting.get(of.name)!
      if (!isDeepStrictEqual([...given.shape], [...of.shape]) || given.data.length !== sizeOf(of.shape)) {
        yield given
        return
      }
    }
    const data = assembled(tensor, name => waiting.get(name)!.data)
    for (const { parameter: of } of tensor.parts) waiting.delete(of.name)
    yield { name: tensor.name, shape: tensor.shape, data }
  }
}

function sizeOf(shape: readonly number[]): number {
  return shape.reduce((a, b) => a * b, 1)
}

/** How a tensor of safetensors is kept; undefined for others (F64, integers), which are read as f32. */
function storedAs(theirs: SafetensorsDtype): WeightDtype | undefined {
  return WRITTEN_DTYPES.filter(isWeightDtype).find(dtype => WRITTEN_TYPES[dtype].safetensors === theirs)
}

/** JSON as it stands in a file. Throws TypeError for a number that JSON would silently turn into null. */
export function jsonText(value: object): string {
  const checked = (key: string, field: unknown) => {
    if (typeof field === 'number' && !Number.isFinite(field)) {
      throw new TypeError(`"${key}" is ${field}, which JSON cannot hold`)
    }
    return field
  }
  return `${JSON.stringify(value, checked, 2)}\n`
}

const END_OF_TEXT_NAMES = ['<|endoftext|>', '<|end_of_text|>', '</s>', '<eos>']
const addedTokensSchema = z.object({
  added_tokens: z.array(z.object({ id: z.int().nonnegative(), content: z.string() })).default([]),
})

/** The token of a tokenizer.json that separates documents, or null. */
function endOfTextToken(tokenizer: object): SpecialToken | null {
  const parsed = addedTokensSchema.safeParse(tokenizer)
  if (!parsed.success) {
    throw new CheckpointError('TOKENIZER_INVALID', 'the added_tokens of tokenizer.json have no id or content')
  }
  for (const name of END_OF_TEXT_NAMES) {
    const token = parsed.data.added_tokens.find(({ content }) => content === name)
    if (token !== undefined) return token
  }
  return null
}

function tokenizerConfig(
  config: ModelConfig,
  start: SpecialToken | null,
  end: SpecialToken | null,
  templates: ReadonlyMap<string, string>,
): object {
  return {
    tokenizer_class: 'PreTrainedTokenizerFast',
    model_max_length: config.maxPositionEmbeddings,
    bos_token: (start ?? end)?.content ?? null,
    eos_token: end?.content ?? null,
    ...(start === null ? {} : { add_bos_token: true }),
    clean_up_tokenization_spaces: false,
    ...(templates.size > 0 &&
      !hasOnlyDefault(templates) && {
        chat_template: [...templates].map(([name, template]) => ({ name, template })),
      }),
  }
}

/** Then it is a file of its own; several stand in tokenizer_config.json, where every version of transformers finds them. */
function hasOnlyDefault(templates: ReadonlyMap<string, string>): boolean {
  return templates.size === 1 && templates.has('default')
}

/** What a training run keeps beside its weights; without these it cannot resume. */
export const OPTIMIZER_FILE = 'optimizer.safetensors'
export const TRAINER_STATE_FILE = 'trainer_state.json'

/**
 * Replacing a directory deletes what is in it: only a checkpoint, or an empty directory, may go, and the state of a
 * training run only for another one. written: names of all files but the weights.
 */
function refuseUnlessCheckpoint(directory: string, written: readonly string[]): void {
  const resolved = resolveDirectory(directory)
  if (resolved === null || !fs.statSync(resolved).isDirectory()) return
  const names = namesIn(resolved)
  const state = [OPTIMIZER_FILE, TRAINER_STATE_FILE].filter(
    name => names.includes(name) && !written.includes(name),
  )
  if (state.length > 0) {
    throw new StorageError(
      'TRAINING_STATE_KEPT',
      `${directory} is the checkpoint of a training run: replacing it would delete its ${state.join(' and ')}, ` +
        'without which the run cannot resume; choose a new directory',
    )
  }
  const foreign = names.filter(name => !/\.(safetensors|json|jinja)$/.test(name) && !written.includes(name))
  if (names.length === 0 || (names.includes('config.json') && foreign.length === 0)) return
  const found = foreign.length === 0 ? 'no config.json' : `also ${foreign.slice(0, 3).map(quoted).join(', ')}`
  throw new StorageError(
    'NOT_A_CHECKPOINT',
    `${directory} exists and is not just a checkpoint (it has ${found}); choose a new directory`,
  )
}

function namesIn(directory: string): string[] {
  try {
    return fs.readdirSync(directory)
  } catch (cause) {
    throw storageError(cause, directory, 0)
  }
}
