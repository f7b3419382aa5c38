// The files of a Hugging Face directory beside its weights, each read once and checked here: config.json,
// generation_config.json, tokenizer_config.json and the chat templates. What an interrupted writer left under another
// name is found once, too, so that all files are of one directory.

import fs from 'node:fs'
import path from 'node:path'
import { z } from 'zod'
import {
  LARGEST_TEMPLATE,
  readTokenizerConfig,
  type TokenizerConfigFile,
} from '../../data/tokenizers/tokenizer-config.js'
import { CheckpointError } from '../../errors.js'
import { readRegularFile, UnreadFile, utf8 } from '../../regular-file.js'
import { resolveDirectory } from '../atomic.js'
import { fitting, readingError, readJson } from '../json.js'
import { type DescribedModel, describedModel } from './config.js'

export interface HuggingFaceDirectory {
  /** Where the files are: `directory`, or the copy of it that an interrupted writer has set aside. */
  readonly resolved: string
  readonly model: DescribedModel
  readonly tokenizerConfig: TokenizerConfigFile
  /** Ids that end a text, of generation_config.json, or of config.json where that names none. */
  readonly endOfText: readonly number[]
  /** Jinja by name; the one for everyday use is called `default`. */
  readonly chatTemplates: ReadonlyMap<string, string>
}

/**
 * Reads the files of `directory`. Throws CheckpointError CHECKPOINT_MISSING, GENERATION_CONFIG_INVALID,
 * CHAT_TEMPLATE_FILE and what describedModel throws; TokenizerError TOKENIZER_CONFIG_INVALID; StorageError.
 */
export function readHuggingFaceDirectory(directory: string): HuggingFaceDirectory {
  const resolved = resolveDirectory(directory)
  if (resolved === null || !fs.statSync(resolved).isDirectory()) {
    throw new CheckpointError(
      'CHECKPOINT_MISSING',
      `there is no checkpoint directory ${directory}; give one with config.json and model.safetensors in it`,
    )
  }
  const configFile = path.join(resolved, 'config.json')
  const config = readJson(configFile, 'CONFIG_INVALID')
  const tokenizerConfig = readTokenizerConfig(resolved)
  return {
    resolved,
    model: describedModel(config, configFile),
    tokenizerConfig,
    endOfText: endOfTextIds(resolved, config),
    chatTemplates: chatTemplates(resolved, tokenizerConfig),
  }
}

/** Some programs write -1 for "none". */
const ids = z.union([z.int(), z.array(z.int())]).nullish()
const endOfTextSchema = z.looseObject({ eos_token_id: ids })

/** As Hugging Face's generate takes them. */
function endOfTextIds(directory: string, config: unknown): number[] {
  const generationFile = path.join(directory, 'generation_config.json')
  const generation = fs.existsSync(generationFile)
    ? readJson(generationFile, 'GENERATION_CONFIG_INVALID')
    : {}
  for (const [content, file] of [
    [generation, generationFile],
    [config, path.join(directory, 'config.json')],
  ] as const) {
    const { eos_token_id: given } = fitting(content, endOfTextSchema, 'GENERATION_CONFIG_INVALID', file)
    const found = [given ?? []].flat().filter(id => id >= 0)
    if (found.length > 0) return found
  }
  return []
}

/** Those of tokenizer_config.json; newer checkpoints keep them as files of their own, which then count. */
function chatTemplates(directory: string, config: TokenizerConfigFile): ReadonlyMap<string, string> {
  const templates = new Map(config.chatTemplates)
  const single = path.join(directory, 'chat_template.jinja')
  if (fs.existsSync(single)) templates.set('default', readTemplate(single))
  const more = path.join(directory, 'additional_chat_templates')
  for (const name of fs.existsSync(more) ? directoryNames(more) : []) {
    if (!name.endsWith('.jinja')) continue
    templates.set(name.slice(0, -'.jinja'.length), readTemplate(path.join(more, name)))
  }
  return templates
}

function directoryNames(directory: string): string[] {
  try {
    return fs.readdirSync(directory).sort()
  } catch (cause) {
    throw readingError(cause, directory)
  }
}

function readTemplate(file: string): string {
  try {
    return utf8(readRegularFile(file, LARGEST_TEMPLATE))
  } catch (cause) {
    if (cause instanceof UnreadFile) {
      throw new CheckpointError('CHAT_TEMPLATE_FILE', `${file} is no chat template: it ${cause.message}`, {
        cause,
      })
    }
    throw readingError(cause, file)
  }
}
