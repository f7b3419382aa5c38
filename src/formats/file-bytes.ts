// An open file that is read piece by piece at given offsets. Nothing is allocated before it is known that the file
// is long enough, and a failure names the file.

import fs from 'node:fs'
import { CheckpointError } from '../errors.js'
import { openToRead } from '../regular-file.js'
import { readingError } from './json.js'

export interface FileBytes {
  readonly file: string
  readonly size: number
  /** Bytes [offset, offset + length), in a buffer of their own. Throws CheckpointError with `truncatedCode`. */
  read(offset: number, length: number): Uint8Array<ArrayBuffer>
  close(): void
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
  let isOpen = true
  return {
    file,
    size,
    read(offset, length) {
      if (offset + length > size) {
        throw new CheckpointError(
          truncatedCode,
          `${file} is truncated: it has ${size} bytes and needs ${offset + length}; fetch or write it again`,
        )
      }
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
      let done = 0
      while (done < length) {
        let got: number
        try {
          got = fs.readSync(fd, bytes, done, Math.min(length - done, 1 << 30), offset + done)
        } catch (cause) {
          throw readingError(cause, file)
        }
        if (got === 0) throw new CheckpointError(truncatedCode, `${file} ends before its data does`)
        done += got
      }
      return bytes
    },
    close() {
      if (isOpen) fs.closeSync(fd)
      isOpen = false
    },
  }
}
