// Buffers that share memory must not share elements.

import { expect, test } from 'vitest'
import { Arena } from '../../src/tensor/arena.js'

/** Elements: below and above what shares memory, sizes off the cache line, and more than one shared piece holds. */
const SIZES = [100, 8191, 8192, 8193, 70_001, 300_000, 8193, 2 ** 20 + 7]

test('every buffer has elements of its own, as many as were asked for', () => {
  const arena = new Arena('f32')
  const buffers = SIZES.map(size => arena.take(size))
  for (const [i, buffer] of buffers.entries()) buffer.fill(i + 1)
  for (const [i, buffer] of buffers.entries()) {
    expect(buffer.length).toBe(SIZES[i])
    expect(buffer.every(value => value === i + 1)).toBe(true)
  }
})

test('large buffers start on cache lines of the memory that they share', () => {
  const arena = new Arena('f32')
  const [first, second] = [arena.take(8193), arena.take(8192)]
  expect(second.buffer).toBe(first.buffer)
  expect((second.byteOffset - first.byteOffset) % 64).toBe(0)
})

test('a buffer that was given back is handed out again', () => {
  const arena = new Arena('f32')
  const [first, other] = [arena.take(20_000), arena.take(20_000)]
  arena.give(first)
  expect(arena.take(20_000)).toBe(first)
  expect(arena.take(20_000)).not.toBe(other)
})
