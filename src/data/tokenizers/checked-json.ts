// What every kind of tokenizer.json is turned into before a tokenizer is made of it: its parts, checked as a file from
// outside, and its vocabulary by id.

import { z } from 'zod'
import { TokenizerError } from '../../errors.js'
import { describeFirstIssue } from '../../schema-issues.js'
import type { AddedToken } from './pipeline/added-tokens.js'
import { END_OF_TEXT } from './tokenizer.js'

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
/** Names of the end-of-text token in published vocabularies, ours first. */
const END_OF_TEXT_NAMES = [END_OF_TEXT, '</s>', '<|end_of_text|>', '<eos>']

export type Frame = z.infer<typeof frame>

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
  /** Tokens beside those of the tokenizer.json: `added_tokens_decoder`. */
  readonly addedTokens?: readonly AddedToken[]
}

export function invalid(source: string, what: string): TokenizerError {
  // What a file holds may be of any length.
  const cut = what.length <= LONGEST_REASON ? what : `${what.slice(0, LONGEST_REASON)}…`
  return new TokenizerError('TOKENIZER_INVALID', `tokenizer ${source}: ${cut}`)
}

const LONGEST_REASON = 500

/** Throws TokenizerError TOKENIZER_INVALID. */
export function checkJson(content: unknown, source: string, config: TokenizerConfig): CheckedJson {
  const parsed = frame.safeParse(content)
  if (!parsed.success) {
    throw invalid(
      source,
      `${describeFirstIssue(parsed.error, frame, content, 'content')}; is it a tokenizer.json?`,
    )
  }
  const json: Frame = {
    ...parsed.data,
    added_tokens: withAdded(parsed.data.added_tokens ?? [], config.addedTokens ?? []),
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
      special: token.special,
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

type AddedTokens = NonNullable<Frame['added_tokens']>

/** The added tokens of a tokenizer.json, and those that only its tokenizer_config.json has. */
function withAdded(tokens: AddedTokens, more: readonly AddedToken[]): AddedTokens {
  const known = new Set(tokens.map(({ content }) => content))
  const missing = more.filter(({ content }) => content !== '' && !known.has(content))
  return [
    ...tokens,
    ...missing.map(({ id, content, singleWord, lstrip, rstrip, normalized, special }) => ({
      id,
      content,
      single_word: singleWord,
      lstrip,
      rstrip,
      normalized,
      special,
    })),
  ]
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
