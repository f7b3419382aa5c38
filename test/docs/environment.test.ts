// docs/environment.md lists every variable that the code reads.

import { readdirSync, readFileSync } from 'node:fs'
import path from 'node:path'
import { expect, it } from 'vitest'

function filesBelow(folder: string): string[] {
  return readdirSync(folder, { withFileTypes: true, recursive: true })
    .filter(entry => entry.isFile() && /\.(ts|mjs|json)$/.test(entry.name))
    .map(entry => path.join(entry.parentPath, entry.name))
}

it('docs/environment.md lists every FLICKER_ variable that the code reads, and no other', () => {
  // Macros of the compiler and fields of files that look alike.
  const others = ['FLICKER_COMPILED', 'FLICKER_ENTRIES', 'FLICKER_VERSION']
  const files = ['src', 'scripts', 'test', 'bench'].flatMap(filesBelow)
  const texts = [...files, 'package.json'].map(file => readFileSync(file, 'utf8'))
  const read = new Set(
    texts
      .flatMap(text => text.match(/\bFLICKER_[A-Z]+(?:_[A-Z]+)*\b/g) ?? [])
      .filter(name => !others.includes(name)),
  )
  const listed = readFileSync('docs/environment.md', 'utf8').match(/^\| `FLICKER_[A-Z_]+`/gm) ?? []
  expect(listed.map(line => line.slice(3, -1)).sort()).toEqual([...read].sort())
})
