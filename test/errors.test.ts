import { describe, expect, it } from 'vitest'
import { CheckpointError } from '../src/errors.js'

describe('the message of an error', () => {
  it('is kept as it is up to 1,600 characters', () => {
    const message = 'x'.repeat(1600)
    expect(new CheckpointError('X', message).message).toBe(message)
  })

  it('leaves out the middle of what is longer, not what is wrong, nor what to do', () => {
    const { message } = new CheckpointError('X', `model.json: ${'x'.repeat(1e6)} is wrong; delete it`)
    expect(message.length).toBeLessThan(1700)
    expect(message).toMatch(/^model\.json: xx+ … 998\d{3} characters left out … xx+ is wrong; delete it$/)
  })
})
