// An open file that is read piece by piece at given offsets. Nothing is allocated before it is known that the file
// is long enough, and a failure names the file.

import fs from 'node:fs'
import { CheckpointError } from '../errors.js'
import { readOnThreads } from '../kernels/native/read-file.js'
import { openToRead } from '../regular-file.js'
import { readingError } from './json.js'

export interface FileBytes {
  readonly file: string
  readonly size: number
  /** Bytes [offset, offset + length), in a buffer of their own. Throws CheckpointError with `truncatedCode`. */
  read(offset: number, length: number): Uint8Array<ArrayBuffer>
  /** Fills `into` from `offset` on. Throws as `read` does. */
  readInto(offset: number, into: Uint8Array): void
  close(): void
}

/** Fills `into` with the bytes of a tensor from byte `offset` on. Throws CheckpointError. */
export type TensorReader = (offset: number, into: Uint8Array) => void

/** A reader of `bytes` bytes in all, which `read` reads. */
export function partReader(bytes: number, read: TensorReader): TensorReader {
  return (offset, into) => {
    if (offset + into.length > bytes) throw new RangeError('beyond the end of the tensor')
    read(offset, into)
  }
}

/** Fills `into` from byte `offset` of an open file on. Returns how many bytes there were; throws what the system throws. */
export function readFully(fd: number, into: Uint8Array, offset: number): number {
  if (readOnThreads(fd, offset, into)) return into.length
  let done = 0
  while (done < into.length) {
    const got = fs.readSync(fd, into, done, Math.min(into.length - done, 1 << 30), offset + done)
    if (got === 0) break
    done += got
  }
  return done
}

/**
 * Opens an ordinary file. `truncatedCode` is the code of the error when it ends before what is asked for. Throws
 * CheckpointError CHECKPOINT_FILE_MISSING, StorageError.
 */
export function openFileBytes(file: string, truncatedCode: string): FileBytes {
  let fd: number
  let size: number
  try {
    fd = openToRead(file)
  } catch (cause) {
    throw readingError(cause, file)
  }
  try {
    const stat = fs.fstatSync(fd)
    if (!stat.isFile())
      throw new CheckpointError('CHECKPOINT_FILE_MISSING', `${file} is not an ordinary file`)
    size = stat.size
  } catch (cause) {
    fs.closeSync(fd)
    throw readingError(cause, file)
  }
  const requireLength = (end: number) => {
    if (end <= size) return
    const message = `${file} is truncated: it has ${size} bytes and needs ${end}; fetch or write it again`
    throw new CheckpointError(truncatedCode, message)
  }
  const readInto = (offset: number, into: Uint8Array) => {
    requireLength(offset + into.length)
    let got: number
    try {
      got = readFully(fd, into, offset)
    } catch (cause) {
      throw readingError(cause, file)
    }
    if (got < into.length) throw new CheckpointError(truncatedCode, `${file} ends before its data does`)
  }
  let isOpen = true
  return {
    file,
    size,
    readInto,
    read(offset, length) {
      requireLength(offset + length)
      let bytes: Uint8Array<ArrayBuffer>
      try {
        // The file is long enough, but a sparse file can be longer than memory.
        bytes = new Uint8Array(new ArrayBuffer(length))
      } catch (cause) {
        if (!(cause instanceof RangeError)) throw cause
        throw new CheckpointError('TENSOR_TOO_LARGE', `${file}: ${length} bytes do not fit in memory`, {
          cause,
        })
      }
      readInto(offset, bytes)
      return bytes
    },
    close() {
      if (isOpen) fs.closeSync(fd)
      isOpen = false
    },
  }
}
