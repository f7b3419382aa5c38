// The fraction of active neurons from which skipping is no longer faster: measured on this machine once per shape and
// weight type with the model's own weights, and kept in the user's cache directory. It changes speed, never results.

import { cpus } from 'node:os'
import { OptionError } from '../../errors.js'
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
import { cacheDirectory, keep, readKept } from './crossover-cache.js'

/** The shape of one layer's FFN, and the layers to measure it with. */
export interface FfnWork {
  /** hidden_size d and intermediate_size h. */
  readonly hiddenSize: number
  readonly intermediateSize: number
  /** Width of gate rows and of up rows. Default: hiddenSize. */
  readonly gateWidth?: number
  readonly upWidth?: number
  /** Positions computed together. */
  readonly batch: number
  readonly gated: boolean
  /** The weights' type: part of the key under which the result is kept. */
  readonly dtype: string
  /** Of each layer, as in `LayerWeights`. */
  readonly gates: readonly Weights[]
  readonly neurons: readonly Weights[]
  readonly threads: number
}

export interface CrossoverOptions {
  /** Where results are kept; null: nowhere. Default: `cacheDirectory()`. */
  readonly directory?: string | null
  /** Milliseconds. Default: performance.now. */
  readonly clock?: () => number
}

/**
 * Skipping inactive neurons is faster as long as at most this fraction of them is active: from 0 (never) to 1 (always). `FLICKER_CROSSOVER` forces it. Throws OptionError CROSSOVER_RANGE.
 */
export function neuronCrossover(
  work: FfnWork,
  decode: DecodeKernels,
  options: CrossoverOptions = {},
): number {
  const forced = forcedCrossover()
  if (forced !== null) return forced
  // In TypeScript arithmetic takes the time, not reading, and skipping saves arithmetic.
  if (decode.backend === 'portable') return 1
  return remembered(work, 'neurons', decode, options, race => measureNeurons(work, decode, race))
}

/**
 * The narrow gate is faster as long as at most this fraction of the rows must be read in full: from 0 (never) to 1. 0 for weights that cannot have a narrow index. `FLICKER_CROSSOVER` forces it. Throws OptionError CROSSOVER_RANGE.
 */
export function gateCrossover(work: FfnWork, decode: DecodeKernels, options: CrossoverOptions = {}): number {
  if (!work.gates.every(gate => narrowable(weightTypeOf(gate)))) return 0
  const forced = forcedCrossover()
  if (forced !== null) return forced
  if (decode.backend === 'portable') return 0
  return remembered(work, 'gate', decode, options, race => measureGate(work, decode, race))
}

/** FLICKER_CROSSOVER as a fraction, or null when it is not set. Throws OptionError CROSSOVER_RANGE. */
export function forcedCrossover(): number | null {
  const text = process.env.FLICKER_CROSSOVER
  if (text === undefined || text.trim() === '') return null
  const fraction = Number(text)
  if (fraction >= 0 && fraction <= 1) return fraction
  throw new OptionError(
    'CROSSOVER_RANGE',
    `FLICKER_CROSSOVER is "${text}"; give the fraction of active neurons above which the FFN runs dense, from 0 ` +
      '(always dense) to 1 (never), or unset it to have it measured',
  )
}

/** Increased when the measurement or the kernels change: older results are then ignored. */
const METHOD = 2

/** The fraction kept for this machine and work, or the one that `measure` finds; kept if nothing else ran meanwhile. */
function remembered(
  work: FfnWork,
  what: 'neurons' | 'gate',
  decode: DecodeKernels,
  { directory = cacheDirectory(), clock = () => performance.now() }: CrossoverOptions,
  measure: (race: Race) => number,
): number {
  const { hiddenSize, intermediateSize, gateWidth, upWidth, batch, gated, dtype, threads } = work
  const shape = { what, hiddenSize, intermediateSize, gateWidth, upWidth, batch, gated, dtype }
  const machine = {
    version,
    method: METHOD,
    cpu: cpus()[0]?.model ?? '',
    isa: decode.isa,
    activations: decode.activations,
    threads,
  }
  const key = JSON.stringify({ ...machine, ...shape })
  const race = new Race(clock)
  if (directory === null) return measure(race)
  const kept = readKept(directory, key)
  if (kept !== null) return kept
  const activeFraction = measure(race)
  if (race.quiet) keep(directory, key, activeFraction)
  return activeFraction
}

/** Bytes of weights that one measurement reads: more than the processor's caches hold, where the model has that many. */
const WORKING_SET = 64 * 2 ** 20
/** Runs of each way at each fraction of active neurons. */
const RUNS = 5
const FRACTIONS = [0.1, 0.3, 0.5, 0.75, 1]
/** The median run on a machine that does nothing else takes at most this many times as long as the fastest. */
const QUIET = 1.25

/** As many of the weights as together exceed the working set. */
function enough(weights: readonly Weights[]): readonly Weights[] {
  let bytes = 0
  const count = weights.findIndex(w => {
    bytes += bytesOf(w).byteLength
    return bytes > WORKING_SET
  })
  return count < 0 ? weights : weights.slice(0, count + 1)
}

/** Runs two ways alternately, and notices whether anything else kept the machine busy meanwhile. */
class Race {
  quiet = true
  readonly #clock: () => number

  constructor(clock: () => number) {
    this.#clock = clock
  }

  /** Time of `first` over that of `second`: the median over pairs, since what disturbs one run of a pair disturbs both. */
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

/** The fraction, from 0 to 1, at which the line through the measured ratios of times (sparse / dense) reaches 1. */
export function crossing(points: readonly { readonly fraction: number; readonly ratio: number }[]): number {
  const mean = (of: (point: { fraction: number; ratio: number }) => number) =>
    points.reduce((sum, point) => sum + of(point), 0) / points.length
  const [fraction, ratio] = [mean(point => point.fraction), mean(point => point.ratio)]
  const slope =
    mean(p => (p.fraction - fraction) * (p.ratio - ratio)) / mean(p => (p.fraction - fraction) ** 2)
  // Reading more takes no longer: noise, or a difference that does not matter.
  if (!(slope > 0)) return ratio < 1 ? 1 : 0
  return Math.max(0, Math.min(1, fraction + (1 - ratio) / slope))
}

function measureNeurons(work: FfnWork, decode: DecodeKernels, race: Race): number {
  const { hiddenSize: d, intermediateSize: h, upWidth = d, batch, gated } = work
  const layers = enough(work.neurons)
  const x = new Float32Array(batch * upWidth).fill(1)
  const y = new Float32Array(batch * d)
  const active = new Int32Array(batch)
  const activated = new Float32Array(batch * h)
  const order = shuffled(h)
  const pass = (skips: boolean) => () => {
    for (const weights of layers) {
      y.fill(0)
      decode.ffnNeurons(weights, activated, x, y, active, {
        neurons: h,
        width: d,
        upWidth,
        batch,
        gated,
        maxActive: skips ? h : 0,
      })
    }
  }
  pass(false)()
  const points = FRACTIONS.map(fraction => {
    activated.fill(0)
    // Each active neuron is active at one position alone: all that are active at any position are read.
    for (let i = 0; i < fraction * h; i++) activated[(i % batch) * h + order[i]] = 1
    return { fraction, ratio: race.ratio(pass(true), pass(false)) }
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
  const points = FRACTIONS.map(fraction => {
    // About this fraction of the rows is not below the threshold; the count says how many more were read.
    const threshold = sorted[Math.min(h - 1, Math.floor((1 - fraction) * h))]
    let read = 0
    const ratio = race.ratio(() => {
      read = 0
      for (const [i, gate] of gates.entries()) {
        read += narrow.narrowGate(gate, indices[i], x, y, { batch, threshold })
      }
    }, dense)
    return { fraction: read / (h * gates.length), ratio }
  })
  return crossing(points)
}

/** 0 … n − 1 in a random order, always the same. */
function shuffled(n: number): Int32Array {
  const random = new RandomStream({ seed: 1, purpose: Purpose.data, stream: 1 })
  const order = Int32Array.from({ length: n }, (_, i) => i)
  for (let i = n - 1; i > 0; i--) {
    const j = random.below(i + 1)
    ;[order[i], order[j]] = [order[j], order[i]]
  }
  return order
}
