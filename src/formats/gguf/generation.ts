// What a GGUF file says about generating: tokens that end a text or a turn, chat templates, special tokens for them.

import { CheckpointError } from '../../errors.js'
import type { ModelSource } from '../model-source.js'
import type { MetadataEntry } from './config.js'
import type { Metadata } from './types.js'

/** Keys whose token ends what is generated, as in llama.cpp (llama-vocab.cpp). */
const END_KEYS = ['eos', 'eot', 'eom', 'fim_pad', 'fim_rep', 'fim_sep']
/** Texts whose token does so too, whatever the keys say: files of many models name only one end. Likewise llama.cpp's. */
const END_TEXTS: ReadonlySet<string> = new Set([
  '<|eot_id|>',
  '<|eom_id|>',
  '<|end_of_text|>',
  '<|im_end|>',
  '<|endoftext|>',
  '<|end|>',
  '<|return|>',
  '<|call|>',
  '<end_of_turn>',
  '<end_of_utterance>',
  '<EOT>',
  '_<EOT>',
  '[EOT]',
  '[EOS]',
  '<eos>',
  '</s>',
])
/** Special tokens that a template may name, and the keys of their ids. */
const ROLES = { bos_token: 'bos', eos_token: 'eos', unk_token: 'unknown', pad_token: 'padding' } as const

export type GenerationMetadata = Pick<ModelSource, 'endOfText' | 'chatTemplates' | 'specialTokens'>

/** `vocabSize`: an id at or above it names no token, as 2³² − 1 does. Throws CheckpointError GGUF_INVALID. */
export function readGenerationMetadata(
  metadata: Metadata,
  vocabSize: number,
  file: string,
): GenerationMetadata {
  const idOf = (key: string): number | null => {
    const id = metadata.get(`tokenizer.ggml.${key}_token_id`)
    return typeof id === 'number' && Number.isInteger(id) && id >= 0 && id < vocabSize ? id : null
  }
  const tokens = textsOf(metadata.get('tokenizer.ggml.tokens'))
  const byKey = END_KEYS.flatMap(key => idOf(key) ?? [])
  const byText = tokens.flatMap((text, id) => (END_TEXTS.has(text) && id < vocabSize ? [id] : []))
  const specialTokens: Record<string, string> = {}
  for (const [role, key] of Object.entries(ROLES)) {
    const text = tokens[idOf(key) ?? -1]
    if (text !== undefined) specialTokens[role] = text
  }
  return {
    endOfText: [...new Set([...byKey, ...byText])],
    chatTemplates: chatTemplates(metadata, file),
    specialTokens,
  }
}

/** One template, and more by name. */
function chatTemplates(metadata: Metadata, file: string): Map<string, string> {
  const templates = new Map<string, string>()
  const names = textsOf(metadata.get('tokenizer.chat_templates'))
  for (const [name, key] of [
    ['default', 'tokenizer.chat_template'],
    ...names.map(name => [name, `tokenizer.chat_template.${name}`]),
  ]) {
    const template = metadata.get(key)
    if (typeof template === 'string') templates.set(name, template)
    else if (template !== undefined)
      throw new CheckpointError('GGUF_INVALID', `${file}: ${key} is not a string`)
  }
  return templates
}

/** The metadata that `readGenerationMetadata` reads back. endOfText: ids beside the tokenizer's own end. */
export function generationMetadata(
  chatTemplates: ReadonlyMap<string, string>,
  endOfText: readonly number[],
  tokens: readonly string[],
): MetadataEntry[] {
  const entries: MetadataEntry[] = []
  const further = endOfText.filter(id => !END_TEXTS.has(tokens[id]))
  for (const [index, key] of ['eot', 'eom'].entries()) {
    if (index < further.length) entries.push([`tokenizer.ggml.${key}_token_id`, 'u32', further[index]])
  }
  const names: string[] = []
  for (const [name, template] of chatTemplates) {
    if (name === 'default') {
      entries.push(['tokenizer.chat_template', 'string', template])
      continue
    }
    // The same characters that llama.cpp's converter allows in a key.
    names.push(name.replace(/[^A-Za-z0-9]/g, '_'))
    entries.push([`tokenizer.chat_template.${names.at(-1)}`, 'string', template])
  }
  if (names.length > 0) entries.push(['tokenizer.chat_templates', 'strings', names])
  return entries
}

function textsOf(value: unknown): readonly string[] {
  return Array.isArray(value) ? value.filter(text => typeof text === 'string') : []
}
