// Finds the corpora and tokenizers that stand beside the repository; tests that need them skip when they are absent.

import { existsSync } from 'node:fs'
import { join, resolve } from 'node:path'
import { describe } from 'vitest'

const root = process.env.FLICKER_SHARED ?? resolve(import.meta.dirname, '../../../shared/data')

export function sharedData(path: string): string {
  return join(root, path)
}

/**
 * `describe` when the path exists, else a suite that is skipped and says what is missing. By the end of its name .ci/run
 * finds the tests that a checkout without data has skipped.
 */
export function describeWith(path: string, name: string, suite: () => void): void {
  if (existsSync(sharedData(path))) describe(`${name} (shared data)`, suite)
  else describe.skip(`${name} (skipped: ${sharedData(path)} is absent)`, suite)
}
