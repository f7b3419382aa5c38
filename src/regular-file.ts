// Files that a user names are read only when they are regular files of bounded size: a pipe is waited for without end,
// a device such as /dev/zero is read without end.

import fs from 'node:fs'

/** A file that is not read, and why; each reader turns it into its own FlickerError. */
export class UnreadFile extends Error {
  readonly fault: 'directory' | 'irregular' | 'too-large'

  /** `message` follows the file's name: `is not a regular file`. */
  constructor(fault: UnreadFile['fault'], message: string) {
    super(message)
    this.fault = fault
  }
}

/** A descriptor to read from; a pipe without a writer is opened too, not waited for. Throws system errors. */
export function openToRead(file: string): number {
  // Windows has no such flag, and no such pipes among its files.
  return fs.openSync(file, fs.constants.O_RDONLY | (fs.constants.O_NONBLOCK ?? 0))
}

/** A regular file, open to read, to be closed by the caller. Throws UnreadFile, system errors. */
export function openRegularFile(file: string): { readonly fd: number; readonly size: number } {
  const fd = openToRead(file)
  try {
    const stat = fs.fstatSync(fd)
    if (stat.isDirectory()) throw new UnreadFile('directory', 'is a directory, not a regular file')
    if (!stat.isFile()) throw new UnreadFile('irregular', 'is not a regular file')
    return { fd, size: stat.size }
  } catch (error) {
    fs.closeSync(fd)
    throw error
  }
}

/** The bytes of a regular file of at most `mostBytes`. Throws UnreadFile, system errors. */
export function readRegularFile(file: string, mostBytes: number): Uint8Array {
  const { fd, size } = openRegularFile(file)
  try {
    if (size > mostBytes) {
      throw new UnreadFile('too-large', `has ${size} bytes, more than the limit of ${mostBytes}`)
    }
    return fs.readFileSync(fd)
  } finally {
    fs.closeSync(fd)
  }
}

/** Bytes as text; what is not UTF-8 becomes U+FFFD. */
export function utf8(bytes: Uint8Array): string {
  return new TextDecoder('utf-8', { ignoreBOM: true }).decode(bytes)
}
