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

/** Longer files become several documents, so that validation is never one long file. */
const MAX_DOCUMENT_CHARACTERS = 64 * 1024
/** What one file may give; TypeScript's lib.dom.d.ts alone would be a quarter of the corpus. */
const MAX_FILE_CHARACTERS = 8 * MAX_DOCUMENT_CHARACTERS
/**
 * A document is a near-copy when this share of its lines stands in earlier ones. The same declarations are often
 * shipped three times (`.d.ts`, `.d.cts`, one per compiler version); exact comparison would keep all three and put
 * one of them into validation.
 */
const NEAR_COPY_SHARE = 0.75

/** The directory that holds this package's own package.json. */
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
  const documents: Document[] = []
  const seenLines = new Set<string>()
  let files = 0
  for (const file of listFiles(nodeModules, name => !name.startsWith('.'))) {
    const declarations = DECLARATIONS.test(file)
    if (!declarations && !DOCUMENTATION.test(file)) continue
    if (LICENSE_NAME.test(basename(file))) continue
    // A package built for one platform says so in its README, which would make the corpus differ from machine to
    // machine. Its declarations (TypeScript's own library lives in one) are the same on every platform.
    if (!declarations && isPlatformPackage(nodeModules, file, platformPackage)) continue
    const text = readDocument(join(nodeModules, file))
    if (text === null || LICENSE_OPENING.test(text.slice(0, 400))) continue
    if (isNearCopy(text, seenLines)) continue
    files++
    for (const part of splitAtLines(file, text)) documents.push(part)
  }
  if (documents.length === 0) {
    throw new CorpusError('CORPUS_EMPTY', `corpus: ${nodeModules} holds no documentation; give --corpus`)
  }
  return makeCorpus('documentation and declarations of the installed packages', files, documents)
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

/** Whether most lines of `text` were seen before; if not, they are seen from now on. */
function isNearCopy(text: string, seen: Set<string>): boolean {
  // Import paths differ between module kinds by their extension alone, and short lines (braces) prove nothing.
  const lines = text
    .split('\n')
    .map(line => line.trim().replace(/\.[mc]?js(['"])/g, '.js$1'))
    .filter(line => line.length >= 12)
  let known = 0
  for (const line of lines) if (seen.has(line)) known++
  if (known >= NEAR_COPY_SHARE * lines.length) return true
  for (const line of lines) seen.add(line)
  return false
}

/**
 * The first MAX_FILE_CHARACTERS of `text` in parts of at most MAX_DOCUMENT_CHARACTERS, cut at ends of lines (inside
 * a line only where it is longer).
 */
function splitAtLines(name: string, text: string): Document[] {
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
    })
    start = end
  }
  return parts
}
