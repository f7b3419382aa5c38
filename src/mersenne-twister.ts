// The Mersenne Twister MT19937 (Matsumoto and Nishimura 1998) over plain arrays: a state of 624 words, which one step
// turns into the next, and the 624 tempered words of output that a state is good for.

/** Not exported itself: the engine takes only constants of the same module for constants in the loops below. */
const WORDS = 624
export const STATE_WORDS = WORDS
/** Distance between the words that a step combines. */
const MIDDLE_WORD = 397

/** The state that NumPy and the authors' `init_genrand` make of a seed of 32 bits. */
export function seedState(state: Int32Array, seed: number): void {
  let word = seed | 0
  for (let i = 0; i < WORDS; i++) {
    state[i] = word
    word = (Math.imul(1812433253, word ^ (word >>> 30)) + i + 1) | 0
  }
}

/** The state that Python and the authors' `init_by_array` make of a key of 32-bit words, at least one. */
export function seedStateByArray(state: Int32Array, key: readonly number[]): void {
  seedState(state, 19650218)
  let [i, j] = [1, 0]
  const advance = () => {
    if (++i < WORDS) return
    state[0] = state[WORDS - 1]
    i = 1
  }
  for (let k = Math.max(WORDS, key.length); k > 0; k--) {
    const before = state[i - 1]
    state[i] = ((state[i] ^ Math.imul(before ^ (before >>> 30), 1664525)) + key[j] + j) | 0
    advance()
    j = (j + 1) % key.length
  }
  for (let k = WORDS - 1; k > 0; k--) {
    const before = state[i - 1]
    state[i] = ((state[i] ^ Math.imul(before ^ (before >>> 30), 1566083941)) - i) | 0
    advance()
  }
  state[0] = 0x80000000 | 0
}

/** (624), (624): moves `state` one step on and writes its output to `words`. */
export function nextState(state: Int32Array, words: Int32Array): void {
  let i = 0
  let word = state[0]
  for (; i < WORDS - MIDDLE_WORD; i++) {
    const following = state[i + 1]
    const next = state[i + MIDDLE_WORD] ^ twist(word, following)
    state[i] = next
    words[i] = temper(next)
    word = following
  }
  for (; i < WORDS - 1; i++) {
    const following = state[i + 1]
    const next = state[i + MIDDLE_WORD - WORDS] ^ twist(word, following)
    state[i] = next
    words[i] = temper(next)
    word = following
  }
  state[i] = state[MIDDLE_WORD - 1] ^ twist(word, state[0])
  words[i] = temper(state[i])
}

function twist(word: number, following: number): number {
  const y = (word & 0x80000000) | (following & 0x7fffffff)
  return (y >>> 1) ^ (-(y & 1) & 0x9908b0df)
}

function temper(word: number): number {
  let y = word
  y ^= y >>> 11
  y ^= (y << 7) & 0x9d2c5680
  y ^= (y << 15) & 0xefc60000
  return y ^ (y >>> 18)
}
