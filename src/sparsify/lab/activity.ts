// Which neurons are active when: rates, dead and hot neurons, how soon a window of tokens has used how many, how soon an
// active neuron is used again, and which are active together. Counted row by row; no row is kept.

/** Fraction of tokens from which a neuron counts as hot. */
const HOT = 0.5
/** Longest window, tokens. */
export const MOST_WINDOW = 64
/** Neurons whose pairs are counted. */
const PAIRED = 24
/** The first so many tokens choose these neurons. */
export const CHOOSING_TOKENS = 256

export interface Activity {
  readonly tokens: number
  /** (h) fraction of tokens at which each neuron is active. */
  readonly rates: Float64Array
  /** Active fraction of all neurons, mean over tokens. */
  readonly active: number
  /** Fractions of neurons that were never active, and active at half of the tokens or more. */
  readonly dead: number
  readonly hot: number
  /** Entry t − 1: fraction of neurons that none of t consecutive tokens uses (aggregated sparsity). */
  readonly aggregated: readonly number[]
  /** The same if each token drew its neurons at random, at each neuron's own rate. */
  readonly independent: readonly number[]
  /** Entry γ − 1: of the neurons active at a token, the fraction active at one of the γ tokens before it. */
  readonly reuse: readonly number[]
  /** How much more often than by chance pairs are active together, P(i, j) / (P(i) P(j)), of the neurons listed. */
  readonly together: { readonly neurons: readonly number[]; readonly lift: readonly (readonly number[])[] }
}

/** Counts the activity of one layer. */
export class ActivityCounter {
  readonly #neurons: number
  readonly #counts: Float64Array
  /** Since which token of the window a neuron is used; 0: not yet. */
  readonly #firstUse: Int32Array
  /** The token at which each neuron was last active, counted through; −1: never in this text. */
  readonly #lastUse: Int32Array
  readonly #firstUses = new Float64Array(MOST_WINDOW + 1)
  readonly #gaps = new Float64Array(MOST_WINDOW + 1)
  #windows = 0
  #inWindow = 0
  #tokens = 0
  /** Active neurons at tokens that have MOST_WINDOW tokens before them in their text. */
  #withHistory = 0
  #sinceText = 0
  #chosen: number[] | null = null
  readonly #pairs = new Float64Array(PAIRED * PAIRED)
  #pairTokens = 0

  constructor(neurons: number) {
    this.#neurons = neurons
    this.#counts = new Float64Array(neurons)
    this.#firstUse = new Int32Array(neurons)
    this.#lastUse = new Int32Array(neurons).fill(-1)
  }

  /** The next token is the first of a text: windows and gaps do not reach over it. */
  startText(): void {
    // A window that the end of the text cut short does not count.
    for (const first of this.#firstUse) if (first > 0) this.#firstUses[first]--
    this.#lastUse.fill(-1)
    this.#firstUse.fill(0)
    this.#inWindow = 0
    this.#sinceText = 0
  }

  /** One token: (h) hidden values; neuron j is active where |values[j]| is above limits[j]. Returns how many are. */
  add(values: Float32Array, limits: Float32Array): number {
    const h = this.#neurons
    this.#inWindow++
    const history = this.#sinceText >= MOST_WINDOW
    let active = 0
    for (let j = 0; j < h; j++) {
      if (!(Math.abs(values[j]) > limits[j])) continue
      active++
      this.#counts[j]++
      if (this.#firstUse[j] === 0) {
        this.#firstUse[j] = this.#inWindow
        this.#firstUses[this.#inWindow]++
      }
      if (history && this.#lastUse[j] >= 0) {
        const gap = this.#tokens - this.#lastUse[j]
        if (gap <= MOST_WINDOW) this.#gaps[gap]++
      }
      this.#lastUse[j] = this.#tokens
    }
    if (history) this.#withHistory += active
    this.#tokens++
    this.#sinceText++
    if (this.#inWindow === MOST_WINDOW) {
      this.#windows++
      this.#inWindow = 0
      this.#firstUse.fill(0)
    }
    this.#addPairs(values, limits)
    return active
  }

  /** Throws Error unless a whole window has been added. */
  result(): Activity {
    const h = this.#neurons
    if (this.#windows === 0) throw new Error(`activity needs ${MOST_WINDOW} tokens of a text`)
    const rates = this.#counts.map(count => count / this.#tokens)
    const mean = (of: (rate: number) => number) => rates.reduce((sum, rate) => sum + of(rate), 0) / h
    let used = 0
    const aggregated = Array.from(this.#wholeFirstUses, count => {
      used += count
      return 1 - used / (h * this.#windows)
    })
    let again = 0
    const reuse = Array.from(this.#gaps.subarray(1), count => {
      again += count
      return this.#withHistory === 0 ? 0 : again / this.#withHistory
    })
    return {
      tokens: this.#tokens,
      rates,
      active: mean(rate => rate),
      dead: mean(rate => (rate === 0 ? 1 : 0)),
      hot: mean(rate => (rate >= HOT ? 1 : 0)),
      aggregated,
      independent: aggregated.map((_, t) => mean(rate => (1 - rate) ** (t + 1))),
      reuse,
      together: this.#together(),
    }
  }

  /** (MOST_WINDOW) of whole windows alone. */
  get #wholeFirstUses(): Float64Array {
    const whole = this.#firstUses.slice(1)
    for (const first of this.#firstUse) if (first > 0) whole[first - 1]--
    return whole
  }

  #addPairs(values: Float32Array, limits: Float32Array): void {
    if (this.#tokens < CHOOSING_TOKENS) return
    this.#chosen ??= this.#choose()
    const on = this.#chosen.filter(j => Math.abs(values[j]) > limits[j])
    const index = new Map(this.#chosen.map((j, i) => [j, i]))
    for (const a of on) {
      for (const b of on) this.#pairs[(index.get(a) ?? 0) * PAIRED + (index.get(b) ?? 0)]++
    }
    this.#pairTokens++
  }

  /** The most active neurons that are not active almost always. */
  #choose(): number[] {
    return Array.from(this.#counts.keys())
      .filter(j => this.#counts[j] > 0 && this.#counts[j] < 0.9 * this.#tokens)
      .toSorted((a, b) => this.#counts[b] - this.#counts[a])
      .slice(0, PAIRED)
  }

  #together(): Activity['together'] {
    const neurons = this.#chosen ?? []
    const pair = (a: number, b: number) => this.#pairs[a * PAIRED + b] / Math.max(1, this.#pairTokens)
    return {
      neurons,
      lift: neurons.map((_, a) =>
        neurons.map((__, b) => {
          const chance = pair(a, a) * pair(b, b)
          return a === b || chance === 0 ? 1 : pair(a, b) / chance
        }),
      ),
    }
  }
}
