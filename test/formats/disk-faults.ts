// Faults of the file system for tests, made by replacing node:fs calls.

import fs from 'node:fs'
import { vi } from 'vitest'

export function systemError(code: string, errno: number): NodeJS.ErrnoException {
  return Object.assign(new Error(`${code}: from the test`), { code, errno, syscall: 'write' })
}

/** From now on the disk holds `capacity` more bytes; a write that meets the end is cut short, the next one fails. */
export function fillDiskAfter(capacity: number): void {
  const writeSync = fs.writeSync
  let left = capacity
  const limited = (
    fd: number,
    bytes: Uint8Array,
    offset: number,
    length: number,
    position: number | null,
  ) => {
    if (left === 0) throw systemError('ENOSPC', -28)
    const written = writeSync(fd, bytes, offset, Math.min(length, left), position)
    left -= written
    return written
  }
  vi.spyOn(fs, 'writeSync').mockImplementation(limited as typeof fs.writeSync)
}

class Killed extends Error {}

/**
 * Runs `work` as if the process were killed within its call number `calls` (from 0) that changes the disk: that
 * call is done half, and nothing after it happens, clean-up included. Returns whether `work` came to its end.
 */
export function runKilledAfter(calls: number, work: () => void): boolean {
  let left = calls
  const survive = () => {
    if (left-- > 0) return
    throw new Killed()
  }
  const { openSync, writeSync, fsyncSync, renameSync, mkdirSync, rmSync } = fs
  vi.spyOn(fs, 'openSync').mockImplementation((file, flags, mode) => {
    if (flags !== 'r') survive()
    return openSync(file, flags, mode)
  })
  const write = (fd: number, bytes: Uint8Array, offset: number, length: number, position: number | null) => {
    if (left === 0) writeSync(fd, bytes, offset, length >> 1, position)
    survive()
    return writeSync(fd, bytes, offset, length, position)
  }
  vi.spyOn(fs, 'writeSync').mockImplementation(write as typeof fs.writeSync)
  vi.spyOn(fs, 'fsyncSync').mockImplementation(fd => {
    survive()
    fsyncSync(fd)
  })
  vi.spyOn(fs, 'renameSync').mockImplementation((from, to) => {
    survive()
    renameSync(from, to)
  })
  const mkdir = (directory: fs.PathLike, options?: fs.MakeDirectoryOptions) => {
    survive()
    return mkdirSync(directory, options)
  }
  vi.spyOn(fs, 'mkdirSync').mockImplementation(mkdir as typeof fs.mkdirSync)
  vi.spyOn(fs, 'rmSync').mockImplementation((file, options) => {
    if (left === 0 && fs.existsSync(file) && fs.statSync(file).isDirectory()) {
      for (const name of fs.readdirSync(file).slice(1)) rmSync(`${file}/${name}`, options)
    }
    survive()
    rmSync(file, options)
  })
  try {
    work()
    return true
  } catch (error) {
    if (!(error instanceof Killed)) throw error
    return false
  } finally {
    vi.restoreAllMocks()
  }
}
