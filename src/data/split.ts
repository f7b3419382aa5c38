// Training and validation text: which documents a model learns from and which it is judged on.

import { createHash } from 'node:crypto'
import { CorpusError, OptionError } from '../errors.js'
import type { Corpus, Document } from './corpus.js'

export interface CorpusSplit {
  readonly train: readonly Document[]
  readonly validation: readonly Document[]
}

export const DEFAULT_VALIDATION_SHARE = 0.1

/**
 * A document goes to validation when the first 32 bits of the SHA-256 of its text, as a fraction of 2³², lie
 * below `validationShare`: the choice hangs on the text alone, so adding or removing documents moves no other,
 * and equal texts stay together. Where that would leave one side empty, the nearest document changes sides.
 *
 * A corpus of one document has no second one to judge on and is cut inside, as char-rnn and nanoGPT do: the first
 * 1 − validationShare of the characters train, the rest validates.
 * Throws OptionError for a share outside (0, 1), CorpusError when there is nothing to split.
 */
export function splitCorpus(corpus: Corpus, options: { validationShare?: number } = {}): CorpusSplit {
  const share = options.validationShare ?? DEFAULT_VALIDATION_SHARE
  if (!(share > 0 && share < 1)) {
    throw new OptionError('VALIDATION_SHARE_RANGE', `validationShare must lie between 0 and 1, not ${share}`)
  }
  const { documents } = corpus
  if (documents.length === 0) throw new CorpusError('CORPUS_EMPTY', 'corpus: there is no document to split')
  if (documents.length === 1) return cutDocument(documents[0], share)

  const position = documents.map(document => textFraction(document.text))
  const lowest = position.reduce((a, b) => Math.min(a, b))
  const highest = position.reduce((a, b) => Math.max(a, b))
  const validates = (at: number) => at < highest && (at < share || at === lowest)
  return {
    train: documents.filter((_, i) => !validates(position[i])),
    validation: documents.filter((_, i) => validates(position[i])),
  }
}

/** The text's place in [0, 1): the first 32 bits of its SHA-256 over 2³². */
function textFraction(text: string): number {
  return createHash('sha256').update(text).digest().readUInt32BE(0) / 2 ** 32
}

function cutDocument({ name, text }: Document, share: number): CorpusSplit {
  let cut = Math.floor(text.length * (1 - share))
  // A character outside the basic plane is two code units; the cut must not fall between them.
  if (/[\ud800-\udbff]/.test(text.charAt(cut - 1))) cut--
  if (cut <= 0 || cut >= text.length) {
    throw new CorpusError(
      'CORPUS_TOO_SHORT',
      `corpus: ${name} has ${text.length} characters, too few to keep some for validation; give a longer text`,
    )
  }
  return {
    train: [{ name: `${name}[0:${cut}]`, text: text.slice(0, cut) }],
    validation: [{ name: `${name}[${cut}:]`, text: text.slice(cut) }],
  }
}
