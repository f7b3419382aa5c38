// The corpus that a fresh clone trains on without a download: the documentation and the declaration files of the
// packages that `npm ci` has just installed, which the lock file fixes.

import { existsSync, readFileSync } from 'node:fs'
import { basename, dirname, join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { CorpusError } from '../errors.js'
import type { Corpus, Document } from './corpus.js'
import { corpusError, listFiles, makeCorpus } from './corpus.js'
import { decodeText, FileProblem, readBytes } from './text-file.js'

const DOCUMENTATION = /\.md$/i
const DECLARATIONS = /\.d\.[mc]?ts$/
const LICENSE_NAME = /licen[cs]e|copying|notice|third.?party/i
/** How license texts begin that stand under another name. */
const LICENSE_OPENING =
  /permission is hereby granted|redistribution and use in source|apache license\s+version/i

/** Longer files become several documents: one takes little memory while it is tokenized. */
const MAX_DOCUMENT_CHARACTERS = 64 * 1024
/** What one file may give; TypeScript's lib.dom.d.ts alone would be a quarter of the corpus. */
const MAX_FILE_CHARACTERS = 8 * MAX_DOCUMENT_CHARACTERS
/**
 * A document is a near-copy when this fraction of its lines stands in earlier ones. The same declarations are often
 * shipped three times (`.d.ts`, `.d.cts`, one per compiler version); exact comparison would keep all three and put
 * one of them into validation.
 */
const NEAR_COPY_SHARE = 0.75
/**
 * Files are on one side of the split when this fraction of the lines of the smaller one is in the other as well: the
 * declarations of two versions of a package, the same guide in two packages.
 */
const SAME_SIDE_SHARE = 0.2
/** Lines in more files than this are boilerplate (`export default _default;`) and relate no files. */
const BOILERPLATE_FILES = 50

/** The directory of this package's package.json. */
function packageRoot(): string {
  let directory = dirname(fileURLToPath(import.meta.url))
  while (!existsSync(join(directory, 'package.json'))) directory = dirname(directory)
  return directory
}

/**
 * The node_modules with our dependencies: the one that we are installed in, else the one beside our package.json.
 * Throws CorpusError when there is none.
 */
export function findNodeModules(root = packageRoot()): string {
  for (let inside = root; dirname(inside) !== inside; inside = dirname(inside)) {
    if (basename(dirname(inside)) === 'node_modules') return dirname(inside)
  }
  const own = join(root, 'node_modules')
  if (existsSync(own)) return own
  throw new CorpusError(
    'CORPUS_NOT_FOUND',
    `corpus: the default corpus is the installed packages, but ${own} does not exist; run npm ci or give --corpus`,
  )
}

/**
 * Documents of every `*.md` and `*.d.ts` (`.d.mts`, `.d.cts`) below node_modules in the order of their paths;
 * license texts, duplicates and near-copies are dropped. Throws CorpusError.
 */
export function loadDefaultCorpus(nodeModules = findNodeModules()): Corpus {
  try {
    return readPackages(nodeModules)
  } catch (error) {
    throw error instanceof FileProblem ? corpusError(error) : error
  }
}

function readPackages(nodeModules: string): Corpus {
  const platformPackage = new Map<string, boolean>()
  const files: { name: string; text: string; lines: ReadonlySet<string> }[] = []
  const seenLines = new Set<string>()
  for (const name of listFiles(nodeModules, entry => !entry.startsWith('.'))) {
    const declarations = DECLARATIONS.test(name)
    if (!declarations && !DOCUMENTATION.test(name)) continue
    if (LICENSE_NAME.test(basename(name))) continue
    // A package built for one platform says so in its README, which would make the corpus differ from machine to
    // machine. Its declarations (TypeScript's own library lives in one) are the same on every platform.
    if (!declarations && isPlatformPackage(nodeModules, name, platformPackage)) continue
    const text = readDocument(join(nodeModules, name))
    if (text === null || LICENSE_OPENING.test(text.slice(0, 400))) continue
    const lines = comparableLines(text)
    if (isNearCopy(lines, seenLines)) continue
    for (const line of lines) seenLines.add(line)
    files.push({ name, text, lines: new Set(lines) })
  }
  if (files.length === 0) {
    throw new CorpusError('CORPUS_EMPTY', `corpus: ${nodeModules} holds no documentation; give --corpus`)
  }
  const groups = relatedFiles(files.map(({ lines }) => lines))
  const documents = files.flatMap(({ name, text }, i) => splitAtLines(name, text, files[groups[i]].name))
  return makeCorpus('documentation and declarations of the installed packages', files.length, documents)
}

/** null for the few files that are not text. */
function readDocument(path: string): string | null {
  try {
    const text = decodeText(readBytes(path), path)
    return text.trim() === '' ? null : text
  } catch (error) {
    if (error instanceof FileProblem && error.fault === 'binary') return null
    throw error
  }
}

/** Whether the package that `file` belongs to is restricted to an operating system or a processor. */
function isPlatformPackage(nodeModules: string, file: string, known: Map<string, boolean>): boolean {
  const parts = file.split('/')
  const start = parts.lastIndexOf('node_modules') + 1
  const root = parts.slice(0, start + (parts[start].startsWith('@') ? 2 : 1)).join('/')
  let answer = known.get(root)
  if (answer === undefined) {
    answer = declaresPlatform(join(nodeModules, root, 'package.json'))
    known.set(root, answer)
  }
  return answer
}

function declaresPlatform(manifest: string): boolean {
  try {
    const content: unknown = JSON.parse(readFileSync(manifest, 'utf8'))
    return typeof content === 'object' && content !== null && ('os' in content || 'cpu' in content)
  } catch {
    return false
  }
}

/** The lines that say whether two files are copies: import paths differ between module kinds by their extension alone, and short lines (braces) prove nothing. */
function comparableLines(text: string): string[] {
  return text
    .split('\n')
    .map(line => line.trim().replace(/\.[mc]?js(['"])/g, '.js$1'))
    .filter(line => line.length >= 12)
}

/** Whether most lines of a file were in earlier ones. */
function isNearCopy(lines: readonly string[], seen: ReadonlySet<string>): boolean {
  return lines.filter(line => seen.has(line)).length >= NEAR_COPY_SHARE * lines.length
}

/** For each file the index of the first file of its group: files that share many lines, directly or through others. */
function relatedFiles(files: readonly ReadonlySet<string>[]): number[] {
  const holders = new Map<string, number[]>()
  for (const [i, lines] of files.entries()) {
    for (const line of lines) {
      const found = holders.get(line)
      if (found === undefined) holders.set(line, [i])
      else found.push(i)
    }
  }
  const counted = new Array<number>(files.length).fill(0)
  const shared = new Map<number, number>()
  for (const found of holders.values()) {
    if (found.length > BOILERPLATE_FILES) continue
    for (const [at, i] of found.entries()) {
      counted[i]++
      for (const j of found.slice(at + 1)) {
        const pair = i * files.length + j
        shared.set(pair, (shared.get(pair) ?? 0) + 1)
      }
    }
  }
  // Every group is a tree with its first file as root.
  const parent = files.map((_, i) => i)
  const root = (i: number): number => {
    let at = i
    while (parent[at] !== at) at = parent[at]
    return at
  }
  for (const [pair, lines] of shared) {
    const [i, j] = [Math.floor(pair / files.length), pair % files.length]
    if (lines < SAME_SIDE_SHARE * Math.min(counted[i], counted[j])) continue
    const [one, other] = [root(i), root(j)]
    parent[Math.max(one, other)] = Math.min(one, other)
  }
  return parent.map((_, i) => root(i))
}

/**
 * The first MAX_FILE_CHARACTERS of `text` in parts of at most MAX_DOCUMENT_CHARACTERS, cut at ends of lines (inside
 * a line only where it is longer).
 */
function splitAtLines(name: string, text: string, group: string): Document[] {
  const parts: Document[] = []
  let start = 0
  while (start < Math.min(text.length, MAX_FILE_CHARACTERS)) {
    let end = Math.min(start + MAX_DOCUMENT_CHARACTERS, text.length)
    if (end < text.length) {
      const newline = text.lastIndexOf('\n', end - 1)
      if (newline >= start) end = newline + 1
      else if (/[\ud800-\udbff]/.test(text.charAt(end - 1))) end--
    }
    parts.push({
      name: parts.length === 0 ? name : `${name}#${parts.length + 1}`,
      text: text.slice(start, end),
      group,
    })
    start = end
  }
  return parts
}
