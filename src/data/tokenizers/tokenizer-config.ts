// tokenizer_config.json of a Hugging Face directory: special tokens by role, added tokens, chat templates. Whoever needs
// one of these gets it from here.

import { existsSync } from 'node:fs'
import { join } from 'node:path'
import { z } from 'zod'
import { TokenizerError } from '../../errors.js'
import { describeFirstIssue } from '../../schema-issues.js'
import { parseJson } from '../json-text.js'
import { decodeText, FileProblem, readBytes } from '../text-file.js'
import { MAX_TOKEN_ID } from './checked-json.js'
import type { AddedToken } from './pipeline/added-tokens.js'

/** Far more than any chat template needs, wherever it stands. */
export const LARGEST_TEMPLATE = 2 ** 22
/** Added tokens by the thousand and several templates fit. */
const LARGEST_CONFIG = 2 ** 26

/** What a tokenizer_config.json says. */
export interface TokenizerConfigFile {
  /** Texts of `bos_token`, `eos_token`, …: those that are given. */
  readonly specialTokens: Readonly<Record<string, string>>
  /** `add_bos_token`, where it is given: whether every text begins with `bos_token`. */
  readonly addStartOfText?: boolean
  /** `added_tokens_decoder`. */
  readonly addedTokens: readonly AddedToken[]
  /** Jinja by name; a single template is called `default`. */
  readonly chatTemplates: ReadonlyMap<string, string>
}

const tokenText = z.union([z.string(), z.looseObject({ content: z.string() })]).nullish()
const specialTokensSchema = z.object({
  bos_token: tokenText,
  eos_token: tokenText,
  unk_token: tokenText,
  sep_token: tokenText,
  pad_token: tokenText,
  cls_token: tokenText,
  mask_token: tokenText,
})
const template = z.string().max(LARGEST_TEMPLATE, `longer than ${LARGEST_TEMPLATE} characters`)
const flag = z.boolean().default(false)
const addedToken = z.looseObject({
  content: z.string(),
  single_word: flag,
  lstrip: flag,
  rstrip: flag,
  normalized: flag,
  special: flag,
})
const schema = specialTokensSchema.extend({
  add_bos_token: z.boolean().nullish(),
  added_tokens_decoder: z.record(z.string(), addedToken).nullish(),
  chat_template: z.union([template, z.array(z.looseObject({ name: z.string().min(1), template }))]).nullish(),
})

const NOTHING: TokenizerConfigFile = { specialTokens: {}, addedTokens: [], chatTemplates: new Map() }

/**
 * What `directory`/tokenizer_config.json says; nothing where there is none. Throws TokenizerError
 * TOKENIZER_CONFIG_INVALID.
 */
export function readTokenizerConfig(directory: string): TokenizerConfigFile {
  const file = join(directory, 'tokenizer_config.json')
  const invalid = (message: string, cause?: unknown) =>
    new TokenizerError('TOKENIZER_CONFIG_INVALID', message, { cause })
  if (!existsSync(file)) return NOTHING
  let content: unknown
  try {
    content = parseJson(decodeText(readBytes(file, LARGEST_CONFIG), file))
  } catch (cause) {
    if (cause instanceof FileProblem) throw invalid(cause.message, cause)
    if (cause instanceof SyntaxError) throw invalid(`${file} is not valid JSON: ${cause.message}`, cause)
    throw cause
  }
  const parsed = schema.safeParse(content)
  if (!parsed.success) {
    throw invalid(`${file}: ${describeFirstIssue(parsed.error, schema, content, 'the file')}`, parsed.error)
  }
  const { add_bos_token, added_tokens_decoder, chat_template, ...tokens } = parsed.data
  return {
    specialTokens: specialTokenTexts(tokens),
    ...(typeof add_bos_token === 'boolean' && { addStartOfText: add_bos_token }),
    addedTokens: Object.entries(added_tokens_decoder ?? {}).map(([key, token]) => {
      const id = /^\d+$/.test(key) ? Number(key) : -1
      if (id < 0 || id > MAX_TOKEN_ID) {
        throw invalid(
          `${file}: added_tokens_decoder: ${JSON.stringify(key)} is no id from 0 to ${MAX_TOKEN_ID}`,
        )
      }
      const { content, single_word, lstrip, rstrip, normalized, special } = token
      return { id, content, singleWord: single_word, lstrip, rstrip, normalized, special }
    }),
    chatTemplates:
      typeof chat_template === 'string'
        ? new Map([['default', chat_template]])
        : new Map(chat_template?.map(({ name, template }) => [name, template])),
  }
}

function specialTokenTexts(tokens: z.infer<typeof specialTokensSchema>): Record<string, string> {
  const texts: Record<string, string> = {}
  for (const [role, token] of Object.entries(tokens)) {
    const text = typeof token === 'string' ? token : token?.content
    if (text !== undefined) texts[role] = text
  }
  return texts
}
