// From which share of active neurons on skipping stops paying: measured on this machine once per shape and weight type
// with the model's own weights, and kept in the user's cache directory. It decides how fast a result comes, never which.

import { createHash } from 'node:crypto'
import { readFileSync } from 'node:fs'
import { cpus, homedir } from 'node:os'
import { join } from 'node:path'
import { OptionError } from '../../errors.js'
import { writeFileAtomic } from '../../formats/atomic.js'
import {
  bytesOf,
  type DecodeKernels,
  type NarrowIndex,
  narrowable,
  narrowGateKernelsOf,
  type Weights,
  weightTypeOf,
} from '../../kernels/index.js'
import { Purpose, RandomStream } from '../../kernels/philox.js'
import { median } from '../../statistics.js'
import { version } from '../../version.js'

/** What one layer's FFN is, and the layers to measure it with. */
export interface FfnWork {
  /** hidden_size d and intermediate_size h. */
  readonly hiddenSize: number
  readonly intermediateSize: number
  /** Numbers of the FFN's input that gates and up rows read. Default: hiddenSize. */
  readonly gateWidth?: number
  readonly upWidth?: number
  /** Positions computed together. */
  readonly batch: number
  readonly gated: boolean
  /** Name of the weights' type: part of the key under which the answer is kept. */
  readonly dtype: string
  /** Of each layer, as in `LayerWeights`. */
  readonly gates: readonly Weights[]
  readonly neurons: readonly Weights[]
  readonly threads: number
}

export interface CrossoverOptions {
  /** Where answers are kept; null: nowhere. Default: `cacheDirectory()`. */
  readonly directory?: string | null
  /** Milliseconds. Default: performance.now. */
  readonly clock?: () => number
}

/**
 * Skipping inactive neurons is faster as long as at most this share of them is active: a number from 0 (never) to 1
 * (always). `FLICKER_CROSSOVER` forces it. Throws OptionError CROSSOVER_RANGE.
 */
export function neuronCrossover(
  work: FfnWork,
  decode: DecodeKernels,
  options: CrossoverOptions = {},
): number {
  const forced = forcedCrossover()
  if (forced !== null) return forced
  // In TypeScript arithmetic is what takes the time, and skipping saves it.
  if (decode.backend === 'portable') return 1
  return remembered(work, 'neurons', decode, options, race => measureNeurons(work, decode, race))
}

/**
 * The narrow gate is faster as long as at most this share of the rows must be read in full: a number from 0 (never) to 1.
 * 0 for weights that cannot have a narrow index. `FLICKER_CROSSOVER` forces it. Throws OptionError CROSSOVER_RANGE.
 */
export function gateCrossover(work: FfnWork, decode: DecodeKernels, options: CrossoverOptions = {}): number {
  if (!work.gates.every(gate => narrowable(weightTypeOf(gate)))) return 0
  const forced = forcedCrossover()
  if (forced !== null) return forced
  if (decode.backend === 'portable') return 0
  return remembered(work, 'gate', decode, options, race => measureGate(work, decode, race))
}

/** FLICKER_CROSSOVER as a share, or null when it is not set. */
function forcedCrossover(): number | null {
  const text = process.env.FLICKER_CROSSOVER
  if (text === undefined || text === '') return null
  const share = Number(text)
  if (share >= 0 && share <= 1) return share
  throw new OptionError(
    'CROSSOVER_RANGE',
    `FLICKER_CROSSOVER is "${text}"; give the share of active neurons from which the FFN runs dense, from 0 (always ` +
      'dense) to 1 (never), or leave it out to have it measured',
  )
}

/** FLICKER_CACHE, else $XDG_CACHE_HOME/flicker, else ~/.cache/flicker. */
export function cacheDirectory(): string {
  const { FLICKER_CACHE: own, XDG_CACHE_HOME: shared } = process.env
  if (own !== undefined && own !== '') return own
  return join(shared !== undefined && shared !== '' ? shared : join(homedir(), '.cache'), 'flicker')
}

/** Increased when shares are measured in another way or of other kernels: older answers do not count then. */
const METHOD = 2

/** The share kept for this machine and work, or the one that `measure` finds; kept if nothing else ran meanwhile. */
function remembered(
  work: FfnWork,
  what: 'neurons' | 'gate',
  decode: DecodeKernels,
  { directory = cacheDirectory(), clock = () => performance.now() }: CrossoverOptions,
  measure: (race: Race) => number,
): number {
  const { hiddenSize, intermediateSize, gateWidth, upWidth, batch, gated, dtype, threads } = work
  const shape = { what, hiddenSize, intermediateSize, gateWidth, upWidth, batch, gated, dtype }
  const machine = { version, method: METHOD, cpu: cpus()[0]?.model ?? '', isa: decode.isa, threads }
  const key = JSON.stringify({ ...machine, ...shape })
  const race = new Race(clock)
  if (directory === null) return measure(race)
  const name = createHash('sha256').update(key).digest('hex').slice(0, 16)
  const file = join(directory, 'crossover', `${name}.json`)
  const kept = readShare(file, key)
  if (kept !== null) return kept
  const share = measure(race)
  if (!race.quiet) return share
  try {
    writeFileAtomic(file, `${JSON.stringify({ key: JSON.parse(key), share }, null, 2)}\n`)
  } catch {
    // A cache that cannot be written costs the next run a measurement, nothing else.
  }
  return share
}

/** null when the file is missing, unreadable or of something else. */
function readShare(file: string, key: string): number | null {
  try {
    const kept = JSON.parse(readFileSync(file, 'utf8')) as { key?: unknown; share?: unknown } | null
    const { share } = kept ?? {}
    if (JSON.stringify(kept?.key) !== key) return null
    return typeof share === 'number' && share >= 0 && share <= 1 ? share : null
  } catch {
    return null
  }
}

/** Weights that one measurement goes through: more than the caches hold, where the model has that many. */
const WORKING_SET = 64 * 2 ** 20
/** Runs of each path at each share. */
const RUNS = 5
const SHARES = [0.1, 0.3, 0.5, 0.75, 1]
/** The median run of a machine that does nothing else takes at most so much longer than its fastest. */
const QUIET = 1.25

/** So many of the weights that together they exceed the working set. */
function enough(weights: readonly Weights[]): readonly Weights[] {
  let bytes = 0
  const count = weights.findIndex(w => {
    bytes += bytesOf(w).byteLength
    return bytes > WORKING_SET
  })
  return count < 0 ? weights : weights.slice(0, count + 1)
}

/** Runs two ways by turns, and sees whether anything else kept the machine busy meanwhile. */
class Race {
  quiet = true
  readonly #clock: () => number

  constructor(clock: () => number) {
    this.#clock = clock
  }

  /** Time of `first` over that of `second`: the median of pairs, since what disturbs both is in both. */
  ratio(first: () => void, second: () => void): number {
    const times = Array.from({ length: RUNS }, () => [this.#time(first), this.#time(second)])
    const seconds = times.map(([, time]) => time)
    if (median(seconds) > QUIET * Math.min(...seconds)) this.quiet = false
    return median(times.map(([one, other]) => one / other))
  }

  #time(pass: () => void): number {
    const start = this.#clock()
    pass()
    return this.#clock() - start
  }
}

/** Where the line through the measured ratios sparse / dense reaches 1: from 0 to 1. */
export function crossing(points: readonly { readonly share: number; readonly ratio: number }[]): number {
  const mean = (of: (point: { share: number; ratio: number }) => number) =>
    points.reduce((sum, point) => sum + of(point), 0) / points.length
  const [share, ratio] = [mean(point => point.share), mean(point => point.ratio)]
  const slope = mean(p => (p.share - share) * (p.ratio - ratio)) / mean(p => (p.share - share) ** 2)
  // More to read that takes no longer: noise, or nothing that matters.
  if (!(slope > 0)) return ratio < 1 ? 1 : 0
  return Math.max(0, Math.min(1, share + (1 - ratio) / slope))
}

function measureNeurons(work: FfnWork, decode: DecodeKernels, race: Race): number {
  const { hiddenSize: d, intermediateSize: h, upWidth = d, batch, gated } = work
  const layers = enough(work.neurons)
  const x = new Float32Array(batch * upWidth).fill(1)
  const y = new Float32Array(batch * d)
  const active = new Int32Array(batch)
  const activated = new Float32Array(batch * h)
  const order = shuffled(h)
  const pass = (sparse: boolean) => () => {
    for (const weights of layers) {
      y.fill(0)
      decode.ffnNeurons(weights, activated, x, y, active, {
        neurons: h,
        width: d,
        upWidth,
        batch,
        gated,
        sparse,
      })
    }
  }
  pass(false)()
  const points = SHARES.map(share => {
    activated.fill(0)
    // Each active neuron at one position alone: the union of the batch is what is read.
    for (let i = 0; i < share * h; i++) activated[(i % batch) * h + order[i]] = 1
    return { share, ratio: race.ratio(pass(true), pass(false)) }
  })
  return crossing(points)
}

function measureGate(work: FfnWork, decode: DecodeKernels, race: Race): number {
  const { intermediateSize: h, gateWidth: d = work.hiddenSize, batch } = work
  const narrow = narrowGateKernelsOf(decode)
  const gates = enough(work.gates)
  const indices: NarrowIndex[] = gates.map(gate => narrow.buildNarrowIndex(gate, h, d))
  const random = new RandomStream({ seed: 1, purpose: Purpose.data, stream: 0 })
  const x = Float32Array.from({ length: batch * d }, () => random.uniform() - 0.5)
  const y = new Float32Array(batch * h)
  const dense = () => {
    for (const gate of gates) decode.matvec(gate, x, y, h, d, batch, false)
  }
  dense()
  const sorted = y.slice(0, h).sort()
  const points = SHARES.map(share => {
    // About this share of the rows is not below the threshold; the count says how many more were read.
    const threshold = sorted[Math.min(h - 1, Math.floor((1 - share) * h))]
    let read = 0
    const ratio = race.ratio(() => {
      read = 0
      for (const [i, gate] of gates.entries()) {
        read += narrow.narrowGate(gate, indices[i], x, y, { batch, threshold })
      }
    }, dense)
    return { share: read / (h * gates.length), ratio }
  })
  return crossing(points)
}

/** 0 … n − 1 in a random order that is always the same. */
function shuffled(n: number): Int32Array {
  const random = new RandomStream({ seed: 1, purpose: Purpose.data, stream: 1 })
  const order = Int32Array.from({ length: n }, (_, i) => i)
  for (let i = n - 1; i > 0; i--) {
    const j = random.below(i + 1)
    ;[order[i], order[j]] = [order[j], order[i]]
  }
  return order
}
