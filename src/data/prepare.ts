// From a corpus and a tokenizer by name to what training takes: token ids for training and validation, and the tokenizer.

import { createHash } from 'node:crypto'
import { existsSync } from 'node:fs'
import { resolve } from 'node:path'
import { type Corpus, loadCorpus, makeCorpus } from './corpus.js'
import { loadDefaultCorpus } from './default-corpus.js'
import { splitCorpus } from './split.js'
import { loadTokenizer, makeTokenizer } from './tokenizers/load.js'
import { requireVocabularyFits, type Tokenizer } from './tokenizers/tokenizer.js'
import { type TokenIds, tokenByteLengths, tokenize } from './tokens.js'

export interface DataOptions {
  /** `default` (the documentation of the installed packages), or the path of a file or directory. */
  readonly corpus: string
  /** `bytes`, `chars`, `bpe:<size>`, the path of a tokenizer, or one that is loaded already. */
  readonly tokenizer: string | Tokenizer
  /** Take documents in the order of their hashes until there are so many bytes; 0 takes all. */
  readonly corpusBytes?: number
}

/** The options that data was prepared with, its paths absolute. */
export type DataSource = DataOptions & {
  /** A loaded tokenizer has its name here. */
  readonly tokenizer: string
}

/** What training takes: `prepareData` returns it; it may as well be made by other means. */
export interface TrainingData {
  readonly tokenizer: Tokenizer
  readonly train: TokenIds
  readonly validation: TokenIds
  /** How the corpus was split, for messages. */
  readonly split?: string
  /** Where it comes from; a run remembers it. */
  readonly source?: DataSource
}

export interface PreparedData extends TrainingData {
  readonly description: string
  readonly trainBytes: number
  readonly validationBytes: number
}

/** Reads, splits and tokenizes. The same options and files give the same tokens. Throws CorpusError, TokenizerError. */
export function prepareData(options: DataOptions): PreparedData {
  const whole = openCorpus(options.corpus)
  const corpus = options.corpusBytes ? takeBytes(whole, options.corpusBytes) : whole
  const split = splitCorpus(corpus)
  const tokenizer =
    typeof options.tokenizer === 'string' ? makeTokenizer(options.tokenizer, split.train) : options.tokenizer
  const train = tokenize(split.train, tokenizer)
  const validation = tokenize(split.validation, tokenizer)
  return {
    description: corpus.description,
    tokenizer,
    train: train.tokens,
    validation: validation.tokens,
    trainBytes: train.bytes,
    validationBytes: validation.bytes,
    split: split.description,
    source: absoluteSource(options),
  }
}

/** Paths from the root, so that the same data is found from another working directory. */
function absoluteSource({ corpus, tokenizer, corpusBytes }: DataOptions): DataSource {
  return {
    corpus: corpus === 'default' ? corpus : resolve(corpus),
    tokenizer:
      typeof tokenizer !== 'string' ? tokenizer.name : existsSync(tokenizer) ? resolve(tokenizer) : tokenizer,
    ...(corpusBytes !== undefined && { corpusBytes }),
  }
}

/** Text to measure a model on, in tokens, and what it is. */
export interface HeldOutText {
  readonly tokens: TokenIds
  /** UTF-8 bytes behind each token id. */
  readonly byteLengths: Int32Array
  /** The corpus, for people. */
  readonly corpus: string
  /** Which part of it this is, for people. */
  readonly measured: string
}

/** The validation side of a corpus, or with `whole` all of it. Throws CorpusError, TokenizerError. */
export function heldOutText(
  tokenizer: Tokenizer,
  options: { readonly corpus: string; readonly corpusBytes?: number; readonly whole?: boolean },
): HeldOutText {
  const opened = openCorpus(options.corpus)
  const corpus = options.corpusBytes ? takeBytes(opened, options.corpusBytes) : opened
  const { documents, measured } =
    options.whole === true ? { documents: corpus.documents, measured: 'all of it' } : validationSide(corpus)
  return {
    tokens: tokenize(documents, tokenizer).tokens,
    byteLengths: tokenByteLengths(tokenizer),
    corpus: corpus.description,
    measured,
  }
}

function validationSide(corpus: Corpus) {
  const { validation, description } = splitCorpus(corpus)
  return { documents: validation, measured: `its validation side (${description})` }
}

/**
 * Text to measure an existing model on: the validation side of a corpus (or all of it) in the model's own tokens.
 * model: its tokenizer, or its directory.
 * Throws CorpusError, TokenizerError (also when the tokenizer does not fit a vocabulary of `vocabSize`).
 */
export function prepareHeldOut(
  model: Tokenizer | string,
  corpus: string,
  whole: boolean,
  vocabSize: number,
): HeldOutText {
  const tokenizer = typeof model === 'string' ? loadTokenizer(model) : model
  requireVocabularyFits(tokenizer, vocabSize)
  return heldOutText(tokenizer, { corpus, whole })
}

function openCorpus(corpus: string): Corpus {
  return corpus === 'default' ? loadDefaultCorpus() : loadCorpus(corpus)
}

/** A part of the corpus that is a fair sample of it: the first of its documents in the order of their hashes. */
function takeBytes(corpus: Corpus, limit: number): Corpus {
  const hash = (text: string) => createHash('sha256').update('order').update(text).digest('hex')
  const order = corpus.documents.map(document => ({ document, hash: hash(document.text) }))
  order.sort((a, b) => (a.hash < b.hash ? -1 : 1))
  const documents = []
  let bytes = 0
  for (const { document } of order) {
    if (bytes >= limit) break
    documents.push(document)
    bytes += Buffer.byteLength(document.text)
  }
  return makeCorpus(`part of ${corpus.description}`, documents.length, documents)
}
