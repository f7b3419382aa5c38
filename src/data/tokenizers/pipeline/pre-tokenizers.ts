// The pre-tokenizers of a tokenizer.json: how text is cut into words, which no token crosses. They follow Hugging
// Face's tokenizers (Rust).

import { z } from 'zod'
import { GPT2_SPLIT, toByteLevel } from '../byte-level.js'
import {
  compilePattern,
  escapeRegExp,
  type Makers,
  makeComponent,
  matchesOf,
  optionsOf,
  patternSchema,
  unsupported,
} from './components.js'

export interface Word {
  readonly text: string
  /** Whether it begins where the whole text begins. */
  readonly isFirst: boolean
}

export type PreTokenizer = (words: readonly Word[]) => Word[]

/**
 * follows: whether a normalizer that may move the beginning of the text comes before it. Throws TokenizerError
 * TOKENIZER_INVALID, TOKENIZER_UNSUPPORTED.
 */
export function makePreTokenizer(component: unknown, source: string, follows = false): PreTokenizer {
  return makeComponent(component, MAKERS, { source, place: 'pre_tokenizer', depth: 0, follows })
}

const bytesSchema = z.object({
  type: z.literal('ByteLevel'),
  add_prefix_space: z.literal(false),
  use_regex: z.boolean().default(true),
})
const sequenceSchema = z.object({ type: z.literal('Sequence'), pretokenizers: z.array(z.unknown()).min(1) })

/**
 * The same without the ByteLevel step at its end, where that only writes each word in the byte-level alphabet: a caller that
 * remembers words need not write those that it knows. Null for others. Throws as makePreTokenizer does.
 */
export function withoutByteLevel(component: unknown, source: string, follows = false): PreTokenizer | null {
  const sequence = sequenceSchema.safeParse(component)
  const steps = sequence.success ? sequence.data.pretokenizers : [component]
  const last = bytesSchema.safeParse(steps.at(-1))
  if (!last.success) return null
  makePreTokenizer(component, source, follows)
  const before = makePreTokenizer({ type: 'Sequence', pretokenizers: steps.slice(0, -1) }, source, follows)
  if (!last.data.use_regex) return before
  const cut = splitting(GPT2_SPLIT, 'Isolated')
  return words => cut(before(words))
}

/** A word as ByteLevel writes it. */
export function byteLevelWord(word: string): string {
  return toByteLevel(textEncoder.encode(word))
}

/** What becomes of the parts that a pattern matches. */
const behaviors = ['Removed', 'Isolated', 'MergedWithPrevious', 'MergedWithNext', 'Contiguous'] as const
type Behavior = (typeof behaviors)[number]

const textEncoder = new TextEncoder()
const PUNCTUATION = /[!-/:-@[-`{-~]|\p{P}/gu
const WHITE_SPACE = /\p{White_Space}/gu
const WORD = '\\p{Alphabetic}\\p{M}\\p{Nd}\\p{Pc}\\p{Join_Control}'
const WORDS = new RegExp(`[${WORD}]+|[^${WORD}\\p{White_Space}]+`, 'gu')

const MAKERS: Makers<PreTokenizer> = {
  Sequence(component, context) {
    const { pretokenizers } = optionsOf(component, { pretokenizers: z.array(z.unknown()) }, context)
    const steps = pretokenizers.map((step, i) =>
      makeComponent(step, MAKERS, { ...context, follows: context.follows || i > 0 }),
    )
    return words => steps.reduce((done: readonly Word[], step) => step(done), words) as Word[]
  },
  ByteLevel(component, context) {
    const shape = {
      add_prefix_space: z.boolean().default(true),
      // It moves offsets and changes no id.
      trim_offsets: z.boolean().optional(),
      use_regex: z.boolean().default(true),
    }
    const { add_prefix_space, use_regex } = optionsOf(component, shape, context)
    return words =>
      words.flatMap(word => {
        const spaced =
          add_prefix_space && !word.text.startsWith(' ') ? { ...word, text: ` ${word.text}` } : word
        const cut = use_regex ? splitWord(spaced, GPT2_SPLIT, 'Isolated') : [spaced]
        return cut.map(part => ({ ...part, text: byteLevelWord(part.text) }))
      })
  },
  Split(component, context) {
    const shape = { pattern: patternSchema, behavior: z.enum(behaviors), invert: z.boolean() }
    const { pattern, behavior, invert } = optionsOf(component, shape, context)
    return splitting(compilePattern(pattern, context), behavior, invert)
  },
  Metaspace(component, context) {
    const shape = {
      replacement: z.string().refine(text => [...text].length === 1, 'is not one character'),
      add_prefix_space: z.boolean().optional(),
      prepend_scheme: z.enum(['always', 'first', 'never']).optional(),
      split: z.boolean().default(true),
      // Older files repeat the replacement here.
      str_rep: z.string().optional(),
    }
    const options = optionsOf(component, shape, context)
    const { replacement, str_rep = replacement, split } = options
    const scheme = options.prepend_scheme ?? (options.add_prefix_space === false ? 'never' : 'always')
    if (str_rep !== replacement)
      throw unsupported(context, 'a Metaspace whose str_rep is not its replacement')
    if (options.add_prefix_space === false && scheme !== 'never') {
      throw unsupported(context, `a Metaspace with add_prefix_space false and prepend_scheme ${scheme}`)
    }
    if (scheme === 'first' && context.follows) {
      throw unsupported(context, 'a Metaspace with prepend_scheme first behind another step')
    }
    const pattern = new RegExp(escapeRegExp(replacement), 'gu')
    return words =>
      words.flatMap(word => {
        const replaced = word.text.replaceAll(' ', replacement)
        const prepends = scheme === 'always' || (scheme === 'first' && word.isFirst)
        const text = prepends && !replaced.startsWith(replacement) ? replacement + replaced : replaced
        const whole = { ...word, text }
        return split ? splitWord(whole, pattern, 'MergedWithNext') : [whole]
      })
  },
  Digits(component, context) {
    const { individual_digits } = optionsOf(component, { individual_digits: z.boolean() }, context)
    return splitting(/\p{N}/gu, individual_digits ? 'Isolated' : 'Contiguous')
  },
  Punctuation(component, context) {
    const { behavior } = optionsOf(component, { behavior: z.enum(behaviors).default('Isolated') }, context)
    return splitting(PUNCTUATION, behavior)
  },
  WhitespaceSplit(component, context) {
    optionsOf(component, {}, context)
    return splitting(WHITE_SPACE, 'Removed')
  },
  Whitespace(component, context) {
    optionsOf(component, {}, context)
    return splitting(WORDS, 'Removed', true)
  },
  BertPreTokenizer(component, context) {
    optionsOf(component, {}, context)
    const [spaces, punctuation] = [splitting(WHITE_SPACE, 'Removed'), splitting(PUNCTUATION, 'Isolated')]
    return words => punctuation(spaces(words))
  },
  CharDelimiterSplit(component, context) {
    const { delimiter } = optionsOf(component, { delimiter: z.string().min(1) }, context)
    return splitting(new RegExp(escapeRegExp(delimiter), 'gu'), 'Removed')
  },
}

function splitting(pattern: RegExp, behavior: Behavior, invert = false): PreTokenizer {
  if (behavior === 'Isolated') {
    return words => {
      const out: Word[] = []
      for (const word of words) isolate(word, pattern, out)
      return out
    }
  }
  return words => words.flatMap(word => splitWord(word, pattern, behavior, invert))
}

/** Appends the parts of a word that match and those between: most text comes this way, so without lists on the way. */
function isolate({ text, isFirst }: Word, pattern: RegExp, out: Word[]): void {
  let done = 0
  const cut = (end: number) => {
    if (end > done) out.push({ text: text.slice(done, end), isFirst: isFirst && done === 0 })
    done = end
  }
  pattern.lastIndex = 0
  for (let match = pattern.exec(text); match !== null; match = pattern.exec(text)) {
    const start = match.index
    const end = start + match[0].length
    cut(start)
    cut(end)
    if (end === start) pattern.lastIndex += (text.codePointAt(end) ?? 0) > 0xffff ? 2 : 1
  }
  cut(text.length)
}

interface Part {
  start: number
  end: number
  readonly isMatch: boolean
}

/** The parts of a word that match and those between, treated as `behavior` says; empty ones are dropped. */
function splitWord({ text, isFirst }: Word, pattern: RegExp, behavior: Behavior, invert = false): Word[] {
  const kept = merged(partsOf(text, pattern, invert), behavior)
  return kept.flatMap(({ start, end }) =>
    start === end ? [] : [{ text: text.slice(start, end), isFirst: isFirst && start === 0 }],
  )
}

function partsOf(text: string, pattern: RegExp, invert: boolean): Part[] {
  const parts: Part[] = []
  let done = 0
  for (const { start, end } of matchesOf(text, pattern)) {
    if (done < start) parts.push({ start: done, end: start, isMatch: invert })
    parts.push({ start, end, isMatch: !invert })
    done = end
  }
  if (done < text.length) parts.push({ start: done, end: text.length, isMatch: invert })
  return parts
}

function merged(parts: Part[], behavior: Behavior): Part[] {
  if (behavior === 'Removed') return parts.filter(({ isMatch }) => !isMatch)
  if (behavior === 'Isolated') return parts
  const joins =
    behavior === 'Contiguous'
      ? (part: Part, previousIsMatch: boolean) => part.isMatch === previousIsMatch
      : (part: Part, previousIsMatch: boolean) => part.isMatch && !previousIsMatch
  const backwards = behavior === 'MergedWithNext'
  const kept: Part[] = []
  let previousIsMatch = false
  for (const part of backwards ? parts.toReversed() : parts) {
    const last = kept.at(-1)
    if (last !== undefined && joins(part, previousIsMatch)) {
      if (backwards) last.start = part.start
      else last.end = part.end
    } else kept.push({ ...part })
    previousIsMatch = part.isMatch
  }
  return backwards ? kept.reverse() : kept
}
