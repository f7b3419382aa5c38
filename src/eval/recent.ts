// The values that were used last, so many of them: what is read or made again costs more than it takes to keep.

export class Recent<Key, Value> {
  readonly #most: number
  readonly #values = new Map<Key, Value>()

  constructor(most: number) {
    this.#most = most
  }

  /** The value of `key`; made where it is not among those kept. */
  get(key: Key, make: (key: Key) => Value): Value {
    const known = this.#values.get(key)
    const value = known ?? make(key)
    // A map lists its keys in the order in which they were added: the first is the one that was not used for longest.
    if (known !== undefined) this.#values.delete(key)
    else if (this.#values.size >= this.#most) this.#values.delete(this.#values.keys().next().value as Key)
    this.#values.set(key, value)
    return value
  }
}
