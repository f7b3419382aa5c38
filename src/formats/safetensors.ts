// The safetensors format: 8 bytes with the header's length (little-endian), a JSON header that gives each tensor
// its dtype, shape and byte range, then the data without gaps. https://github.com/huggingface/safetensors
// Reading checks everything in the header before any buffer is made; tensors are then read one at a time.

import fs from 'node:fs'
import { z } from 'zod'
import { didYouMean } from '../did-you-mean.js'
import { CheckpointError } from '../errors.js'
import { narrowBfloat16, narrowFloat16 } from '../kernels/weights/half.js'
import { openToRead } from '../regular-file.js'
import { describeFirstIssue } from '../schema-issues.js'
import { writeFully } from './atomic.js'
import { partReader, readFully, type TensorReader } from './file-bytes.js'
import { duplicateKey, fitting, jsonValue, readingError } from './json.js'
import { BYTES_PER_ELEMENT, type SafetensorsDtype, WIDEN } from './safetensors-types.js'
import { type WeightDtype, WRITTEN_TYPES } from './stored.js'

const KNOWN_DTYPES = Object.keys(BYTES_PER_ELEMENT) as SafetensorsDtype[]

/** The limit of the reference implementation. */
const LARGEST_HEADER = 100_000_000
/** How much is read, converted or written at a time. */
const BLOCK_BYTES = 1 << 20

export interface TensorSpec {
  readonly name: string
  /** Dimensions, slowest first; [] is a scalar. */
  readonly shape: readonly number[]
}

export interface NamedTensor extends TensorSpec {
  /** Row-major, as long as the product of the shape. */
  readonly data: Float32Array
}

export interface TensorInfo {
  readonly dtype: SafetensorsDtype
  readonly shape: readonly number[]
  /** Where the data starts, in bytes from the start of the file, and how many there are. */
  readonly offset: number
  readonly bytes: number
}

/** An open file or set of files with named tensors. Close it when done. */
export interface TensorSource {
  readonly names: readonly string[]
  /** Throws CheckpointError TENSOR_MISSING for a name that is not there. */
  info(name: string): TensorInfo
  /** A tensor as float32 (exact from F16 and BF16, rounded from F64 and wide integers). Throws CheckpointError. */
  readFloat32(name: string): Float32Array
  /** The bytes of a tensor as the file has them. Throws CheckpointError. */
  readBytes(name: string): Uint8Array
  /** Reads parts of what `readBytes` gives; null where those bytes do not stand in the file as they are. */
  reader(name: string): TensorReader | null
  close(): void
}

/**
 * Opens a safetensors file and checks its header. Throws CheckpointError: CHECKPOINT_FILE_MISSING,
 * SAFETENSORS_TRUNCATED (shorter than it says), SAFETENSORS_INVALID (anything else wrong with it).
 */
export function openSafetensors(file: string): TensorSource {
  let fd: number
  try {
    fd = openToRead(file)
  } catch (cause) {
    throw readingError(cause, file)
  }
  let tensors: Map<string, TensorInfo>
  try {
    tensors = readHeader(fd, file)
  } catch (cause) {
    fs.closeSync(fd)
    throw readingError(cause, file)
  }

  const names = [...tensors.keys()]
  const info = (name: string): TensorInfo => {
    const found = tensors.get(name)
    if (found !== undefined) return found
    throw new CheckpointError(
      'TENSOR_MISSING',
      `${file} has no tensor ${quoted(name)}.${didYouMean(name, names)}`,
    )
  }
  let isOpen = true
  return {
    names,
    info,
    readFloat32(name) {
      return readTensor(fd, file, name, info(name))
    },
    readBytes(name) {
      const { offset, bytes } = info(name)
      return withMemory(file, name, () => {
        const out = new Uint8Array(new ArrayBuffer(bytes))
        readWhole(fd, file, out, offset)
        return out
      })
    },
    reader(name) {
      const tensor = info(name)
      return partReader(tensor.bytes, (offset, into) =>
        withMemory(file, name, () => readWhole(fd, file, into, tensor.offset + offset)),
      )
    },
    close() {
      if (isOpen) fs.closeSync(fd)
      isOpen = false
    },
  }
}

const entrySchema = z.object({
  dtype: z.string(),
  shape: z.array(z.int().nonnegative()),
  data_offsets: z.tuple([z.int().nonnegative(), z.int().nonnegative()]),
})
// Not z.record, which drops a key named `__proto__`.
const headerSchema = z.custom<object>(value => typeof value === 'object', 'not an object')
const metadataSchema = z.record(z.string(), z.string()).nullable()

function readHeader(fd: number, file: string): Map<string, TensorInfo> {
  const invalid = (message: string) => new CheckpointError('SAFETENSORS_INVALID', `${file}: ${message}`)
  const truncated = (message: string) =>
    new CheckpointError('SAFETENSORS_TRUNCATED', `${file} is truncated: ${message}; fetch or write it again`)

  const stat = fs.fstatSync(fd)
  if (!stat.isFile()) throw invalid('not an ordinary file')
  if (stat.size < 8) throw truncated(`it has ${stat.size} bytes, and the length of the header alone takes 8`)
  const lengthBytes = new Uint8Array(8)
  readWhole(fd, file, lengthBytes, 0)
  const headerLength = new DataView(lengthBytes.buffer).getBigUint64(0, true)
  if (headerLength > LARGEST_HEADER) {
    throw invalid(`a header of ${headerLength} bytes is over the limit; this is not a safetensors file`)
  }
  const dataStart = 8 + Number(headerLength)
  if (dataStart > stat.size) {
    throw truncated(`the header alone takes ${dataStart} bytes, the file has ${stat.size}`)
  }
  const headerBytes = new Uint8Array(Number(headerLength))
  readWhole(fd, file, headerBytes, 8)
  if (headerBytes[0] !== 0x7b) throw invalid('the header does not begin with "{"')
  let text: string
  try {
    text = new TextDecoder('utf-8', { fatal: true }).decode(headerBytes)
  } catch {
    throw invalid('the header is not UTF-8')
  }
  const where = `${file}: the header`
  const header = fitting(
    jsonValue(text, 'SAFETENSORS_INVALID', where),
    headerSchema,
    'SAFETENSORS_INVALID',
    where,
  )
  const repeated = duplicateKey(text)
  if (repeated !== null) throw invalid(`${quoted(repeated)} occurs twice in the header`)

  const tensors = new Map<string, TensorInfo>()
  for (const [name, entry] of Object.entries(header)) {
    if (name === '__metadata__') {
      if (!metadataSchema.safeParse(entry).success) throw invalid('__metadata__ is not a map of strings')
      continue
    }
    const parsed = entrySchema.safeParse(entry)
    if (!parsed.success) {
      const issue = describeFirstIssue(parsed.error, entrySchema, entry, 'the entry')
      throw invalid(`tensor ${quoted(name)}: ${issue}`)
    }
    const { shape, data_offsets } = parsed.data
    const dtype = KNOWN_DTYPES.find(known => known === parsed.data.dtype)
    if (dtype === undefined) {
      throw invalid(
        `tensor ${quoted(name)} has dtype ${quoted(parsed.data.dtype)}; known: ${KNOWN_DTYPES.join(', ')}`,
      )
    }
    const [begin, end] = data_offsets
    const bytes = elementCount(shape) * BYTES_PER_ELEMENT[dtype]
    if (end - begin !== bytes) {
      throw invalid(
        `tensor ${quoted(name)}, ${dtype} of shape ${shapeText(shape)}, needs ${bytes} bytes, not ${end - begin}`,
      )
    }
    tensors.set(name, { dtype, shape, offset: dataStart + begin, bytes })
  }

  let position = dataStart
  const byOffset = [...tensors].sort(([, a], [, b]) => a.offset - b.offset || a.bytes - b.bytes)
  for (const [name, { offset, bytes }] of byOffset) {
    if (offset !== position) {
      const fault = offset < position ? 'overlaps the tensor before it' : 'leaves unused bytes before it'
      throw invalid(`tensor ${quoted(name)} ${fault} (offset ${offset - dataStart})`)
    }
    position = offset + bytes
  }
  if (position > stat.size) throw truncated(`its tensors take ${position} bytes, the file has ${stat.size}`)
  if (position < stat.size) throw invalid(`${stat.size - position} bytes at the end belong to no tensor`)
  return tensors
}

/** `bytes` from `position` on; throws SAFETENSORS_TRUNCATED when the file ends before (it shrank meanwhile). */
function readWhole(fd: number, file: string, bytes: Uint8Array, position: number): void {
  if (readFully(fd, bytes, position) === bytes.length) return
  throw new CheckpointError('SAFETENSORS_TRUNCATED', `${file} ends before its data does`)
}

function readTensor(fd: number, file: string, name: string, tensor: TensorInfo): Float32Array {
  const widen = WIDEN[tensor.dtype]
  if (widen === undefined && tensor.dtype !== 'F32') {
    throw new CheckpointError(
      'TENSOR_DTYPE',
      `${file}: tensor ${quoted(name)} is ${tensor.dtype}, which cannot be read as f32; convert it to BF16 or F32`,
    )
  }
  const count = elementCount(tensor.shape)
  return withMemory(file, name, () => {
    const out = new Float32Array(count)
    if (widen === undefined) {
      readWhole(fd, file, new Uint8Array(out.buffer), tensor.offset)
      return out
    }
    const width = BYTES_PER_ELEMENT[tensor.dtype]
    const block = new Uint8Array(Math.min(BLOCK_BYTES, tensor.bytes))
    for (let done = 0; done < count; done += BLOCK_BYTES / width) {
      const part = out.subarray(done, done + BLOCK_BYTES / width)
      const bytes = block.subarray(0, part.length * width)
      readWhole(fd, file, bytes, tensor.offset + done * width)
      widen(bytes, part)
    }
    return out
  })
}

/** Runs `read`, whose tensor fits its file: but a sparse file can still be longer than memory. */
function withMemory<T>(file: string, name: string, read: () => T): T {
  try {
    return read()
  } catch (cause) {
    if (!(cause instanceof RangeError)) throw readingError(cause, file)
    throw new CheckpointError('TENSOR_TOO_LARGE', `${file}: tensor ${quoted(name)} does not fit in memory`, {
      cause,
    })
  }
}

/** Size in bytes of the file that `writeSafetensors` makes of these tensors. */
export function safetensorsSize(layout: readonly TensorSpec[], dtype: WeightDtype = 'f32'): number {
  const { header, dataBytes } = layOut(layout, dtype)
  return header.byteLength + dataBytes
}

/** The bytes of a file with these tensors in f32, one piece after the other: for writeFileAtomic. */
export function* safetensorsPieces(tensors: readonly NamedTensor[]): Generator<Uint8Array> {
  yield layOut(tensors, 'f32').header
  for (const { data } of tensors) yield new Uint8Array(data.buffer, data.byteOffset, data.byteLength)
}

/**
 * Writes a new file with the tensors of `layout`, in that order, f32 or rounded to bf16 / f16. `tensors` gives the
 * same tensors in any order, one at a time: none but the current one need be in memory. Not atomic by itself: call
 * it inside writeDirectoryAtomic. Throws CheckpointError when `tensors` and `layout` do not agree, and what the
 * operating system throws.
 */
export function writeSafetensors(
  file: string,
  layout: readonly TensorSpec[],
  tensors: Iterable<NamedTensor>,
  dtype: WeightDtype = 'f32',
): void {
  const { header, offsets } = layOut(layout, dtype)
  const pending = new Map(layout.map(spec => [spec.name, spec]))
  const fd = fs.openSync(file, 'wx')
  try {
    writeFully(fd, header, 0)
    for (const tensor of tensors) {
      const spec = pending.get(tensor.name)
      const known = offsets.has(tensor.name)
      if (spec === undefined) {
        const fault = known ? 'was given twice' : 'does not belong to this model'
        throw new CheckpointError('TENSOR_UNKNOWN', `tensor ${quoted(tensor.name)} ${fault}`)
      }
      checkShape(tensor.name, spec.shape, tensor.shape, 'given')
      if (tensor.data.length !== elementCount(spec.shape)) {
        throw new CheckpointError(
          'TENSOR_SHAPE',
          `tensor ${quoted(tensor.name)} of shape ${shapeText(spec.shape)} was given ${tensor.data.length} values`,
        )
      }
      writeTensor(fd, tensor.data, offsets.get(tensor.name)!, dtype)
      pending.delete(tensor.name)
    }
    for (const name of pending.keys()) {
      throw new CheckpointError('TENSOR_MISSING', `tensor ${quoted(name)} was not given`)
    }
  } finally {
    fs.closeSync(fd)
  }
}

/** Throws CheckpointError TENSOR_SHAPE, naming the tensor and both shapes, unless they are equal. */
export function checkShape(
  name: string,
  expected: readonly number[],
  actual: readonly number[],
  origin: string,
): void {
  if (expected.length === actual.length && expected.every((size, i) => size === actual[i])) return
  throw new CheckpointError(
    'TENSOR_SHAPE',
    `tensor ${quoted(name)} must have shape ${shapeText(expected)}, but ${origin} is ${shapeText(actual)}`,
  )
}

/** The header as it stands in the file, its length included, and where each tensor's data goes. */
function layOut(
  layout: readonly TensorSpec[],
  dtype: WeightDtype,
): { header: Buffer; offsets: Map<string, number>; dataBytes: number } {
  const written = WRITTEN_TYPES[dtype].safetensors
  const entries = new Map<string, unknown>([['__metadata__', { format: 'pt' }]])
  const offsets = new Map<string, number>()
  let position = 0
  for (const { name, shape } of layout) {
    if (entries.has(name))
      throw new CheckpointError('TENSOR_UNKNOWN', `two tensors have the name ${quoted(name)}`)
    const end = position + elementCount(shape) * BYTES_PER_ELEMENT[written]
    entries.set(name, { dtype: written, shape, data_offsets: [position, end] })
    offsets.set(name, position)
    position = end
  }
  const json = Buffer.from(JSON.stringify(Object.fromEntries(entries)), 'utf8')
  // Padded with spaces, as the reference does, so that the data starts at a multiple of 8.
  const header = Buffer.alloc(8 + Math.ceil(json.byteLength / 8) * 8, ' ')
  header.writeBigUInt64LE(BigInt(header.byteLength - 8))
  json.copy(header, 8)
  for (const [name, offset] of offsets) offsets.set(name, header.byteLength + offset)
  return { header, offsets, dataBytes: position }
}

function writeTensor(fd: number, data: Float32Array, offset: number, dtype: WeightDtype): void {
  if (dtype === 'f32') {
    const bytes = new Uint8Array(data.buffer, data.byteOffset, data.byteLength)
    for (let done = 0; done < bytes.length; done += BLOCK_BYTES) {
      writeFully(fd, bytes.subarray(done, done + BLOCK_BYTES), offset + done)
    }
    return
  }
  const narrow = dtype === 'bf16' ? narrowBfloat16 : narrowFloat16
  const block = new Uint16Array(Math.min(BLOCK_BYTES / 2, data.length))
  for (let done = 0; done < data.length; done += block.length) {
    const part = data.subarray(done, done + block.length)
    narrow(part, block)
    writeFully(fd, new Uint8Array(block.buffer, 0, part.length * 2), offset + done * 2)
  }
}

function elementCount(shape: readonly number[]): number {
  return shape.reduce((product, size) => product * size, 1)
}

/** A name from a file as it can stand in a one-line message. */
export function quoted(name: string): string {
  return JSON.stringify(name.length <= 200 ? name : `${name.slice(0, 200)}…`)
}

function shapeText(shape: readonly number[]): string {
  return shape.length <= 8 ? `[${shape.join(', ')}]` : `[${shape.slice(0, 8).join(', ')}, …]`
}
