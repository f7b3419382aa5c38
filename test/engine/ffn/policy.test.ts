// Which way an FFN is computed: what the policy plans for options, rows, memory and crossover.

import { afterEach, describe, expect, it, vi } from 'vitest'
import { parseActivation } from '../../../src/activations/index.js'
import {
  ExactFfnPolicy,
  type FfnOptions,
  type FfnPlan,
  type FfnRows,
} from '../../../src/engine/ffn/policy.js'
import type { LayerWeights } from '../../../src/engine/model/weights.js'
import { decodeKernelsOf, narrowIndexBytes, portableKernels } from '../../../src/kernels/index.js'
import { Purpose } from '../../../src/kernels/philox.js'
import type { ModelConfig } from '../../../src/nn/config.js'
import { smallConfig, unusedParts } from '../naive-model.js'

const kernels = portableKernels()
const decode = decodeKernelsOf(kernels)

/** A gated layer of zeros: what it computes does not matter here. */
function layerOf({ hiddenSize: d, intermediateSize: h }: ModelConfig): LayerWeights {
  return {
    ...unusedParts,
    gate: new Float32Array(h * d),
    up: null,
    neurons: new Float32Array(2 * h * d),
    gated: true,
    learned: null,
  }
}

const small: ModelConfig = { ...smallConfig, hiddenSize: 8, intermediateSize: 30, numHiddenLayers: 1 }
/** More FFN weights than a processor's caches hold. */
const large: ModelConfig = { ...small, hiddenSize: 1024, intermediateSize: 1500 }

function policyOf(config: ModelConfig, options: Partial<FfnOptions> = {}, available = 1e12): ExactFfnPolicy {
  const using = { kernels, decode, memory: { available: () => available } }
  return new ExactFfnPolicy(config, [layerOf(config)], using, { ffn: 'auto', narrowGate: 'auto', ...options })
}

/** What is planned for `rows` sequences with a row each. */
function plan(
  policy: ExactFfnPolicy,
  rows = 1,
  spec = 'relu',
  modes: readonly FfnRows['ffn'][] = [],
): FfnPlan {
  const draw = { seedLow: 1, seedHigh: 0, purpose: Purpose.decode, step: 0, layer: 0, firstRow: 3 }
  const sequence: FfnRows = {
    activation: parseActivation(spec),
    count: 1,
    draw,
    activeNeurons: new Int32Array(1),
  }
  const sequences = Array.from({ length: rows }, (_, i) => ({ ...sequence, ffn: modes[i] }))
  return policy.plan(0, sequences, rows)
}

afterEach(() => vi.unstubAllEnvs())

describe('how many neurons may be active where the others are skipped', () => {
  it('as the sequences ask, and where they differ as with auto', () => {
    vi.stubEnv('FLICKER_CROSSOVER', '0.4')
    const most = (...modes: FfnRows['ffn'][]) => plan(policyOf(small), modes.length, 'relu', modes).maxActive
    expect([most('dense'), most('dense', 'dense'), most('sparse'), most('sparse', 'sparse')]).toEqual([
      0, 0, 30, 30,
    ])
    expect([most('dense', 'sparse'), most('dense', undefined), most(undefined)]).toEqual([12, 12, 12])
    // What the model was opened with is what a sequence without a wish has.
    expect(plan(policyOf(small, { ffn: 'dense' }), 2, 'relu', ['dense', undefined]).maxActive).toBe(0)
    expect(plan(policyOf(small, { ffn: 'dense' }), 1, 'relu', ['sparse']).maxActive).toBe(30)
  })

  it('none with dense, all with sparse, whatever the crossover', () => {
    vi.stubEnv('FLICKER_CROSSOVER', '0.4')
    for (const rows of [1, 7, 100]) {
      expect(plan(policyOf(small, { ffn: 'dense' }), rows).maxActive).toBe(0)
      expect(plan(policyOf(small, { ffn: 'sparse' }), rows).maxActive).toBe(30)
    }
  })

  it('none with an activation that is exactly 0 nowhere', () => {
    for (const ffn of ['auto', 'sparse'] as const) {
      expect(plan(policyOf(small, { ffn }), 1, 'silu').maxActive).toBe(0)
    }
  })

  it('with auto the crossover in whole neurons, also of a small model, rounded down', () => {
    for (const [forced, most] of [
      ['0.4', 12],
      ['0.44', 13],
      ['0', 0],
      ['1', 30],
    ] as const) {
      vi.stubEnv('FLICKER_CROSSOVER', forced)
      for (const rows of [1, 3, 16]) expect(plan(policyOf(small), rows).maxActive).toBe(most)
      // Of more rows each may have few active neurons of its own: the kernel decides.
      for (const rows of [17, 300]) expect(plan(policyOf(small), rows).maxActive).toBe(30)
    }
  })

  it('with auto 70 % where a small model makes measuring pointless', () => {
    expect(plan(policyOf(small)).maxActive).toBe(21)
  })

  it('FLICKER_CROSSOVER out of range is refused, blank is not set', () => {
    vi.stubEnv('FLICKER_CROSSOVER', '2')
    expect(() => plan(policyOf(small))).toThrow(expect.objectContaining({ code: 'CROSSOVER_RANGE' }))
    vi.stubEnv('FLICKER_CROSSOVER', ' ')
    expect(plan(policyOf(small)).maxActive).toBe(21)
  })
})

describe('the narrow gate', () => {
  it('is used for up to four rows', () => {
    const policy = policyOf(small, { narrowGate: 'on' })
    const used = [1, 2, 3, 4, 5, 6].map(rows => plan(policy, rows).narrow !== null)
    expect(used).toEqual([true, true, true, true, false, false])
  })

  it('takes the threshold of the activation, and of one that draws the draws of every row', () => {
    const policy = policyOf(small, { narrowGate: 'on' })
    expect(plan(policy, 2, 'fatrelu:t=0.25').narrow?.options).toEqual({ batch: 2, threshold: 0.25 })
    const { options } = plan(policy, 2, 'stocha:p=0.3').narrow ?? {}
    expect(options?.drawn?.p).toBe(0.3)
    expect(options?.drawn?.draws.map(({ firstRow }) => firstRow)).toEqual([3, 3])
    const activation = parseActivation('stocha:p=0.3')
    const draw = { seedLow: 1, seedHigh: 0, purpose: Purpose.decode, step: 0, layer: 0, firstRow: 5 }
    const rows = { activation, count: 3, draw, activeNeurons: new Int32Array(1) }
    const drawn = policy.plan(0, [rows], 3).narrow?.options.drawn?.draws
    expect(drawn?.map(({ firstRow }) => firstRow)).toEqual([5, 6, 7])
  })

  it('is not used where sequences have different activations', () => {
    const policy = policyOf(small, { narrowGate: 'on' })
    const draw = { seedLow: 1, seedHigh: 0, purpose: Purpose.decode, step: 0, layer: 0, firstRow: 0 }
    const rows = ['relu', 'fatrelu:t=0.2'].map(spec => {
      return { activation: parseActivation(spec), count: 1, draw, activeNeurons: new Int32Array(1) }
    })
    expect(policy.plan(0, rows, 2).narrow).toBeNull()
  })

  it('with auto waits for a first token with few active neurons', () => {
    vi.stubEnv('FLICKER_CROSSOVER', '0.5')
    const policy = policyOf(large)
    expect(plan(policy).narrow).toBeNull()
    policy.observe(0, { rows: 1, active: 1000, gateRowsRead: null })
    expect(plan(policy).narrow).toBeNull()
    const other = policyOf(large)
    plan(other)
    other.observe(0, { rows: 1, active: 100, gateRowsRead: null })
    expect(plan(other).narrow).not.toBeNull()
  })

  it('with auto is made only where memory is left for twice its size, and not for a small model', () => {
    vi.stubEnv('FLICKER_CROSSOVER', '0.5')
    const size = narrowIndexBytes(1500, 1024)
    const used = (config: ModelConfig, available: number) => {
      const policy = policyOf(config, {}, available)
      plan(policy)
      policy.observe(0, { rows: 1, active: 1, gateRowsRead: null })
      return plan(policy).narrow !== null
    }
    expect(used(large, 2 * size)).toBe(true)
    expect(used(large, 2 * size - 1)).toBe(false)
    expect(used(small, 1e12)).toBe(false)
  })
})
