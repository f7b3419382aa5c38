// Finds and loads the native addon: what FLICKER_NATIVE names, else the prebuilt package of this platform, else the
// local build. What is there but does not load, or was compiled from other sources, is remembered with its reason, and
// told once where long work begins.

import { createRequire } from 'node:module'
import { resolve, sep } from 'node:path'
import { fileURLToPath } from 'node:url'
import { isMainThread } from 'node:worker_threads'
import { FlickerError } from '../../errors.js'
import { version } from '../../version.js'
import { contractDigest } from './signatures.js'

/** What flicker.node exports: the kernels by name, and contractDigest, instructionSets, select, setThreads, aligned. */
export type Addon = Readonly<Record<string, (...args: unknown[]) => unknown>>

interface Search {
  addon: Addon | null
  /** Why what was found is not used, one line each; empty when nothing was found. */
  problems: string[]
}

/** The package with the prebuilt addon of this platform; installed as an optional dependency. */
const prebuilt = `@flicker-lm/${process.platform}-${process.arch}`

const require = createRequire(import.meta.url)
let search: Search | undefined

/** The addon, or null where none was built or none loads. Throws when FLICKER_NATIVE names one that does not load. */
export function loadAddon(): Addon | null {
  search ??= searchAddon()
  return search.addon
}

function searchAddon(): Search {
  const problems: string[] = []
  const named = process.env.FLICKER_NATIVE ?? ''
  const candidates = named === '' ? [prebuilt, '../../../build/flicker.node'] : [resolve(named)]
  for (const candidate of candidates) {
    const found = tryCandidate(candidate)
    if (typeof found === 'object') return { addon: found, problems }
    if (found !== '') problems.push(found)
  }
  if (named !== '') {
    const reason = problems[0] ?? `there is no file ${named}`
    throw new FlickerError('NATIVE_NOT_LOADED', `FLICKER_NATIVE: ${reason}`)
  }
  return { addon: null, problems }
}

/** The addon, '' when there is no such file or package, or the reason why it is not used. */
function tryCandidate(candidate: string): Addon | string {
  let file = candidate
  try {
    file = require.resolve(candidate)
    if (candidate === prebuilt) {
      const other = (require(`${prebuilt}/package.json`) as { version: string }).version
      if (other !== version) return `${prebuilt} is of version ${other}, flicker-lm of ${version}`
    }
  } catch {
    return ''
  }
  try {
    const addon = require(file) as Addon
    // Functions of other parameters would be called with the wrong arguments.
    if (addon.contractDigest?.() !== contractDigest)
      return `${file} was compiled from other sources than this code`
    const runs = addon.instructionSets() as string[]
    return runs.length > 0 ? addon : `${file} has no kernels for this processor`
  } catch (error) {
    return `${file} does not load: ${String((error as Error).message).split('\n')[0]}`
  }
}

/** The command that builds the addon here: in an installation of the package another one than in a clone. */
export function repairCommand(): string {
  const root = fileURLToPath(new URL('../../..', import.meta.url))
  return root.includes(`${sep}node_modules${sep}`) ? 'npm rebuild flicker-lm' : 'npm run build:native'
}

/** Why there is no addon and what to do, for a message: `no native kernels (…); …`. */
export function explainMissingAddon(): string {
  loadAddon()
  const reason = search?.problems.join('; ') || 'none were built'
  return `no native kernels (${reason}); to build them, install a C++ compiler and run: ${repairCommand()}`
}

let warned = false

/**
 * Says on stderr that the portable backend is used, once per process, with the reason and the command that mends it;
 * nothing when native kernels are there or FLICKER_BACKEND asks for portable ones. Call it where long work begins.
 */
export function warnWithoutAddon(): void {
  if (warned || !isMainThread || process.env.FLICKER_BACKEND === 'portable' || loadAddon() !== null) return
  warned = true
  process.stderr.write(
    `flicker: ${explainMissingAddon()}. Until then the portable backend is used, which is many times slower.\n`,
  )
}
