// Byte-level byte-pair encoding (Sennrich et al. 2016; Radford et al. 2019): the encoder for vocabularies trained
// here, for GPT-2's, tiktoken's and every tokenizer.json of that kind. `bytes` is the case without merges.

import { BYTE_CHARACTERS, type GPT2_SPLIT, toByteLevel } from './byte-level.js'
import { IdBuffer } from './id-buffer.js'
import { Merges } from './merges.js'
import { longestFirstPattern } from './pipeline/added-tokens.js'
import type { Tokenizer } from './tokenizer.js'
import { END_OF_TEXT, requireId } from './tokenizer.js'
import { WordCache } from './word-cache.js'

/** A token that is matched as text before words are cut. */
export interface AddedToken {
  readonly id: number
  readonly content: string
}

export interface BytePairVocabulary {
  readonly name: string
  /** Bytes of each id; empty for ids that no token has. Added tokens stand here with the bytes of their text. */
  readonly tokens: readonly Uint8Array[]
  /** Id of each single byte (256). */
  readonly byteIds: Int32Array
  /** Three numbers per merge in order of rank: left id, right id, id of the two together. */
  readonly merges: Int32Array
  /** Cuts text into words that no merge crosses; null: the text is one word. */
  readonly split: RegExp | null
  /** A word that is a token by itself is that token, whatever the merges say (tiktoken's rule). */
  readonly wholeWords: boolean
  readonly addedTokens: readonly AddedToken[]
  readonly startOfText?: number | null
  readonly endOfText: number | null
  /** What `toJSON` returns. */
  readonly json: () => object
}

/** Words are short and frequent; beyond this many bytes a word is merged with a heap and not remembered. */
const SHORT_WORD = 128

const textEncoder = new TextEncoder()

export class BytePairTokenizer implements Tokenizer {
  readonly name: string
  readonly vocabSize: number
  readonly startOfText: number | null
  readonly endOfText: number | null
  readonly #vocabulary: BytePairVocabulary
  readonly #merges: Merges
  readonly #wholeWords: ReadonlyMap<string, number> | null
  readonly #added: RegExp | null
  readonly #addedIds: ReadonlyMap<string, number>
  /** Word → its ids; a single id is stored as a number. */
  readonly #cache = new WordCache()
  #bytes = new Uint8Array(1024)
  readonly #ids = new Int32Array(SHORT_WORD)
  readonly #pairRanks = new Int32Array(SHORT_WORD)

  constructor(vocabulary: BytePairVocabulary) {
    this.#vocabulary = vocabulary
    this.name = vocabulary.name
    this.vocabSize = vocabulary.tokens.length
    this.startOfText = vocabulary.startOfText ?? null
    this.endOfText = vocabulary.endOfText
    this.#merges = new Merges(vocabulary.merges)
    this.#wholeWords = vocabulary.wholeWords ? wholeWords(vocabulary) : null
    this.#addedIds = new Map(vocabulary.addedTokens.map(({ content, id }) => [content, id]))
    this.#added = longestFirstPattern([...this.#addedIds.keys()])
  }

  encode(text: string): Int32Array {
    const out = new IdBuffer(text.length)
    if (this.#added === null) {
      this.#encodeSection(text, out)
      return out.take()
    }
    let end = 0
    for (const match of text.matchAll(this.#added)) {
      this.#encodeSection(text.slice(end, match.index), out)
      out.push(this.#addedIds.get(match[0])!)
      end = match.index + match[0].length
    }
    this.#encodeSection(text.slice(end), out)
    return out.take()
  }

  decode(ids: ArrayLike<number>): string {
    let length = 0
    for (let i = 0; i < ids.length; i++) length += this.tokenBytes(ids[i]).length
    const bytes = new Uint8Array(length)
    let at = 0
    for (let i = 0; i < ids.length; i++) {
      const token = this.#vocabulary.tokens[ids[i]]
      bytes.set(token, at)
      at += token.length
    }
    return new TextDecoder('utf-8', { ignoreBOM: true }).decode(bytes)
  }

  tokenBytes(id: number): Uint8Array {
    requireId(this, id)
    return this.#vocabulary.tokens[id]
  }

  toJSON(): object {
    return this.#vocabulary.json()
  }

  #encodeSection(text: string, out: IdBuffer): void {
    const { split } = this.#vocabulary
    if (split === null) {
      if (text !== '') this.#encodeWord(text, out)
      return
    }
    split.lastIndex = 0
    for (let match = split.exec(text); match !== null; match = split.exec(text)) {
      const word = match[0]
      if (!this.#cache.append(word, out)) this.#encodeWord(word, out)
    }
  }

  /** Appends the ids of one word and remembers them when the word is short. */
  #encodeWord(word: string, out: IdBuffer): void {
    if (this.#bytes.length < 3 * word.length) this.#bytes = new Uint8Array(6 * word.length)
    const { written } = textEncoder.encodeInto(word, this.#bytes)
    const bytes = this.#bytes.subarray(0, written)
    const whole = this.#wholeWords?.get(toByteLevel(bytes))
    if (whole !== undefined) {
      out.push(whole)
      this.#cache.remember(word, Int32Array.of(whole))
      return
    }
    const { byteIds } = this.#vocabulary
    if (bytes.length > SHORT_WORD) {
      const ids = this.#merges.mergeLong(Int32Array.from(bytes, byte => byteIds[byte]))
      out.append(ids, ids.length)
      return
    }
    for (let i = 0; i < bytes.length; i++) this.#ids[i] = byteIds[bytes[i]]
    const n = this.#merges.mergeShort(this.#ids, bytes.length, this.#pairRanks)
    out.append(this.#ids, n)
    this.#cache.remember(word, this.#ids.slice(0, n))
  }
}

/** The tokenizer of raw bytes: ids 0 … 255 are the bytes, 256 is `<|endoftext|>`. */
export function bytesTokenizer(): BytePairTokenizer {
  return makeBytePairTokenizer('bytes', new Int32Array(0), null)
}

/**
 * A vocabulary with ids in our own order: the 256 bytes, one id per merge, `<|endoftext|>` last.
 * merges: (left id, right id) per merge in order of rank; `split` is GPT2_SPLIT or null.
 */
export function makeBytePairTokenizer(
  name: string,
  pairs: Int32Array,
  split: typeof GPT2_SPLIT | null,
): BytePairTokenizer {
  const tokens = BYTE_CHARACTERS.map((_, byte) => Uint8Array.of(byte))
  const merges = new Int32Array((pairs.length / 2) * 3)
  for (let rank = 0; rank < pairs.length / 2; rank++) {
    const [left, right] = [pairs[2 * rank], pairs[2 * rank + 1]]
    merges.set([left, right, tokens.length], 3 * rank)
    tokens.push(Uint8Array.from([...tokens[left], ...tokens[right]]))
  }
  const endOfText = tokens.length
  tokens.push(textEncoder.encode(END_OF_TEXT))
  return new BytePairTokenizer({
    name,
    tokens,
    byteIds: Int32Array.from(BYTE_CHARACTERS, (_, byte) => byte),
    merges,
    split,
    wholeWords: false,
    addedTokens: [{ id: endOfText, content: END_OF_TEXT }],
    endOfText,
    json: () => {
      const written = tokens.slice(0, endOfText).map(toByteLevel)
      const vocab = [...written, END_OF_TEXT].map((token, id) => [token, id] as const)
      const mergeLines = []
      for (let i = 0; i < pairs.length; i += 2)
        mergeLines.push(`${written[pairs[i]]} ${written[pairs[i + 1]]}`)
      return byteLevelJson(vocab, mergeLines, [[END_OF_TEXT, endOfText]], split !== null)
    },
  })
}

/**
 * The tokenizer.json of a byte-level BPE. vocab: byte-level text and id; merges: `left right` in order of rank;
 * special: text and id, which must stand in vocab too, because Hugging Face numbers added tokens from there.
 */
export function byteLevelJson(
  vocab: Iterable<readonly [string, number]>,
  merges: readonly string[],
  special: readonly (readonly [string, number])[],
  useRegex: boolean,
): Record<string, unknown> & { model: Record<string, unknown> } {
  const byteLevel = { type: 'ByteLevel', add_prefix_space: false, trim_offsets: true, use_regex: useRegex }
  return {
    version: '1.0',
    truncation: null,
    padding: null,
    added_tokens: special.map(([content, id]) => ({
      id,
      content,
      single_word: false,
      lstrip: false,
      rstrip: false,
      normalized: false,
      special: true,
    })),
    normalizer: null,
    pre_tokenizer: byteLevel,
    post_processor: byteLevel,
    decoder: byteLevel,
    model: {
      type: 'BPE',
      dropout: null,
      unk_token: null,
      continuing_subword_prefix: null,
      end_of_word_suffix: null,
      fuse_unk: false,
      byte_fallback: false,
      ignore_merges: false,
      // Object.fromEntries and not assignment: a token may be called __proto__.
      vocab: Object.fromEntries(vocab),
      merges,
    },
  }
}

function wholeWords({ tokens, addedTokens }: BytePairVocabulary): Map<string, number> {
  const special = new Set(addedTokens.map(({ id }) => id))
  const words = new Map<string, number>()
  for (const [id, bytes] of tokens.entries()) {
    if (bytes.length > 0 && !special.has(id)) words.set(toByteLevel(bytes), id)
  }
  return words
}
