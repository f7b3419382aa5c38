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

const wordsOf = (names: readonly string[], ...json: object[]): PreTokenizer => ({
  names,
  json,
  wholeWords: false,
})
const wholeWordsOf = (names: readonly string[], ...json: object[]): PreTokenizer => ({
  names,
  json,
  wholeWords: true,
})

const CONTRACTION = "(?i:'s|'t|'re|'ve|'m|'ll|'d)"
/** A word with what may stand before it, and the rest of the text; between the two, how numbers are cut. */
const WORD = '[^\\r\\n\\p{L}\\p{N}]?\\p{L}+'
const REST = ' ?[^\\s\\p{L}\\p{N}]+[\\r\\n]*|\\s*[\\r\\n]+|\\s+(?!\\S)|\\s+'
/** Words that begin a new one at a capital, as in o200k; `ending` may follow each. */
const capitalized = (ending: string) => {
  const [upper, lower] = ['[\\p{Lu}\\p{Lt}\\p{Lm}\\p{Lo}\\p{M}]', '[\\p{Ll}\\p{Lm}\\p{Lo}\\p{M}]']
  const before = '[^\\r\\n\\p{L}\\p{N}]?'
  return `${before}${upper}*${lower}+${ending}|${before}${upper}+${lower}*${ending}`
}
const REST_WITH_SLASH = ' ?[^\\s\\p{L}\\p{N}]+[\\r\\n/]*|\\s*[\\r\\n]+|\\s+(?!\\S)|\\s+'
const GPT2 = "'s|'t|'re|'ve|'m|'ll|'d| ?\\p{L}+| ?\\p{N}+| ?[^\\s\\p{L}\\p{N}]+|\\s+(?!\\S)"
const IDEOGRAPHS_AND_KANA = '[一-龥぀-ゟ゠-ヿ]+'
const IDEOGRAPHS_TO_HANGUL = '[一-龥ࠀ-一가-퟿]+'
const NOT_BLANK_OR_STOP = ' ?[^(\\s|.,!?…。，、।۔،)]+'
/** DeepSeek's words: ASCII punctuation stays with the letters behind it. `after`: what may follow other punctuation. */
const deepseekWords = (after: string) =>
  '[!"#$%&\'()*+,\\-./:;<=>?@\\[\\\\\\]^_`{|}~][A-Za-z]+|[^\\r\\n\\p{L}\\p{P}\\p{S}]?[\\p{L}\\p{M}]+' +
  `| ?[\\p{P}\\p{S}]+${after}|\\s+(?!\\S)|\\s+`
/** The letters that DeepSeek's first pattern lists: those with case, without alphabets that it leaves out. */
const CASED =
  '(?:\\u0295|(?![\\u0560-\\u0588\\u10C7-\\u10FF\\u1C80-\\u1C8A\\u2D00-\\u2D2D\\uA790-\\uA7FA\\uAB30-\\uAB68' +
  '\\x{10570}-\\x{105BC}\\x{10D50}-\\x{10D85}\\x{16E40}-\\x{1DF2A}])[\\p{Lu}\\p{Ll}\\p{Lt}])'

const digitsApart = {
  type: 'Sequence',
  pretokenizers: [{ type: 'Digits', individual_digits: true }, byteLevel(true)],
}

/** From llama-vocab.cpp of 2026; patterns as the models' own tokenizer.json has them where llama.cpp had to adapt them. */
const PRE_TOKENIZERS: readonly PreTokenizer[] = [
  wordsOf(
    [
      ...[
        'gpt-2',
        'phi-2',
        'mpt',
        'olmo',
        'jais',
        'exaone4',
        'trillion',
        'granite-docling',
        'mellum',
        'gigachat',
      ],
      ...['a.x-4.0', 'modern-bert', 'jina-es', 'jina-de', 'jina-v2-es', 'jina-v2-de'],
    ],
    byteLevel(true),
  ),
  wholeWordsOf(
    [
      ...['llama-bpe', 'llama3', 'llama-v3', 'falcon3', 'falcon-h1', 'pixtral', 'lfm2', 'midm-2.0'],
      'jina-v5-nano',
    ],
    ...[split(CL100K_PATTERN), split(LLAMA3_JSON_PATTERN)],
  ),
  wordsOf(['dbrx', 'smaug-bpe', 'glm4', 'chatglm-bpe'], split(CL100K_PATTERN), split(LLAMA3_JSON_PATTERN)),
  wordsOf(
    [
      ...['qwen2', 'deepseek-r1-qwen', 'megrez', 'stablelm2', 'hunyuan', 'kormo', 'f2llmv2', 'solar-open'],
      'grok-2',
    ],
    ...[split(QWEN2_PATTERN), split(QWEN2_JSON_PATTERN)],
  ),
  wordsOf(
    ['smollm', 'starcoder', 'refact', 'command-r', 'codeshell', 'exaone', 'minerva-7b', 'mellum2'],
    digitsApart,
  ),
  wordsOf(
    ['gpt-4o', 'llama4', 'kanana2', 'talkie', 'minimax-m2'],
    ...[split(O200K_PATTERN), split(`${capitalized(`${CONTRACTION}?`)}|\\p{N}{1,3}|${REST_WITH_SLASH}`)],
  ),
  wholeWordsOf(['tekken'], split(`${capitalized('')}|\\p{N}|${REST_WITH_SLASH}`)),
  wordsOf(
    ['tiny_aya', 'cohere2moe'],
    split('\\d{1,3}(?=(?:\\d{3})*\\b)', `${capitalized(`${CONTRACTION}?`)}|\\p{N}{1,3}|${REST_WITH_SLASH}`),
  ),
  wholeWordsOf(
    ['youtu'],
    split(
      '[가-힣ㄱ-ㆎ]+|[！…“”‘’—：；，、-〿︰-﹏]+|[ㄅ-ㄯ]+|[一-龥぀-ゟ゠-ヿ]+',
      `${capitalized(`${CONTRACTION}?`)}|\\p{N}|${REST_WITH_SLASH}`,
    ),
  ),
  wordsOf(
    ['qwen35'],
    split(
      `${CONTRACTION}|[^\\r\\n\\p{L}\\p{N}]?[\\p{L}\\p{M}]+|\\p{N}| ?[^\\s\\p{L}\\p{M}\\p{N}]+[\\r\\n]*` +
        '|\\s*[\\r\\n]+|\\s+(?!\\S)|\\s+',
    ),
  ),
  wholeWordsOf(['minicpm5'], split('\\p{N}{1,3}', `${CONTRACTION}|${WORD}|\\p{N}+|${REST}`)),
  wordsOf(['ufakzeka'], split(`${WORD}|\\p{N}|${REST}`)),
  wordsOf(['laguna'], split('[^\\n]+|[\\n]+', `${CONTRACTION}|${WORD}|\\p{N}|${REST}`)),
  wordsOf(
    ['seed-coder'],
    split(`${CONTRACTION}|${WORD}|\\p{N}{1}| ?[^\\s\\p{L}\\p{N}\\r\\n]+|\\s*[\\r\\n]+|\\s+(?!\\S)|\\s+`),
  ),
  wordsOf(
    ['bailingmoe', 'bailingmoe2', 'llada-moe'],
    split(
      "'(?i:[sdmt]|ll|ve|re)|[^\\r\\n\\p{L}\\p{N}]?+\\p{L}+|\\p{N}| ?[^\\s\\p{L}\\p{N}]++[\\r\\n]*|\\s*[\\r\\n]" +
        '|\\s+(?!\\S)|\\s+',
    ),
  ),
  wordsOf(
    ['exaone-moe'],
    split(
      `${CONTRACTION}|[^\\r\\n\\p{L}\\p{N}]?(?:\\p{L}\\p{M}*(?: \\p{L}\\p{M}*)*)+|\\p{N}` +
        '| ?[^\\s\\p{L}\\p{N}]+[\\r\\n/]?|\\s*[\\r\\n]|\\s+(?!\\S)|\\s+',
    ),
  ),
  wordsOf(
    ['jais-2'],
    split(
      `${CONTRACTION}|${WORD}|\\p{N}{1,3}| ?[^\\s\\p{L}\\p{N}]+[\\r\\n]*|\\s*[\\r\\n]+|` +
        [512, 256, 128, 64, 32, 16, 8, 4, '1,2'].map(count => `\\s{${count}}(?!\\S)`).join('|') +
        '|\\s{1}',
    ),
  ),
  wordsOf(
    ['deepseek-v3', 'hunyuan-dense', 'joyai-llm', 'hy_v4'],
    split('\\p{N}{1,3}', IDEOGRAPHS_AND_KANA, deepseekWords('[\\r\\n]*|\\s*[\\r\\n]+')),
  ),
  wordsOf(['spark2_5'], split('\\p{N}{1,3}', IDEOGRAPHS_AND_KANA, deepseekWords('|[\\r\\n]'), '\\p{N}')),
  wordsOf(
    ['deepseek-llm'],
    split(
      ...['[\\r\\n]', `\\s?${CASED}+`, '\\s?[!-/:-~！-／：-～‘-‟\\u3000-。]+', '\\s+$', IDEOGRAPHS_TO_HANGUL],
      '\\p{N}+',
    ),
  ),
  wordsOf(
    ['deepseek-coder'],
    split('[\\r\\n]', '\\s?\\p{L}+', '\\s?\\p{P}+', IDEOGRAPHS_TO_HANGUL, '\\p{N}'),
  ),
  wordsOf(['falcon'], split('[\\p{P}\\$\\+<=>\\^~\\|`]+', GPT2, '[0-9][0-9][0-9]')),
  wordsOf(['poro-chat', 'bloom', 'gpt3-finnish'], split(NOT_BLANK_OR_STOP)),
  wordsOf(['viking'], split(NOT_BLANK_OR_STOP, '\\p{N}')),
  wordsOf(['superbpe'], split('\\p{N}+', '(?=(\\d{3})+(?!\\d))')),
  wordsOf([DEFAULT_PRE_TOKENIZER], split(...DEFAULT_PATTERNS)),
]

/** Names that llama.cpp knows and Flicker does not, and why. */
const NOT_READ: Readonly<Record<string, string>> = {
  'kimi-k2': 'llama.cpp cuts its words by code of its own, not by a pattern',
  afmoe: 'llama.cpp cuts its digits by code of its own, not by a pattern',
  chameleon: 'its words are parts of images too',
  gemma4: 'its merges are of characters, with ▁ for spaces',
  'granite-embed-multi-311m': 'its merges are of characters, with ▁ for spaces',
  'sarvam-moe': 'its merges are of characters, with ▁ for spaces',
  whitespace: 'it belongs to models of embeddings alone',
  'granite-embed-multi-97m': 'it belongs to models of embeddings alone',
  'jina-v1-en': 'it belongs to models of embeddings alone',
  'jina-v2-code': 'it belongs to models of embeddings alone',
  'roberta-bpe': 'it belongs to models of embeddings alone',
}

/** Why a name of llama.cpp's is not read: of an unknown one, what is known. */
export function whyNotRead(name: string): string {
  const reason = Object.hasOwn(NOT_READ, name) ? NOT_READ[name] : null
  if (reason !== null) return `is not supported: ${reason}`
  return `is not supported; supported: ${PRE_TOKENIZERS.flatMap(({ names }) => names).join(', ')}`
}

/** What tokenizer.json says for a name of llama.cpp's, or null for one that is not known here. */
export function preTokenizerJson(name: string): { json: object; wholeWords: boolean } | null {
  const found = PRE_TOKENIZERS.find(({ names }) => names.includes(name))
  return found === undefined ? null : { json: found.json[0], wholeWords: found.wholeWords }
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
