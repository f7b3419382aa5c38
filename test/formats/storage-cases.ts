// A directory for each test of storage, and the error that a writer throws.

import { spawnSync } from 'node:child_process'
import fs from 'node:fs'
import path from 'node:path'
import { afterAll, afterEach, beforeEach, expect, vi } from 'vitest'
import { StorageError } from '../../src/errors.js'
import { thisOwner } from '../../src/formats/temporaries.js'
import { temporaryDirectory } from './tiny-model.js'

const root = temporaryDirectory()
afterAll(() => fs.rmSync(root, { recursive: true }))
export let directory = ''
beforeEach(() => {
  directory = fs.mkdtempSync(path.join(root, 'case-'))
})
afterEach(() => vi.restoreAllMocks())

export const [space, pid36, start] = thisOwner().split('.')
/** A process that has ended, of this host and this namespace of process ids: whatever carries its id is stale. */
export const deadPid = spawnSync('true').pid
export const dead = `${space}.${deadPid.toString(36)}.1`

export function caught(action: () => void): StorageError {
  try {
    action()
  } catch (error) {
    expect(error).toBeInstanceOf(StorageError)
    return error as StorageError
  }
  throw new Error('nothing was thrown')
}
