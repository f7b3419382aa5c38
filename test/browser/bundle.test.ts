// What a page downloads: that it fits its limit, and that bundlers take it without configuration.

import {
  existsSync,
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
import { gzipSync } from 'node:zlib'
import { build } from 'vite'
import { expect, it, onTestFinished } from 'vitest'

/** Bytes of the engine, gzipped, without the WebAssembly kernels. */
const LARGEST_ENGINE = 250_000

it(`the engine without its kernels takes at most ${LARGEST_ENGINE} bytes, gzipped`, () => {
  const files = ['worker-source', 'index', 'connection', 'protocol', 'web-model'].map(
    name => `dist/browser/${name}.js`,
  )
  const bytes = files.reduce((sum, file) => sum + gzipSync(readFileSync(file), { level: 9 }).length, 0)
  expect(bytes).toBeGreaterThan(50_000)
  expect(bytes).toBeLessThanOrEqual(LARGEST_ENGINE)
})

it('nothing that a page loads imports a module of Node', () => {
  const seen = new Set<string>()
  const visit = (file: string) => {
    if (seen.has(file)) return
    seen.add(file)
    const text = readFileSync(file, 'utf8')
    for (const [, target] of text.matchAll(/(?:from|import\() ?'([^']+)'/g)) {
      expect(target).toMatch(/^\.\.?\//)
      visit(path.join(path.dirname(file), target))
    }
  }
  visit('dist/browser/index.js')
  expect([...seen].some(file => file.endsWith('worker-source.js'))).toBe(true)
})

it('Vite bundles a page that imports it, without configuration', async () => {
  const root = mkdtempSync(path.join(tmpdir(), 'flicker-vite-'))
  onTestFinished(() => rmSync(root, { recursive: true, force: true }))
  mkdirSync(path.join(root, 'node_modules'))
  symlinkSync(path.resolve('.'), path.join(root, 'node_modules', 'flicker-lm'))
  writeFileSync(path.join(root, 'index.html'), '<script type="module" src="./main.js"></script>')
  writeFileSync(path.join(root, 'main.js'), "import { load } from 'flicker-lm/web'\nglobalThis.load = load\n")
  await build({ root, logLevel: 'silent', configFile: false })
  const assets = readdirSync(path.join(root, 'dist', 'assets'))
  expect(existsSync(path.join(root, 'dist', 'index.html'))).toBe(true)
  expect(assets.some(name => name.startsWith('worker-source'))).toBe(true)
})
