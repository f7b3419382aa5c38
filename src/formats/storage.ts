// What the operating system does for the writers of this program, and what it refuses: directories are created
// here, and its errors become StorageErrors that say what to do.

import fs from 'node:fs'
import os from 'node:os'
import path from 'node:path'
import { FlickerError, StorageError } from '../errors.js'

/**
 * Creates `directory` and its missing parents. A directory that exists is left as it is. Throws StorageError
 * NOT_A_DIRECTORY, LINK_DANGLING, LINK_LOOP, DIRECTORY_REFUSED, PERMISSION_DENIED, READ_ONLY, NAME_TOO_LONG, …
 *
 * Node's own `mkdirSync(…, { recursive: true })` never returns where the file system answers ENOENT to a new
 * directory below an existing one, as /proc does.
 */
export function createDirectory(directory: string): void {
  const target = absolutePath(directory)
  try {
    const missing: string[] = []
    for (let current = target; !isDirectory(current); current = path.dirname(current)) missing.push(current)
    for (const next of missing.reverse()) createOne(next)
  } catch (cause) {
    throw storageError(cause, target, 0)
  }
}

/** Whether `candidate` is a directory; false where there is nothing. Throws when something else stands there. */
function isDirectory(candidate: string): boolean {
  const stat = fs.statSync(candidate, { throwIfNoEntry: false })
  if (stat?.isDirectory()) return true
  if (stat !== undefined) throw notADirectory(candidate)
  refuseDanglingLink(candidate)
  return false
}

function createOne(directory: string): void {
  try {
    fs.mkdirSync(directory)
  } catch (cause) {
    if (!isSystemError(cause)) throw cause
    // Another process may have created it in the meantime.
    if (cause.code === 'EEXIST' && fs.statSync(directory, { throwIfNoEntry: false })?.isDirectory()) return
    if (cause.code !== 'ENOENT') throw cause
    throw new StorageError(
      'DIRECTORY_REFUSED',
      `${directory} cannot be created: its file system accepts no new directories, or ` +
        `${path.dirname(directory)} has just been removed; write elsewhere`,
      { exitCode: 1, cause },
    )
  }
}

/**
 * What stands at `file`, links followed; null where there is nothing. Throws StorageError when the system will not say:
 * LINK_LOOP, PERMISSION_DENIED, NAME_TOO_LONG, …
 */
export function statOrNull(file: string): fs.Stats | null {
  try {
    return fs.statSync(file, { throwIfNoEntry: false }) ?? null
  } catch (cause) {
    if (isSystemError(cause) && cause.code === 'ENOTDIR') return null
    throw storageError(cause, file, 0)
  }
}

/** Throws StorageError LINK_DANGLING when `file` is a symbolic link to something that does not exist. */
export function refuseDanglingLink(file: string): void {
  const link = fs.lstatSync(file, { throwIfNoEntry: false })
  if (link === undefined || !link.isSymbolicLink() || fs.existsSync(file)) return
  throw new StorageError(
    'LINK_DANGLING',
    `${file} is a symbolic link to ${fs.readlinkSync(file)}, which does not exist; remove the link or choose another name`,
  )
}

/** `file` from the root. Throws StorageError PATH_INVALID for what can be no path. */
export function absolutePath(file: string): string {
  if (typeof file === 'string' && file !== '' && !file.includes('\0')) return path.resolve(file)
  throw new StorageError(
    'PATH_INVALID',
    `${JSON.stringify(file)} is not a path: give the name of a file or directory`,
  )
}

export function notADirectory(file: string): StorageError {
  return new StorageError('NOT_A_DIRECTORY', `${file} exists and is not a directory; choose another name`)
}

/** Whether this is an error of the operating system (`ENOSPC`, …). */
export function isSystemError(error: unknown): error is NodeJS.ErrnoException {
  return error instanceof Error && 'errno' in error && 'code' in error
}

/** An error of the operating system as a StorageError about `file`; anything else as it is. */
export function storageError(cause: unknown, file: string, bytesNeeded: number): unknown {
  if (cause instanceof FlickerError || !isSystemError(cause)) return cause
  const failure = (code: string, message: string) => new StorageError(code, message, { exitCode: 1, cause })
  // Quotas have no name in Node, only the number.
  if (cause.errno !== undefined && -cause.errno === os.constants.errno.EDQUOT) {
    return failure(
      'QUOTA_EXCEEDED',
      `${file} does not fit your disk quota; free some space or write elsewhere`,
    )
  }
  switch (cause.code) {
    case 'ENOSPC':
      return failure(
        'DISK_FULL',
        `the disk is full: writing ${file} needs ${describeBytes(bytesNeeded)}, ${freeSpace(file)} free; ` +
          'what was there before is untouched; free some space or write elsewhere',
      )
    case 'EACCES':
    case 'EPERM':
      return failure(
        'PERMISSION_DENIED',
        `no permission for ${file} (${cause.code}); check its owner and mode`,
      )
    case 'EROFS':
      return failure('READ_ONLY', `${file} is on a read-only file system; write elsewhere`)
    case 'ENOTDIR':
    case 'EEXIST':
      return failure(
        'NOT_A_DIRECTORY',
        `${file}: a file stands where a directory is needed; choose another name`,
      )
    case 'ENAMETOOLONG':
      return failure('NAME_TOO_LONG', `${file}: the name is too long for this file system`)
    case 'ELOOP':
      return failure('LINK_LOOP', `${file}: symbolic links on its path lead in a circle; remove them`)
    case 'EMFILE':
    case 'ENFILE':
      return failure('TOO_MANY_OPEN_FILES', `${file}: too many open files; raise the limit (ulimit -n)`)
    default:
      return failure('STORAGE_FAILED', `the operating system refused ${file}: ${cause.message}`)
  }
}

/** A byte count for people: `1.5 MB (1,500,000 bytes)`. */
function describeBytes(bytes: number): string {
  const units = ['bytes', 'kB', 'MB', 'GB', 'TB']
  const power = bytes < 1000 ? 0 : Math.min(units.length - 1, Math.floor(Math.log10(bytes) / 3))
  if (power === 0) return `${bytes} bytes`
  return `${(bytes / 1000 ** power).toFixed(1)} ${units[power]} (${bytes.toLocaleString('en-US')} bytes)`
}

function freeSpace(file: string): string {
  for (let directory = path.dirname(file); ; directory = path.dirname(directory)) {
    try {
      const { bavail, bsize } = fs.statfsSync(directory)
      return `${describeBytes(bavail * bsize)} are`
    } catch {
      if (directory === path.dirname(directory)) return 'an unknown amount is'
    }
  }
}
