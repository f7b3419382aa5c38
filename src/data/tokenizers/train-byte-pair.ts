// Learns the merges of a byte-level BPE from text: count words once, then merge the most frequent pair again and
// again, keeping the pair counts up to date instead of counting again (Sennrich et al. 2016, section 3.2).

import { OptionError } from '../../errors.js'
import { GPT2_SPLIT } from './byte-level.js'
import { type BytePairTokenizer, makeBytePairTokenizer } from './byte-pair.js'
import { Heap, PairTable } from './pair-table.js'
import { END_OF_TEXT } from './tokenizer.js'

/** 256 bytes and `<|endoftext|>`. */
export const MIN_BPE_VOCABULARY = 257
export const MAX_BPE_VOCABULARY = 1_000_000
/** A pair that occurs once saves one token in one place; learning it would be learning the text by heart. */
const MIN_PAIR_COUNT = 2

export interface BpeTrainingOptions {
  /** Called now and then with the merges learned so far and the merges asked for. */
  readonly onProgress?: (done: number, total: number) => void
}

/**
 * A byte-level BPE of `vocabSize` tokens (256 bytes, merges, `<|endoftext|>`) with the most frequent pairs of
 * `texts`; of equally frequent pairs the one with the lower left id, then the lower right id, so the result
 * depends on nothing but the text. Fewer tokens come out when no pair is left that occurs twice.
 * Throws OptionError for a size outside 257 … 1,000,000.
 */
export function trainBpe(
  texts: Iterable<string>,
  vocabSize: number,
  options: BpeTrainingOptions = {},
): BytePairTokenizer {
  if (!(Number.isInteger(vocabSize) && vocabSize >= MIN_BPE_VOCABULARY && vocabSize <= MAX_BPE_VOCABULARY)) {
    throw new OptionError(
      'BPE_VOCABULARY_RANGE',
      `a BPE vocabulary has ${MIN_BPE_VOCABULARY} (256 bytes and ${END_OF_TEXT}) to ${MAX_BPE_VOCABULARY} tokens, not ${vocabSize}`,
    )
  }
  const pairs = learnMerges(countWords(texts), vocabSize - MIN_BPE_VOCABULARY, options.onProgress)
  return makeBytePairTokenizer(`bpe ${MIN_BPE_VOCABULARY + pairs.length / 2}`, pairs, GPT2_SPLIT)
}

function countWords(texts: Iterable<string>): Map<string, number> {
  const counts = new Map<string, number>()
  for (const text of texts) {
    for (const section of text.split(END_OF_TEXT)) {
      GPT2_SPLIT.lastIndex = 0
      for (let match = GPT2_SPLIT.exec(section); match !== null; match = GPT2_SPLIT.exec(section)) {
        counts.set(match[0], (counts.get(match[0]) ?? 0) + 1)
      }
    }
  }
  return counts
}

/** The distinct words as runs of ids in one array: word w is ids[start[w] … start[w] + length[w]). */
interface Words {
  readonly ids: Int32Array
  readonly start: Int32Array
  readonly length: Int32Array
  readonly count: Float64Array
}

function layOut(counts: ReadonlyMap<string, number>): Words {
  const encoder = new TextEncoder()
  let total = 0
  for (const word of counts.keys()) total += Buffer.byteLength(word)
  const words = {
    ids: new Int32Array(total),
    start: new Int32Array(counts.size),
    length: new Int32Array(counts.size),
    count: new Float64Array(counts.size),
  }
  let at = 0
  let w = 0
  for (const [word, count] of counts) {
    const bytes = encoder.encode(word)
    words.ids.set(bytes, at)
    words.start[w] = at
    words.length[w] = bytes.length
    words.count[w++] = count
    at += bytes.length
  }
  return words
}

/** Every pair that occurs: how often, and in which words (a word may be listed after the pair left it). */
class PairCounts {
  readonly index = new PairTable(1 << 16)
  readonly left: number[] = []
  readonly right: number[] = []
  readonly count: number[] = []
  readonly words: number[][] = []

  /** Adds `by` to the pair's count and notes the word; returns the pair's index. */
  add(left: number, right: number, by: number, word: number): void {
    let pair = this.index.get(left, right)
    if (pair === -1) {
      pair = this.count.length
      this.index.set(left, right, pair)
      this.left.push(left)
      this.right.push(right)
      this.count.push(0)
      this.words.push([])
    }
    this.count[pair] += by
    const words = this.words[pair]
    if (words[words.length - 1] !== word) words.push(word)
  }

  subtract(left: number, right: number, by: number): void {
    this.count[this.index.get(left, right)] -= by
  }
}

/** (left, right) of up to `limit` merges in order. */
function learnMerges(
  counts: ReadonlyMap<string, number>,
  limit: number,
  onProgress: BpeTrainingOptions['onProgress'],
): Int32Array {
  const words = layOut(counts)
  const pairs = new PairCounts()
  for (let w = 0; w < words.count.length; w++) {
    const end = words.start[w] + words.length[w]
    for (let i = words.start[w]; i + 1 < end; i++)
      pairs.add(words.ids[i], words.ids[i + 1], words.count[w], w)
  }

  // Counts of older pairs only fall, so an entry's count at the time it was pushed is an upper bound; the top is
  // taken when its bound is still true and goes back with the new bound when it is not.
  const bound: number[] = []
  const heap = new Heap((a, b) => {
    if (bound[a] !== bound[b]) return bound[a] > bound[b]
    return pairs.left[a] !== pairs.left[b] ? pairs.left[a] < pairs.left[b] : pairs.right[a] < pairs.right[b]
  })
  const push = (pair: number) => {
    bound[pair] = pairs.count[pair]
    if (bound[pair] >= MIN_PAIR_COUNT) heap.push(pair)
  }
  for (let pair = 0; pair < pairs.count.length; pair++) push(pair)

  const spelling = Array.from({ length: 256 }, (_, byte) => String.fromCharCode(byte))
  const spellings = new Set(spelling)
  const merges: number[] = []
  while (merges.length < 2 * limit) {
    const pair = heap.pop()
    if (pair === undefined) break
    if (pairs.count[pair] !== bound[pair]) {
      push(pair)
      continue
    }
    const [left, right] = [pairs.left[pair], pairs.right[pair]]
    // Runs of one character can be put together in two ways (aa+aaa, aaaa+a). The second way is passed over: a
    // vocabulary maps each string of bytes to one id.
    const spelled = spelling[left] + spelling[right]
    if (spellings.has(spelled)) continue
    spellings.add(spelled)
    const merged = spelling.push(spelled) - 1
    merges.push(left, right)
    const firstNewPair = pairs.count.length
    for (const w of pairs.words[pair]) mergeInWord(words, w, left, right, merged, pairs)
    pairs.words[pair] = []
    for (let fresh = firstNewPair; fresh < pairs.count.length; fresh++) push(fresh)
    if (merges.length % 128 === 0) onProgress?.(merges.length / 2, limit)
  }
  onProgress?.(merges.length / 2, limit)
  return Int32Array.from(merges)
}

/** Replaces (left, right) by `merged` throughout word w, from the left, and moves the counts of the neighbors. */
function mergeInWord(
  words: Words,
  w: number,
  left: number,
  right: number,
  merged: number,
  pairs: PairCounts,
): void {
  const { ids } = words
  const count = words.count[w]
  const start = words.start[w]
  const end = start + words.length[w]
  let write = start
  for (let read = start; read < end; read++) {
    if (ids[read] !== left || read + 1 === end || ids[read + 1] !== right) {
      ids[write++] = ids[read]
      continue
    }
    pairs.subtract(left, right, count)
    if (write > start) {
      pairs.subtract(ids[write - 1], left, count)
      pairs.add(ids[write - 1], merged, count, w)
    }
    if (read + 2 < end) {
      pairs.subtract(right, ids[read + 2], count)
      pairs.add(merged, ids[read + 2], count, w)
    }
    ids[write++] = merged
    read++
  }
  words.length[w] = write - start
}
