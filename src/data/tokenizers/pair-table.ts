// A hash table from a pair of token ids to a number, and a binary heap: the two structures that byte-pair encoding
// spends its time in, for learning merges as for applying them.

/** From (left, right) to an integer ≥ 0. Open addressing with linear probing, in typed arrays. */
export class PairTable {
  #mask: number
  #used = 0
  /** Three words per slot: left, right, value; a value of −1 is an empty slot. */
  #slots: Int32Array

  /** `expected`: about how many pairs will be stored; it may be exceeded. */
  constructor(expected = 1024) {
    const capacity = 2 ** Math.ceil(Math.log2(Math.max(16, 2 * expected)))
    this.#mask = capacity - 1
    this.#slots = new Int32Array(3 * capacity).fill(-1)
  }

  /** Offset of the pair's slot, or of the empty slot where it would go. */
  #find(left: number, right: number): number {
    const slots = this.#slots
    let hash = Math.imul(left, 0x9e3779b1) ^ Math.imul(right, 0x85ebca6b)
    hash = Math.imul(hash ^ (hash >>> 15), 0x2c1b3c6d)
    let slot = 3 * ((hash ^ (hash >>> 13)) & this.#mask)
    while (slots[slot + 2] !== -1 && (slots[slot] !== left || slots[slot + 1] !== right)) {
      slot += 3
      if (slot === slots.length) slot = 0
    }
    return slot
  }

  /** The stored value, or −1. */
  get(left: number, right: number): number {
    return this.#slots[this.#find(left, right) + 2]
  }

  set(left: number, right: number, value: number): void {
    const slot = this.#find(left, right)
    const isNew = this.#slots[slot + 2] === -1
    this.#slots[slot] = left
    this.#slots[slot + 1] = right
    this.#slots[slot + 2] = value
    if (isNew && ++this.#used * 2 > this.#mask) this.#grow()
  }

  #grow(): void {
    const old = this.#slots
    this.#mask = 2 * this.#mask + 1
    this.#slots = new Int32Array(2 * old.length).fill(-1)
    for (let slot = 0; slot < old.length; slot += 3) {
      if (old[slot + 2] !== -1)
        this.#slots.set(old.subarray(slot, slot + 3), this.#find(old[slot], old[slot + 1]))
    }
  }
}

/** A binary heap; `pop` gives the one that comes `before` all others. */
export class Heap<Item = number> {
  readonly #before: (a: Item, b: Item) => boolean
  readonly #items: Item[] = []

  constructor(before: (a: Item, b: Item) => boolean) {
    this.#before = before
  }

  push(item: Item): void {
    const items = this.#items
    let at = items.length
    items.push(item)
    while (at > 0) {
      const parent = (at - 1) >> 1
      if (!this.#before(item, items[parent])) break
      items[at] = items[parent]
      at = parent
    }
    items[at] = item
  }

  pop(): Item | undefined {
    const items = this.#items
    const top = items[0]
    const last = items.pop()
    if (last === undefined || items.length === 0) return top
    let at = 0
    for (;;) {
      let child = 2 * at + 1
      if (child >= items.length) break
      if (child + 1 < items.length && this.#before(items[child + 1], items[child])) child++
      if (!this.#before(items[child], last)) break
      items[at] = items[child]
      at = child
    }
    items[at] = last
    return top
  }
}
