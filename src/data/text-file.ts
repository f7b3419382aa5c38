// Reads one file from outside as bytes or as text, plain or gzipped, and says which of the many things that can be
// wrong with it is wrong. Corpora and tokenizers both come in through here.

import { type Dirent, readdirSync, statSync } from 'node:fs'
import { gunzipSync } from 'node:zlib'
import { openRegularFile, readRegularFile, UnreadFile } from '../regular-file.js'

/** Most bytes one file may hold after unpacking: a JavaScript string cannot be longer than 2²⁹ − 24 characters. */
export const MAX_TEXT_BYTES = 2 ** 29 - 24

export type FileFault = 'missing' | 'unreadable' | 'gzip' | 'too-large' | 'binary'

/** What this file's functions throw; each caller turns it into its own FlickerError. */
export class FileProblem extends Error {
  readonly fault: FileFault

  constructor(fault: FileFault, message: string, cause?: unknown) {
    super(message, cause === undefined ? undefined : { cause })
    this.fault = fault
  }
}

function reason(error: unknown): string {
  return error instanceof Error ? error.message : String(error)
}

/** What a path leads to. Throws FileProblem when the operating system will not say. */
export function kindOf(path: string): 'directory' | 'file' | 'missing' {
  try {
    const stat = statSync(path, { throwIfNoEntry: false })
    return stat === undefined ? 'missing' : stat.isDirectory() ? 'directory' : 'file'
  } catch (error) {
    throw new FileProblem('unreadable', `${path} cannot be read: ${reason(error)}`, error)
  }
}

/** Entries of a directory. Throws FileProblem. */
export function readDirectory(path: string): Dirent[] {
  try {
    return readdirSync(path, { withFileTypes: true })
  } catch (error) {
    throw new FileProblem('unreadable', `${path} cannot be read: ${reason(error)}`, error)
  }
}

/** The content of a file of at most `mostBytes`, unpacked when its name ends in .gz. Throws FileProblem. */
export function readBytes(path: string, mostBytes = MAX_TEXT_BYTES): Uint8Array {
  let raw: Uint8Array
  try {
    raw = readRegularFile(path, mostBytes)
  } catch (error) {
    if (error instanceof UnreadFile && error.fault === 'too-large') {
      throw mostBytes === MAX_TEXT_BYTES
        ? tooLarge(path)
        : new FileProblem('too-large', `${path} ${error.message}`, error)
    }
    throw unread(path, error)
  }
  if (!path.endsWith('.gz')) return raw
  try {
    return gunzipSync(raw, { maxOutputLength: MAX_TEXT_BYTES })
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ERR_BUFFER_TOO_LARGE') throw tooLarge(path)
    throw new FileProblem('gzip', `${path} is not an intact gzip file (${reason(error)})`, error)
  }
}

/** A descriptor of a regular file of any size, to be closed by the caller. Throws FileProblem. */
export function openText(path: string): number {
  try {
    return openRegularFile(path).fd
  } catch (error) {
    throw unread(path, error)
  }
}

function unread(path: string, error: unknown): FileProblem {
  if (error instanceof UnreadFile) return new FileProblem('unreadable', `${path} ${error.message}`, error)
  if ((error as NodeJS.ErrnoException).code === 'ENOENT') {
    return new FileProblem('missing', `${path} does not exist`, error)
  }
  return new FileProblem('unreadable', `${path} cannot be read: ${reason(error)}`, error)
}

function tooLarge(path: string): FileProblem {
  const limit = Math.floor(MAX_TEXT_BYTES / 1e6)
  return new FileProblem('too-large', `${path} holds more than ${limit} MB; split it into several files`)
}

/** UTF-8 bytes as text, without a leading byte order mark. Throws FileProblem (`binary`) for anything else. */
export function decodeText(bytes: Uint8Array, path: string): string {
  const nul = bytes.indexOf(0)
  if (nul >= 0) throw new FileProblem('binary', `${path} is not text: it has a NUL byte at offset ${nul}`)
  try {
    return new TextDecoder('utf-8', { fatal: true }).decode(bytes)
  } catch (error) {
    throw new FileProblem('binary', `${path} is not text: it is not valid UTF-8`, error)
  }
}
