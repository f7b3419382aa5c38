// One process trains in a run's directory at a time. The owner keeps `train.lock` there, with what identifies it.
// Of an owner on this machine, in this namespace of process ids, it is known whether it still runs. One on another
// machine or in another container counts as running while it renews its lock. The owner checks the lock before it
// saves, so that even a lock that was taken over too early never leads to two writers.

import { randomUUID } from 'node:crypto'
import fs from 'node:fs'
import os from 'node:os'
import path from 'node:path'
import { z } from 'zod'
import { StorageError } from '../errors.js'
import { createDirectory, storageError } from '../formats/index.js'
import { isAlive, thisOwner } from '../formats/temporaries.js'

const LOCK_FILE = 'train.lock'
/** How often the owner renews its lock. */
const RENEW_MS = 5000
/** After this time without renewal an owner whose life cannot be checked is taken for dead. */
const STALE_MS = 5 * 60_000

const lockSchema = z.object({
  /** Tells this lock from any other, also of the same process. */
  token: z.string(),
  host: z.string(),
  pid: z.int(),
  /** As `thisOwner` names the process. */
  owner: z.string(),
})
type Lock = z.infer<typeof lockSchema>

export class RunLock {
  readonly #file: string
  readonly #fd: number
  readonly #content: Buffer
  #renewed = performance.now()

  private constructor(file: string, fd: number, content: Buffer) {
    this.#file = file
    this.#fd = fd
    this.#content = content
  }

  /** Creates `directory` where needed and locks it. Throws StorageError: RUN_LOCKED, and what creating a file throws. */
  static acquire(directory: string): RunLock {
    createDirectory(directory)
    const file = path.join(directory, LOCK_FILE)
    const lock: Lock = { token: randomUUID(), host: os.hostname(), pid: process.pid, owner: thisOwner() }
    const content = Buffer.from(`${JSON.stringify(lock)}\n`)
    const candidate = path.join(directory, `.${LOCK_FILE}.${lock.token}`)
    try {
      const fd = fs.openSync(candidate, 'wx+')
      try {
        fs.writeSync(fd, content, 0, content.length, 0)
        if (!linkedAs(candidate, file)) takeOver(candidate, file, directory)
        return new RunLock(file, fd, content)
      } catch (error) {
        fs.closeSync(fd)
        throw error
      }
    } catch (cause) {
      throw storageError(cause, file, content.length)
    } finally {
      fs.rmSync(candidate, { force: true })
    }
  }

  /** Throws StorageError RUN_LOCK_LOST when another process has taken the run over. */
  confirm(): void {
    if (!this.#isOurs()) {
      throw new StorageError(
        'RUN_LOCK_LOST',
        `${this.#file} no longer belongs to this process: another process has taken the run over, or the file was ` +
          'removed; this process stops without saving',
        { exitCode: 1 },
      )
    }
    this.#renewed = performance.now()
    try {
      // Writes into the file of this owner, even when another stands under its name by now.
      fs.writeSync(this.#fd, this.#content, 0, this.#content.length, 0)
    } catch {
      // A full disk must not end a run that does not need space now; without renewal the lock only ages.
    }
  }

  /** Confirms from time to time; cheap enough for every step. */
  renew(): void {
    if (performance.now() - this.#renewed > RENEW_MS) this.confirm()
  }

  release(): void {
    const ours = this.#isOurs()
    fs.closeSync(this.#fd)
    if (ours) fs.rmSync(this.#file, { force: true })
  }

  #isOurs(): boolean {
    try {
      return fs.readFileSync(this.#file).equals(this.#content)
    } catch {
      return false
    }
  }
}

/** Gives `candidate` the name `file` as well; false when that name is taken. The content is there from the start. */
function linkedAs(candidate: string, file: string): boolean {
  try {
    fs.linkSync(candidate, file)
    return true
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'EEXIST') return false
  }
  // A file system without hard links.
  try {
    fs.copyFileSync(candidate, file, fs.constants.COPYFILE_EXCL)
    return true
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'EEXIST') return false
    throw error
  }
}

/** Replaces the lock of an owner that is dead by `candidate`. Throws RUN_LOCKED when the owner lives. */
function takeOver(candidate: string, file: string, directory: string): void {
  refuseLiving(candidate, file, directory)
  // Two processes may see the same dead owner: only one of them passes here at a time, and looks again.
  const guard = `${file}.takeover`
  try {
    fs.mkdirSync(guard)
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'EEXIST') throw error
    if (age(candidate, guard) < STALE_MS) throw locked(directory, 'another process is just starting there')
    // Its maker was killed between two calls.
    fs.rmdirSync(guard)
    fs.mkdirSync(guard)
  }
  try {
    refuseLiving(candidate, file, directory)
    fs.renameSync(candidate, file)
  } finally {
    fs.rmdirSync(guard)
  }
}

function refuseLiving(candidate: string, file: string, directory: string): void {
  const lock = readLock(file)
  const silence = age(candidate, file)
  const alive = lock === null ? null : isAlive(lock.owner)
  if (alive === false || (alive === null && silence >= STALE_MS)) return
  const who = lock === null ? 'an unknown process' : `process ${lock.pid} on ${lock.host}`
  const seen = alive === true ? '' : `, last active ${Math.round(silence / 1000)} s ago`
  throw locked(directory, `${who} is training there${seen}`, alive === true ? undefined : file)
}

function locked(directory: string, reason: string, file?: string): StorageError {
  const hint = file === undefined ? '' : `; if that process is gone, remove ${file}`
  return new StorageError(
    'RUN_LOCKED',
    `${directory} is in use: ${reason}; wait for it to end, or choose another directory${hint}`,
  )
}

/** Null for what is no lock of ours, or is gone. */
function readLock(file: string): Lock | null {
  try {
    return lockSchema.parse(JSON.parse(fs.readFileSync(file, 'utf8')))
  } catch {
    return null
  }
}

/** Milliseconds since `file` was written, by the clock of its own file system: `candidate` has just been written there. */
function age(candidate: string, file: string): number {
  const written = fs.statSync(file, { throwIfNoEntry: false })?.mtimeMs ?? 0
  return fs.statSync(candidate).mtimeMs - written
}
