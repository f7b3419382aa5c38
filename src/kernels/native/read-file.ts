// Reading on all threads, where there is native code.

import { loadAddon } from './find-addon.js'
import type { NativeFunctions } from './signatures.js'

/** Smaller reads are not worth waking threads for. */
const SMALLEST = 1 << 20
const LARGEST = 1 << 30

/**
 * Fills `into` from byte `offset` of an open file on. Returns false where it cannot or may not be done this way: then
 * nothing is known of what `into` holds.
 */
export function readOnThreads(file: number, offset: number, into: Uint8Array): boolean {
  if (into.length < SMALLEST) return false
  const readFile = loadAddon()?.readFile as NativeFunctions['readFile'] | undefined
  if (readFile === undefined) return false
  for (let done = 0; done < into.length; done += LARGEST) {
    const bytes = Math.min(LARGEST, into.length - done)
    const part = new Int8Array(into.buffer, into.byteOffset + done, bytes)
    if (readFile(file, offset + done, part, bytes) !== bytes) return false
  }
  return true
}
