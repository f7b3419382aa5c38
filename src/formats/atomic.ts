// Writing that a crash cannot spoil: content goes to a temporary sibling, is fsynced and renamed into place, so a
// kill at any moment leaves either the old content or the new. What the operating system refuses becomes a
// StorageError. Temporaries are `.NAME.tmp-PID-N`; those of processes that are gone are swept at the next write.

import fs from 'node:fs'
import path from 'node:path'
import { StorageError } from '../errors.js'
import {
  absolutePath,
  createDirectory,
  isSystemError,
  notADirectory,
  refuseDanglingLink,
  storageError,
} from './storage.js'

/** `tmp`: unfinished or on its way out. `old`: the complete content that a rename is about to replace. */
type TemporaryKind = 'tmp' | 'old'

const TEMPORARY_NAME = /^\.(.+)\.(tmp|old)-(\d+)-\d+$/
const processStartMs = Date.now() - process.uptime() * 1000
let temporariesMade = 0

/**
 * Replaces one file by `content`, a whole or its pieces in order. Parent directories are made. On failure the
 * file is as it was. Throws StorageError.
 */
export function writeFileAtomic(
  file: string,
  content: string | Uint8Array | Iterable<string | Uint8Array>,
): void {
  const target = throughLinks(file)
  const directory = path.dirname(target)
  const temporary = temporarySibling(target, 'tmp')
  let bytesNeeded = 0
  try {
    if (fs.existsSync(target) && !fs.statSync(target).isFile()) {
      throw new StorageError(
        'NOT_A_FILE',
        `${target} exists and is not an ordinary file; choose another name`,
      )
    }
    createDirectory(directory)
    sweepTemporaries(directory)
    const fd = fs.openSync(temporary, 'wx')
    try {
      for (const piece of piecesOf(content)) {
        bytesNeeded += piece.byteLength
        writeFully(fd, piece)
      }
      fs.fsyncSync(fd)
    } finally {
      fs.closeSync(fd)
    }
    fs.renameSync(temporary, target)
    syncDirectory(directory)
  } catch (cause) {
    removeIfPossible(temporary)
    throw storageError(cause, target, bytesNeeded)
  }
}

/**
 * Replaces a whole directory by what `write` puts into the temporary directory that it is given. Everything there
 * is fsynced before the rename. A directory cannot be renamed over another, so an existing one steps aside first;
 * a process killed between these two renames leaves it under its `old` name, where `resolveDirectory` finds it.
 * On failure the directory is as it was. `bytesNeeded` is for the message when the disk is full.
 * Throws StorageError, or what `write` throws.
 */
export function writeDirectoryAtomic(
  directory: string,
  write: (temporaryDirectory: string) => void,
  options: { bytesNeeded?: number } = {},
): void {
  const target = throughLinks(directory)
  const parent = path.dirname(target)
  const temporary = temporarySibling(target, 'tmp')
  const aside = temporarySibling(target, 'old')
  try {
    if (fs.existsSync(target) && !fs.statSync(target).isDirectory()) {
      throw notADirectory(target)
    }
    createDirectory(parent)
    sweepTemporaries(parent)
    fs.mkdirSync(temporary)
    write(temporary)
    syncTree(temporary)
    if (fs.existsSync(target)) fs.renameSync(target, aside)
    fs.renameSync(temporary, target)
    syncDirectory(parent)
  } catch (cause) {
    const bytesNeeded = options.bytesNeeded ?? bytesBelow(temporary)
    if (!fs.existsSync(target) && fs.existsSync(aside)) renameIfPossible(aside, target)
    removeIfPossible(temporary)
    throw storageError(cause, target, bytesNeeded)
  }
  removeIfPossible(aside)
}

/** Deletes a directory so that no half of it is ever seen under its name: renamed first, then removed. */
export function removeDirectoryAtomic(directory: string): void {
  const temporary = temporarySibling(directory, 'tmp')
  try {
    fs.renameSync(directory, temporary)
    fs.rmSync(temporary, { recursive: true, force: true })
  } catch (cause) {
    throw storageError(cause, directory, 0)
  }
}

/**
 * Where the complete content of `directory` lies: the directory itself or, when a writer was killed between its
 * two renames, the copy that stepped aside. Null when there is neither.
 */
export function resolveDirectory(directory: string): string | null {
  const target = throughLinks(directory)
  if (fs.existsSync(target)) return target
  const parent = path.dirname(target)
  const candidates = temporariesIn(parent)
    .filter(temporary => temporary.kind === 'old' && temporary.target === path.basename(target))
    .map(({ name }) => ({ file: path.join(parent, name), changed: changedMs(path.join(parent, name)) }))
    .sort((a, b) => b.changed - a.changed)
  return candidates.length === 0 ? null : candidates[0].file
}

/** Names of the complete directories in `parent`, those included that only exist as the copy that stepped aside. */
export function completeDirectories(parent: string): string[] {
  const names = new Set<string>()
  for (const entry of fs.readdirSync(parent, { withFileTypes: true })) {
    const temporary = TEMPORARY_NAME.exec(entry.name)
    if (!entry.isDirectory() || temporary?.[2] === 'tmp') continue
    names.add(temporary === null ? entry.name : temporary[1])
  }
  return [...names]
}

/** Writes all of `bytes`, at the file's current position or at `position`, however little one call takes. */
export function writeFully(fd: number, bytes: Uint8Array, position?: number): void {
  let written = 0
  while (written < bytes.byteLength) {
    const at = position === undefined ? null : position + written
    written += fs.writeSync(fd, bytes, written, bytes.byteLength - written, at)
  }
}

/** Writes a file that must not exist yet. Not atomic: for use inside writeDirectoryAtomic. */
export function writeNewFile(file: string, content: string | Uint8Array): void {
  const fd = fs.openSync(file, 'wx')
  try {
    for (const piece of piecesOf(content)) writeFully(fd, piece)
  } finally {
    fs.closeSync(fd)
  }
}

/** The file behind symbolic links, so that a link is written through and not replaced. */
function throughLinks(file: string): string {
  const absolute = absolutePath(file)
  try {
    if (fs.statSync(absolute, { throwIfNoEntry: false }) !== undefined) return fs.realpathSync(absolute)
    refuseDanglingLink(absolute)
    return absolute
  } catch (cause) {
    throw storageError(cause, absolute, 0)
  }
}

function temporarySibling(target: string, kind: TemporaryKind): string {
  temporariesMade++
  return path.join(
    path.dirname(target),
    `.${path.basename(target)}.${kind}-${process.pid}-${temporariesMade}`,
  )
}

function temporariesIn(directory: string): { name: string; target: string; kind: string; pid: number }[] {
  let names: string[]
  try {
    names = fs.readdirSync(directory)
  } catch {
    return []
  }
  return names.flatMap(name => {
    const match = TEMPORARY_NAME.exec(name)
    return match === null ? [] : [{ name, target: match[1], kind: match[2], pid: Number(match[3]) }]
  })
}

/** Removes what killed processes left in `directory`; puts back a directory that had only stepped aside. */
function sweepTemporaries(directory: string): void {
  for (const { name, target, kind, pid } of temporariesIn(directory)) {
    const temporary = path.join(directory, name)
    if (isInUse(pid, temporary)) continue
    const home = path.join(directory, target)
    if (kind === 'old' && !fs.existsSync(home)) renameIfPossible(temporary, home)
    else removeIfPossible(temporary)
  }
}

/** Whether the process that made this temporary still lives. Process ids return: in containers often the same one. */
function isInUse(pid: number, temporary: string): boolean {
  if (pid === process.pid) return changedMs(temporary) >= processStartMs - 100
  try {
    process.kill(pid, 0)
    return true
  } catch (error) {
    return isSystemError(error) && error.code === 'EPERM'
  }
}

/** When the inode last changed, renames included; 0 when it is gone. */
function changedMs(file: string): number {
  return fs.lstatSync(file, { throwIfNoEntry: false })?.ctimeMs ?? 0
}

function* piecesOf(content: string | Uint8Array | Iterable<string | Uint8Array>): Generator<Uint8Array> {
  const pieces = typeof content === 'string' || content instanceof Uint8Array ? [content] : content
  for (const piece of pieces) yield typeof piece === 'string' ? Buffer.from(piece, 'utf8') : piece
}

function syncTree(directory: string): void {
  for (const entry of fs.readdirSync(directory, { withFileTypes: true })) {
    const entryPath = path.join(directory, entry.name)
    if (entry.isDirectory()) {
      syncTree(entryPath)
    } else if (entry.isFile()) {
      const fd = fs.openSync(entryPath, 'r+')
      try {
        fs.fsyncSync(fd)
      } finally {
        fs.closeSync(fd)
      }
    }
  }
  syncDirectory(directory)
}

/** Makes renames in `directory` durable. Windows has no such call and needs none. */
function syncDirectory(directory: string): void {
  if (process.platform === 'win32') return
  const fd = fs.openSync(directory, 'r')
  try {
    fs.fsyncSync(fd)
  } catch (error) {
    // Some network file systems cannot sync a directory; the files in it are synced all the same.
    if (!isSystemError(error) || (error.code !== 'EINVAL' && error.code !== 'ENOTSUP')) throw error
  } finally {
    fs.closeSync(fd)
  }
}

function bytesBelow(directory: string): number {
  try {
    return fs
      .readdirSync(directory, { recursive: true, withFileTypes: true })
      .filter(entry => entry.isFile())
      .reduce((sum, entry) => sum + fs.statSync(path.join(entry.parentPath, entry.name)).size, 0)
  } catch {
    return 0
  }
}

/** For cleaning up after an error or a crash: a second failure must not hide the first. */
function removeIfPossible(file: string): void {
  try {
    fs.rmSync(file, { recursive: true, force: true })
  } catch {}
}

function renameIfPossible(from: string, to: string): void {
  try {
    fs.renameSync(from, to)
  } catch {}
}
