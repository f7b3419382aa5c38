// The streams of CPython's random.Random; the values are those of Python 3.11 (`random.Random(1234)` and the calls named).

import { expect, it } from 'vitest'
import { PythonRandom } from '../../src/eval/python-random.js'

it('getrandbits(32) after Random(1234)', () => {
  const random = new PythonRandom(1234)
  expect([random.bits(32), random.bits(32), random.bits(32), random.bits(32)]).toEqual([
    4150886329, 3342196574, 1892932127, 501869158,
  ])
})

it('randrange(10), which draws again what is too large', () => {
  const random = new PythonRandom(1234)
  expect(Array.from({ length: 8 }, () => random.below(10))).toEqual([7, 1, 0, 1, 9, 0, 1, 1])
})

it.each([
  ['a pool smaller than a set', 10, 3, [7, 1, 0]],
  ['a set', 1000, 5, [989, 796, 451, 119, 7]],
  ['a set of six of GSM8K', 7473, 6, [6374, 3610, 957, 61, 742, 7462]],
  [
    'a pool, as the set for 25 would be large',
    100,
    25,
    [99, 56, 14, 0, 11, 74, 4, 85, 88, 10, 12, 45, 30, 2, 3, 86, 44, 82, 79, 61, 78, 59, 19, 95, 23],
  ],
])('sample: %s', (_, n, k, expected) => {
  expect(new PythonRandom(1234).sample(n, k)).toEqual(expected)
})

it('samples follow one another in one stream', () => {
  const random = new PythonRandom(1234)
  expect([random.sample(7473, 5), random.sample(7473, 5), random.sample(7473, 5)]).toEqual([
    [6374, 3610, 957, 61, 742],
    [7462, 6610, 4769, 286, 5501],
    [5677, 687, 806, 6279, 2905],
  ])
})
