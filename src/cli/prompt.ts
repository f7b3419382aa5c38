// Where the prompt of a command comes from: --prompt, standard input, or a file.

import { type Command, Option } from 'commander'
import { MAX_TEXT_BYTES } from '../data/text-file.js'
import { OptionError } from '../errors.js'
import { storageError } from '../formats/storage.js'
import { readRegularFile, UnreadFile } from '../regular-file.js'
import { anyText } from './options.js'

export interface PromptFlags {
  readonly prompt?: string
  readonly promptFile?: string
}

/** Adds --prompt and --prompt-file. */
export function addPromptOptions(command: Command, about: string): Command {
  return command
    .option('-p, --prompt <text>', `${about}; - reads it from standard input`, anyText)
    .addOption(
      new Option(
        '--prompt-file <path>',
        'read it from a file; a line end at the end of the file is left out',
      ).conflicts('prompt'),
    )
}

/** The prompt that the flags give, or undefined. Throws OptionError PROMPT_UNREADABLE, PROMPT_NOT_TEXT; StorageError. */
export async function readPrompt({ prompt, promptFile }: PromptFlags): Promise<string | undefined> {
  if (promptFile !== undefined) return decoded(readFile(promptFile), promptFile)
  if (prompt !== '-') return prompt
  const chunks: Buffer[] = []
  for await (const chunk of process.stdin) chunks.push(chunk)
  return decoded(Buffer.concat(chunks), 'standard input')
}

function readFile(file: string): Uint8Array {
  try {
    return readRegularFile(file, MAX_TEXT_BYTES)
  } catch (cause) {
    const missing = (cause as NodeJS.ErrnoException).code === 'ENOENT'
    const why = cause instanceof UnreadFile ? cause.message : missing ? 'does not exist' : null
    if (why === null) throw storageError(cause, file, 0)
    throw new OptionError('PROMPT_UNREADABLE', `--prompt-file: ${file} ${why}`, { cause })
  }
}

/** UTF-8 without the line end that editors and `echo` put after the last line. */
function decoded(bytes: Uint8Array, where: string): string {
  try {
    return new TextDecoder('utf-8', { fatal: true }).decode(bytes).replace(/\r?\n$/, '')
  } catch (cause) {
    throw new OptionError('PROMPT_NOT_TEXT', `the prompt from ${where} is not UTF-8 text`, { cause })
  }
}
