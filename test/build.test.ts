// The build before the tests fails loudly: a stale dist/ is never tested in place of what was written.

import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import path from 'node:path'
import { expect, it, onTestFinished } from 'vitest'
import { compile } from './build.js'

it('compiling a project with an error throws, and names the error', () => {
  const directory = mkdtempSync(path.join(tmpdir(), 'flicker-build-'))
  onTestFinished(() => rmSync(directory, { recursive: true, force: true }))
  const project = path.join(directory, 'tsconfig.json')
  writeFileSync(project, '{ "compilerOptions": { "outDir": "out", "types": [] }, "files": ["a.ts"] }')
  writeFileSync(path.join(directory, 'a.ts'), 'export const one: number = 1\n')
  compile(project)
  expect(readFileSync(path.join(directory, 'out/a.js'), 'utf8')).toContain('one = 1')
  writeFileSync(path.join(directory, 'a.ts'), 'export const one: number = "1"\n')
  expect(() => compile(project)).toThrow(/error TS2322/)
})
