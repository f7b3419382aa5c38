// The Jinja template of a chat that a Hugging Face directory holds: chat_template.jinja, or a field of
// tokenizer_config.json. Rendering it is for who generates.

import fs from 'node:fs'
import path from 'node:path'
import { z } from 'zod'
import { CheckpointError } from '../errors.js'
import { readingError, readJsonFile } from './json.js'

const LARGEST_TEMPLATE = 1 << 20

const configSchema = z.looseObject({
  chat_template: z
    .union([z.string(), z.array(z.looseObject({ name: z.string(), template: z.string() }))])
    .nullish(),
})

/**
 * The template in `directory`, the one called `default` where there are several, or null. Throws CheckpointError
 * CHAT_TEMPLATE_INVALID.
 */
export function readChatTemplate(directory: string): string | null {
  const file = path.join(directory, 'chat_template.jinja')
  if (fs.existsSync(file)) {
    try {
      const { size } = fs.statSync(file)
      if (size > LARGEST_TEMPLATE) {
        throw new CheckpointError(
          'CHAT_TEMPLATE_INVALID',
          `${file} has ${size} bytes, too many for a template`,
        )
      }
      return fs.readFileSync(file, 'utf8')
    } catch (cause) {
      throw readingError(cause, file)
    }
  }
  const config = path.join(directory, 'tokenizer_config.json')
  if (!fs.existsSync(config)) return null
  const { chat_template } = readJsonFile(config, configSchema, 'CHAT_TEMPLATE_INVALID')
  if (!Array.isArray(chat_template)) return chat_template ?? null
  return chat_template.find(({ name }) => name === 'default')?.template ?? null
}
