// Threads that die: texts go on from where they were.

import { expect, it } from 'vitest'
import { bytesTokenizer } from '../../../src/data/tokenizers/byte-pair.js'
import { Grammars } from '../../../src/engine/grammar/text-grammar.js'

const END = 256
const allowedOf = (mask: Int32Array | null) =>
  [...Array(257).keys()].filter(id => mask !== null && (mask[id >> 5] & (1 << (id & 31))) !== 0)

it('a text goes on after its thread has ended, with the tokens that it had', async () => {
  const grammars = new Grammars(bytesTokenizer(), [END])
  const text = await grammars.open({ type: 'regex', pattern: 'abc[0-9]' })
  for (const byte of Buffer.from('ab')) {
    text.accept(byte)
    await text.ready()
  }
  grammars.dispose()
  text.accept('c'.charCodeAt(0))
  expect(text.allowed).toBeNull()
  await text.ready()
  expect(allowedOf(text.allowed)).toEqual([...Buffer.from('0123456789')])
  text.dispose()
  grammars.dispose()
})

it('a grammar whose thread does not answer in time is refused', async () => {
  const grammars = new Grammars(bytesTokenizer(), [END], 0)
  await expect(grammars.open({ type: 'regex', pattern: 'a' })).rejects.toMatchObject({
    code: 'GRAMMAR_REFUSED',
    message: expect.stringContaining('too long'),
  })
})
