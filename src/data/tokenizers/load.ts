// From what a user writes (`bytes`, `chars`, `bpe:4096`, a path) to a tokenizer: made from the training text, or read
// from a file of whatever kind.

import { existsSync } from 'node:fs'
import { basename, dirname, join } from 'node:path'
import { didYouMean } from '../../did-you-mean.js'
import { OptionError, TokenizerError } from '../../errors.js'
import type { Document } from '../corpus.js'
import { parseJson } from '../json-text.js'
import { decodeText, FileProblem, kindOf, readBytes, readDirectory } from '../text-file.js'
import { bytesTokenizer } from './byte-pair.js'
import { charTokenizer } from './characters.js'
import { invalid, MAX_TOKEN_ID, type TokenizerConfig } from './checked-json.js'
import { tokenizerFromGpt2 } from './gpt2-files.js'
import { tokenizerFromLlama2c } from './llama2c-file.js'
import { tokenizerFromSentencePiece } from './sentencepiece-file.js'
import { tokenizerFromTiktoken } from './tiktoken-file.js'
import type { Tokenizer } from './tokenizer.js'
import { readTokenizerConfig, type TokenizerConfigFile } from './tokenizer-config.js'
import { tokenizerFromJson } from './tokenizer-json.js'
import {
  type BpeTrainingOptions,
  MAX_BPE_VOCABULARY,
  MIN_BPE_VOCABULARY,
  trainBpe,
} from './train-byte-pair.js'

export type TokenizerSpec =
  | { readonly kind: 'bytes' }
  | { readonly kind: 'chars' }
  | { readonly kind: 'bpe'; readonly vocabSize: number }
  | { readonly kind: 'file'; readonly path: string }

const FORMS =
  '"bytes", "chars", "bpe:4096", or the path of a tokenizer.json, encoder.json, .tiktoken, tokenizer.model, llama2.c .bin file or directory'

/** What a tokenizer's name asks for; a path must exist. Throws OptionError or TokenizerError. */
export function parseTokenizerSpec(spec: string): TokenizerSpec {
  if (spec === 'bytes' || spec === 'chars') return { kind: spec }
  const bpe = /^bpe:(.*)$/.exec(spec)
  if (bpe !== null) {
    const vocabSize = /^\d+$/.test(bpe[1]) ? Number(bpe[1]) : Number.NaN
    if (vocabSize >= MIN_BPE_VOCABULARY && vocabSize <= MAX_BPE_VOCABULARY) return { kind: 'bpe', vocabSize }
    throw new OptionError(
      'BPE_VOCABULARY_RANGE',
      `tokenizer "${spec}": the vocabulary's size must be an integer from ${MIN_BPE_VOCABULARY} to ${MAX_BPE_VOCABULARY}`,
    )
  }
  if (existsSync(spec)) return { kind: 'file', path: spec }
  const hint = didYouMean(spec, ['bytes', 'chars', 'bpe:4096'])
  throw new TokenizerError('TOKENIZER_NOT_FOUND', `tokenizer "${spec}" does not exist; give ${FORMS}.${hint}`)
}

/**
 * The tokenizer that `spec` asks for. documents: what `chars` takes its characters and `bpe` its pairs from, as a
 * rule the training side of the split. Throws OptionError or TokenizerError.
 */
export function makeTokenizer(
  spec: string,
  documents: readonly Document[],
  options: BpeTrainingOptions = {},
): Tokenizer {
  const parsed = parseTokenizerSpec(spec)
  const texts = documents.map(({ text }) => text)
  switch (parsed.kind) {
    case 'bytes':
      return bytesTokenizer()
    case 'chars':
      return charTokenizer(texts)
    case 'bpe':
      return trainBpe(texts, parsed.vocabSize, options)
    case 'file':
      return loadTokenizer(parsed.path)
  }
}

/**
 * The tokenizer in a file, plain or .gz, or in a directory that holds one: tokenizer.json; encoder.json + vocab.bpe
 * (or vocab.json + merges.txt), either of which names the other; .tiktoken; tokenizer.model of SentencePiece; a .bin of llama2.c.
 * `config`: the tokenizer_config.json beside it, where it has been read already. Throws TokenizerError.
 */
export function loadTokenizer(path: string, config?: TokenizerConfigFile): Tokenizer {
  try {
    return loadFile(kindOf(path) === 'directory' ? findInDirectory(path) : path, config)
  } catch (error) {
    if (!(error instanceof FileProblem)) throw error
    throw new TokenizerError(CODES[error.fault], `tokenizer: ${error.message}`, { cause: error })
  }
}

function loadFile(file: string, config?: TokenizerConfigFile): Tokenizer {
  const name = basename(file).replace(/\.gz$/, '')
  if (name.endsWith('.tiktoken')) return tokenizerFromTiktoken(readText(file), name)
  if (name.endsWith('.bin')) return tokenizerFromLlama2c(readBytes(file), name)
  if (name.endsWith('.model')) {
    const given = config ?? readTokenizerConfig(dirname(file))
    return tokenizerFromSentencePiece(readBytes(file), name, {
      startOfText: edgesOf(given).startOfText !== null,
      added: addedTokens(dirname(file)),
      addedTokens: given.addedTokens,
    })
  }
  if (MERGES_NAME.test(name)) {
    const encoder = partner(file)
    return tokenizerFromGpt2(readJson(encoder), readText(file), basename(encoder).replace(/\.gz$/, ''))
  }
  const content = readJson(file)
  // A tokenizer.json is told by its `model`; an encoder.json is nothing but tokens and ids.
  const isTokenizerJson =
    typeof content === 'object' && content !== null && typeof Object(content).model === 'object'
  if (!isTokenizerJson && VOCAB_NAME.test(name)) {
    return tokenizerFromGpt2(content, readText(partner(file)), name)
  }
  return tokenizerFromJson(content, name, edgesOf(config ?? readTokenizerConfig(dirname(file))))
}

/** Names of the two GPT-2 files, with the part that tells them apart. */
const PARTNERS = [
  ['encoder.json', 'vocab.bpe'],
  ['vocab.json', 'merges.txt'],
] as const
const VOCAB_NAME = /(encoder|vocab)\.json$/
const MERGES_NAME = /(vocab\.bpe|merges\.txt)$/

function findInDirectory(directory: string): string {
  const names = readDirectory(directory).map(entry => entry.name)
  const wanted = [
    /^tokenizer\.json(\.gz)?$/,
    /encoder\.json(\.gz)?$/,
    /^vocab\.json(\.gz)?$/,
    /\.tiktoken(\.gz)?$/,
    /^tokenizer\.model$/,
  ]
  for (const pattern of wanted) {
    const found = names.filter(name => pattern.test(name)).sort()
    if (found.length > 0) return join(directory, found[0])
  }
  throw new TokenizerError(
    'TOKENIZER_NOT_FOUND',
    `tokenizer: ${directory} holds no tokenizer.json, encoder.json, vocab.json, .tiktoken file or tokenizer.model`,
  )
}

/** The other of GPT-2's two files, beside the given one, plain or .gz. */
function partner(file: string): string {
  const name = basename(file).replace(/\.gz$/, '')
  for (const pair of PARTNERS) {
    for (const [mine, other] of [pair, pair.toReversed()]) {
      if (!name.endsWith(mine)) continue
      const wanted = join(dirname(file), name.slice(0, -mine.length) + other)
      const found = [wanted, `${wanted}.gz`].find(existsSync)
      if (found !== undefined) return found
      throw new TokenizerError('TOKENIZER_NOT_FOUND', `tokenizer ${file} needs ${wanted} (or .gz) beside it`)
    }
  }
  throw invalid(file, 'not one of encoder.json, vocab.bpe, vocab.json, merges.txt')
}

/** What a tokenizer.json or tokenizer.model needs to know of the tokenizer_config.json beside it. */
function edgesOf({ specialTokens, addStartOfText, addedTokens }: TokenizerConfigFile): TokenizerConfig {
  return {
    endOfText: specialTokens.eos_token,
    addedTokens,
    startOfText:
      addStartOfText === undefined ? undefined : addStartOfText ? (specialTokens.bos_token ?? null) : null,
  }
}

/** Ids by text in the added_tokens.json beside a tokenizer.model, if there is one. */
function addedTokens(directory: string): Record<string, number> {
  const path = join(directory, 'added_tokens.json')
  if (!existsSync(path)) return {}
  const content: unknown = readJson(path)
  const entries = Object.entries(Object(content))
  for (const [text, id] of entries) {
    if (!(Number.isInteger(id) && (id as number) >= 0 && (id as number) <= MAX_TOKEN_ID)) {
      throw invalid(path, `${JSON.stringify(text)} has no id from 0 to ${MAX_TOKEN_ID}`)
    }
  }
  return Object.fromEntries(entries) as Record<string, number>
}

const CODES = {
  missing: 'TOKENIZER_NOT_FOUND',
  unreadable: 'TOKENIZER_UNREADABLE',
  gzip: 'TOKENIZER_GZIP',
  'too-large': 'TOKENIZER_TOO_LARGE',
  binary: 'TOKENIZER_INVALID',
} as const

function readText(path: string): string {
  return decodeText(readBytes(path), path)
}

function readJson(path: string): unknown {
  try {
    return parseJson(readText(path))
  } catch (error) {
    if (!(error instanceof SyntaxError)) throw error
    throw new TokenizerError('TOKENIZER_INVALID', `tokenizer: ${path} is not JSON: ${error.message}`, {
      cause: error,
    })
  }
}
