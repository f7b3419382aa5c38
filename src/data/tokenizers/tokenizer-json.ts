// Tokenizers from a tokenizer.json: checked as a file from outside, then given to the fast encoders when it is a plain
// byte-level BPE or a character vocabulary, and to the pipeline of its components when it is anything else.

import { z } from 'zod'
import { TokenizerError } from '../../errors.js'
import { BYTE_CHARACTERS, fromByteLevel, GPT2_SPLIT, KNOWN_SPLITS } from './byte-level.js'
import { BytePairTokenizer } from './byte-pair.js'
import { CharTokenizer } from './characters.js'
import type { AddedToken } from './pipeline/added-tokens.js'
import { mergesOf } from './pipeline/models.js'
import { PipelineTokenizer } from './pipeline/pipeline-tokenizer.js'
import { END_OF_TEXT, type Tokenizer } from './tokenizer.js'

/** Largest id accepted; the largest published vocabularies have a quarter of a million. */
export const MAX_TOKEN_ID = 2 ** 22

const id = z.int().min(0).max(MAX_TOKEN_ID)
const component = z.looseObject({ type: z.string() }).nullish()
const frame = z.looseObject({
  model: z.looseObject({ type: z.string().optional() }),
  added_tokens: z
    .array(
      z.looseObject({
        id,
        content: z.string().min(1),
        special: z.boolean().default(false),
        single_word: z.boolean().default(false),
        lstrip: z.boolean().default(false),
        rstrip: z.boolean().default(false),
        normalized: z.boolean().optional(),
      }),
    )
    .nullish(),
  normalizer: component,
  pre_tokenizer: component,
  post_processor: component,
  decoder: component,
})
const plainByteLevel = z.looseObject({
  type: z.literal('ByteLevel'),
  add_prefix_space: z.literal(false),
  use_regex: z.boolean().default(true),
})
const splitThenByteLevel = z.looseObject({
  type: z.literal('Sequence'),
  pretokenizers: z.tuple([
    z.looseObject({
      type: z.literal('Split'),
      pattern: z.strictObject({ Regex: z.string() }),
      behavior: z.literal('Isolated'),
      invert: z.literal(false),
    }),
    plainByteLevel.extend({ use_regex: z.literal(false) }),
  ]),
})

/** Names of the end-of-text token in published vocabularies, ours first. */
const END_OF_TEXT_NAMES = [END_OF_TEXT, '</s>', '<|end_of_text|>', '<eos>']

type Frame = z.infer<typeof frame>

/** What every kind of tokenizer.json is turned into before a tokenizer is made of it. */
export interface CheckedJson {
  readonly name: string
  /** The file's content with every component present. */
  readonly json: Frame
  /** Text of each id, added tokens included; undefined where no token has the id. */
  readonly tokens: readonly (string | undefined)[]
  /** Ids of the model's own vocabulary; an added token may have one of them. */
  readonly modelIds: ReadonlyMap<string, number>
  /** Text of added tokens by id. */
  readonly added: ReadonlyMap<number, string>
  readonly addedTokens: readonly AddedToken[]
  readonly startOfText: number | null
  readonly endOfText: number | null
}

/** What a tokenizer_config.json says of a tokenizer.json: the texts of its special tokens. */
export interface TokenizerConfig {
  readonly endOfText?: string
  /** null: texts begin without one, whatever the tokenizer.json says. */
  readonly startOfText?: string | null
}

/**
 * A tokenizer from the content of a tokenizer.json. source: where it comes from, for messages; config: what stands in
 * the tokenizer_config.json beside it. Throws TokenizerError.
 */
export function tokenizerFromJson(content: unknown, source: string, config: TokenizerConfig = {}): Tokenizer {
  const checked = check(content, source, config)
  return (
    charTokenizer(checked) ?? bytePairTokenizer(checked, source) ?? new PipelineTokenizer(checked, source)
  )
}

export function invalid(source: string, what: string): TokenizerError {
  return new TokenizerError('TOKENIZER_INVALID', `tokenizer ${source}: ${what}`)
}

function check(content: unknown, source: string, config: TokenizerConfig): CheckedJson {
  const parsed = frame.safeParse(content)
  if (!parsed.success) {
    const issue = parsed.error.issues[0]
    throw invalid(source, `${issue.path.join('.') || 'content'}: ${issue.message}; is it a tokenizer.json?`)
  }
  const json: Frame = {
    ...parsed.data,
    added_tokens: parsed.data.added_tokens ?? [],
    normalizer: parsed.data.normalizer ?? null,
    pre_tokenizer: parsed.data.pre_tokenizer ?? null,
    post_processor: parsed.data.post_processor ?? null,
    decoder: parsed.data.decoder ?? null,
  }
  const tokens = vocabulary(json.model, source)
  // Of two pieces of one text in a list the last counts, as in Hugging Face's tokenizers.
  const modelIds = new Map<string, number>()
  for (const [at, token] of tokens.entries()) if (token !== undefined) modelIds.set(token, at)
  const added = new Map<number, string>()
  const addedTokens: AddedToken[] = []
  for (const token of json.added_tokens!) {
    const known = modelIds.get(token.content)
    if (known !== undefined && known !== token.id && tokens[token.id] !== token.content) {
      throw invalid(
        source,
        `added token "${token.content}" has id ${token.id}, but model.vocab gives it the id ${known}`,
      )
    }
    if (tokens[token.id] !== undefined && tokens[token.id] !== token.content) {
      throw invalid(
        source,
        `added token "${token.content}" has id ${token.id}, which "${tokens[token.id]}" has`,
      )
    }
    while (tokens.length <= token.id) tokens.push(undefined)
    tokens[token.id] = token.content
    added.set(token.id, token.content)
    addedTokens.push({
      id: token.id,
      content: token.content,
      singleWord: token.single_word,
      lstrip: token.lstrip,
      rstrip: token.rstrip,
      normalized: token.normalized ?? !token.special,
    })
  }
  const names = config.endOfText === undefined ? END_OF_TEXT_NAMES : [config.endOfText]
  const endOfText = names.map(name => tokens.indexOf(name)).find(at => at >= 0) ?? null
  const kind = json.model.type ?? 'BPE'
  const start = config.startOfText === undefined ? startOfTemplate(json.post_processor) : config.startOfText
  const startAt = start === null ? -1 : tokens.indexOf(start)
  const startOfText = startAt < 0 ? null : startAt
  const name = `${source} (${kind}, ${tokens.length})`
  return { name, json, tokens, modelIds, added, addedTokens, startOfText, endOfText }
}

const specialToken = z.looseObject({ SpecialToken: z.looseObject({ id: z.string() }) })
const template = z.looseObject({ type: z.literal('TemplateProcessing'), single: z.array(z.unknown()).min(1) })
const sequence = z.looseObject({ type: z.literal('Sequence'), processors: z.array(z.unknown()) })

/** The token that a post-processor puts before every text, or null. */
function startOfTemplate(postProcessor: unknown): string | null {
  const processors = sequence.safeParse(postProcessor)
  for (const processor of processors.success ? processors.data.processors : [postProcessor]) {
    const parsed = template.safeParse(processor)
    const first = specialToken.safeParse(parsed.success ? parsed.data.single[0] : undefined)
    if (first.success) return first.data.SpecialToken.id
  }
  return null
}

/** Token text by id. Throws TokenizerError for a vocabulary that is not one. */
function vocabulary(model: Frame['model'], source: string): (string | undefined)[] {
  const { vocab } = model
  if (Array.isArray(vocab)) {
    return vocab.map((entry: unknown, at) => {
      if (Array.isArray(entry) && typeof entry[0] === 'string' && typeof entry[1] === 'number')
        return entry[0]
      throw invalid(source, `model.vocab[${at}] is not a pair of a token and its score`)
    })
  }
  if (typeof vocab !== 'object' || vocab === null) {
    throw invalid(source, 'model.vocab is neither an object nor a list')
  }
  const tokens: (string | undefined)[] = []
  for (const [token, at] of Object.entries(vocab as Record<string, unknown>)) {
    if (!isTokenId(at)) {
      throw invalid(
        source,
        `model.vocab["${token}"] is ${JSON.stringify(at)}, not an id from 0 to ${MAX_TOKEN_ID}`,
      )
    }
    while (tokens.length <= at) tokens.push(undefined)
    if (tokens[at] !== undefined)
      throw invalid(source, `tokens "${tokens[at]}" and "${token}" share the id ${at}`)
    tokens[at] = token
  }
  if (tokens.length === 0) throw invalid(source, 'model.vocab is empty')
  return tokens
}

function isTokenId(value: unknown): value is number {
  return Number.isInteger(value) && (value as number) >= 0 && (value as number) <= MAX_TOKEN_ID
}

/** Options of a BPE; any other is for the pipeline to refuse. */
const BPE_OPTIONS = new Set([
  'type',
  'dropout',
  'unk_token',
  'continuing_subword_prefix',
  'end_of_word_suffix',
  'fuse_unk',
  'byte_fallback',
  'ignore_merges',
  'vocab',
  'merges',
])

/** Whether the model is a BPE with nothing beside vocabulary and merges. */
function isPlainBpe({ model, normalizer }: Frame): boolean {
  return (
    (model.type ?? 'BPE') === 'BPE' &&
    Array.isArray(model.merges) &&
    !normalizer &&
    !model.dropout &&
    !model.byte_fallback &&
    !model.continuing_subword_prefix &&
    !model.end_of_word_suffix &&
    Object.keys(model).every(option => BPE_OPTIONS.has(option))
  )
}

/** The character vocabularies that CharTokenizer writes; null for anything else. */
function charTokenizer({ json, tokens, added, endOfText }: CheckedJson): Tokenizer | null {
  if (!isPlainBpe(json) || (json.model.merges as unknown[]).length > 0) return null
  if (json.pre_tokenizer || json.decoder?.type !== 'Fuse') return null
  const last = tokens.length - 1
  if (added.size > 1 || (added.size === 1 && added.get(last) !== END_OF_TEXT)) return null
  const characters = tokens.slice(0, added.size === 1 ? last : tokens.length)
  const single = (token: string | undefined) => token !== undefined && [...token].length === 1
  if (!characters.every(single)) return null
  return new CharTokenizer(characters as string[], { endOfText: endOfText !== null })
}

/** The fast encoder for a plain byte-level BPE; null for what only the pipeline knows. */
function bytePairTokenizer(checked: CheckedJson, source: string): Tokenizer | null {
  const { json, tokens, modelIds, added, addedTokens, startOfText, endOfText, name } = checked
  const split = splitOf(json.pre_tokenizer)
  if (!isPlainBpe(json) || split === undefined || json.decoder?.type !== 'ByteLevel') return null
  if (addedTokens.some(token => token.lstrip || token.rstrip || token.singleWord)) return null
  // Tokens looked for in the text as given come before those looked for in the normalized text.
  if (new Set(addedTokens.map(token => token.normalized)).size > 1) return null

  const encoder = new TextEncoder()
  const bytes: Uint8Array[] = []
  for (const [at, token] of tokens.entries()) {
    const special = added.get(at)
    const spelled =
      special !== undefined
        ? encoder.encode(special)
        : token === undefined
          ? new Uint8Array(0)
          : fromByteLevel(token)
    if (spelled === null) return null
    bytes.push(spelled)
  }
  const byteIds = BYTE_CHARACTERS.map(character => modelIds.get(character))
  if (byteIds.includes(undefined)) return null

  return new BytePairTokenizer({
    name,
    tokens: bytes,
    byteIds: Int32Array.from(byteIds as number[]),
    merges: mergesOf(json.model.merges as unknown[], modelIds, source),
    split,
    wholeWords: json.model.ignore_merges === true,
    addedTokens: [...added].map(([at, text]) => ({ id: at, content: text })),
    startOfText,
    endOfText,
    json: () => json,
  })
}

/** The word pattern of a pre-tokenizer, null for none (the text is one word), undefined for an unknown one. */
function splitOf(preTokenizer: unknown): RegExp | null | undefined {
  const simple = plainByteLevel.safeParse(preTokenizer)
  if (simple.success) return simple.data.use_regex ? GPT2_SPLIT : null
  const sequence = splitThenByteLevel.safeParse(preTokenizer)
  return sequence.success ? KNOWN_SPLITS.get(sequence.data.pretokenizers[0].pattern.Regex) : undefined
}
