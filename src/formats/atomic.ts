// Writing that a crash cannot spoil: content goes to a temporary sibling, is fsynced and renamed into place, so a
// kill at any moment leaves either the old content or the new. What the operating system refuses becomes a
// StorageError. What killed processes left is removed at the next write; what another process may still be writing is
// not, and a directory is checked against the list of its files before it replaces another and before that is deleted.

import fs from 'node:fs'
import path from 'node:path'
import { StorageError } from '../errors.js'
import {
  absolutePath,
  createDirectory,
  isSystemError,
  notADirectory,
  refuseDanglingLink,
  statOrNull,
  storageError,
} from './storage.js'
import { isAbandoned, parseTemporary, temporariesIn, temporarySibling } from './temporaries.js'

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
    const fd = fs.openSync(temporary, 'wx')
    try {
      sweepTemporaries(directory, temporary)
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
    const named = namedLoss(cause, temporary, target)
    removeIfPossible(temporary)
    throw storageError(named, target, bytesNeeded)
  }
}

/** A file of a directory that is written as a whole. */
export interface DirectoryFile {
  readonly name: string
  /** Its size when it is complete. */
  readonly bytes: number
  /** Creates the file at `path`, which does not exist yet. */
  write(path: string): void
}

/**
 * Replaces a whole directory by one with these files. All are written under another name, fsynced and checked to be
 * there in full before anything is renamed. A directory cannot be renamed over another, so an existing one steps aside
 * first; a process killed between these two renames leaves it under its `old` name, where `resolveDirectory` finds
 * it. It is deleted only when the new one has been found complete in its place. On failure the directory is as it
 * was. Throws StorageError, WRITE_LOST (another program removed what was written) and WRITTEN_MEANWHILE among them,
 * or what a `write` throws.
 */
export function writeDirectoryAtomic(directory: string, files: readonly DirectoryFile[]): void {
  const target = throughLinks(directory)
  const parent = path.dirname(target)
  const temporary = temporarySibling(target, 'tmp')
  const aside = temporarySibling(target, 'old')
  let isReplaced = false
  try {
    if (fs.existsSync(target) && !fs.statSync(target).isDirectory()) {
      throw notADirectory(target)
    }
    createDirectory(parent)
    fs.mkdirSync(temporary)
    sweepTemporaries(parent, temporary)
    for (const { name, write } of files) write(path.join(temporary, name))
    syncTree(temporary)
    requireComplete(temporary, files, target)
    if (fs.existsSync(target)) fs.renameSync(target, aside)
    moveIntoPlace(temporary, target)
    isReplaced = true
    requireComplete(target, files, target)
    syncDirectory(parent)
  } catch (cause) {
    const named = isReplaced ? cause : namedLoss(cause, temporary, target)
    if (isReplaced) renameIfPossible(target, temporary)
    if (!fs.existsSync(target) && fs.existsSync(aside)) renameIfPossible(aside, target)
    removeIfPossible(temporary)
    const bytesNeeded = files.reduce((sum, { bytes }) => sum + bytes, 0)
    throw storageError(named, target, bytesNeeded)
  }
  removeIfPossible(aside)
}

/** Throws StorageError WRITE_LOST unless every file is there with its size. */
function requireComplete(directory: string, files: readonly DirectoryFile[], target: string): void {
  for (const { name, bytes } of files) {
    const stat = fs.lstatSync(path.join(directory, name), { throwIfNoEntry: false })
    if (stat?.isFile() !== true) throw lost(target, `${name} is gone`)
    if (stat.size !== bytes) throw lost(target, `${name} has ${stat.size} bytes, not ${bytes}`)
  }
}

function lost(target: string, what: string): StorageError {
  return new StorageError(
    'WRITE_LOST',
    `${target} was not written: of what had been written for it, ${what}; ` +
      'another program removes files there; what was there before is untouched; write it again',
    { exitCode: 1 },
  )
}

/** A failure because the temporary is gone, as one that says so; any other as it is. */
function namedLoss(cause: unknown, temporary: string, target: string): unknown {
  const isLoss = isSystemError(cause) && cause.code === 'ENOENT' && !fs.existsSync(temporary)
  return isLoss ? lost(target, 'everything is gone') : cause
}

/** The rename, when nothing stands there any more. Throws StorageError WRITTEN_MEANWHILE. */
function moveIntoPlace(temporary: string, target: string): void {
  try {
    fs.renameSync(temporary, target)
  } catch (cause) {
    if (!isSystemError(cause) || (cause.code !== 'ENOTEMPTY' && cause.code !== 'EEXIST')) throw cause
    throw new StorageError(
      'WRITTEN_MEANWHILE',
      `${target} was written by another process at the same time; its content stays`,
      { exitCode: 1, cause },
    )
  }
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
 * two renames, the copy that stepped aside. Null when there is neither. Throws StorageError when the system will not
 * say (links in a circle, no permission).
 */
export function resolveDirectory(directory: string): string | null {
  const target = absolutePath(directory)
  if (statOrNull(target) !== null) return fs.realpathSync(target)
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
    const temporary = parseTemporary(entry.name)
    if (!entry.isDirectory() || temporary?.kind === 'tmp') continue
    names.add(temporary === null ? entry.name : temporary.target)
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

/** A file of a directory with this content. */
export function contentFile(name: string, content: string | Uint8Array): DirectoryFile {
  return {
    name,
    bytes: Buffer.byteLength(content),
    write(file) {
      const fd = fs.openSync(file, 'wx')
      try {
        for (const piece of piecesOf(content)) writeFully(fd, piece)
      } finally {
        fs.closeSync(fd)
      }
    },
  }
}

/** The file behind symbolic links, so that a link is written through and not replaced. Throws StorageError. */
function throughLinks(file: string): string {
  const absolute = absolutePath(file)
  if (statOrNull(absolute) !== null) return fs.realpathSync(absolute)
  try {
    refuseDanglingLink(absolute)
  } catch (cause) {
    throw storageError(cause, absolute, 0)
  }
  return absolute
}

/**
 * Removes what killed processes left in `directory`; puts back a directory that had only stepped aside. ownTemporary
 * has just been made and tells the time by the clock of the file system, which may be another host's.
 */
function sweepTemporaries(directory: string, ownTemporary: string): void {
  const nowMs = changedMs(ownTemporary)
  for (const temporary of temporariesIn(directory)) {
    if (!isAbandoned(directory, temporary, nowMs)) continue
    const file = path.join(directory, temporary.name)
    const home = path.join(directory, temporary.target)
    if (temporary.kind === 'old' && !fs.existsSync(home)) renameIfPossible(file, home)
    else removeIfPossible(file)
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
    if (!entry.isFile()) continue
    const fd = fs.openSync(path.join(directory, entry.name), 'r+')
    try {
      fs.fsyncSync(fd)
    } finally {
      fs.closeSync(fd)
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
