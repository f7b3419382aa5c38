// A GGUF file as a source of weights: one tensor at a time, under Hugging Face's names and in their order of rows.

import { requireVocabularyFits } from '../../data/tokenizers/tokenizer.js'
import { CheckpointError } from '../../errors.js'
import { headDimOf } from '../../nn/config.js'
import { type FileBytes, openFileBytes } from '../file-bytes.js'
import { checkedParameters, type ModelSource, missingTensor } from '../model-source.js'
import { pairsToHalves } from '../rope.js'
import { checkShape, quoted } from '../safetensors.js'
import { decodeStored } from '../stored.js'
import { type GgufModel, readGgufConfig, rowsInPairs } from './config.js'
import { readGenerationMetadata } from './generation.js'
import { ggufName, hasRotaryRows, ROPE_FACTORS } from './names.js'
import { type GgufHeader, parseGguf } from './parse.js'
import { readGgufTokenizer } from './read-tokenizer.js'
import type { GgufTensor } from './types.js'

/**
 * Opens a GGUF file and checks that its metadata and its tensors fit together; close it when done. Throws
 * CheckpointError: TENSOR_MISSING, TENSOR_SHAPE, TENSOR_UNKNOWN, and what parseGguf and readGgufConfig throw.
 */
export function openGguf(file: string): ModelSource {
  const bytes = openFileBytes(file, 'GGUF_TRUNCATED')
  try {
    const header = parseGguf(bytes)
    const factors = header.tensors.get(ROPE_FACTORS)
    const model = readGgufConfig(
      file,
      header.metadata,
      header.tensors,
      factors === undefined ? null : decodeStored(factors.dtype, bytes.read(factors.offset, factors.bytes)),
    )
    return sourceOf(bytes, header, model)
  } catch (error) {
    bytes.close()
    throw error
  }
}

function sourceOf(bytes: FileBytes, { metadata, tensors }: GgufHeader, model: GgufModel): ModelSource {
  const { file } = bytes
  const { architecture, config } = model
  const byName = fittingTensors(file, tensors, model)
  const names = [...byName.keys()]
  const info = (name: string) => {
    const tensor = byName.get(name)
    if (tensor === undefined) throw missingTensor(file, name, names)
    return tensor
  }
  const stored = (name: string) => {
    const { dtype, shape, offset, bytes: length } = info(name)
    const raw = bytes.read(offset, length)
    const permuted = rowsInPairs(architecture) && hasRotaryRows(name)
    return { dtype, shape, bytes: permuted ? pairsToHalves(raw, shape[0], headDimOf(config)) : raw }
  }
  return {
    path: file,
    format: 'gguf',
    config,
    notes: [],
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
    close: () => bytes.close(),
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
        `${file}: tensor "${theirs}" of shape [${shape.join(', ')}] is missing; the metadata asks for it`,
      )
    }
    checkShape(theirs, shape, tensor.shape, `in ${file} it`)
    byName.set(name, tensor)
    rest.delete(theirs)
  })
  rest.delete(ROPE_FACTORS)
  // A tied head that is written out all the same would have made the model untied; nothing else may be left.
  const [unknown] = rest
  if (unknown === undefined) return byName
  throw new CheckpointError(
    'TENSOR_UNKNOWN',
    `${file}: tensor ${quoted(unknown)} has no place in this model (${rest.size} in all); the metadata describes another one`,
  )
}
