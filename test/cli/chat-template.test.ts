// What `--chat-template` names: a file, or one of the model's templates.

import { execFileSync } from 'node:child_process'
import fs from 'node:fs'
import path from 'node:path'
import { expect, it } from 'vitest'
import { templateOf } from '../../src/cli/chat-template.js'
import { MAX_TEXT_BYTES } from '../../src/data/text-file.js'
import { temporaryDirectories } from '../data/temporary.js'

const directory = temporaryDirectories()

it('a file gives its text, and a path to it through a link too', () => {
  const folder = directory({ 'shout.jinja': '{{ messages[0].content | upper }} ü\n' })
  const file = path.join(folder, 'shout.jinja')
  fs.symlinkSync('shout.jinja', path.join(folder, 'link'))
  expect(templateOf(file)).toBe('{{ messages[0].content | upper }} ü\n')
  expect(templateOf(path.join(folder, 'link'))).toBe('{{ messages[0].content | upper }} ü\n')
})

it('what is no regular file is the name of a template: nothing, a directory, a pipe', () => {
  const folder = directory({})
  const pipe = path.join(folder, 'pipe')
  execFileSync('mkfifo', [pipe])
  for (const name of ['tool_use', folder, pipe, path.join(folder, 'absent.jinja')]) {
    expect(templateOf(name)).toBe(name)
  }
})

it('a file that is too large is refused before it is read, with the flag and the limit', () => {
  const file = path.join(directory({ 'large.jinja': '' }), 'large.jinja')
  fs.truncateSync(file, MAX_TEXT_BYTES + 1)
  expect(() => templateOf(file)).toThrow(
    expect.objectContaining({
      code: 'CHAT_TEMPLATE_UNKNOWN',
      message: `--chat-template: ${file} has ${MAX_TEXT_BYTES + 1} bytes, more than the limit of ${MAX_TEXT_BYTES}`,
    }),
  )
})
