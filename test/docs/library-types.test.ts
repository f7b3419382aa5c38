// The examples of README and docs/library.md, and the programs in examples/, compile as strict TypeScript against the
// declarations that the package ships; and `import 'flicker-lm'` loads no plotting code.

import { spawnSync } from 'node:child_process'
import {
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs'
import { tmpdir } from 'node:os'
import path from 'node:path'
import { afterAll, expect, it } from 'vitest'

const work = mkdtempSync(path.join(tmpdir(), 'flicker-types-'))
afterAll(() => rmSync(work, { recursive: true, force: true }))
mkdirSync(path.join(work, 'node_modules'))
symlinkSync(process.cwd(), path.join(work, 'node_modules', 'flicker-lm'), 'dir')
for (const name of ['@types', 'undici-types', 'ai', 'zod']) {
  symlinkSync(path.resolve('node_modules', name), path.join(work, 'node_modules', name), 'dir')
}

it('the examples of the documents compile as strict TypeScript, without DOM types where nothing else needs them', () => {
  const files: string[] = []
  const withOthers: string[] = []
  for (const document of ['README.md', 'docs/library.md', 'docs/server.md']) {
    for (const [, code] of readFileSync(document, 'utf8').matchAll(/^```[jt]s\n([\s\S]*?)^```$/gm)) {
      const name = `example-${files.length + withOthers.length}.mts`
      ;(/from 'ai'/.test(code) ? withOthers : files).push(name)
      writeFileSync(path.join(work, name), code)
    }
  }
  for (const name of readdirSync('examples').filter(name => name.endsWith('.mjs'))) {
    files.push(name.replace('.mjs', '.mts'))
    writeFileSync(path.join(work, files[files.length - 1]), readFileSync(path.join('examples', name)))
  }
  expect(files.length).toBeGreaterThan(10)
  expect(withOthers.length).toBeGreaterThan(0)
  const options = '--noEmit --strict --target es2023 --module nodenext --types node'.split(' ')
  const tsc = path.resolve('node_modules/typescript/bin/tsc')
  // The declarations of the AI SDK need those of browsers, and are not clean by themselves.
  for (const [lib, programs] of [
    [['--lib', 'es2023'], files],
    [['--lib', 'es2023,dom', '--skipLibCheck'], withOthers],
  ]) {
    const args = [tsc, ...options, ...lib, ...programs]
    const { status, stdout } = spawnSync(process.execPath, args, { cwd: work, encoding: 'utf8' })
    expect(stdout).toBe('')
    expect(status).toBe(0)
  }
})

/** The addresses of the modules that a Node process with these arguments loads. */
function loadedBy(...args: readonly string[]): string {
  const hook = path.join(work, 'hook.mjs')
  writeFileSync(
    hook,
    "import fs from 'node:fs'\nexport async function load(url, context, next) { fs.writeSync(1, url + '\\n'); return next(url, context) }\n",
  )
  const register = `data:text/javascript,import { register } from 'node:module'; register(${JSON.stringify(`file://${hook}`)})`
  return spawnSync(process.execPath, ['--import', register, ...args], { cwd: work, encoding: 'utf8' }).stdout
}

it.each([
  ["import 'flicker-lm'", ['-e', "import('flicker-lm')"], 'dist/index.js'],
  [
    'flicker generate --help',
    ['node_modules/flicker-lm/dist/cli/main.js', 'generate', '--help'],
    'dist/cli/generate.js',
  ],
])('%s loads neither plots, fonts, worker pools nor a web server', (_, args, own) => {
  const loaded = loadedBy(...args)
  expect(loaded).toContain(own)
  const packages = new Set(
    [...loaded.matchAll(/node_modules\/((?:@[^/]+\/)?[^/]+)\//g)].map(([, name]) => name),
  )
  for (const heavy of [
    '@observablehq/plot',
    'linkedom',
    '@resvg/resvg-js',
    'dejavu-fonts-ttf',
    'd3',
    'tinypool',
    'hono',
    'prom-client',
  ]) {
    expect(packages, heavy).not.toContain(heavy)
  }
  expect(loaded).not.toContain('dist/report/plot.js')
})
