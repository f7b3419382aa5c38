import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import type { Document } from '../../src/data/corpus.js'
import { bytesTokenizer } from '../../src/data/tokenizers/byte-pair.js'
import { charTokenizer } from '../../src/data/tokenizers/characters.js'
import type { Tokenizer } from '../../src/data/tokenizers/tokenizer.js'
import {
  measuredWindows,
  requireOneContext,
  requireTokensFit,
  tokenByteLengths,
  tokenize,
  trainingBatch,
  validationBatches,
} from '../../src/data/tokens.js'

const documents = (...texts: string[]): Document[] => texts.map((text, i) => ({ name: String(i), text }))
/** Tokens whose value is their position, so that a window shows where it was cut. */
const counting = (n: number) => Int32Array.from({ length: n }, (_, i) => i)

describe('tokenizing documents', () => {
  it('joins them with the end-of-text token between, and counts their bytes', () => {
    const { tokens, bytes } = tokenize(documents('ab', 'é', ''), bytesTokenizer())
    expect([...tokens]).toEqual([97, 98, 256, 0xc3, 0xa9, 256])
    expect(bytes).toBe(2 + 2)
  })

  it('puts nothing between when the vocabulary has no such token', () => {
    expect([...tokenize(documents('ab', 'ba'), charTokenizer(['ab'])).tokens]).toEqual([0, 1, 1, 0])
  })

  it('uses 16 bits per token up to 65,536 tokens and 32 beyond', () => {
    const sized = (vocabSize: number): Tokenizer => ({ ...fake([vocabSize - 1]), vocabSize })
    expect(tokenize(documents('x'), sized(65_536)).tokens).toEqual(Uint16Array.of(65_535))
    expect(tokenize(documents('x'), sized(65_537)).tokens).toEqual(Int32Array.of(65_536))
  })

  it('refuses ids outside the vocabulary', () => {
    expect(() => tokenize(documents('x'), fake([3, 10]))).toThrow(
      expect.objectContaining({ code: 'TOKEN_OUT_OF_VOCABULARY' }),
    )
    expect(() => requireTokensFit(Uint16Array.of(0, 4, 5), 5)).toThrow(
      /token 5 at position 2.*vocabulary of 5/,
    )
    expect(() => requireTokensFit(Uint16Array.of(0, 4), 5)).not.toThrow()
  })

  it('knows the bytes behind each token: summed over a text they are the text’s', () => {
    const tokenizer = bytesTokenizer()
    const { tokens, bytes } = tokenize(documents('grün', 'ende'), tokenizer)
    const lengths = tokenByteLengths(tokenizer)
    expect([...tokens].reduce((sum, id) => sum + lengths[id], 0)).toBe(bytes)
    expect(lengths[256]).toBe(0)
  })
})

describe('a training batch', () => {
  const tokens = counting(1000)
  const options = { batchSize: 4, context: 16, seed: 7, step: 3 }

  it('holds windows of neighboring tokens, each target one further', () => {
    const { inputs, targets } = trainingBatch(tokens, options)
    for (let row = 0; row < 4; row++) {
      for (let t = 0; t < 16; t++) {
        expect(inputs[row * 16 + t]).toBe(inputs[row * 16] + t)
        expect(targets[row * 16 + t]).toBe(inputs[row * 16] + t + 1)
      }
    }
  })

  it('does not depend on how the step is cut into micro-batches', () => {
    const whole = trainingBatch(tokens, { ...options, batchSize: 6 })
    const parts = [0, 1, 2].map(micro => trainingBatch(tokens, { ...options, batchSize: 2, micro }))
    expect(parts.flatMap(part => [...part.inputs])).toEqual([...whole.inputs])
    expect(parts.flatMap(part => [...part.targets])).toEqual([...whole.targets])
  })

  it('changes with the seed (all 64 bits of it), the step and the row', () => {
    const starts = (change: object) =>
      [...trainingBatch(tokens, { ...options, context: 1, ...change }).inputs].join()
    const seen = [
      {},
      { seed: 8 },
      { seed: 7 + 2 ** 32 },
      { seed: 2n ** 63n + 7n },
      { step: 4 },
      { micro: 1 },
    ].map(starts)
    expect(new Set(seen).size).toBe(seen.length)
    expect(new Set(starts({ batchSize: 8 }).split(',')).size).toBeGreaterThan(4)
    expect(starts({})).toBe(starts({}))
  })

  it('starts everywhere equally often, first and last place included', () => {
    // 20 places, 20,000 draws: chi-square with 19 degrees of freedom is below 43.8 in 99.9 % of all cases.
    const counts = new Array<number>(20).fill(0)
    for (let step = 0; step < 200; step++) {
      const { inputs } = trainingBatch(counting(25), { batchSize: 100, context: 5, seed: 1, step })
      for (let row = 0; row < 100; row++) counts[inputs[row * 5]]++
    }
    const chiSquare = counts.reduce((sum, n) => sum + (n - 1000) ** 2 / 1000, 0)
    expect(chiSquare).toBeLessThan(43.8)
  })

  it('is possible from one context on, and says both lengths below that', () => {
    expect([...trainingBatch(counting(17), options).inputs.subarray(0, 16)]).toEqual([...counting(16)])
    expect(() => trainingBatch(counting(16), options)).toThrow(/training text has 16 tokens.*needs 17/)
    expect(() => requireOneContext(counting(3), 64, 'validation')).toThrow(
      /validation text has 3 tokens.*needs 65/,
    )
  })

  it('refuses a shape without rows or tokens', () => {
    expect(() => trainingBatch(tokens, { ...options, batchSize: 0 })).toThrow(/batchSize/)
    expect(() => trainingBatch(tokens, { ...options, context: 1.5 })).toThrow(/context/)
  })
})

/** All batches of the measured windows. */
function batchesOf(
  tokens: Int32Array,
  options: { batchSize: number; context: number; maxTargets?: number; seed?: number },
) {
  const { windows } = measuredWindows(tokens, { seed: 1, ...options })
  return [...validationBatches(tokens, windows, options)]
}

describe('validation batches', () => {
  it('have every token but the first as target once, in order, and padding after the last', () => {
    const sizes = fc.record({
      n: fc.integer({ min: 9, max: 200 }),
      batchSize: fc.integer({ min: 1, max: 5 }),
      context: fc.integer({ min: 1, max: 8 }),
    })
    fc.assert(
      fc.property(sizes, ({ n, batchSize, context }) => {
        const batches = batchesOf(counting(n), { batchSize, context })
        const targets = batches.flatMap(batch => [...batch.targets])
        const inputs = batches.flatMap(batch => [...batch.inputs])
        const real = targets.filter(target => target !== -1)
        expect(real).toEqual([...counting(n)].slice(1))
        expect(inputs.slice(0, n - 1)).toEqual([...counting(n - 1)])
        expect(targets.indexOf(-1) === -1 || targets.indexOf(-1) === n - 1).toBe(true)
        for (const batch of batches) {
          expect(batch.inputs).toHaveLength(batchSize * context)
          expect(batch.targets).toHaveLength(batchSize * context)
          expect(batch.targetCount).toBe(batch.targets.filter(target => target !== -1).length)
        }
      }),
    )
  })

  it('of a sample are whole windows of the text, each at most once, in the order of the text', () => {
    const batches = batchesOf(counting(1000), { batchSize: 3, context: 10, maxTargets: 75 })
    const rows = batches.flatMap(({ inputs, targets }) =>
      [0, 1, 2].flatMap(row =>
        targets[row * 10] === -1
          ? []
          : [
              {
                inputs: inputs.slice(row * 10, row * 10 + 10),
                targets: targets.slice(row * 10, row * 10 + 10),
              },
            ],
      ),
    )
    expect(rows).toHaveLength(8)
    const starts = rows.map(row => row.inputs[0])
    expect(new Set(starts).size).toBe(8)
    expect(starts).toEqual(starts.toSorted((a, b) => a - b))
    for (const { inputs, targets } of rows) {
      expect(inputs[0] % 10).toBe(0)
      expect([...inputs]).toEqual([...counting(10)].map(i => inputs[0] + i))
      expect([...targets].filter(target => target !== -1)).toEqual(
        [...inputs].map(i => i + 1).filter(target => target < 1000),
      )
    }
  })

  it('need one context', () => {
    expect(() => batchesOf(counting(4), { batchSize: 1, context: 4 })).toThrow(
      expect.objectContaining({ code: 'CORPUS_TOO_SHORT' }),
    )
  })
})

describe('a sample of held-out text', () => {
  it('is drawn from all of it: every window equally often over many seeds', () => {
    // 25 windows, 5 drawn, 2,000 seeds: 400 each expected. The count of one window is binomial with deviation 17.9.
    const counts = new Array<number>(25).fill(0)
    for (let seed = 0; seed < 2000; seed++) {
      const { windows, of } = measuredWindows(counting(101), { context: 4, maxTargets: 20, seed })
      expect(of).toBe(25)
      expect(new Set(windows).size).toBe(5)
      for (const window of windows) counts[window]++
    }
    for (const count of counts) expect(Math.abs(count - 400)).toBeLessThan(5 * 17.9)
  })

  it('depends on the seed, and on nothing else', () => {
    const drawn = (seed: number) => [
      ...measuredWindows(counting(1000), { context: 4, maxTargets: 40, seed }).windows,
    ]
    expect(drawn(1)).toEqual(drawn(1))
    expect(drawn(1)).not.toEqual(drawn(2))
  })

  it('is all of the text when that has no more tokens', () => {
    expect([...measuredWindows(counting(10), { context: 4, maxTargets: 9, seed: 1 }).windows]).toEqual([
      0, 1, 2,
    ])
    expect([...measuredWindows(counting(10), { context: 4, seed: 1 }).windows]).toEqual([0, 1, 2])
  })
})

/** A tokenizer of ten tokens that gives the same ids for any text. */
function fake(ids: number[]): Tokenizer {
  return {
    name: 'fake',
    vocabSize: 10,
    endOfText: null,
    encode: () => Int32Array.from(ids),
    decode: () => '',
    tokenBytes: () => new Uint8Array(0),
    toJSON: () => ({}),
  }
}
