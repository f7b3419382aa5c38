// OpenAI's .tiktoken files (one line per token: base64 of its bytes, its rank) as a tokenizer.json. The file holds
// ranks alone; the word pattern and the special tokens belong to the encoding that the file is named after.

import { TokenizerError } from '../../errors.js'
import { BYTE_CHARACTERS, CL100K_PATTERN, O200K_PATTERN, toByteLevel } from './byte-level.js'
import { byteLevelJson } from './byte-pair.js'
import { invalid, MAX_TOKEN_ID } from './checked-json.js'
import { END_OF_TEXT, type Tokenizer } from './tokenizer.js'
import { tokenizerFromJson } from './tokenizer-json.js'

interface Encoding {
  /** null: GPT-2's. */
  readonly pattern: string | null
  readonly special: readonly (readonly [string, number])[]
}

const GPT2: Encoding = { pattern: null, special: [[END_OF_TEXT, 50256]] }

/** As published with openai/tiktoken (openai_public.py). */
const ENCODINGS: Readonly<Record<string, Encoding>> = {
  gpt2: GPT2,
  r50k_base: GPT2,
  p50k_base: GPT2,
  cl100k_base: {
    pattern: CL100K_PATTERN,
    special: [
      [END_OF_TEXT, 100257],
      ['<|fim_prefix|>', 100258],
      ['<|fim_middle|>', 100259],
      ['<|fim_suffix|>', 100260],
      ['<|endofprompt|>', 100276],
    ],
  },
  o200k_base: {
    pattern: O200K_PATTERN,
    special: [
      [END_OF_TEXT, 199999],
      ['<|endofprompt|>', 200018],
    ],
  },
}

/** fileName decides the encoding; text: content of the file. Throws TokenizerError. */
export function tokenizerFromTiktoken(text: string, fileName: string): Tokenizer {
  const name = Object.keys(ENCODINGS).find(encoding => fileName.includes(encoding))
  if (name === undefined) {
    throw new TokenizerError(
      'TOKENIZER_UNSUPPORTED',
      `tokenizer ${fileName}: the file's name must contain its encoding, one of ${Object.keys(ENCODINGS).join(', ')}, ` +
        'because the file does not say how words are cut',
    )
  }
  const { pattern, special } = ENCODINGS[name]
  const ranks = parseRanks(text, fileName)
  const json = byteLevelJson([...ranks, ...special], mergesOf(ranks), special, true)
  // tiktoken looks a whole word up before it merges.
  json.model.ignore_merges = true
  if (pattern !== null) {
    json.pre_tokenizer = {
      type: 'Sequence',
      pretokenizers: [
        { type: 'Split', pattern: { Regex: pattern }, behavior: 'Isolated', invert: false },
        { type: 'ByteLevel', add_prefix_space: false, trim_offsets: true, use_regex: false },
      ],
    }
  }
  return tokenizerFromJson(json, fileName)
}

/** Groups of four characters in base64, the last of which may be shorter; at most 4 kB, since every cut of a token is looked up. */
const LINE =
  /^(?=[^ ])((?:[A-Za-z0-9+/]{4}){0,1024}(?:[A-Za-z0-9+/]{2}(?:==)?|[A-Za-z0-9+/]{3}=?)?) (\d{1,7})$/

/** Byte-level text → rank. */
function parseRanks(text: string, source: string): Map<string, number> {
  const ranks = new Map<string, number>()
  const lines = text.split(/\r?\n/)
  for (const [at, line] of lines.entries()) {
    if (line === '') continue
    const found = LINE.exec(line)
    const rank = Number(found?.[2])
    if (found === null || rank > MAX_TOKEN_ID) {
      throw invalid(source, `line ${at + 1} is not "base64 rank": ${JSON.stringify(line.slice(0, 60))}`)
    }
    const token = toByteLevel(Uint8Array.from(atob(found[1]), character => character.charCodeAt(0)))
    if (ranks.has(token)) throw invalid(source, `line ${at + 1} repeats a token`)
    ranks.set(token, rank)
  }
  const missing = BYTE_CHARACTERS.findIndex(character => !ranks.has(character))
  if (missing >= 0)
    throw invalid(source, `the byte ${missing} has no rank; the file is cut off or is no .tiktoken file`)
  return ranks
}

/**
 * The merges that rebuild tiktoken's rule (join the neighbors whose union has the lowest rank): every way to cut a
 * token into two tokens, in the order of the tokens' ranks. The same conversion as in Hugging Face's transformers.
 */
function mergesOf(ranks: ReadonlyMap<string, number>): string[] {
  const merges: string[] = []
  for (const [token] of [...ranks].sort((a, b) => a[1] - b[1])) {
    const cuts: [left: number, right: number, merge: string][] = []
    for (let i = 1; i < token.length; i++) {
      const left = ranks.get(token.slice(0, i))
      const right = ranks.get(token.slice(i))
      if (left !== undefined && right !== undefined) {
        cuts.push([left, right, `${token.slice(0, i)} ${token.slice(i)}`])
      }
    }
    cuts.sort((a, b) => a[0] - b[0] || a[1] - b[1])
    for (const [, , merge] of cuts) merges.push(merge)
  }
  return merges
}
