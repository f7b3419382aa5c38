// What reading a damaged model may end in: it is read whole, or there is an error of ours with a code.

import { expect } from 'vitest'
import { FlickerError } from '../../src/errors.js'
import { openModel } from '../../src/formats/index.js'
import { product } from './tiny-model.js'

/** Runs `read`, which may throw an error of ours with a code and a message of some lines at most. */
export function survives(read: () => void): void {
  try {
    read()
  } catch (error) {
    if (!(error instanceof FlickerError)) throw error
    expect(error.code).toMatch(/^[A-Z][A-Z0-9_]+$/)
    expect(error.message.length).toBeLessThan(2000)
  }
}

/** Opens a model, whose files have `size` bytes, and reads it all, tokenizer included. */
export function survivesReading(model: string, size: number): void {
  survives(() => {
    const source = openModel(model)
    try {
      for (const name of source.names) {
        // Not `expect`, which takes longer than the reading.
        if (source.stored(name).bytes.length > size) throw new Error(`${name} is larger than its file`)
        if (source.tensor(name).length !== product(source.info(name).shape)) throw new Error(`${name} is cut`)
      }
      source.cuts?.()
      const tokenizer = source.tokenizer()
      tokenizer.decode(tokenizer.encode('a b'))
    } finally {
      source.close()
    }
  })
}
