// Lines of a file that are read when they are needed, so that memory does not grow with the file: of each line it is kept
// where it stands. A gzipped file, and lines that come from elsewhere, are written to a temporary file first.

import { isUtf8 } from 'node:buffer'
import fs from 'node:fs'
import os from 'node:os'
import path from 'node:path'
import { pipeline } from 'node:stream/promises'
import { createGunzip } from 'node:zlib'
import { FileProblem, openText } from '../data/text-file.js'
import { storageError } from '../formats/storage.js'

/** Bytes that are read at a time, at least. */
const BLOCK = 2 ** 16
const BYTE_ORDER_MARK = Buffer.from([0xef, 0xbb, 0xbf])
const NEWLINE = 0x0a

export interface Line {
  readonly text: string
  /** In the file, from 1. */
  readonly number: number
}

export class LineFile {
  readonly #file: OpenFile
  // Of each line that is not blank. Plain arrays of small integers and doubles: 4 to 8 bytes each.
  readonly #starts: number[] = []
  readonly #lengths: number[] = []
  readonly #numbers: number[] = []
  #block = Buffer.alloc(0)
  #blockStart = 0

  private constructor(file: OpenFile, name: string) {
    this.#file = file
    try {
      this.#index(name)
    } catch (error) {
      file.close()
      throw error
    }
  }

  /** The lines of a file, plain or gzipped (.gz). Throws FileProblem, StorageError. */
  static async open(file: string): Promise<LineFile> {
    const fd = openText(file)
    if (!file.endsWith('.gz')) return new LineFile({ fd, close: () => fs.closeSync(fd) }, file)
    const unpacked = temporaryFile()
    try {
      await pipeline(blocks(fd), createGunzip(), async (unzipped: AsyncIterable<Buffer>) => {
        for await (const bytes of unzipped) fs.writeFileSync(unpacked.fd, bytes)
      })
    } catch (error) {
      unpacked.close()
      const { code, message } = error as NodeJS.ErrnoException
      if (code?.startsWith('Z_') === true || code === 'ERR_TRAILING_JUNK_AFTER_STREAM_END') {
        throw new FileProblem('gzip', `${file} is not an intact gzip file (${message})`, error)
      }
      throw storageError(error, `${file}, unpacked in ${os.tmpdir()}`, 0)
    } finally {
      fs.closeSync(fd)
    }
    return new LineFile(unpacked, file)
  }

  /** Lines that come as they are made. Throws what making them throws, StorageError. */
  static async of(lines: AsyncIterable<string>, name: string): Promise<LineFile> {
    const file = temporaryFile()
    try {
      let text = ''
      for await (const line of lines) {
        text += `${line}\n`
        if (text.length < BLOCK) continue
        fs.writeFileSync(file.fd, text)
        text = ''
      }
      fs.writeFileSync(file.fd, text)
    } catch (error) {
      file.close()
      throw storageError(error, `${name}, stored in ${os.tmpdir()}`, 0)
    }
    return new LineFile(file, name)
  }

  /** How many there are that are not blank. */
  get length(): number {
    return this.#starts.length
  }

  /** The line of this index among those that are not blank. */
  at(index: number): Line {
    const [start, length] = [this.#starts[index], this.#lengths[index]]
    if (start < this.#blockStart || start + length > this.#blockStart + this.#block.length) {
      const block = Buffer.allocUnsafe(Math.max(BLOCK, length))
      this.#block = block.subarray(0, readInto(this.#file.fd, block, start))
      this.#blockStart = start
    }
    const from = start - this.#blockStart
    return { text: this.#block.toString('utf8', from, from + length), number: this.#numbers[index] }
  }

  close(): void {
    this.#file.close()
  }

  /** Throws FileProblem for what is no text. */
  #index(name: string): void {
    let number = 0
    for (const { bytes, at } of wholeLines(this.#file.fd)) {
      const nul = bytes.indexOf(0)
      if (nul >= 0) {
        throw new FileProblem('binary', `${name} is not text: it has a NUL byte at offset ${at + nul}`)
      }
      if (!isUtf8(bytes)) throw new FileProblem('binary', `${name} is not text: it is not valid UTF-8`)
      let start = at === 0 && bytes.subarray(0, 3).equals(BYTE_ORDER_MARK) ? 3 : 0
      while (start < bytes.length) {
        const newline = bytes.indexOf(NEWLINE, start)
        const end = newline === -1 ? bytes.length : newline
        number++
        if (!isBlank(bytes, start, end)) {
          this.#starts.push(at + start)
          this.#lengths.push(end - start)
          this.#numbers.push(number)
        }
        start = end + 1
      }
    }
  }
}

/** The bytes of an open file in blocks of whole lines; they are valid until the next block. Throws system errors. */
export function* wholeLines(fd: number): Generator<{ readonly bytes: Buffer; readonly at: number }> {
  let buffer = Buffer.allocUnsafe(BLOCK)
  let [at, held] = [0, 0]
  for (;;) {
    const count = fs.readSync(fd, buffer, held, buffer.length - held, at + held)
    const filled = held + count
    const end = count === 0 ? filled : buffer.lastIndexOf(NEWLINE, filled - 1) + 1
    if (end > 0) yield { bytes: buffer.subarray(0, end), at }
    if (count === 0) return
    buffer.copyWithin(0, end, filled)
    at += end
    held = filled - end
    // A line that is longer than what there is room for.
    if (held === buffer.length) buffer = Buffer.concat([buffer], 2 * buffer.length)
  }
}

interface OpenFile {
  readonly fd: number
  close(): void
}

/** An empty file that is gone when it is closed, or the process ends. Throws StorageError. */
function temporaryFile(): OpenFile {
  const directory = path.join(os.tmpdir(), 'flicker-rows-')
  try {
    const made = fs.mkdtempSync(directory)
    const fd = fs.openSync(path.join(made, 'lines'), 'wx+', 0o600)
    const remove = () => fs.rmSync(made, { recursive: true, force: true })
    // Without a name it takes no room any more once the process ends, however it ends.
    if (process.platform !== 'win32') remove()
    const close = () => {
      fs.closeSync(fd)
      remove()
      process.off('exit', close)
    }
    if (process.platform === 'win32') process.once('exit', close)
    return { fd, close }
  } catch (cause) {
    throw storageError(cause, directory, 0)
  }
}

/** The bytes of an open file. */
function* blocks(fd: number): Generator<Buffer> {
  for (let at = 0; ; ) {
    const block = Buffer.allocUnsafe(BLOCK)
    const count = readInto(fd, block, at)
    if (count === 0) return
    at += count
    yield block.subarray(0, count)
  }
}

/** Fills `buffer` from byte `start` of the file on; returns how many bytes there were. */
function readInto(fd: number, buffer: Buffer, start: number): number {
  let filled = 0
  for (;;) {
    const count = fs.readSync(fd, buffer, filled, buffer.length - filled, start + filled)
    filled += count
    if (count === 0 || filled === buffer.length) return filled
  }
}

/** Nothing but spaces, tabs and other ASCII white space. */
function isBlank(bytes: Buffer, start: number, end: number): boolean {
  for (let i = start; i < end; i++) {
    if (bytes[i] !== 0x20 && (bytes[i] < 0x09 || bytes[i] > 0x0d)) return false
  }
  return true
}
