// Corpora: documents of plain text from a file or a directory, plain or gzipped. Their order and content depend on
// the files alone.

import { basename, join, resolve } from 'node:path'
import { CorpusError } from '../errors.js'
import { decodeText, FileProblem, kindOf, readBytes, readDirectory } from './text-file.js'

export interface Document {
  /** Where the text comes from: path below the corpus, with `#2` for the second document of one file. */
  readonly name: string
  readonly text: string
  /**
   * Documents of one group are on the same side of the split: parts of one file, files that share many lines. Absent:
   * a group of its own.
   */
  readonly group?: string
}

export interface Corpus {
  /** For people: what it is, how many files and documents, how many MB. */
  readonly description: string
  readonly documents: readonly Document[]
  /** UTF-8 bytes of all documents together. */
  readonly bytes: number
}

/** A line `<|endoftext|>` (END_OF_TEXT) and nothing else ends a document inside a file. */
const SEPARATOR_LINE = /^<\|endoftext\|>\r?(?:\n|(?![\s\S]))/gm

const CODES = {
  missing: 'CORPUS_NOT_FOUND',
  unreadable: 'CORPUS_UNREADABLE',
  gzip: 'CORPUS_GZIP',
  'too-large': 'CORPUS_TOO_LARGE',
  binary: 'CORPUS_BINARY',
} as const

/** The same problem as a CorpusError. */
export function corpusError(problem: FileProblem): CorpusError {
  return new CorpusError(CODES[problem.fault], `corpus: ${problem.message}`, { cause: problem })
}

/**
 * Documents of a file, or of every text file below a directory (sorted by path; names that begin with a dot and
 * node_modules are left out, and so are binary files). A file is split at lines `<|endoftext|>`; blank documents
 * and exact duplicates are dropped. Throws CorpusError.
 */
export function loadCorpus(path: string): Corpus {
  try {
    const kind = kindOf(path)
    if (kind === 'missing') {
      throw new FileProblem('missing', `${path} does not exist; give a text file or a directory`)
    }
    return kind === 'directory' ? loadDirectory(path) : loadFile(path)
  } catch (error) {
    throw error instanceof FileProblem ? corpusError(error) : error
  }
}

function loadFile(path: string): Corpus {
  const name = basename(path)
  const documents = splitDocuments(name, decodeText(readBytes(path), path))
  if (documents.length === 0) throw new CorpusError('CORPUS_EMPTY', `corpus: ${path} holds no text`)
  return makeCorpus(name, 1, documents)
}

function loadDirectory(root: string): Corpus {
  const documents: Document[] = []
  let binary = 0
  let files = 0
  for (const file of listFiles(root, name => !name.startsWith('.') && name !== 'node_modules')) {
    const path = join(root, file)
    try {
      const found = splitDocuments(file, decodeText(readBytes(path), path))
      if (found.length > 0) files++
      for (const document of found) documents.push(document)
    } catch (error) {
      if (!(error instanceof FileProblem && error.fault === 'binary')) throw error
      binary++
    }
  }
  if (documents.length === 0) {
    if (binary > 0) {
      throw new CorpusError(
        'CORPUS_BINARY',
        `corpus: ${root} holds no text: ${binary === 1 ? 'its one file is' : `its ${binary} files are`} binary`,
      )
    }
    throw new CorpusError('CORPUS_EMPTY', `corpus: ${root} holds no text file with anything in it`)
  }
  return makeCorpus(basename(resolve(root)), files, documents)
}

/**
 * Regular files below `root`, with `/` in their paths, sorted by path; `enter` chooses files and directories.
 * Throws FileProblem.
 */
export function listFiles(root: string, enter: (name: string) => boolean): string[] {
  const found: string[] = []
  const pending = ['']
  for (let directory = pending.pop(); directory !== undefined; directory = pending.pop()) {
    for (const entry of readDirectory(join(root, directory))) {
      if (!enter(entry.name)) continue
      const path = directory === '' ? entry.name : `${directory}/${entry.name}`
      if (entry.isDirectory()) pending.push(path)
      else if (entry.isFile()) found.push(path)
    }
  }
  return found.sort((a, b) => (a < b ? -1 : 1))
}

/** The documents of one file's text: cut at lines `<|endoftext|>`, blank ones dropped. */
export function splitDocuments(name: string, text: string): Document[] {
  const parts = text.split(SEPARATOR_LINE)
  if (parts.length === 1) return text.trim() === '' ? [] : [{ name, text }]
  return parts
    .filter(part => part.trim() !== '')
    .map((part, index) => ({ name: `${name}#${index + 1}`, text: part }))
}

/** A corpus without the exact duplicates among `documents` (the first of equals stays). */
export function makeCorpus(title: string, files: number, documents: readonly Document[]): Corpus {
  const seen = new Set<string>()
  const kept = documents.filter(({ text }) => !seen.has(text) && seen.add(text))
  const bytes = kept.reduce((sum, { text }) => sum + Buffer.byteLength(text), 0)
  const size = bytes < 1e5 ? `${(bytes / 1e3).toFixed(1)} kB` : `${(bytes / 1e6).toFixed(1)} MB`
  const description = `${title}: ${count(files, 'file')}, ${count(kept.length, 'document')}, ${size}`
  return { description, documents: kept, bytes }
}

function count(n: number, noun: string): string {
  return `${n.toLocaleString('en')} ${noun}${n === 1 ? '' : 's'}`
}
