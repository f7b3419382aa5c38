// The models of a tokenizer.json: from one word to ids. They follow Hugging Face's tokenizers (Rust).

import { z } from 'zod'
import { invalid as invalidTokenizer } from '../checked-json.js'
import { Merges } from '../merges.js'
import { PairTable } from '../pair-table.js'
import { type Makers, makeComponent, optionsOf, unsupported } from './components.js'
import { unigram } from './unigram.js'
import { fallbackBytes, type ModelContext, type WordModel } from './word-model.js'

/** ids: the vocabulary of the model. Throws TokenizerError TOKENIZER_INVALID, TOKENIZER_UNSUPPORTED. */
export function makeWordModel(model: object, ids: ReadonlyMap<string, number>, source: string): WordModel {
  const context: ModelContext = { source, place: 'model', depth: 0, ids }
  const makers: Makers<WordModel> = {
    BPE: component => bytePair(component, context),
    WordPiece: component => ({ encode: wordPiece(component, context) }),
    WordLevel: component => ({ encode: wordLevel(component, context) }),
    Unigram: component => ({ encode: unigram(component, context) }),
  }
  return makeComponent({ type: 'BPE', ...model }, makers, context)
}

/** Words of more characters are merged with a heap. */
const SHORT_WORD = 128

function bytePair(component: object, context: ModelContext): WordModel {
  const shape = {
    vocab: z.unknown(),
    merges: z.array(z.unknown()),
    dropout: z.number().nullish(),
    unk_token: z.string().nullish(),
    continuing_subword_prefix: z.string().nullish(),
    end_of_word_suffix: z.string().nullish(),
    fuse_unk: z.boolean().default(false),
    byte_fallback: z.boolean().default(false),
    ignore_merges: z.boolean().nullish(),
  }
  const options = optionsOf(component, shape, context)
  if (options.dropout) throw unsupported(context, 'a BPE with dropout')
  const { ids, source } = context
  const prefix = options.continuing_subword_prefix ?? ''
  const suffix = options.end_of_word_suffix ?? ''
  const joined = mergesOf(options.merges, ids, source, prefix)
  const merges = new Merges(joined)
  const unknown = unknownId(options.unk_token ?? undefined, ids)
  const byteIds = options.byte_fallback ? fallbackBytes(ids) : null
  const encoder = new TextEncoder()
  const scratch = new Int32Array(SHORT_WORD)

  /** The ids of a word's characters, before any merge. */
  const characters = (word: string): (number | undefined)[] => {
    const found: (number | undefined)[] = []
    let hasUnknown = false
    const flush = () => {
      if (hasUnknown) found.push(unknown)
      hasUnknown = false
    }
    let at = 0
    for (const character of word) {
      const isFirst = at === 0
      at += character.length
      const text = (isFirst ? '' : prefix) + character + (at === word.length ? suffix : '')
      const id = ids.get(text)
      if (id !== undefined) {
        flush()
        found.push(id)
        continue
      }
      const bytes = byteIds === null ? null : [...encoder.encode(text)].map(byte => byteIds[byte])
      if (bytes !== null && !bytes.includes(undefined)) {
        found.push(...bytes)
        continue
      }
      if (!options.fuse_unk) flush()
      hasUnknown = true
    }
    flush()
    return found
  }

  const encode: WordModel['encode'] = (word, out) => {
    const whole = options.ignore_merges ? ids.get(word) : undefined
    if (whole !== undefined) {
      out.push(whole)
      return
    }
    const found = characters(word)
    if (found.includes(undefined)) {
      out.push(...found)
      return
    }
    const list = Int32Array.from(found as number[])
    if (list.length > SHORT_WORD) {
      for (const id of merges.mergeLong(list)) out.push(id)
      return
    }
    const n = merges.mergeShort(list, list.length, scratch)
    for (let i = 0; i < n; i++) out.push(list[i])
  }

  // What a word is can depend on more than its neighbors: on its ends, on the whole of it, on unknown characters in a row.
  const fuses = options.fuse_unk && (byteIds === null || byteIds.includes(undefined))
  const byteJoined = new Set(byteIds ?? [])
  const isLocal = prefix === '' && suffix === '' && options.ignore_merges !== true && !fuses
  if (!isLocal || joined.some((id, i) => i % 3 < 2 && byteJoined.has(id))) return { encode }
  let meets: PairTable | null = null
  return {
    encode,
    eachPart(word, visit) {
      meets ??= meetingCharacters(options.merges)
      cutWhereNothingMeets(word, meets, visit)
    },
  }
}

/** The last character of the left and the first of the right side of every merge. */
function meetingCharacters(merges: readonly unknown[]): PairTable {
  const meets = new PairTable(merges.length)
  for (const merge of merges) {
    const [left, right] = (typeof merge === 'string' ? merge.split(' ') : merge) as [string, string]
    meets.set(lastCodePoint(left), right.codePointAt(0) ?? 0, 0)
  }
  return meets
}

function lastCodePoint(text: string): number {
  const low = text.charCodeAt(text.length - 1)
  return (low & 0xfc00) === 0xdc00 ? (text.codePointAt(text.length - 2) ?? low) : low
}

/** Between two characters at which no merge joins anything, a word can be cut: no token lies across. */
function cutWhereNothingMeets(word: string, meets: PairTable, visit: (part: string) => void): void {
  let start = 0
  let before = -1
  for (let at = 0; at < word.length; ) {
    const character = word.codePointAt(at) ?? 0
    if (before >= 0 && meets.get(before, character) === -1) {
      visit(word.slice(start, at))
      start = at
    }
    before = character
    at += character > 0xffff ? 2 : 1
  }
  visit(word.slice(start))
}

/** (left id, right id, merged id) per merge. prefix: what every part of a word but the first begins with. */
export function mergesOf(
  merges: readonly unknown[],
  ids: ReadonlyMap<string, number>,
  source: string,
  prefix = '',
): Int32Array {
  const invalid = (what: string) => invalidTokenizer(source, what)
  const out = new Int32Array(3 * merges.length)
  for (const [rank, merge] of merges.entries()) {
    const pair = typeof merge === 'string' ? merge.split(' ') : merge
    if (!Array.isArray(pair) || pair.length !== 2 || !pair.every(part => typeof part === 'string')) {
      throw invalid(`merge ${rank}, ${JSON.stringify(merge)}, is not a pair of tokens`)
    }
    const [left, right] = pair as [string, string]
    for (const [k, token] of [left, right, left + right.slice(prefix.length)].entries()) {
      const found = ids.get(token)
      if (found === undefined) throw invalid(`merge ${rank} needs "${token}", which is not in the vocabulary`)
      out[3 * rank + k] = found
    }
  }
  return out
}

function unknownId(token: string | undefined, ids: ReadonlyMap<string, number>): number | undefined {
  return token === undefined ? undefined : ids.get(token)
}

function wordPiece(component: object, context: ModelContext): WordModel['encode'] {
  const shape = {
    vocab: z.unknown(),
    unk_token: z.string(),
    continuing_subword_prefix: z.string(),
    max_input_chars_per_word: z.int().min(0).default(100),
  }
  const options = optionsOf(component, shape, context)
  const { ids } = context
  const unknown = unknownId(options.unk_token, ids)
  return (word, out) => {
    const characters = [...word]
    if (characters.length > options.max_input_chars_per_word) {
      out.push(unknown)
      return
    }
    const found: number[] = []
    for (let start = 0; start < characters.length; ) {
      const prefix = start === 0 ? '' : options.continuing_subword_prefix
      let end = characters.length
      let id: number | undefined
      while (end > start) {
        id = ids.get(prefix + characters.slice(start, end).join(''))
        if (id !== undefined) break
        end--
      }
      if (id === undefined) {
        out.push(unknown)
        return
      }
      found.push(id)
      start = end
    }
    out.push(...found)
  }
}

function wordLevel(component: object, context: ModelContext): WordModel['encode'] {
  const { unk_token } = optionsOf(component, { vocab: z.unknown(), unk_token: z.string() }, context)
  const unknown = unknownId(unk_token, context.ids)
  return (word, out) => void out.push(context.ids.get(word) ?? unknown)
}
