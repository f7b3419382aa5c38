// SHA-256 in pieces, against Node's.

import { createHash } from 'node:crypto'
import { expect, it } from 'vitest'
import { Sha256 } from '../../src/browser/sha256.js'

it.each([0, 1, 55, 56, 63, 64, 65, 119, 120, 1000, 100_003])('of %i bytes, in pieces of any size', length => {
  const bytes = Uint8Array.from({ length }, (_, i) => (i * 131 + 17) & 255)
  const expected = createHash('sha256').update(bytes).digest('hex')
  for (const piece of [1, 7, 64, 1000]) {
    const hash = new Sha256()
    for (let at = 0; at < length; at += piece) hash.update(bytes.subarray(at, at + piece))
    expect(hash.hex()).toBe(expected)
  }
})
