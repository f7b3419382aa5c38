// A small model in every format that a browser reads, in one directory.

import { mkdirSync, mkdtempSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import path from 'node:path'
import { bytesTokenizer } from '../../src/data/tokenizers/byte-pair.js'
import { convertModel, writeCheckpoint } from '../../src/formats/index.js'
import type { ModelConfig } from '../../src/nn/config.js'
import { variedTensors } from '../formats/tiny-model.js'

const tokenizer = bytesTokenizer()

/** StochA, so that neurons are 0 and are drawn; wide enough that its file takes several pieces. */
export const config: ModelConfig = {
  vocabSize: tokenizer.vocabSize,
  hiddenSize: 64,
  intermediateSize: 160,
  numHiddenLayers: 3,
  numAttentionHeads: 4,
  numKeyValueHeads: 2,
  maxPositionEmbeddings: 4096,
  rmsNormEps: 1e-5,
  ropeTheta: 10_000,
  tieWordEmbeddings: false,
  ffn: 'gated',
  activation: 'relu',
}

export const chatTemplate =
  '{% for message in messages %}<{{ message.role }}>{{ message.content }}{% endfor %}{% if add_generation_prompt %}<assistant>{% endif %}'

/** `hf/`, `model.gguf` and `q8.gguf` in a new temporary directory. */
export async function writeModels(): Promise<string> {
  const directory = mkdtempSync(path.join(tmpdir(), 'flicker-browser-'))
  const hf = path.join(directory, 'hf')
  mkdirSync(directory, { recursive: true })
  const tensors = variedTensors(config).map(tensor => ({
    ...tensor,
    data: tensor.shape.length === 1 ? tensor.data.fill(1) : tensor.data.map(value => value / 4),
  }))
  writeCheckpoint(hf, { config, tensors, tokenizer: tokenizer.toJSON() })
  writeFileSync(path.join(hf, 'chat_template.jinja'), chatTemplate)
  await convertModel(hf, path.join(directory, 'model.gguf'), { to: 'gguf' })
  await convertModel(hf, path.join(directory, 'q8.gguf'), { to: 'gguf', dtype: 'q8_0' })
  return directory
}
