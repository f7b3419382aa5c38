// Damaged safetensors files, by the thousand: each either opens and reads, or is a CheckpointError; nothing else is
// thrown and nothing larger than the file is allocated.

import fs from 'node:fs'
import path from 'node:path'
import fc from 'fast-check'
import { afterAll, describe, expect, it } from 'vitest'
import { CheckpointError } from '../../src/errors.js'
import { openSafetensors } from '../../src/formats/safetensors.js'
import { FUZZ_TIMEOUT, mutants, withinLimits } from './fuzz-runs.js'
import { temporaryDirectory } from './tiny-model.js'

const directory = temporaryDirectory()
afterAll(() => fs.rmSync(directory, { recursive: true }))

function laidOut(header: object, data: Uint8Array): Buffer {
  const json = Buffer.from(JSON.stringify(header))
  const length = Buffer.alloc(8)
  length.writeBigUInt64LE(BigInt(json.length))
  return Buffer.concat([length, json, data])
}

describe('damage', () => {
  const original = laidOut(
    {
      __metadata__: { format: 'pt' },
      'layers.0.w': { dtype: 'F32', shape: [3, 2], data_offsets: [0, 24] },
      'layers.0.h': { dtype: 'BF16', shape: [4], data_offsets: [24, 32] },
      empty: { dtype: 'I64', shape: [0, 7], data_offsets: [32, 32] },
    },
    Uint8Array.from({ length: 32 }, (_, i) => i * 7),
  )

  /** Opens and reads it all: either it works, with no tensor larger than the file, or a CheckpointError says why. */
  function survives(bytes: Uint8Array): void {
    const file = path.join(directory, 'damaged')
    fs.writeFileSync(file, bytes)
    try {
      const tensors = openSafetensors(file)
      let total = 0
      try {
        for (const name of tensors.names) {
          total += tensors.info(name).bytes
          expect(tensors.readFloat32(name).length).toBeLessThanOrEqual(bytes.length)
        }
      } finally {
        tensors.close()
      }
      expect(total).toBeLessThanOrEqual(bytes.length)
    } catch (error) {
      if (!(error instanceof CheckpointError)) throw error
      expect(error.message.length).toBeLessThan(2000)
    }
  }

  it('of any truncation is a CheckpointError', { timeout: FUZZ_TIMEOUT }, () => {
    for (let length = 0; length < original.length; length++) {
      const file = path.join(directory, 'truncated')
      fs.writeFileSync(file, original.subarray(0, length))
      expect(() => openSafetensors(file)).toThrow(CheckpointError)
    }
  })

  it('of a single bit is a CheckpointError or another valid file', { timeout: FUZZ_TIMEOUT }, () => {
    // Every bit of the length, then every third: at least two of every byte.
    for (let bit = 0; bit < 8 * original.length; bit += bit < 64 ? 1 : 3) {
      const bytes = Uint8Array.from(original)
      bytes[bit >> 3] ^= 1 << (bit & 7)
      survives(bytes)
    }
  })

  it(
    'of several bytes, with some cut out or put in, is one or the other',
    () => {
      const edit = fc.record({
        at: fc.nat(original.length),
        remove: fc.nat(4),
        insert: fc.oneof(
          fc.uint8Array({ maxLength: 4 }),
          fc.constantFrom('9', '-', '"', '}', ',', '0e9').map(s => Buffer.from(s)),
        ),
      })
      fc.assert(
        fc.property(fc.array(edit, { minLength: 1, maxLength: 4 }), edits => {
          let bytes: Uint8Array = original
          for (const { at, remove, insert } of edits) {
            bytes = Buffer.concat([bytes.subarray(0, at), insert, bytes.subarray(at + remove)])
          }
          withinLimits(() => survives(bytes))
        }),
        mutants(300),
      )
    },
    FUZZ_TIMEOUT,
  )

  it(
    'of numbers in the header, absurd sizes and offsets included, is one or the other',
    () => {
      const number = fc.oneof(
        fc.nat(40),
        fc.constantFrom(-1, 2 ** 31, 2 ** 32, 2 ** 53 - 1, 2 ** 53, 1e308, 0.5),
        fc.maxSafeInteger(),
      )
      const entry = fc.record({
        dtype: fc.constantFrom(
          'F32',
          'F16',
          'BF16',
          'U8',
          'I32',
          'I64',
          'F64',
          'BOOL',
          'F8_E4M3',
          'F8_E5M2',
          'f32',
          '',
        ),
        shape: fc.array(number, { maxLength: 5 }),
        data_offsets: fc.array(number, { minLength: 2, maxLength: 2 }),
      })
      fc.assert(
        fc.property(
          fc.dictionary(fc.string({ maxLength: 3 }), entry, { maxKeys: 3 }),
          fc.nat(64),
          (header, size) => {
            withinLimits(() => survives(laidOut(header, new Uint8Array(size))))
          },
        ),
        mutants(300),
      )
    },
    FUZZ_TIMEOUT,
  )
})
