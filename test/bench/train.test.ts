// The training benchmark beside another program: a program of known speed here.

import { describe, expect, it } from 'vitest'
import { besidePeer, TRAIN_SHAPES } from '../../src/bench/train.js'

/** Answers every line with the next of some milliseconds, and ends without an answer when there are no more. */
const peer = (milliseconds: number[]) => [
  process.execPath,
  '-e',
  `const times = ${JSON.stringify(milliseconds)}
   require('node:readline').createInterface(process.stdin).on('line', () => {
     if (times.length === 0) process.exit(3)
     console.log(JSON.stringify({ milliseconds: times.shift(), shape: JSON.parse(process.argv.at(-1)) }))
   })`,
]

describe('a step beside another program', () => {
  it('is compared by the ratio within each pair, the first pair left out', async () => {
    const ours = [1, 10, 10, 20, 40, 40, 80]
    const found = await besidePeer(peer([1000, 20, 30, 40, 80, 120, 160]), TRAIN_SHAPES[0], 6, () => {
      return ours.shift() ?? Number.NaN
    })
    // Their milliseconds over ours: 2, 3, 2, 2, 3, 2.
    expect(found.ratio.median).toBeCloseTo(2, 12)
    expect(found.ratio.low).toBeCloseTo(2, 12)
    expect(found.ratio.high).toBeCloseTo(3, 12)
    expect(ours).toEqual([])
  })

  it('fails when the program ends early, instead of waiting', async () => {
    await expect(besidePeer(peer([10, 10]), TRAIN_SHAPES[0], 6, () => 1)).rejects.toThrow('exit code 3')
  })
})
