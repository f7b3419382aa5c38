// Names of what is being written: `.NAME.tmp-OWNER-N` (unfinished) and `.NAME.old-OWNER-N` (complete, about to be
// replaced). OWNER says which process it belongs to, so that what a killed process left can be removed and what a
// living one needs cannot: a process id alone means nothing in another container or on another host of a shared disk.

import { createHash, randomBytes } from 'node:crypto'
import fs from 'node:fs'
import os from 'node:os'
import path from 'node:path'
import { threadId } from 'node:worker_threads'
import { isSystemError } from './storage.js'

/** `tmp`: unfinished or on its way out. `old`: the complete content that a rename is about to replace. */
export type TemporaryKind = 'tmp' | 'old'

export interface Temporary {
  readonly name: string
  /** Name of the file or directory that it belongs to. */
  readonly target: string
  readonly kind: TemporaryKind
  /** null: of a process that cannot be told. */
  readonly owner: string | null
}

/** Earlier versions wrote `PID-N` after the kind, which says nothing about where that process is. */
const TEMPORARY_NAME = /^\.(.+)\.(tmp|old)-(?:([0-9a-f]{10}\.[0-9a-z]+\.[0-9a-z]+)-\d+_\d+|\d+-\d+)$/
/** What cannot be proven to belong to a dead process is left alone until nothing in it has changed for so long. */
const UNTOUCHED_MS = 24 * 3600 * 1000
let temporariesMade = 0

/** A name beside `target` that no other process and no other thread uses. */
export function temporarySibling(target: string, kind: TemporaryKind): string {
  temporariesMade++
  const name = `.${path.basename(target)}.${kind}-${thisOwner()}-${threadId}_${temporariesMade}`
  return path.join(path.dirname(target), name)
}

/** The temporaries in `directory`; none where it cannot be read. */
export function temporariesIn(directory: string): Temporary[] {
  let names: string[]
  try {
    names = fs.readdirSync(directory)
  } catch {
    return []
  }
  return names.flatMap(name => parseTemporary(name) ?? [])
}

export function parseTemporary(name: string): Temporary | null {
  const match = TEMPORARY_NAME.exec(name)
  if (match === null) return null
  return { name, target: match[1], kind: match[2] as TemporaryKind, owner: match[3] ?? null }
}

/**
 * Whether nobody will come back to `temporary`, which lies in `directory`: its process is proven dead, or it is of a
 * process that cannot be judged from here and has not changed for a day. nowMs: the present by the file system's clock.
 */
export function isAbandoned(directory: string, temporary: Temporary, nowMs: number): boolean {
  const alive = temporary.owner === null ? null : isAlive(temporary.owner)
  if (alive !== null) return !alive
  return nowMs - newestChangeMs(path.join(directory, temporary.name)) > UNTOUCHED_MS
}

/** Whether the process that `thisOwner` named so still runs; null when that cannot be told from here. */
export function isAlive(owner: string): boolean | null {
  if (owner === thisOwner()) return true
  const [ownSpace] = thisOwner().split('.')
  const [space, pid, start] = owner.split('.')
  if (space !== ownSpace) return null
  const id = Number.parseInt(pid, 36)
  if (!isRunning(id)) return false
  const startNow = startOf(id)
  return startNow === null || start === UNKNOWN_START || startNow === start
}

const UNKNOWN_START = 'x'
let owner: string | null = null

/** This process as `SPACE.PID.START`. */
export function thisOwner(): string {
  owner ??= `${processSpace()}.${process.pid.toString(36)}.${startOf(process.pid) ?? UNKNOWN_START}`
  return owner
}

/**
 * Where this process's id has its meaning: the host since it started, and on Linux the namespace of process ids, which
 * every container has of its own. A random name where that cannot be learned.
 */
function processSpace(): string {
  const parts: (string | undefined)[] = [os.hostname(), os.platform()]
  try {
    if (process.platform === 'linux') {
      parts.push(
        fs.readFileSync('/proc/sys/kernel/random/boot_id', 'utf8'),
        fs.readlinkSync('/proc/self/ns/pid'),
      )
    } else {
      for (const addresses of Object.values(os.networkInterfaces())) {
        for (const { mac, internal } of addresses ?? []) if (!internal) parts.push(mac)
      }
    }
  } catch {
    parts.push(randomBytes(16).toString('hex'))
  }
  return createHash('sha256').update(JSON.stringify(parts)).digest('hex').slice(0, 10)
}

/** When a process started, to tell it from an earlier one with the same id; null where that cannot be learned. */
function startOf(pid: number): string | null {
  try {
    // In a namespace without a /proc of its own, the numbers in /proc are those of another one.
    if (fs.readlinkSync('/proc/self') !== String(process.pid)) return null
    const stat = fs.readFileSync(`/proc/${pid}/stat`, 'latin1')
    // Fields are counted from the end of the name, which may hold spaces; the start is field 22.
    const ticks = stat.slice(stat.lastIndexOf(')') + 2).split(' ')[19]
    return /^\d+$/.test(ticks) ? BigInt(ticks).toString(36) : null
  } catch {
    return null
  }
}

function isRunning(pid: number): boolean {
  try {
    process.kill(pid, 0)
    return true
  } catch (error) {
    return !isSystemError(error) || error.code !== 'ESRCH'
  }
}

/** When anything at or below `file` last changed, renames included; 0 when it is gone. */
function newestChangeMs(file: string): number {
  const stat = fs.lstatSync(file, { throwIfNoEntry: false })
  if (stat === undefined) return 0
  if (!stat.isDirectory()) return stat.ctimeMs
  try {
    const below = fs.readdirSync(file).map(name => newestChangeMs(path.join(file, name)))
    return Math.max(stat.ctimeMs, ...below)
  } catch {
    // What cannot be read cannot be called untouched.
    return Number.POSITIVE_INFINITY
  }
}
