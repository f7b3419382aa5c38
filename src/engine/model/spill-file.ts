// A temporary file for what need not be in memory. It has no name where the system allows that, and ends with the process.

import fs from 'node:fs'
import path from 'node:path'
import { StorageError } from '../../errors.js'
import { createDirectory } from '../../formats/storage.js'

export class SpillFile {
  #file: number | null = null
  #path: string | null = null
  #length = 0
  readonly #directory: string

  /** `directory` is created when something is first written. */
  constructor(directory: string) {
    this.#directory = directory
  }

  /** Appends `bytes` and returns their offset. Throws StorageError SPILL_FAILED. */
  append(bytes: Uint8Array): number {
    const offset = this.#length
    try {
      this.#file ??= this.#open()
      for (let done = 0; done < bytes.length; ) {
        done += fs.writeSync(this.#file, bytes, done, bytes.length - done, offset + done)
      }
    } catch (cause) {
      throw this.#failed('write to', cause)
    }
    this.#length += bytes.length
    return offset
  }

  /** Fills `into` with the bytes at `offset`. Throws StorageError SPILL_FAILED. */
  read(offset: number, into: Uint8Array): void {
    try {
      for (let done = 0; done < into.length; ) {
        const count = fs.readSync(this.#file ?? -1, into, done, into.length - done, offset + done)
        if (count === 0) throw new Error('the file has become shorter')
        done += count
      }
    } catch (cause) {
      throw this.#failed('read from', cause)
    }
  }

  close(): void {
    if (this.#file !== null) fs.closeSync(this.#file)
    if (this.#path !== null) fs.rmSync(this.#path, { force: true })
    this.#file = null
    this.#path = null
  }

  #open(): number {
    createDirectory(this.#directory)
    this.#path = path.join(
      this.#directory,
      `neurons-${process.pid}-${Date.now()}-${Math.random().toString(36).slice(2)}`,
    )
    const file = fs.openSync(this.#path, 'wx+', 0o600)
    try {
      // An open file stays readable without its name where the system allows that; elsewhere `close` removes it.
      fs.unlinkSync(this.#path)
      this.#path = null
    } catch {}
    return file
  }

  #failed(verb: string, cause: unknown): StorageError {
    const reason = cause instanceof Error ? cause.message : String(cause)
    return new StorageError(
      'SPILL_FAILED',
      `cannot ${verb} the file of inactive neurons in ${this.#directory}: ${reason}; leave out --compact, or set ` +
        'FLICKER_CACHE to a directory with free space',
      { exitCode: 1, cause },
    )
  }
}
