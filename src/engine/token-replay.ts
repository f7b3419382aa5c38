// The layers of one sequence's tokens, read one at a time. Each half of a layer is computed once as always, while its kernel
// calls are recorded; from then on the calls are repeated with the next position, those of all layers in one native call.
// The order of the calls has one description, the pass over the layers itself.

import type { CallRecorder } from '../kernels/index.js'
import type { FfnPlan, FfnPolicy, FfnRows } from './ffn/policy.js'
import type { LayerRows, LayerSequence, Layers } from './layers.js'
import type { LayerWeights } from './model/weights.js'
import type { PassStats } from './pass-stats.js'

/** The recorded calls of half a layer. */
interface Half {
  /** Of the recorder; −1: not recorded yet. */
  section: number
  /** What it adds to `PassStats.otherBytesRead`. */
  otherBytes: number
  /** Of an FFN: the plan's. */
  maxActive: number
}

/** A layer, and whether its halves can be repeated. */
interface RepeatedLayer {
  readonly weights: LayerWeights
  attends: boolean
  feedsForward: boolean
  readonly attention: Half
  readonly wholeGate: Half
  readonly narrowGate: Half
}

/** An FFN whose calls are to be made: what it shows is told afterwards. */
interface Waiting {
  readonly index: number
  readonly rows: readonly FfnRows[]
  readonly plan: FfnPlan
}

export class TokenReplay {
  readonly #recorder: CallRecorder
  readonly #layers: Layers
  readonly #policy: FfnPolicy
  readonly #each: readonly RepeatedLayer[]
  /** Sections to be repeated next, so many, and the FFNs among them. */
  readonly #sections: Int32Array
  #count = 0
  readonly #waiting: Waiting[] = []
  /** What the recorded calls refer to. */
  #buffersMade = -1
  readonly #cached: unknown
  readonly #isLong: boolean

  /** For `sequence`, while `isCurrent`. */
  constructor(
    recorder: CallRecorder,
    layers: Layers,
    weights: readonly LayerWeights[],
    policy: FfnPolicy,
    sequence: LayerSequence,
  ) {
    this.#recorder = recorder
    this.#layers = layers
    this.#policy = policy
    const half = (): Half => ({ section: -1, otherBytes: 0, maxActive: 0 })
    this.#each = weights.map(layer => {
      const { attention: attends, ffn: feedsForward } = layers.repeats(layer)
      const halves = { attention: half(), wholeGate: half(), narrowGate: half() }
      return { weights: layer, attends, feedsForward, ...halves }
    })
    this.#sections = new Int32Array(2 * weights.length)
    this.#cached = sequence.cache.segments(0)
    this.#isLong = sequence.isLong === true
  }

  /** Whether the buffers, the cache and the rotations are those that the calls were recorded with. */
  isCurrent({ cache, isLong = false }: LayerSequence): boolean {
    const made = this.#layers.buffersMade
    return made === this.#buffersMade && cache.segments(0) === this.#cached && isLong === this.#isLong
  }

  /** Whether anything can be repeated. */
  get isUseful(): boolean {
    return this.#each.some(({ attends, feedsForward }) => attends || feedsForward)
  }

  /** As Layers.run for every layer, of a single row. */
  run(part: LayerRows, stats: PassStats): void {
    const parts = [part]
    const { position } = part.sequence
    for (const [index, layer] of this.#each.entries()) {
      const { weights, attention, wholeGate, narrowGate } = layer
      const attend = () => this.#layers.attend(weights, index, parts, stats)
      let normed: Float32Array = this.#layers.normed
      if (attention.section >= 0) this.#repeat(attention, stats)
      else {
        this.#flush(position, stats)
        const run = () => {
          normed = attend()
        }
        layer.attends = this.#record(attention, layer.attends, stats, run)
      }
      const rows = this.#layers.ffnRows(parts, index)
      if (!layer.feedsForward) {
        this.#flush(position, stats)
        this.#layers.feedForward(weights, index, parts, stats, normed)
        continue
      }
      const plan = this.#policy.plan(index, rows, 1)
      const ffn = plan.narrow === null ? wholeGate : narrowGate
      const isExact = (plan.cut ?? null) === null && plan.selector === undefined
      if (isExact && ffn.section >= 0 && ffn.maxActive === plan.maxActive) {
        this.#repeat(ffn, stats)
        this.#waiting.push({ index, rows, plan })
        continue
      }
      this.#flush(position, stats)
      const run = () => this.#layers.feedForward(weights, index, parts, stats, normed, plan)
      const recorded = this.#record(ffn, isExact, stats, run)
      ffn.maxActive = plan.maxActive
      if (isExact) layer.feedsForward = recorded
    }
    this.#flush(position, stats)
    // The first of the tokens may have made some, before it used them.
    if (this.#buffersMade === -1) this.#buffersMade = this.#layers.buffersMade
  }

  /** Runs half a layer, recorded where that is `wanted`; returns whether it is. */
  #record(half: Half, wanted: boolean, stats: PassStats, run: () => void): boolean {
    if (!wanted) {
      run()
      return false
    }
    const before = stats.otherBytesRead
    const section = this.#recorder.record(run)
    half.section = section ?? -1
    half.otherBytes = stats.otherBytesRead - before
    return section !== null
  }

  #repeat({ section, otherBytes }: Half, stats: PassStats): void {
    this.#sections[this.#count++] = section
    stats.otherBytesRead += otherBytes
  }

  /** Makes the calls that have been put off. */
  #flush(position: number, stats: PassStats): void {
    if (this.#count === 0) return
    const [count, waiting] = [this.#count, this.#waiting.splice(0)]
    this.#count = 0
    const results = this.#recorder.replay(this.#sections, count, position)
    let at = 0
    for (const { index, rows, plan } of waiting) {
      const { weights } = this.#each[index]
      const { read, skipped } = this.#layers.ffn.repeated(weights, index, rows, plan, results, at)
      at += plan.narrow === null ? 1 : 2
      stats.ffnBytesRead[index] = read
      stats.ffnBytesSkipped[index] = skipped
    }
  }
}
