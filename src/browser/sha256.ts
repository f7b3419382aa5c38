// SHA-256 of bytes that arrive in pieces (FIPS 180-4): the browser's own digest takes all of them at once.

const K = Uint32Array.from({ length: 64 }, (_, i) => fraction(Math.cbrt(prime(i))))

function prime(index: number): number {
  let candidate = 1
  for (let found = -1; found < index; ) {
    candidate++
    let divisor = 2
    while (divisor * divisor <= candidate && candidate % divisor !== 0) divisor++
    if (divisor * divisor > candidate) found++
  }
  return candidate
}

/** The first 32 bits of the fraction. */
function fraction(x: number): number {
  return Math.floor((x - Math.floor(x)) * 2 ** 32)
}

export class Sha256 {
  readonly #state = Uint32Array.from({ length: 8 }, (_, i) => fraction(Math.sqrt(prime(i))))
  readonly #block = new Uint8Array(64)
  readonly #words = new Uint32Array(64)
  #length = 0

  update(bytes: Uint8Array): this {
    let at = 0
    const filled = this.#length % 64
    this.#length += bytes.length
    if (filled > 0) {
      at = Math.min(64 - filled, bytes.length)
      this.#block.set(bytes.subarray(0, at), filled)
      if (filled + at < 64) return this
      this.#compress(this.#block, 0)
    }
    for (; at + 64 <= bytes.length; at += 64) this.#compress(bytes, at)
    this.#block.set(bytes.subarray(at))
    return this
  }

  /** The digest in hexadecimal; nothing can be added afterwards. */
  hex(): string {
    const length = this.#length
    const padding = new Uint8Array(((119 - (length % 64)) % 64) + 9)
    padding[0] = 0x80
    const view = new DataView(padding.buffer)
    view.setUint32(padding.length - 8, Math.floor(length / 2 ** 29))
    view.setUint32(padding.length - 4, length * 8)
    this.update(padding)
    return Array.from(this.#state, word => word.toString(16).padStart(8, '0')).join('')
  }

  #compress(bytes: Uint8Array, at: number): void {
    const w = this.#words
    for (let t = 0; t < 16; t++) {
      const i = at + 4 * t
      w[t] = (bytes[i] << 24) | (bytes[i + 1] << 16) | (bytes[i + 2] << 8) | bytes[i + 3]
    }
    for (let t = 16; t < 64; t++) {
      const [x, y] = [w[t - 15], w[t - 2]]
      const small0 = ((x >>> 7) | (x << 25)) ^ ((x >>> 18) | (x << 14)) ^ (x >>> 3)
      const small1 = ((y >>> 17) | (y << 15)) ^ ((y >>> 19) | (y << 13)) ^ (y >>> 10)
      w[t] = (w[t - 16] + small0 + w[t - 7] + small1) | 0
    }
    let [a, b, c, d, e, f, g, h] = this.#state
    for (let t = 0; t < 64; t++) {
      const big1 = ((e >>> 6) | (e << 26)) ^ ((e >>> 11) | (e << 21)) ^ ((e >>> 25) | (e << 7))
      const one = (h + big1 + ((e & f) ^ (~e & g)) + K[t] + w[t]) | 0
      const big0 = ((a >>> 2) | (a << 30)) ^ ((a >>> 13) | (a << 19)) ^ ((a >>> 22) | (a << 10))
      const two = (big0 + ((a & b) ^ (a & c) ^ (b & c))) | 0
      h = g
      g = f
      f = e
      e = (d + one) | 0
      d = c
      c = b
      b = a
      a = (one + two) | 0
    }
    for (const [i, value] of [a, b, c, d, e, f, g, h].entries()) this.#state[i] += value
  }
}
