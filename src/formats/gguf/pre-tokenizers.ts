// How text is cut into words before byte-pair merges: llama.cpp knows each way by a name (`tokenizer.ggml.pre`), a
// tokenizer.json writes it out.

import {
  CL100K_PATTERN,
  LLAMA3_JSON_PATTERN,
  O200K_PATTERN,
  QWEN2_JSON_PATTERN,
  QWEN2_PATTERN,
} from '../../data/tokenizers/byte-level.js'

const byteLevel = (useRegex: boolean) => ({
  type: 'ByteLevel',
  add_prefix_space: false,
  trim_offsets: true,
  use_regex: useRegex,
})
/** Each pattern cuts the words that those before it have left. */
const split = (...patterns: string[]) => ({
  type: 'Sequence',
  pretokenizers: [
    ...patterns.map(pattern => ({
      type: 'Split',
      pattern: { Regex: pattern },
      behavior: 'Isolated',
      invert: false,
    })),
    byteLevel(false),
  ],
})

/** llama.cpp's way for files that name none (`tokenizer.ggml.pre` is missing): llama-vocab.cpp. */
export const DEFAULT_PRE_TOKENIZER = 'default'
const DEFAULT_PATTERNS = [
  '[\\p{P}\\$\\+<=>\\^~\\|]+',
  "'s|'t|'re|'ve|'m|'ll|'d| ?\\p{L}+| ?\\p{N}+| ?[^\\s\\p{L}\\p{N}]+|\\s+(?!\\S)",
  '\\p{N}+',
  '[0-9][0-9][0-9]',
]

interface PreTokenizer {
  /** llama.cpp's names for it, the one that is written first. */
  readonly names: readonly string[]
  /** The same in tokenizer.json, the form that is read first. */
  readonly json: readonly object[]
  /** Whether a word that is a token by itself is that token, whatever the merges say: llama.cpp ties it to the name. */
  readonly wholeWords: boolean
}

const PRE_TOKENIZERS: readonly PreTokenizer[] = [
  {
    names: ['gpt-2', 'phi-2', 'mpt', 'olmo', 'jais', 'exaone4', 'trillion'],
    json: [byteLevel(true)],
    wholeWords: false,
  },
  {
    names: ['llama-bpe', 'llama3', 'llama-v3', 'falcon3', 'falcon-h1', 'pixtral', 'lfm2'],
    json: [split(CL100K_PATTERN), split(LLAMA3_JSON_PATTERN)],
    wholeWords: true,
  },
  {
    names: ['dbrx', 'smaug-bpe'],
    json: [split(CL100K_PATTERN), split(LLAMA3_JSON_PATTERN)],
    wholeWords: false,
  },
  {
    names: ['qwen2', 'deepseek-r1-qwen', 'megrez', 'stablelm2', 'hunyuan'],
    json: [split(QWEN2_PATTERN), split(QWEN2_JSON_PATTERN)],
    wholeWords: false,
  },
  {
    names: ['smollm', 'starcoder', 'refact', 'command-r', 'codeshell', 'exaone'],
    json: [
      {
        type: 'Sequence',
        pretokenizers: [{ type: 'Digits', individual_digits: true }, byteLevel(true)],
      },
    ],
    wholeWords: false,
  },
  { names: ['gpt-4o', 'llama4'], json: [split(O200K_PATTERN)], wholeWords: false },
  { names: [DEFAULT_PRE_TOKENIZER], json: [split(...DEFAULT_PATTERNS)], wholeWords: false },
]

/** What tokenizer.json says for a name of llama.cpp's, or null for one that is not known here. */
export function preTokenizerJson(name: string): { json: object; wholeWords: boolean } | null {
  const found = PRE_TOKENIZERS.find(({ names }) => names.includes(name))
  return found === undefined ? null : { json: found.json[0], wholeWords: found.wholeWords }
}

export function knownPreTokenizers(): string {
  return PRE_TOKENIZERS.map(({ names }) => names[0]).join(', ')
}

/** llama.cpp's name for a `pre_tokenizer` of tokenizer.json, or null when it has none that gives the same words. */
export function preTokenizerName(json: unknown, wholeWords: boolean): string | null {
  const found = PRE_TOKENIZERS.find(
    known => known.wholeWords === wholeWords && known.json.some(form => saysTheSame(form, json)),
  )
  return found?.names[0] ?? null
}

/** Whether everything in `expected` stands in `actual`; `trim_offsets` has no effect on ids. */
function saysTheSame(expected: unknown, actual: unknown): boolean {
  if (typeof expected !== 'object' || expected === null) return expected === actual
  if (typeof actual !== 'object' || actual === null) return false
  const other = actual as Record<string, unknown>
  if (Array.isArray(expected) && expected.length !== other.length) return false
  return Object.entries(expected).every(
    ([key, value]) =>
      key === 'trim_offsets' || saysTheSame(value, key === 'use_regex' ? (other[key] ?? true) : other[key]),
  )
}
