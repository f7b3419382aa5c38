// What a model says about generating text, beside its config and weights: the tokens that end a text and the chat
// templates. A Hugging Face directory has files for that, a GGUF file a template and the tokenizer's special tokens.

import fs from 'node:fs'
import path from 'node:path'
import { z } from 'zod'
import type { Tokenizer } from '../../data/tokenizers/tokenizer.js'
import { CheckpointError, TokenizerError } from '../../errors.js'
import type { ModelSource } from '../../formats/index.js'
import { readingError, readJsonFile } from '../../formats/json.js'
import type { LanguageModelExtras } from '../language-model.js'

const tokenIds = z.union([z.int().nonnegative(), z.array(z.int().nonnegative())]).nullish()
const endOfTextSchema = z.object({ eos_token_id: tokenIds })

const tokenText = z.union([z.string(), z.object({ content: z.string() })]).nullish()
const specialTokensSchema = z.object({
  bos_token: tokenText,
  eos_token: tokenText,
  unk_token: tokenText,
  sep_token: tokenText,
  pad_token: tokenText,
  cls_token: tokenText,
  mask_token: tokenText,
})
const namedTemplates = z.array(z.object({ name: z.string().min(1), template: z.string() }))
const tokenizerConfigSchema = specialTokensSchema.extend({
  chat_template: z.union([z.string(), namedTemplates]).nullish(),
})

const LARGEST_TEMPLATE_FILE = 2 ** 22

/** Tokens that end a turn or a text in published vocabularies; a GGUF file names at most one of them. */
const ENDS_OF_TURN = [
  '<|eot_id|>',
  '<|eom_id|>',
  '<|end_of_text|>',
  '<|im_end|>',
  '<|endoftext|>',
  '<|end|>',
  '<end_of_turn>',
  '</s>',
]

/** What an open model says. Throws as readGenerationFiles does. */
export function generationExtras(source: ModelSource, tokenizer: Tokenizer): LanguageModelExtras {
  if (source.format === 'hf') return readGenerationFiles(source.path)
  const { chatTemplate } = source
  if (chatTemplate === null) return {}
  const specialTokens: Record<string, string> = {}
  const { startOfText = null, endOfText } = tokenizer
  if (startOfText !== null) specialTokens.bos_token = textOf(tokenizer, startOfText)
  if (endOfText !== null) specialTokens.eos_token = textOf(tokenizer, endOfText)
  return {
    // As llama.cpp does: of these names those count that are a token of the vocabulary.
    endOfText: ENDS_OF_TURN.flatMap(text => singleToken(tokenizer, text)),
    chat: { templates: new Map([['default', chatTemplate]]), specialTokens },
  }
}

/** The id of a text that is one token; nothing when it is several, or none. */
function singleToken(tokenizer: Tokenizer, text: string): number[] {
  try {
    const ids = tokenizer.encode(text)
    return ids.length === 1 ? [ids[0]] : []
  } catch (error) {
    if (error instanceof TokenizerError) return []
    throw error
  }
}

function textOf(tokenizer: Tokenizer, id: number): string {
  return new TextDecoder().decode(tokenizer.tokenBytes(id))
}

/**
 * What the files of `directory` say; nothing where there are none. Throws CheckpointError GENERATION_CONFIG_INVALID,
 * TOKENIZER_CONFIG_INVALID, CHAT_TEMPLATE_FILE; StorageError.
 */
export function readGenerationFiles(directory: string): LanguageModelExtras {
  const templates = new Map<string, string>()
  const specialTokens: Record<string, string> = {}
  const configFile = path.join(directory, 'tokenizer_config.json')
  if (fs.existsSync(configFile)) {
    const config = readJsonFile(configFile, tokenizerConfigSchema, 'TOKENIZER_CONFIG_INVALID')
    const { chat_template: given, ...tokens } = config
    for (const { name, template } of typeof given === 'string'
      ? [{ name: 'default', template: given }]
      : (given ?? [])) {
      templates.set(name, template)
    }
    for (const [name, token] of Object.entries(tokens)) {
      const text = typeof token === 'string' ? token : token?.content
      if (text !== undefined) specialTokens[name] = text
    }
  }
  // Newer checkpoints keep templates as files, which then count.
  readTemplate(path.join(directory, 'chat_template.jinja'), 'default', templates)
  const more = path.join(directory, 'additional_chat_templates')
  for (const file of fs.existsSync(more) ? fs.readdirSync(more).sort() : []) {
    if (file.endsWith('.jinja'))
      readTemplate(path.join(more, file), file.slice(0, -'.jinja'.length), templates)
  }
  return { endOfText: endOfTextIds(directory), chat: { templates, specialTokens } }
}

function readTemplate(file: string, name: string, templates: Map<string, string>): void {
  const stat = fs.statSync(file, { throwIfNoEntry: false })
  if (stat === undefined) return
  if (!stat.isFile() || stat.size > LARGEST_TEMPLATE_FILE) {
    throw new CheckpointError('CHAT_TEMPLATE_FILE', `${file} is no chat template: no file, or far too large`)
  }
  try {
    templates.set(name, fs.readFileSync(file, 'utf8'))
  } catch (cause) {
    throw readingError(cause, file)
  }
}

/** generation_config.json's, or where it names none config.json's, as Hugging Face's generate takes them. */
function endOfTextIds(directory: string): number[] {
  for (const name of ['generation_config.json', 'config.json']) {
    const file = path.join(directory, name)
    if (!fs.existsSync(file)) continue
    const { eos_token_id: ids } = readJsonFile(file, endOfTextSchema, 'GENERATION_CONFIG_INVALID')
    if (ids !== undefined && ids !== null) return [ids].flat()
  }
  return []
}
