// A directory for one test file, removed when the file is done.

import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { dirname, join } from 'node:path'
import { afterAll } from 'vitest'

/** Returns a function that writes files (name → content) into a fresh directory and gives its path. */
export function temporaryDirectories(): (files: Record<string, string | Uint8Array>) => string {
  const root = mkdtempSync(join(tmpdir(), 'flicker-data-'))
  afterAll(() => rmSync(root, { recursive: true, force: true }))
  let made = 0
  return files => {
    const directory = join(root, String(made++))
    mkdirSync(directory)
    for (const [name, content] of Object.entries(files)) {
      mkdirSync(dirname(join(directory, name)), { recursive: true })
      writeFileSync(join(directory, name), content)
    }
    return directory
  }
}
