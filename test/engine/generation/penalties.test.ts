// Penalties and logit bias against their published formulas.

import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { bytesTokenizer } from '../../../src/data/tokenizers/byte-pair.js'
import {
  checkPenalties,
  LogitAdjustment,
  type PenaltyOptions,
} from '../../../src/engine/generation/penalties.js'

const tokenizer = bytesTokenizer()
const logits = Float32Array.of(2, -1, 0.5, 0, -3, 4)

/** The logits after `prompt` and then `generated`. */
function adjusted(options: PenaltyOptions, prompt: number[], generated: number[], from = logits): number[] {
  const adjustment = new LogitAdjustment(checkPenalties(options, tokenizer), prompt)
  for (const id of generated) adjustment.count(id)
  return [...adjustment.apply(from)]
}

describe('a penalty', () => {
  it('for repetition divides positive logits and multiplies negative ones, of prompt and text, once', () => {
    expect(adjusted({ repetitionPenalty: 2 }, [0, 1, 1], [2, 2])).toEqual([1, -2, 0.25, 0, -3, 4])
    expect(adjusted({ repetitionPenalty: 0.5 }, [0, 1], [])).toEqual([4, -0.5, 0.5, 0, -3, 4])
  })

  it('for presence is taken once from what was generated, the prompt does not count', () => {
    expect(adjusted({ presencePenalty: 0.5 }, [0, 5], [1, 1, 3])).toEqual([2, -1.5, 0.5, -0.5, -3, 4])
  })

  it('for frequency is taken once for each time', () => {
    expect(adjusted({ frequencyPenalty: 0.5 }, [0], [1, 1, 5])).toEqual([2, -2, 0.5, 0, -3, 3.5])
    expect(adjusted({ frequencyPenalty: -1 }, [], [0, 0])).toEqual([4, -1, 0.5, 0, -3, 4])
  })

  it('and bias together follow the formulas: bias, repetition, then μ − c·α_frequency − 1[c > 0]·α_presence', () => {
    const ids = fc.array(fc.nat(5), { maxLength: 12 })
    const number = fc.double({ min: -2, max: 2, noNaN: true })
    fc.assert(
      fc.property(
        ids,
        ids,
        fc.double({ min: 0.1, max: 3, noNaN: true }),
        number,
        number,
        number,
        (prompt, text, ...p) => {
          const [repetitionPenalty, presencePenalty, frequencyPenalty, bias] = p
          const options = { repetitionPenalty, presencePenalty, frequencyPenalty, logitBias: { 2: bias } }
          const expected = [...logits].map((logit, id) => {
            let mu = id === 2 ? logit + bias : logit
            if ([...prompt, ...text].includes(id))
              mu = mu < 0 ? mu * repetitionPenalty : mu / repetitionPenalty
            const c = text.filter(other => other === id).length
            return mu - c * frequencyPenalty - Number(c > 0) * presencePenalty
          })
          for (const [id, value] of adjusted(options, prompt, text).entries()) {
            expect(Math.abs(value - expected[id])).toBeLessThan(1e-5 * (1 + Math.abs(expected[id])))
          }
        },
      ),
    )
  })

  it('of 1, 0 and 0 leaves the very logits, and none changes the model’s own', () => {
    const neutral = new LogitAdjustment(checkPenalties({}, tokenizer), [0, 1])
    neutral.count(1)
    expect(neutral.apply(logits)).toBe(logits)
    const before = [...logits]
    adjusted({ repetitionPenalty: 3, presencePenalty: 1, logitBias: { 0: 5 } }, [0], [1])
    expect([...logits]).toEqual(before)
  })
})

describe('logit bias', () => {
  it('names tokens by id, or by their text where that is one token', () => {
    expect(adjusted({ logitBias: { 1: 10, 5: Number.NEGATIVE_INFINITY } }, [], [])).toEqual([
      2,
      9,
      0.5,
      0,
      -3,
      Number.NEGATIVE_INFINITY,
    ])
    const large = new Float32Array(tokenizer.vocabSize)
    const byText = adjusted({ logitBias: { a: 3, '<|endoftext|>': -1 } }, [], [], large)
    expect([byText[97], byText[tokenizer.endOfText ?? -1]]).toEqual([3, -1])
    // In a Map digits are text, and numbers ids.
    const map = adjusted(
      {
        logitBias: new Map<number | string, number>([
          ['7', 2],
          [7, 1],
        ]),
      },
      [],
      [],
      large,
    )
    expect([map[0x37], map[7]]).toEqual([2, 1])
  })

  it.each([
    [{ 999: 1 }, 'LOGIT_BIAS_TOKEN', 'there is no token 999'],
    [{ ab: 1 }, 'LOGIT_BIAS_TOKEN', '"ab" is the 2 tokens 97, 98'],
    [{ '': 1 }, 'LOGIT_BIAS_TOKEN', 'no token'],
    [{ a: 1, 97: 2 }, 'LOGIT_BIAS_TWICE', 'token 97 twice'],
    [{ a: Number.POSITIVE_INFINITY }, 'LOGIT_BIAS_RANGE', 'Infinity'],
    [{ a: Number.NaN }, 'LOGIT_BIAS_RANGE', '"a"'],
    [{ a: '3' as unknown as number }, 'LOGIT_BIAS_RANGE', '"a"'],
    [new Map([[-1, 1]]), 'LOGIT_BIAS_TOKEN', '-1'],
  ])('%o is refused by name', (logitBias, code, message) => {
    expect(() => checkPenalties({ logitBias }, tokenizer)).toThrow(
      expect.objectContaining({ code, message: expect.stringContaining(message) }),
    )
  })
})

describe('a penalty out of range', () => {
  it.each([
    [{ repetitionPenalty: 0 }, 'REPETITION_PENALTY_RANGE'],
    [{ repetitionPenalty: -1 }, 'REPETITION_PENALTY_RANGE'],
    [{ repetitionPenalty: Number.POSITIVE_INFINITY }, 'REPETITION_PENALTY_RANGE'],
    [{ presencePenalty: Number.NaN }, 'PRESENCE_PENALTY_RANGE'],
    [{ frequencyPenalty: Number.POSITIVE_INFINITY }, 'FREQUENCY_PENALTY_RANGE'],
  ])('%o is refused', (options, code) => {
    expect(() => checkPenalties(options, tokenizer)).toThrow(expect.objectContaining({ code }))
  })
})
