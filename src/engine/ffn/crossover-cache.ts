// Where measured crossovers are kept: files in the user's cache directory, one per machine and shape.

import { createHash } from 'node:crypto'
import { readFileSync } from 'node:fs'
import { homedir } from 'node:os'
import { join } from 'node:path'
import { writeFileAtomic } from '../../formats/atomic.js'

/** FLICKER_CACHE, else $XDG_CACHE_HOME/flicker, else ~/.cache/flicker. */
export function cacheDirectory(): string {
  const { FLICKER_CACHE: own, XDG_CACHE_HOME: shared } = process.env
  if (own !== undefined && own !== '') return own
  return join(shared !== undefined && shared !== '' ? shared : join(homedir(), '.cache'), 'flicker')
}

/** The fraction kept under `key`; null when the file is missing, unreadable, or of another machine or shape. */
export function readKept(directory: string, key: string): number | null {
  try {
    const kept = JSON.parse(readFileSync(fileOf(directory, key), 'utf8')) as {
      key?: unknown
      activeFraction?: unknown
    } | null
    const { activeFraction: fraction } = kept ?? {}
    if (JSON.stringify(kept?.key) !== key) return null
    return typeof fraction === 'number' && fraction >= 0 && fraction <= 1 ? fraction : null
  } catch {
    return null
  }
}

/** Keeps a measurement. Where that fails, the next run measures again; nothing else changes. */
export function keep(directory: string, key: string, activeFraction: number): void {
  try {
    const content = JSON.stringify({ key: JSON.parse(key), activeFraction }, null, 2)
    writeFileAtomic(fileOf(directory, key), `${content}\n`)
  } catch {}
}

function fileOf(directory: string, key: string): string {
  const name = createHash('sha256').update(key).digest('hex').slice(0, 16)
  return join(directory, 'crossover', `${name}.json`)
}
