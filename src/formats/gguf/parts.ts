// A GGUF model in one file or in several (llama-gguf-split): the first part has the metadata of the model, each part
// some of the tensors. Parts are called NAME-00001-of-00003.gguf and so on.

import fs from 'node:fs'
import path from 'node:path'
import { CheckpointError } from '../../errors.js'
import type { Slice } from '../architectures/tensors.js'
import { type FileBytes, openFileBytes, partReader, type TensorReader } from '../file-bytes.js'
import { quoted } from '../safetensors.js'
import { supportedArchitecture } from './config.js'
import { type GgufHeader, ggufInvalid, parseGguf } from './parse.js'
import type { GgufTensor, Metadata } from './types.js'

export interface GgufParts {
  /** The part that has the metadata, for messages. */
  readonly file: string
  readonly metadata: Metadata
  /** Of all parts. */
  readonly tensors: ReadonlyMap<string, GgufTensor>
  /** The bytes of a tensor, or of a slice of it, as the file has them. */
  read(tensor: GgufTensor, slice?: Slice): Uint8Array<ArrayBuffer>
  /** Reads parts of those bytes. */
  reader(tensor: GgufTensor, slice?: Slice): TensorReader
  close(): void
}

/** What the names of parts end in. */
const PART_NAME = /^(.*)-(\d{5})-of-(\d{5})\.gguf$/
const MOST_PARTS = 65_535

/**
 * Opens a GGUF file, with all others where it is a part of a model. Throws CheckpointError GGUF_PART_MISSING, and what
 * parseGguf and supportedArchitecture throw.
 */
export function openGgufParts(file: string): GgufParts {
  const opened: FileBytes[] = []
  const close = () => {
    for (const bytes of opened) bytes.close()
  }
  const open = (part: string, isFirst: boolean): { bytes: FileBytes; header: GgufHeader } => {
    const bytes = openFileBytes(part, 'GGUF_TRUNCATED')
    opened.push(bytes)
    // A model that cannot be read at all is told before a type of tensor in it: another file would be no better.
    const check = (metadata: Metadata) => {
      if (isFirst && !isLaterPart(metadata)) supportedArchitecture(part, metadata)
    }
    return { bytes, header: parseGguf(bytes, check) }
  }
  try {
    let first = open(file, true)
    const count = partCount(file, first.header.metadata)
    const names = count === 1 ? [file] : partNames(file, count, first.header.metadata)
    if (names[0] !== file && isLaterPart(first.header.metadata)) first = open(names[0], true)
    const { metadata } = first.header
    const tensors = new Map<string, GgufTensor>()
    const fileOf = new Map<GgufTensor, FileBytes>()
    for (const [index, name] of names.entries()) {
      const part = index === 0 ? first : open(name, false)
      checkPart(name, part.header.metadata, index, count)
      for (const [tensorName, tensor] of part.header.tensors) {
        if (tensors.has(tensorName))
          throw ggufInvalid(name, `tensor ${quoted(tensorName)} is in another part too`)
        tensors.set(tensorName, tensor)
        fileOf.set(tensor, part.bytes)
      }
    }
    const expected = metadata.get('split.tensors.count')
    if (count > 1 && expected !== undefined && expected !== tensors.size) {
      throw ggufInvalid(
        names[0],
        `split.tensors.count is ${expected}, but the parts have ${tensors.size} tensors`,
      )
    }
    return {
      file: names[0],
      metadata,
      tensors,
      read(tensor, { index, count } = { index: 0, count: 1 }) {
        const bytes = tensor.bytes / count
        return fileOf.get(tensor)!.read(tensor.offset + index * bytes, bytes)
      },
      reader(tensor, { index, count } = { index: 0, count: 1 }) {
        const bytes = tensor.bytes / count
        const file = fileOf.get(tensor)!
        return partReader(bytes, (offset, into) =>
          file.readInto(tensor.offset + index * bytes + offset, into),
        )
      },
      close,
    }
  } catch (error) {
    close()
    throw error
  }
}

function isLaterPart(metadata: Metadata): boolean {
  return partCountOf(metadata) > 1 && metadata.get('split.no') !== 0
}

function partCountOf(metadata: Metadata): number {
  const count = metadata.get('split.count') ?? 1
  return typeof count === 'number' && Number.isInteger(count) ? count : -1
}

/** Some programs write 0 parts for a whole file. */
function partCount(file: string, metadata: Metadata): number {
  const count = partCountOf(metadata)
  if (count >= 0 && count <= MOST_PARTS) return Math.max(1, count)
  throw ggufInvalid(file, `split.count is ${metadata.get('split.count')}, not a number of parts`)
}

/** The paths of all parts, each of which exists. */
function partNames(file: string, count: number, metadata: Metadata): string[] {
  const match = PART_NAME.exec(path.basename(file))
  if (match === null || Number(match[3]) !== count) {
    throw ggufInvalid(
      file,
      `this is part ${Number(metadata.get('split.no')) + 1} of a model in ${count} parts, and is not named so; ` +
        `give all parts their names, NAME-00001-of-${fiveDigits(count)}.gguf and so on`,
    )
  }
  return Array.from({ length: count }, (_, index) => {
    const name = path.join(path.dirname(file), `${match[1]}-${fiveDigits(index + 1)}-of-${match[3]}.gguf`)
    // The part that was given keeps the spelling of its path.
    if (Number(match[2]) === index + 1) return file
    if (fs.existsSync(name)) return name
    throw new CheckpointError(
      'GGUF_PART_MISSING',
      `${name} is missing: ${file} is one of the ${count} parts of a model; fetch all of them into one directory`,
    )
  })
}

function checkPart(file: string, metadata: Metadata, index: number, count: number): void {
  if (count === 1) return
  const number = metadata.get('split.no')
  if (number === index && metadata.get('split.count') === count) return
  throw ggufInvalid(
    file,
    `named as part ${index + 1} of ${count}, but says it is part ${Number(number) + 1} of ${metadata.get('split.count')}`,
  )
}

function fiveDigits(number: number): string {
  return String(number).padStart(5, '0')
}
