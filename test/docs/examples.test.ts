// The examples of README and docs run as they stand, against the built package, in a directory of their own.

import { execFileSync } from 'node:child_process'
import {
  copyFileSync,
  mkdirSync,
  mkdtempSync,
  readFileSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs'
import { tmpdir } from 'node:os'
import path from 'node:path'
import { afterAll, describe, expect, it } from 'vitest'

const work = mkdtempSync(path.join(tmpdir(), 'flicker-docs-'))
copyFileSync('README.md', path.join(work, 'README.md'))
// What `npm install flicker-lm` does.
mkdirSync(path.join(work, 'node_modules'))
symlinkSync(process.cwd(), path.join(work, 'node_modules', 'flicker-lm'), 'dir')
afterAll(() => rmSync(work, { recursive: true, force: true }))

for (const file of ['README.md', 'docs/library.md', 'docs/server.md']) {
  describe(file, () => {
    const blocks = [...readFileSync(file, 'utf8').matchAll(/(?:^## (.*)$[\s\S]*?)?^```js\n([\s\S]*?)^```$/gm)]
    it('has examples', () => expect(blocks.length).toBeGreaterThan(0))
    blocks.forEach(([, title, code], i) => {
      it(`example ${i + 1}${title === undefined ? '' : ` (${title})`} runs`, () => {
        const script = path.join(work, `${path.basename(file, '.md')}-${i}.mjs`)
        writeFileSync(script, code)
        const output = execFileSync(process.execPath, [script], {
          cwd: work,
          encoding: 'utf8',
          stdio: ['ignore', 'pipe', 'pipe'],
        })
        expect(output).not.toMatch(/NaN|undefined/)
      })
    })
  })
}
