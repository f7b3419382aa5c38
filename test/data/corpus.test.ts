import { mkdirSync } from 'node:fs'
import { join } from 'node:path'
import { gzipSync } from 'node:zlib'
import { describe, expect, it } from 'vitest'
import { loadCorpus } from '../../src/data/corpus.js'
import { findNodeModules, loadDefaultCorpus } from '../../src/data/default-corpus.js'
import { splitCorpus } from '../../src/data/split.js'
import { CorpusError } from '../../src/errors.js'
import { describeWith, sharedData } from './shared-data.js'
import { temporaryDirectories } from './temporary.js'

const directory = temporaryDirectories()
const texts = (path: string) => loadCorpus(path).documents.map(({ text }) => text)
const names = (path: string) => loadCorpus(path).documents.map(({ name }) => name)

function failure(path: string): { code: string; message: string } {
  try {
    loadCorpus(path)
  } catch (error) {
    if (error instanceof CorpusError) return error
  }
  throw new Error(`${path} loaded, or failed with something else than a CorpusError`)
}

describe('a corpus from a file', () => {
  it('is one document, character for character', () => {
    const root = directory({ 'a.txt': 'one\r\ntwo\n\n' })
    expect(texts(join(root, 'a.txt'))).toEqual(['one\r\ntwo\n\n'])
  })

  it('is read through gzip', () => {
    const root = directory({ 'a.txt.gz': gzipSync('packed') })
    expect(texts(join(root, 'a.txt.gz'))).toEqual(['packed'])
  })

  it('is split at lines <|endoftext|>, whatever their line ends, and nowhere else', () => {
    const text =
      'a\n<|endoftext|>\nb <|endoftext|> b\r\n<|endoftext|>\r\n<|endoftext|> c\n<|endoftext|>\n\n<|endoftext|>'
    const root = directory({ 'a.txt': text })
    expect(texts(join(root, 'a.txt'))).toEqual(['a\n', 'b <|endoftext|> b\r\n', '<|endoftext|> c\n'])
    expect(names(join(root, 'a.txt'))).toEqual(['a.txt#1', 'a.txt#2', 'a.txt#3'])
  })

  it('keeps the first of equal documents', () => {
    const root = directory({ 'a.txt': 'x\n<|endoftext|>\ny\n<|endoftext|>\nx\n' })
    expect(texts(join(root, 'a.txt'))).toEqual(['x\n', 'y\n'])
  })

  it('counts UTF-8 bytes and says in words how large it is', () => {
    const root = directory({ 'a.txt': 'é€😀' })
    const corpus = loadCorpus(join(root, 'a.txt'))
    expect(corpus.bytes).toBe(2 + 3 + 4)
    expect(corpus.description).toBe('a.txt: 1 file, 1 document, 0.0 kB')
  })
})

describe('a corpus from a directory', () => {
  it('has one document per file, sorted by path', () => {
    const root = directory({ 'b.txt': 'B', 'a/z.txt': 'Z', 'a.txt.gz': gzipSync('A'), 'a/b/c.md': 'C' })
    expect(names(root)).toEqual(['a.txt.gz', 'a/b/c.md', 'a/z.txt', 'b.txt'])
    expect(texts(root)).toEqual(['A', 'C', 'Z', 'B'])
  })

  it('leaves out binary files, hidden names and node_modules', () => {
    const root = directory({
      'a.txt': 'A',
      'b.bin': Uint8Array.of(1, 0, 2),
      'c.txt': Uint8Array.of(0xff, 0xfe),
      '.git/d.txt': 'D',
      'node_modules/e.txt': 'E',
    })
    expect(names(root)).toEqual(['a.txt'])
  })
})

describe('a corpus that cannot be used', () => {
  it('says that the path does not exist', () => {
    expect(failure('/no/such/file')).toMatchObject({ code: 'CORPUS_NOT_FOUND' })
  })

  it('says that a file is empty or blank', () => {
    const root = directory({ 'empty.txt': '', 'blank.txt': ' \n\n' })
    expect(failure(join(root, 'empty.txt')).code).toBe('CORPUS_EMPTY')
    expect(failure(join(root, 'blank.txt')).code).toBe('CORPUS_EMPTY')
    expect(failure(root).code).toBe('CORPUS_EMPTY')
  })

  it('names a binary file and the offset of its NUL byte', () => {
    const root = directory({ 'a.bin': Uint8Array.of(65, 66, 0), 'b.txt': Uint8Array.of(0xc3, 0x28) })
    const nul = failure(join(root, 'a.bin'))
    expect(nul.code).toBe('CORPUS_BINARY')
    expect(nul.message).toContain('a.bin is not text: it has a NUL byte at offset 2')
    expect(failure(join(root, 'b.txt')).message).toContain('b.txt is not text: it is not valid UTF-8')
  })

  it('says that all files of a directory are binary', () => {
    const root = directory({ 'a.bin': Uint8Array.of(0), 'b.bin': Uint8Array.of(0, 1) })
    expect(failure(root)).toMatchObject({ code: 'CORPUS_BINARY' })
    expect(failure(root).message).toContain('its 2 files are binary')
  })

  it('names a corrupted gzip file, alone and in a directory', () => {
    const whole = gzipSync('some text that is long enough to be cut')
    const root = directory({ 'a.txt.gz': whole.subarray(0, whole.length - 12), 'b.txt': 'B' })
    expect(failure(join(root, 'a.txt.gz')).code).toBe('CORPUS_GZIP')
    expect(failure(root).code).toBe('CORPUS_GZIP')
    expect(failure(root).message).toContain('a.txt.gz')
  })

  it('says that a directory holds nothing', () => {
    const root = directory({})
    mkdirSync(join(root, 'inside'))
    expect(failure(root).code).toBe('CORPUS_EMPTY')
  })
})

describe('the default corpus', () => {
  it('is documentation and declarations without licenses, duplicates and near-copies', () => {
    const lines = Array.from({ length: 20 }, (_, i) => `export declare function name${i}(): void`)
    const declarations = `import { x } from './x.js'\n${lines.join('\n')}\n`
    const root = directory({
      'a/README.md': '# A\nwhat package a is for, at length\n',
      'a/LICENSE.md': 'Permission is hereby granted',
      'a/legal.md': 'MIT\n\nPermission is hereby granted, free of charge',
      'a/index.js': 'not documentation',
      'a/index.d.ts': declarations,
      'a/index.d.cts': declarations.replace('.js', '.cjs'),
      'a/node_modules/b/types.d.mts': 'export declare const somethingElse: string\n',
      '.bin/c.md': 'hidden',
    })
    const corpus = loadDefaultCorpus(root)
    expect(corpus.documents.map(({ name }) => name)).toEqual([
      'a/README.md',
      'a/index.d.cts',
      'a/node_modules/b/types.d.mts',
    ])
    expect(corpus.description).toMatch(/installed packages: 3 files, 3 documents, [\d.]+ kB$/)
  })

  it('is the same on two platforms', () => {
    const onPlatform = (platform: string) => {
      const manifest = JSON.stringify({ name: `tool-${platform}`, os: [platform] })
      const root = directory({
        'a/README.md': '# A\nwhat package a is for, at length\n',
        [`@tool/tool-${platform}/package.json`]: manifest,
        [`@tool/tool-${platform}/README.md`]: `This is the binary for ${platform}`,
        [`@tool/tool-${platform}/lib/lib.d.ts`]: 'declare const everywhere: string\n',
      })
      return loadDefaultCorpus(root).documents.map(({ text }) => text)
    }
    expect(onPlatform('linux')).toEqual(onPlatform('darwin'))
    expect(onPlatform('linux')).toHaveLength(2)
  })

  it('cuts a long file into documents at ends of lines, up to half a megabyte', () => {
    const long = Array.from({ length: 40_000 }, (_, i) => `line number ${i} of the file\n`).join('')
    const { documents } = loadDefaultCorpus(directory({ 'a/long.d.ts': long }))
    expect(documents).toHaveLength(8 + 1)
    expect(long.startsWith(documents.map(({ text }) => text).join(''))).toBe(true)
    for (const { text } of documents) {
      expect(text.length).toBeLessThanOrEqual(65_536)
      expect(text.endsWith('\n')).toBe(true)
    }
  })

  it('has parts of one file, and files that share many lines, on one side of the split', () => {
    const lines = (name: string, n: number) =>
      Array.from({ length: n }, (_, i) => `export declare function ${name}Number${i}(value: string): void\n`)
    const files: Record<string, string> = {}
    for (let i = 0; i < 60; i++) {
      // Half of the lines of each guide stand in the declarations of another package, under another name.
      const shared = lines(`shared${i}`, 40)
      files[`one${i}/index.d.ts`] = [...lines(`one${i}`, 40), ...shared].join('')
      files[`two${i}/types.d.ts`] = [...lines(`two${i}`, 40), ...shared].join('')
    }
    files['long/long.d.ts'] = lines('long', 4000).join('')
    const { train, validation } = splitCorpus(loadDefaultCorpus(directory(files)))
    expect(train.filter(({ name }) => name.startsWith('long/'))).toHaveLength(4)
    const numberOf = (name: string) => /^(?:one|two)(\d+)\//.exec(name)?.[1]
    const held = new Set(validation.map(({ name }) => numberOf(name)))
    expect(held.size).toBeGreaterThan(1)
    expect(train.filter(({ name }) => held.has(numberOf(name)))).toEqual([])
  })

  it('shares few 50-character passages between training and validation', () => {
    const { train, validation } = splitCorpus(loadDefaultCorpus())
    const passages = (side: readonly { text: string }[]) =>
      side.flatMap(({ text }) =>
        Array.from({ length: Math.floor(text.length / 25) - 1 }, (_, i) => text.slice(25 * i, 25 * i + 50)),
      )
    const learned = train.map(({ text }) => text).join('\0')
    // A part of them: looking one up is a pass over several megabytes.
    const looked = passages(validation).filter((_, i) => i % 80 === 0)
    expect(looked.length).toBeGreaterThan(50)
    const found = looked.filter(passage => learned.includes(passage)).length
    // It was 21 % when parts of one file could be on both sides.
    expect(found / looked.length).toBeLessThan(0.09)
  })

  it('is found beside the package and where the package is itself a dependency', () => {
    const root = directory({
      'app/node_modules/flicker-lm/package.json': '{}',
      'own/node_modules/a/b.md': 'B',
    })
    expect(findNodeModules(join(root, 'app/node_modules/flicker-lm'))).toBe(join(root, 'app/node_modules'))
    expect(findNodeModules(join(root, 'own'))).toBe(join(root, 'own/node_modules'))
    expect(() => findNodeModules(join(root, 'app'))).not.toThrow()
    expect(() => findNodeModules(root)).toThrow(/npm ci/)
  })

  it('is several megabytes of what npm ci installs, and the same at every reading', () => {
    const corpus = loadDefaultCorpus()
    expect(corpus.bytes).toBeGreaterThan(3e6)
    const longest = Math.max(...corpus.documents.map(({ text }) => text.length))
    expect(longest).toBeLessThanOrEqual(65_536)
    expect(loadDefaultCorpus().documents).toEqual(corpus.documents)
  })
})

describeWith('corpus/classic-books', 'the classic books', () => {
  it('are split into the 112 books of their manifest', () => {
    const { documents } = loadCorpus(sharedData('corpus/classic-books'))
    expect(documents.filter(({ name }) => name.startsWith('pg_'))).toHaveLength(105 + 7)
  })
})
