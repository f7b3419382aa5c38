// The direction of imports in src/, as ARCHITECTURE.md draws it. The linter finds circles between files; this finds an
// import from a lower module into a higher one.

import { readdirSync, readFileSync } from 'node:fs'
import path from 'node:path'
import { describe, expect, it } from 'vitest'

/** Every module of src/ with the modules that it may import, besides itself and the files that stand directly in src/. */
const mayImport: Record<string, readonly string[]> = {
  activations: [],
  kernels: ['activations'],
  tensor: ['kernels', 'activations'],
  nn: ['tensor', 'kernels', 'activations'],
  data: ['kernels'],
  formats: ['nn', 'data', 'kernels', 'activations'],
  eval: ['hub', 'recipes', 'nn', 'data', 'tensor', 'kernels', 'activations', 'formats', 'engine'],
  train: ['eval', 'formats', 'nn', 'data', 'tensor', 'kernels', 'activations'],
  hub: ['formats'],
  engine: ['hub', 'formats', 'nn', 'data', 'kernels', 'activations'],
  recipes: ['formats'],
  report: ['formats'],
  sparsify: ['report', 'engine', 'formats', 'nn', 'data', 'kernels', 'activations'],
  gallery: ['report', 'formats', 'kernels', 'activations'],
  lab: ['report', 'recipes', 'formats', 'data', 'tensor', 'kernels', 'activations'],
  study: [
    'report',
    'recipes',
    'train',
    'eval',
    'hub',
    'engine',
    'formats',
    'nn',
    'data',
    'tensor',
    'kernels',
    'activations',
  ],
  serve: ['engine', 'formats', 'nn', 'data', 'kernels', 'activations'],
  browser: ['engine', 'formats', 'nn', 'data', 'kernels', 'activations'],
  board: ['report', 'formats'],
  ai: ['serve', 'engine', 'formats', 'nn', 'data', 'kernels', 'activations'],
  bench: ['lab', 'train', 'sparsify', 'engine', 'formats', 'nn', 'data', 'tensor', 'kernels', 'activations'],
  diversity: ['report', 'recipes', 'eval', 'engine', 'formats', 'nn', 'data', 'kernels', 'activations'],
}
// The command line is on top of everything, and nothing imports it.
mayImport.cli = Object.keys(mayImport)

const files = readdirSync('src', { recursive: true, encoding: 'utf8' })
  .map(name => path.join('src', name))
  .filter(name => name.endsWith('.ts'))

/** The module of a file of src/: the name of its folder, or null for a file directly in src/. */
function moduleOf(file: string): string | null {
  const parts = path.relative('src', file).split(path.sep)
  return parts.length > 1 ? parts[0] : null
}

function importsOf(file: string): string[] {
  const text = readFileSync(file, 'utf8')
  return [...text.matchAll(/(?:from|import\() ?'(\.[^']+)'/g)].map(match =>
    path.join(path.dirname(file), match[1]),
  )
}

describe('imports', () => {
  it.each(Object.keys(mayImport))('of src/%s go to lower modules only', name => {
    const own = files.filter(file => moduleOf(file) === name)
    const upward = own.flatMap(file =>
      importsOf(file)
        .filter(target => ![null, name, ...mayImport[name]].includes(moduleOf(target)))
        .map(target => `${file} imports ${target}`),
    )
    expect(own.length).toBeGreaterThan(0)
    expect(upward).toEqual([])
  })

  it('of files directly in src/ go to no module, but those of index.ts, which is the public API', () => {
    const own = files.filter(file => moduleOf(file) === null && path.basename(file) !== 'index.ts')
    expect(own.length).toBeGreaterThan(0)
    expect(own.flatMap(importsOf).filter(target => moduleOf(target) !== null)).toEqual([])
  })

  it('are known for every module', () => {
    const modules = new Set(files.map(moduleOf).filter(name => name !== null))
    expect([...modules].sort()).toEqual(Object.keys(mayImport).sort())
  })
})
