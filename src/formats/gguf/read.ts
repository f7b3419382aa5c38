// A GGUF file as a source of weights: one tensor at a time, under Hugging Face's names and in their order of rows.

import { requireVocabularyFits } from '../../data/tokenizers/tokenizer.js'
import { CheckpointError } from '../../errors.js'
import { headDimOf } from '../../nn/config.js'
import { checkedParameters, type ModelSource, missingTensor } from '../model-source.js'
import { pairsToHalves } from '../rope.js'
import { checkShape, quoted } from '../safetensors.js'
import { decodeStored } from '../stored.js'
import { type GgufModel, readGgufConfig, rowsInPairs } from './config.js'
import { readGenerationMetadata } from './generation.js'
import { ggufName, hasRotaryRows, ROPE_FACTORS } from './names.js'
import { type GgufParts, openGgufParts } from './parts.js'
import { ggufTokenizerNotes, readGgufTokenizer } from './read-tokenizer.js'
import type { GgufTensor } from './types.js'

/**
 * Opens a GGUF file and checks that its metadata and its tensors fit together; close it when done. Throws
 * CheckpointError: TENSOR_MISSING, TENSOR_SHAPE, TENSOR_UNKNOWN, and what openGgufParts and readGgufConfig throw.
 */
export function openGguf(file: string): ModelSource {
  const parts = openGgufParts(file)
  try {
    const { metadata, tensors } = parts
    const factors = tensors.get(ROPE_FACTORS)
    const model = readGgufConfig(
      parts.file,
      metadata,
      tensors,
      factors === undefined ? null : decodeStored(factors.dtype, parts.read(factors)),
    )
    return sourceOf(parts, model)
  } catch (error) {
    parts.close()
    throw error
  }
}

function sourceOf(parts: GgufParts, model: GgufModel): ModelSource {
  const { file, metadata, tensors } = parts
  const { architecture, config, notes } = model
  const byName = fittingTensors(file, tensors, model)
  const names = [...byName.keys()]
  const info = (name: string) => {
    const tensor = byName.get(name)
    if (tensor === undefined) throw missingTensor(file, name, names)
    return tensor
  }
  const stored = (name: string) => {
    const tensor = info(name)
    const { dtype, shape } = tensor
    const raw = parts.read(tensor)
    const permuted = rowsInPairs(architecture) && hasRotaryRows(name)
    return { dtype, shape, bytes: permuted ? pairsToHalves(raw, shape[0], headDimOf(config)) : raw }
  }
  return {
    path: file,
    format: 'gguf',
    config,
    notes: [...notes, ...ggufTokenizerNotes(metadata)],
    ...readGenerationMetadata(metadata, config.vocabSize, file),
    names,
    tokenizer() {
      const tokenizer = readGgufTokenizer(metadata, file)
      requireVocabularyFits(tokenizer, config.vocabSize)
      return tokenizer
    },
    info(name) {
      const { dtype, shape } = info(name)
      return { dtype, shape }
    },
    stored,
    tensor(name) {
      const { dtype, bytes: raw } = stored(name)
      return decodeStored(dtype, raw)
    },
    close: () => parts.close(),
  }
}

/** The model's tensors by Hugging Face's names; all must be there, and no other. */
function fittingTensors(
  file: string,
  tensors: ReadonlyMap<string, GgufTensor>,
  { config }: GgufModel,
): Map<string, GgufTensor> {
  const byName = new Map<string, GgufTensor>()
  const rest = new Set(tensors.keys())
  checkedParameters(config, ({ name, shape }) => {
    const theirs = ggufName(name)
    const tensor = tensors.get(theirs)
    if (tensor === undefined) {
      throw new CheckpointError(
        'TENSOR_MISSING',
        `${file}: tensor "${theirs}" of shape [${shape.join(', ')}] is missing; the metadata describes a model that has it`,
      )
    }
    checkShape(theirs, shape, tensor.shape, `in ${file} it`)
    byName.set(name, tensor)
    rest.delete(theirs)
  })
  rest.delete(ROPE_FACTORS)
  for (const name of rest) if (ROTARY_TABLE.test(name)) rest.delete(name)
  const [unknown] = rest
  if (unknown === undefined) return byName
  const more = rest.size > 1 ? ` (${rest.size} such tensors in all)` : ''
  throw new CheckpointError(
    'TENSOR_UNKNOWN',
    `${file}: tensor ${quoted(unknown)} does not belong to this model${more}: ${reasonFor(unknown)}`,
  )
}

/** Tables that old converters wrote beside the weights; a model computes them. */
const ROTARY_TABLE = /\.attn_rot_embd$/

function reasonFor(tensor: string): string {
  if (/_norm\.bias$/.test(tensor)) return 'biases of norms are not supported'
  if (/\.ffn_(gate|up|down)\.bias$/.test(tensor)) return 'biases of the FFN are not supported'
  if (/\.attn_(q|k)_norm\./.test(tensor)) return 'norms of queries and keys are not supported'
  if (/_exps|_shexp|ffn_gate_inp/.test(tensor)) return 'mixtures of experts are not supported'
  if (/^rope_factors_/.test(tensor)) return 'rotary factors for long and short contexts are not supported'
  if (/\.bias$/.test(tensor)) return 'this bias is not supported'
  return 'the metadata describes another one'
}
