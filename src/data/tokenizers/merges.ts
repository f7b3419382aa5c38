// Byte-pair merges applied to the ids of one word: of all neighbors that a merge joins, those of the lowest rank first,
// the leftmost of equals (Sennrich et al. 2016).

import { Heap, PairTable } from './pair-table.js'

/** Heap entries are rank · POSITIONS + position: exact in a double up to 2²³ merges. */
const POSITIONS = 2 ** 30

export class Merges {
  /** (left, right) → rank. */
  readonly #ranks: PairTable
  readonly #merges: Int32Array

  /** merges: left id, right id and the id of the two together per merge, in order of rank. */
  constructor(merges: Int32Array) {
    this.#merges = merges
    this.#ranks = new PairTable(merges.length / 3)
    for (let rank = merges.length / 3 - 1; rank >= 0; rank--) {
      this.#ranks.set(merges[3 * rank], merges[3 * rank + 1], rank)
    }
  }

  /** Merges the first n of `ids` in place and returns how many are left; `scratch` has room for n. O(n²). */
  mergeShort(ids: Int32Array, n: number, scratch: Int32Array): number {
    const pairRanks = scratch
    let left = n
    for (let i = 0; i + 1 < left; i++) pairRanks[i] = this.#ranks.get(ids[i], ids[i + 1])
    for (;;) {
      let best = -1
      for (let i = 0; i + 1 < left; i++) {
        if (pairRanks[i] !== -1 && (best === -1 || pairRanks[i] < pairRanks[best])) best = i
      }
      if (best === -1) return left
      ids[best] = this.#merges[3 * pairRanks[best] + 2]
      left--
      for (let i = best + 1; i < left; i++) {
        ids[i] = ids[i + 1]
        pairRanks[i] = pairRanks[i + 1]
      }
      if (best > 0) pairRanks[best - 1] = this.#ranks.get(ids[best - 1], ids[best])
      if (best + 1 < left) pairRanks[best] = this.#ranks.get(ids[best], ids[best + 1])
    }
  }

  /** The same for a word of any length in O(n log n): a linked list and a heap whose stale entries are skipped. */
  mergeLong(ids: Int32Array): Int32Array {
    const n = ids.length
    const next = Int32Array.from(ids, (_, i) => i + 1)
    const previous = Int32Array.from(ids, (_, i) => i - 1)
    const heap = new Heap((a, b) => a < b)
    const rankAt = (i: number) => (next[i] < n ? this.#ranks.get(ids[i], ids[next[i]]) : -1)
    const offer = (i: number) => {
      const rank = rankAt(i)
      if (rank !== -1) heap.push(rank * POSITIONS + i)
    }
    for (let i = 0; i < n; i++) offer(i)
    for (let entry = heap.pop(); entry !== undefined; entry = heap.pop()) {
      const at = entry % POSITIONS
      if (ids[at] === -1 || rankAt(at) !== Math.floor(entry / POSITIONS)) continue
      const right = next[at]
      ids[at] = this.#merges[3 * rankAt(at) + 2]
      ids[right] = -1
      next[at] = next[right]
      if (next[at] < n) previous[next[at]] = at
      offer(at)
      if (previous[at] >= 0) offer(previous[at])
    }
    return ids.filter(id => id !== -1)
  }
}
