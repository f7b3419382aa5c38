// How the components of a tokenizer.json are read: by their `type`, with every option known. A component or an option
// that is not known is refused by name, because ignoring it would give other ids.

import { toRegExp } from 'oniguruma-to-es'
import { z } from 'zod'
import { TokenizerError } from '../../../errors.js'
import { describeFirstIssue } from '../../../schema-issues.js'

/** Sequences inside sequences; published files nest twice. */
const DEEPEST = 16

/** Where a component stands, for messages. */
export interface Context {
  /** The file. */
  readonly source: string
  /** `normalizer`, `pre_tokenizer`, `decoder`. */
  readonly place: string
  readonly depth: number
  /** Whether other components of its kind, or a normalizer that may move the beginning, come before it. */
  readonly follows?: boolean
}

export function unsupported({ source, place }: Context, what: string): TokenizerError {
  return new TokenizerError(
    'TOKENIZER_UNSUPPORTED',
    `tokenizer ${source}: ${place}: ${what} is not supported`,
  )
}

const typed = z.looseObject({ type: z.string() })

/** What one type of component is made into; `make` is given the component as it stands in the file. */
export type Makers<Made> = Readonly<Record<string, (component: object, context: Context) => Made>>

/** The component made by the maker of its type. Throws TokenizerError TOKENIZER_INVALID, TOKENIZER_UNSUPPORTED. */
export function makeComponent<Made>(component: unknown, makers: Makers<Made>, context: Context): Made {
  if (context.depth > DEEPEST) throw unsupported(context, `nesting of more than ${DEEPEST} levels`)
  const parsed = typed.safeParse(component)
  if (!parsed.success) {
    throw new TokenizerError(
      'TOKENIZER_INVALID',
      `tokenizer ${context.source}: ${context.place} has no type; is it a tokenizer.json?`,
    )
  }
  const { type } = parsed.data
  if (!Object.hasOwn(makers, type)) {
    throw unsupported(context, `the type ${JSON.stringify(type.slice(0, 80))}`)
  }
  return makers[type](parsed.data, { ...context, depth: context.depth + 1 })
}

/** The options of a component, all of them known to `schema`. */
export function optionsOf<Schema extends z.ZodRawShape>(
  component: object,
  shape: Schema,
  context: Context,
): z.infer<z.ZodObject<Schema>> {
  const { type, ...options } = component as { type: string }
  const schema = z.strictObject(shape)
  const parsed = schema.safeParse(options)
  if (parsed.success) return parsed.data
  const issue = describeFirstIssue(parsed.error, schema, options, 'the options')
  throw new TokenizerError(
    'TOKENIZER_UNSUPPORTED',
    `tokenizer ${context.source}: ${context.place}: ${type}: option ${issue.slice(0, 300)}`,
  )
}

/** A pattern of a tokenizer.json: literal text, or a regular expression of Oniguruma. */
export const patternSchema = z.union([
  z.strictObject({ String: z.string().min(1) }),
  z.strictObject({ Regex: z.string() }),
])

export function compilePattern(pattern: z.infer<typeof patternSchema>, context: Context): RegExp {
  if ('String' in pattern) return new RegExp(escapeRegExp(pattern.String), 'gu')
  try {
    return toRegExp(pattern.Regex, { global: true })
  } catch {
    throw unsupported(context, `the regular expression ${JSON.stringify(pattern.Regex.slice(0, 200))}`)
  }
}

/** The matches of a pattern, none in an empty text; unlike JavaScript, no empty one right behind another. */
export function* matchesOf(text: string, pattern: RegExp): Generator<{ start: number; end: number }> {
  if (text === '') return
  let previousEnd = -1
  for (const match of text.matchAll(pattern)) {
    const start = match.index
    const end = start + match[0].length
    if (start === end && start === previousEnd) continue
    previousEnd = end
    yield { start, end }
  }
}

/** `text` with every match replaced by `content` as it stands. */
export function replaceMatches(text: string, pattern: RegExp, content: string): string {
  let replaced = ''
  let done = 0
  for (const { start, end } of matchesOf(text, pattern)) {
    replaced += text.slice(done, start) + content
    done = end
  }
  return replaced + text.slice(done)
}

export function escapeRegExp(text: string): string {
  return text.replace(/[\\^$*+?.()|[\]{}]/g, '\\$&')
}
