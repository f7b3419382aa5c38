// Training and validation text: which documents a model learns from and which it is measured on.

import { createHash } from 'node:crypto'
import { CorpusError, OptionError } from '../errors.js'
import type { Corpus, Document } from './corpus.js'

export interface CorpusSplit {
  readonly train: readonly Document[]
  readonly validation: readonly Document[]
  /** One line: how much is on each side, and of what. */
  readonly description: string
}

export const DEFAULT_VALIDATION_SHARE = 0.1

/** So few documents on a side are named in its description. */
const NAMED_DOCUMENTS = 2

/**
 * A group of documents (`Document.group`; most documents are alone in theirs) goes to validation, whole, when the first
 * 32 bits of the SHA-256 of its text, as a fraction of 2³², are below `validationShare`: that depends on the text alone,
 * so adding or removing documents moves no other group, and equal texts stay together.
 *
 * Where that makes one side far too small (validation below a tenth of its share, training below half of its own), and
 * for a single group, the largest group is cut inside, as char-rnn and nanoGPT do: the first 1 − validationShare of its
 * characters train with all other documents, the rest of it validates.
 * Throws OptionError for a fraction outside (0, 1), CorpusError when there is nothing to split.
 */
export function splitCorpus(corpus: Corpus, options: { validationShare?: number } = {}): CorpusSplit {
  const share = options.validationShare ?? DEFAULT_VALIDATION_SHARE
  if (!(share > 0 && share < 1)) {
    throw new OptionError('VALIDATION_SHARE_RANGE', `validationShare must lie between 0 and 1, not ${share}`)
  }
  const { documents } = corpus
  if (documents.length === 0) throw new CorpusError('CORPUS_EMPTY', 'corpus: there is no document to split')
  const groups = groupsOf(documents)
  const validates = new Set(groups.filter(group => textFraction(group) < share).flat())
  const validation = documents.filter(document => validates.has(document))
  const part = bytesOf(validation) / bytesOf(documents)
  if (part >= share / 10 && 1 - part >= (1 - share) / 2) {
    return described({ train: documents.filter(document => !validates.has(document)), validation })
  }
  const largest = groups.reduce((a, b) => (bytesOf(b) > bytesOf(a) ? b : a))
  const cut = cutGroup(largest, share)
  const others = documents.filter(document => !largest.includes(document))
  return described({ train: [...others, cut.train], validation: [cut.validation] })
}

/** The groups in the order of their first documents. */
function groupsOf(documents: readonly Document[]): Document[][] {
  const groups = new Map<string | Document, Document[]>()
  for (const document of documents) {
    const key = document.group ?? document
    const group = groups.get(key)
    if (group === undefined) groups.set(key, [document])
    else group.push(document)
  }
  return [...groups.values()]
}

/** A position in [0, 1): the first 32 bits of a SHA-256 over 2³²; of one text its own, of several that of their hashes. */
function textFraction(group: readonly Document[]): number {
  const hash = (content: string) => createHash('sha256').update(content).digest()
  const [first, ...others] = group.map(({ text }) => hash(text))
  const whole =
    others.length === 0
      ? first
      : hash(
          [first, ...others]
            .map(one => one.toString('hex'))
            .sort()
            .join(),
        )
  return whole.readUInt32BE(0) / 2 ** 32
}

function cutGroup(group: readonly Document[], share: number): { train: Document; validation: Document } {
  const [{ name }] = group
  const text = group.map(document => document.text).join('')
  let cut = Math.min(text.length - 1, Math.max(1, Math.floor(text.length * (1 - share))))
  // A character outside the basic plane is two code units; the cut must not fall between them.
  if (/[\ud800-\udbff]/.test(text.charAt(cut - 1))) cut--
  if (cut <= 0 || cut >= text.length) {
    throw new CorpusError(
      'CORPUS_TOO_SHORT',
      `corpus: ${name} has ${text.length} characters, too few to keep some for validation; give a longer text`,
    )
  }
  return {
    train: { name: `${name}[0:${cut}]`, text: text.slice(0, cut) },
    validation: { name: `${name}[${cut}:]`, text: text.slice(cut) },
  }
}

function described(split: Omit<CorpusSplit, 'description'>): CorpusSplit {
  const side = (documents: readonly Document[]) => {
    const what =
      documents.length <= NAMED_DOCUMENTS
        ? documents.map(({ name }) => name).join(' and ')
        : `${documents.length.toLocaleString('en')} documents`
    return `${what} (${bytesOf(documents).toLocaleString('en')} bytes)`
  }
  const description = `training on ${side(split.train)}, validation on ${side(split.validation)}`
  return { ...split, description }
}

function bytesOf(documents: readonly Document[]): number {
  return documents.reduce((sum, { text }) => sum + Buffer.byteLength(text), 0)
}
