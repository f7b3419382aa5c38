// Sessions that read together have the bits that each has alone, however their tokens fall into passes.

import { expect, it } from 'vitest'
import { EngineModel, Session } from '../../../src/engine/index.js'
import { randomTensors, smallConfig, tensorOf } from '../naive-model.js'

const config = { ...smallConfig, maxPositionEmbeddings: 700 }
const model = new EngineModel(config, tensorOf(randomTensors(config, 9)))
const tokens = (length: number, step: number) =>
  Array.from({ length }, (_, i) => (i * step + 3) % config.vocabSize)

it('gives the logits of prefill for the last tokens, and leaves the same sessions', () => {
  // 5 + 600 + 40 positions: the second read goes over the end of a pass.
  const lists = [tokens(5, 2), tokens(600, 5), tokens(40, 7)]
  const wanted = [5, 3, 1]
  const sessions = lists.map(() => model.session())
  const got = new Map<string, number[]>()
  Session.readTogether(
    lists.map((list, i) => ({ session: sessions[i], tokens: list, wanted: wanted[i] })),
    (logits, rows) => {
      for (const [i, { read, token }] of rows.entries()) {
        const row = logits.subarray(i * config.vocabSize, (i + 1) * config.vocabSize)
        got.set(`${read}:${token}`, Array.from(row))
      }
    },
  )
  expect(got.size).toBe(9)
  for (const [read, list] of lists.entries()) {
    const alone = model.session()
    const all = new Float32Array(list.length * config.vocabSize)
    alone.prefill(list, all)
    for (let token = list.length - wanted[read]; token < list.length; token++) {
      const expected = all.subarray(token * config.vocabSize, (token + 1) * config.vocabSize)
      expect(got.get(`${read}:${token}`)).toEqual(Array.from(expected))
    }
    expect(sessions[read].position).toBe(list.length)
    expect(Array.from(sessions[read].logits)).toEqual(Array.from(alone.logits))
    expect(Array.from(sessions[read].activeNeurons)).toEqual(Array.from(alone.activeNeurons))
    // Both go on, one by one.
    expect(Array.from(sessions[read].step(4))).toEqual(Array.from(alone.step(4)))
  }
})

it('refuses a token outside the vocabulary before any session has read', () => {
  const sessions = [model.session(), model.session()]
  const reads = [
    { session: sessions[0], tokens: [1], wanted: 1 },
    { session: sessions[1], tokens: [99], wanted: 1 },
  ]
  expect(() => Session.readTogether(reads, () => {})).toThrow(/token 99 at position 0 is outside/)
  expect(sessions.map(({ position }) => position)).toEqual([0, 0])
})
