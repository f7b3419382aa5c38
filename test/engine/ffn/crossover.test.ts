// Where skipping is faster is measured once and kept; where the narrow gate is faster follows from counts. Neither changes
// text.

import { mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest'
import { crossing, type FfnWork, gateCrossover, neuronCrossover } from '../../../src/engine/ffn/crossover.js'
import { cacheDirectory } from '../../../src/engine/ffn/crossover-cache.js'
import { NarrowGates } from '../../../src/engine/ffn/policy.js'
import {
  availableDecodeKernels,
  type DecodeKernels,
  decodeKernels,
  narrowGateKernelsOf,
} from '../../../src/kernels/index.js'

let directory = ''
beforeEach(() => {
  directory = mkdtempSync(join(tmpdir(), 'flicker-crossover-'))
})
afterEach(() => {
  rmSync(directory, { recursive: true, force: true })
  vi.unstubAllEnvs()
})

const weights = (rows: number, columns: number) =>
  Float32Array.from({ length: rows * columns }, (_, i) => Math.sin(i))

function work(overrides: Partial<FfnWork> = {}): FfnWork {
  const [h, d] = [96, 32]
  return {
    hiddenSize: d,
    intermediateSize: h,
    batch: 1,
    gated: true,
    dtype: 'f32',
    gates: [weights(h, d), weights(h, d)],
    neurons: [weights(h, 2 * d)],
    threads: 1,
    ...overrides,
  }
}

/** The process's kernels, and how often an FFN was run with them. */
function counted(): { decode: DecodeKernels; runs: () => number } {
  const native = decodeKernels()
  let runs = 0
  const ffnNeurons: DecodeKernels['ffnNeurons'] = (...args) => {
    runs++
    return native.ffnNeurons(...args)
  }
  return { decode: { ...native, ffnNeurons }, runs: () => runs }
}

const native = decodeKernels().backend === 'native'

/** A clock by which every run takes as long as `milliseconds` says. */
function clockOf(milliseconds: (run: number) => number): () => number {
  let [now, calls] = [0, 0]
  return () => {
    if (calls++ % 2 === 1) now += milliseconds((calls >> 1) - 1)
    return now
  }
}
/** Of a machine that does nothing else. */
const clock = clockOf(() => 1)

describe('the fraction of active neurons up to which skipping is faster', () => {
  it.runIf(native)('is measured once per machine, shape and type, then read from the cache', () => {
    const { decode, runs } = counted()
    const fraction = neuronCrossover(work(), decode, { directory, clock })
    expect(fraction).toBeGreaterThanOrEqual(0)
    expect(fraction).toBeLessThanOrEqual(1)
    const measured = runs()
    expect(measured).toBeGreaterThan(0)
    expect(neuronCrossover(work(), decode, { directory, clock })).toBe(fraction)
    expect(runs()).toBe(measured)
    for (const other of [{ dtype: 'bf16' }, { threads: 2 }, { batch: 2 }, { hiddenSize: 16 }]) {
      const before = runs()
      neuronCrossover(work(other), decode, { directory, clock })
      expect(runs()).toBeGreaterThan(before)
    }
    expect(readdirSync(join(directory, 'crossover'))).toHaveLength(5)
  })

  it.runIf(native)('is measured again when the cache cannot be read', () => {
    const { decode, runs } = counted()
    neuronCrossover(work(), decode, { directory, clock })
    const file = join(directory, 'crossover', readdirSync(join(directory, 'crossover'))[0])
    const whole = readFileSync(file, 'utf8')
    const spoiled = [
      '',
      whole.slice(0, -9),
      'null',
      '{}',
      '[]',
      whole.replace(/"activeFraction": [\d.e-]+/, '"activeFraction": 7'),
      whole.replace('"threads": 1', '"threads": 3'),
    ]
    for (const text of spoiled) {
      writeFileSync(file, text)
      const before = runs()
      neuronCrossover(work(), decode, { directory, clock })
      expect(runs()).toBeGreaterThan(before)
    }
  })

  it.runIf(native)('is not kept when the machine was busy with something else', () => {
    const { decode, runs } = counted()
    for (let i = 0; i < 2; i++) {
      const before = runs()
      // Of the runs of each way every third is undisturbed.
      const busy = clockOf(run => ((run >> 1) % 3 === 0 ? 1 : 2))
      neuronCrossover(work(), decode, { directory, clock: busy })
      expect(runs()).toBeGreaterThan(before)
    }
    expect(readdirSync(directory)).toEqual([])
  })

  it.runIf(native)('is measured every time where nothing can be written', () => {
    const file = join(directory, 'a file')
    writeFileSync(file, '')
    const { decode, runs } = counted()
    for (let i = 0; i < 2; i++) {
      const before = runs()
      neuronCrossover(work(), decode, { directory: file, clock })
      expect(runs()).toBeGreaterThan(before)
    }
  })

  it.runIf(native)('is known for the narrow gate too, but not beside quantized weights', () => {
    const decode = decodeKernels()
    const fraction = gateCrossover(work(), decode, { directory, clock })
    expect(fraction).toBeGreaterThanOrEqual(0)
    expect(fraction).toBeLessThanOrEqual(1)
    const quantized = { type: 'q8_0', data: new Uint8Array(0) } as const
    expect(gateCrossover(work({ gates: [quantized] }), decode, { directory, clock })).toBe(0)
  })

  it('needs no measurement in TypeScript: arithmetic is what takes the time there', () => {
    const [portable] = availableDecodeKernels()
    expect(neuronCrossover(work(), portable, { directory, clock })).toBe(1)
    expect(gateCrossover(work(), portable, { directory, clock })).toBe(0)
  })

  it('FLICKER_CROSSOVER forces it, and must be a fraction', () => {
    vi.stubEnv('FLICKER_CROSSOVER', '0.4')
    expect(neuronCrossover(work(), decodeKernels(), { directory, clock })).toBe(0.4)
    expect(gateCrossover(work(), decodeKernels(), { directory, clock })).toBe(0.4)
    for (const wrong of ['1.5', '-0.1', 'half', 'NaN']) {
      vi.stubEnv('FLICKER_CROSSOVER', wrong)
      expect(() => neuronCrossover(work(), decodeKernels(), { directory, clock })).toThrow(
        /FLICKER_CROSSOVER/,
      )
    }
  })

  it('is kept where FLICKER_CACHE says, else in the cache directory of the user', () => {
    vi.stubEnv('FLICKER_CACHE', '/somewhere')
    expect(cacheDirectory()).toBe('/somewhere')
    vi.stubEnv('FLICKER_CACHE', '')
    vi.stubEnv('XDG_CACHE_HOME', '/xdg')
    expect(cacheDirectory()).toBe('/xdg/flicker')
    vi.stubEnv('XDG_CACHE_HOME', '')
    expect(cacheDirectory()).toMatch(/\.cache.flicker$/)
  })

  it('is where the line through the measured ratios reaches 1', () => {
    const points = (...ratios: number[]) =>
      ratios.map((ratio, i) => ({ fraction: (i + 1) / ratios.length, ratio }))
    expect(crossing(points(0.5, 1.5))).toBeCloseTo(0.75)
    expect(crossing(points(0.4, 0.8, 1.2, 1.6))).toBeCloseTo(0.625)
    expect(crossing(points(0.5, 0.98))).toBe(1)
    expect(crossing(points(1.5, 2))).toBe(0)
    // One disturbed measurement moves it only so far.
    expect(Math.abs(crossing(points(0.3, 0.7, 0.9, 1.3, 1.5)) - 0.6)).toBeLessThan(0.06)
    // Noise around one value.
    expect(crossing(points(0.9, 0.88))).toBe(1)
    expect(crossing(points(1.2, 1.1))).toBe(0)
  })
})

describe('the choice of the narrow gate', () => {
  const [rows, columns] = [100, 8]
  const gates = (mode: 'on' | 'off' | 'auto', layers = 1) =>
    new NarrowGates(
      Array.from({ length: layers }, () => weights(rows, columns)),
      { rows, columns },
      narrowGateKernelsOf(decodeKernels()),
      mode,
      0.4,
    )
  /** How often the narrow gate is chosen over `tokens` tokens with `active` active neurons and `read` gate rows each. */
  const uses = (narrow: NarrowGates, tokens: number, active: number, read: number) => {
    let count = 0
    for (let i = 0; i < tokens; i++) {
      const index = narrow.next(0)
      narrow.observe(0, active, index === null ? null : read)
      if (index !== null) count++
    }
    return count
  }

  it('on takes it always, off never', () => {
    expect(uses(gates('on'), 20, 100, 100)).toBe(20)
    expect(uses(gates('off'), 20, 0, 0)).toBe(0)
  })

  it('auto takes it from the second token on where few neurons are active, and not where many are', () => {
    expect(uses(gates('auto'), 100, 10, 15)).toBe(99)
    expect(uses(gates('auto'), 100, 60, 60)).toBe(0)
  })

  it('auto tries ever more seldom where the bounds prove too little', () => {
    const narrow = gates('auto')
    const first = uses(narrow, 100, 10, 90)
    const later = uses(narrow, 1000, 10, 90)
    expect(first).toBeGreaterThan(0)
    expect(first).toBeLessThan(8)
    expect(later).toBeLessThan(6)
  })

  it('auto comes back when neurons fall silent, and leaves when they wake', () => {
    const narrow = gates('auto')
    uses(narrow, 10, 90, 90)
    expect(uses(narrow, 30, 5, 8)).toBeGreaterThan(20)
    uses(narrow, 30, 90, 95)
    expect(uses(narrow, 20, 90, 95)).toBe(0)
  })

  it('layers are judged apart', () => {
    const narrow = gates('auto', 2)
    for (let i = 0; i < 3; i++) {
      narrow.observe(0, 5, null)
      narrow.observe(1, 95, null)
    }
    expect(narrow.next(0)).not.toBeNull()
    expect(narrow.next(1)).toBeNull()
  })
})
