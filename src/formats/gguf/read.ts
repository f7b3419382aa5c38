// A GGUF file as a source of weights: one tensor at a time, under Hugging Face's names and in their order of rows.

import { requireVocabularyFits } from '../../data/tokenizers/tokenizer.js'
import { CheckpointError } from '../../errors.js'
import { type FileTensor, fileShape, parameterOf, readerOf } from '../architectures/tensors.js'
import { checkedParameters, type ModelSource, missingTensor } from '../model-source.js'
import { checkShape, quoted } from '../safetensors.js'
import { decodeStored } from '../stored.js'
import { type GgufModel, readGgufConfig } from './config.js'
import { readGenerationMetadata } from './generation.js'
import { LONG_FACTORS, ROPE_FACTORS, SHORT_FACTORS } from './names.js'
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
    const model = readGgufConfig(parts.file, metadata, tensors, tensor => parts.read(tensor))
    return sourceOf(parts, model)
  } catch (error) {
    parts.close()
    throw error
  }
}

function sourceOf(parts: GgufParts, model: GgufModel): ModelSource {
  const { file, metadata, tensors } = parts
  const { config, notes } = model
  const byName = fittingTensors(file, tensors, model)
  const names = [...byName.keys()]
  const info = (name: string) => {
    const tensor = byName.get(name)
    if (tensor === undefined) throw missingTensor(file, name, names)
    return tensor
  }
  const stored = (name: string) => {
    const { tensor, from, shape } = info(name)
    const { dtype } = tensor
    const own = from.slice === undefined ? tensor.shape : tensor.shape.slice(1)
    return parameterOf({ dtype, shape: own, bytes: parts.read(tensor, from.slice) }, shape, from)
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
      const { tensor, shape } = info(name)
      return { dtype: tensor.dtype, shape }
    },
    stored,
    reader(name) {
      const { tensor, from } = info(name)
      const bytes = tensor.bytes / (from.slice?.count ?? 1)
      return readerOf(parts.reader(tensor, from.slice), { bytes }, from)
    },
    tensor(name) {
      const { dtype, bytes: raw } = stored(name)
      return decodeStored(dtype, raw)
    },
    close: () => parts.close(),
  }
}

/** A parameter, and the tensor of the file that it is in. */
interface FoundParameter {
  readonly tensor: GgufTensor
  readonly from: FileTensor
  readonly shape: readonly number[]
}

/** The model's parameters by Hugging Face's names; all must be there, and no other. */
function fittingTensors(
  file: string,
  tensors: ReadonlyMap<string, GgufTensor>,
  { config, tensors: map }: GgufModel,
): Map<string, FoundParameter> {
  const byName = new Map<string, FoundParameter>()
  const rest = new Set(tensors.keys())
  checkedParameters(config, ({ name, shape }) => {
    const from = map(name)
    const wanted = fileShape(shape, from)
    const tensor = tensors.get(from.name)
    if (tensor === undefined) {
      throw new CheckpointError(
        'TENSOR_MISSING',
        `${file}: tensor "${from.name}" of shape [${wanted.join(', ')}] is missing; the metadata describes a model that has it`,
      )
    }
    checkShape(from.name, wanted, tensor.shape, `in ${file} it`)
    byName.set(name, { tensor, from, shape })
    rest.delete(from.name)
  })
  for (const name of [ROPE_FACTORS, SHORT_FACTORS, LONG_FACTORS]) rest.delete(name)
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
  if (/_exps|_shexp|ffn_gate_inp/.test(tensor)) return 'this kind of experts is not supported'
  if (/\.bias$/.test(tensor)) return 'this bias is not supported'
  return 'the metadata describes another one'
}
