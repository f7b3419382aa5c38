// `--chat-template`: the name of one of the model's templates, or a file with one.

import fs from 'node:fs'
import { MAX_TEXT_BYTES } from '../data/text-file.js'
import { OptionError } from '../errors.js'
import { storageError } from '../formats/storage.js'
import { readRegularFile, UnreadFile, utf8 } from '../regular-file.js'

/**
 * The text of a template file, or the name of one of the model's templates: what is no regular file is a name. Throws
 * OptionError CHAT_TEMPLATE_UNKNOWN and StorageError.
 */
export function templateOf(nameOrFile: string): string {
  try {
    const file = fs.statSync(nameOrFile, { throwIfNoEntry: false })?.isFile() === true
    return file ? utf8(readRegularFile(nameOrFile, MAX_TEXT_BYTES)) : nameOrFile
  } catch (cause) {
    if (cause instanceof UnreadFile) {
      throw new OptionError('CHAT_TEMPLATE_UNKNOWN', `--chat-template: ${nameOrFile} ${cause.message}`, {
        cause,
      })
    }
    throw storageError(cause, nameOrFile, 0)
  }
}
