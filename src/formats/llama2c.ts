// llama2.c's model.bin, legacy and version 1: seven int32 that give the shape, then f32 tensors in a fixed order. The
// legacy file has no magic and is told by its exact size. https://github.com/karpathy/llama2.c (run.c, export.py)

import fs from 'node:fs'
import path from 'node:path'
import { loadTokenizer } from '../data/tokenizers/load.js'
import { requireVocabularyFits, type Tokenizer } from '../data/tokenizers/tokenizer.js'
import { CheckpointError, TokenizerError } from '../errors.js'
import type { ModelConfig } from '../nn/config.js'
import { modelConfigProblem } from '../nn/config.js'
import { parameterShapes } from '../nn/parameters.js'
import { type FileBytes, openFileBytes, partReader } from './file-bytes.js'
import { type ModelSource, missingTensor } from './model-source.js'
import { pairsToHalves } from './rope.js'
import { decodeStored } from './stored.js'

/** `ak42` as llama2.c writes it, a little-endian number. */
const MAGIC = 0x616b3432
const LEGACY_HEADER = 28
const VERSION_1_HEADER = 256

/** Where each tensor of the model lies, in bytes. */
type Offsets = ReadonlyMap<string, number>

interface Layout {
  readonly config: ModelConfig
  readonly offsets: Offsets
  /** What the file must measure. */
  readonly size: number
}

/** Whether `file` begins as a model of llama2.c does: with its magic, or with a shape that gives the file's size. */
export function isLlama2c(file: FileBytes): boolean {
  if (file.size < LEGACY_HEADER) return false
  const header = new DataView(file.read(0, LEGACY_HEADER).buffer)
  return header.getUint32(0, true) === MAGIC || legacyLayout(header)?.size === file.size
}

/**
 * Opens a model of llama2.c. `tokenizerFile`: its tokenizer.bin; by default the one beside the model. Throws
 * CheckpointError: LLAMA2C_INVALID, LLAMA2C_TRUNCATED, CHECKPOINT_FILE_MISSING.
 */
export function openLlama2c(file: string, tokenizerFile?: string): ModelSource {
  const bytes = openFileBytes(file, 'LLAMA2C_TRUNCATED')
  let layout: Layout
  try {
    layout = readLayout(bytes)
  } catch (error) {
    bytes.close()
    throw error
  }
  const { config, offsets } = layout
  const shapes = new Map(parameterShapes(config).map(({ name, shape }) => [name, shape]))
  const names = [...shapes.keys()]
  const info = (name: string) => {
    const shape = shapes.get(name)
    if (shape === undefined) throw missingTensor(file, name, names)
    return { dtype: 'f32' as const, shape }
  }
  const stored = (name: string) => {
    const { dtype, shape } = info(name)
    const raw = bytes.read(offsets.get(name)!, 4 * shape.reduce((a, b) => a * b))
    const headDim = config.hiddenSize / config.numAttentionHeads
    return { dtype, shape, bytes: isTurned(name) ? pairsToHalves(raw, shape[0], headDim) : raw }
  }
  return {
    path: file,
    format: 'llama2c',
    config,
    notes: [],
    chatTemplates: new Map(),
    endOfText: [],
    specialTokens: {},
    names,
    tokenizer: () => tokenizerBeside(file, tokenizerFile, config),
    info,
    stored,
    reader(name) {
      const { shape } = info(name)
      if (isTurned(name)) return null
      const start = offsets.get(name)!
      return partReader(4 * shape.reduce((a, b) => a * b), (offset, into) =>
        bytes.readInto(start + offset, into),
      )
    },
    tensor: name => decodeStored('f32', stored(name).bytes),
    close: () => bytes.close(),
  }
}

/** Whether the file has the rotated pairs of this tensor side by side. */
function isTurned(name: string): boolean {
  return /\.self_attn\.[qk]_proj\./.test(name)
}

function tokenizerBeside(file: string, given: string | undefined, config: ModelConfig): Tokenizer {
  const beside = path.join(path.dirname(file), 'tokenizer.bin')
  if (given === undefined && !fs.existsSync(beside)) {
    throw new TokenizerError(
      'TOKENIZER_NOT_FOUND',
      `tokenizer: ${file} has none in it, and there is no ${beside}; give its tokenizer.bin with --tokenizer`,
    )
  }
  const tokenizer = loadTokenizer(given ?? beside)
  requireVocabularyFits(tokenizer, config.vocabSize)
  return tokenizer
}

function readLayout(file: FileBytes): Layout {
  const invalid = (message: string) => new CheckpointError('LLAMA2C_INVALID', `${file.file}: ${message}`)
  const start = new DataView(file.read(0, LEGACY_HEADER).buffer)
  let layout: Layout
  if (start.getUint32(0, true) === MAGIC) {
    const version = start.getInt32(4, true)
    if (version !== 1) {
      throw invalid(
        `version ${version} of llama2.c's format is not supported; supported: legacy and 1 (export the model again with --version 1)`,
      )
    }
    layout = version1Layout(new DataView(file.read(0, VERSION_1_HEADER).buffer))
  } else {
    const legacy = legacyLayout(start)
    if (legacy === null) throw invalid('not a model of llama2.c: it does not begin with the sizes of a model')
    layout = legacy
  }
  const problem = modelConfigProblem(layout.config)
  if (problem !== null) throw invalid(problem)
  if (file.size < layout.size) {
    throw new CheckpointError(
      'LLAMA2C_TRUNCATED',
      `${file.file} is truncated: its shape needs ${layout.size} bytes, it has ${file.size}; fetch it again`,
    )
  }
  if (file.size > layout.size) throw invalid(`it has ${file.size} bytes, but its shape needs ${layout.size}`)
  return layout
}

/** The seven sizes from `at` on. A negative vocabulary says that the head is not the embedding. */
function shapeAt(header: DataView, at: number): ModelConfig {
  const [dim, hidden, layers, heads, kvHeads, vocab, context] = Array.from({ length: 7 }, (_, i) =>
    header.getInt32(at + 4 * i, true),
  )
  return {
    vocabSize: Math.abs(vocab),
    hiddenSize: dim,
    intermediateSize: hidden,
    numHiddenLayers: layers,
    numAttentionHeads: heads,
    numKeyValueHeads: kvHeads,
    maxPositionEmbeddings: context,
    rmsNormEps: 1e-5,
    ropeTheta: 10_000,
    tieWordEmbeddings: vocab > 0,
    ffn: 'gated',
    activation: 'silu',
  }
}

/** null when the values are not the sizes of a model. */
function legacyLayout(header: DataView): Layout | null {
  const config = shapeAt(header, 0)
  if (modelConfigProblem(config) !== null) return null
  const { numHiddenLayers: layers } = config
  const order = new Order(config, LEGACY_HEADER)
  order.add('model.embed_tokens')
  order.addLayers(layers, 'input_layernorm', 'self_attn.q_proj', 'self_attn.k_proj', 'self_attn.v_proj')
  order.addLayers(layers, 'self_attn.o_proj', 'post_attention_layernorm')
  order.addLayers(layers, 'mlp.gate_proj', 'mlp.down_proj', 'mlp.up_proj')
  order.add('model.norm')
  // Tables of cos and sin, which run.c skips as well.
  order.size += 4 * config.maxPositionEmbeddings * (config.hiddenSize / config.numAttentionHeads)
  if (!config.tieWordEmbeddings) order.add('lm_head')
  return { config, offsets: order.offsets, size: order.size }
}

/** The shape is not checked yet, but for the number of layers, which decides how long the list is. */
function version1Layout(header: DataView): Layout {
  const config = { ...shapeAt(header, 8), tieWordEmbeddings: header.getUint8(36) !== 0 }
  if (modelConfigProblem(config) !== null) return { config, offsets: new Map(), size: 0 }
  const { numHiddenLayers: layers } = config
  const order = new Order(config, VERSION_1_HEADER)
  order.addLayers(layers, 'input_layernorm', 'post_attention_layernorm')
  order.add('model.norm')
  order.add('model.embed_tokens')
  order.addLayers(layers, 'self_attn.q_proj', 'self_attn.k_proj', 'self_attn.v_proj', 'self_attn.o_proj')
  order.addLayers(layers, 'mlp.gate_proj', 'mlp.down_proj', 'mlp.up_proj')
  if (!config.tieWordEmbeddings) order.add('lm_head')
  return { config, offsets: order.offsets, size: order.size }
}

/** Tensors one after another. */
class Order {
  readonly offsets = new Map<string, number>()
  size: number
  readonly #sizes: ReadonlyMap<string, number>

  constructor(config: ModelConfig, start: number) {
    this.size = start
    this.#sizes = new Map(
      parameterShapes(config).map(({ name, shape }) => [name, shape.reduce((a, b) => a * b)]),
    )
  }

  add(module: string): void {
    const name = `${module}.weight`
    this.offsets.set(name, this.size)
    this.size += 4 * this.#sizes.get(name)!
  }

  /** Of each module all layers, then the next module. */
  addLayers(layers: number, ...modules: string[]): void {
    for (const module of modules) {
      for (let layer = 0; layer < layers; layer++) this.add(`model.layers.${layer}.${module}`)
    }
  }
}
