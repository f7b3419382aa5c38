// node:fs for the worker: the functions that read, on mounted files. Writing is not there: nothing that runs in a browser
// writes files this way.

import { type ByteSource, mountedFile, mountedNames } from '../files.js'

/** As Node's errors: code and number. */
class SystemError extends Error {
  readonly code: string
  readonly errno: number

  constructor(code: string, errno: number, path: string) {
    super(`${code}: ${path}`)
    this.code = code
    this.errno = errno
  }
}

const missing = (path: string) => new SystemError('ENOENT', -2, path)

interface Stat {
  readonly size: number
  isFile(): boolean
  isDirectory(): boolean
  isSymbolicLink(): boolean
}

function statOf(path: string): Stat | null {
  const file = mountedFile(path)
  const isDirectory = file === null && mountedNames(path) !== null
  if (file === null && !isDirectory) return null
  return {
    size: file?.size ?? 0,
    isFile: () => file !== null,
    isDirectory: () => isDirectory,
    isSymbolicLink: () => false,
  }
}

export function existsSync(path: string): boolean {
  return statOf(path) !== null
}

export function statSync(path: string, options?: { throwIfNoEntry?: boolean }): Stat | undefined {
  const stat = statOf(path)
  if (stat === null && options?.throwIfNoEntry !== false) throw missing(path)
  return stat ?? undefined
}

interface DirectoryEntry {
  readonly name: string
  isFile(): boolean
  isDirectory(): boolean
}

export function readdirSync(path: string): string[]
export function readdirSync(path: string, options: { withFileTypes: true }): DirectoryEntry[]
export function readdirSync(path: string, options?: { withFileTypes: true }): string[] | DirectoryEntry[] {
  const names = mountedNames(path)
  if (names === null) throw missing(path)
  if (options?.withFileTypes !== true) return names
  return names.map(name => {
    const isFile = mountedFile(`${path}/${name}`) !== null
    return { name, isFile: () => isFile, isDirectory: () => !isFile }
  })
}

const open = new Map<number, ByteSource>()
let opened = 3

function openSync(path: string): number {
  const file = mountedFile(path)
  if (file === null) throw statOf(path) === null ? missing(path) : new SystemError('EISDIR', -21, path)
  open.set(++opened, file)
  return opened
}

function sourceOf(fd: number): ByteSource {
  const source = open.get(fd)
  if (source === undefined) throw new SystemError('EBADF', -9, String(fd))
  return source
}

function fstatSync(fd: number): Stat {
  const { size } = sourceOf(fd)
  return { size, isFile: () => true, isDirectory: () => false, isSymbolicLink: () => false }
}

function readSync(fd: number, into: Uint8Array, offset: number, length: number, position: number): number {
  return sourceOf(fd).read(into.subarray(offset, offset + length), position)
}

export function readFileSync(file: number | string): Uint8Array {
  const source = typeof file === 'number' ? sourceOf(file) : mountedFile(file)
  if (source === null) throw missing(String(file))
  const bytes = new Uint8Array(source.size)
  source.read(bytes, 0)
  return bytes
}

function closeSync(fd: number): void {
  open.delete(fd)
}

export default {
  constants: { O_RDONLY: 0 },
  existsSync,
  statSync,
  lstatSync: statSync,
  readdirSync,
  realpathSync: (path: string) => path,
  openSync,
  fstatSync,
  readSync,
  readFileSync,
  closeSync,
}
