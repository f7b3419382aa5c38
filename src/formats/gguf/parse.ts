// The header of a GGUF file: metadata, and where each tensor lies. Everything in it is checked against the file's
// size before anything is made of it: a count of things is at most what the rest of the file could hold of them.

import { CheckpointError } from '../../errors.js'
import type { FileBytes } from '../file-bytes.js'
import { quoted } from '../safetensors.js'
import { STORED_DTYPES, STORED_TYPES, storedBytes } from '../stored.js'
import {
  DEFAULT_ALIGNMENT,
  GGUF_MAGIC,
  type GgufTensor,
  type Metadata,
  type MetadataValue,
  TENSOR_TYPE_NAMES,
  ValueType,
} from './types.js'

/** Far more than any vocabulary has tokens. */
const MOST_ELEMENTS = 1 << 24
const LONGEST_STRING = 1 << 26
/** The limits of ggml. */
const LONGEST_NAME = 1 << 16
const MOST_DIMENSIONS = 4
const LARGEST_ALIGNMENT = 1 << 16

export interface GgufHeader {
  readonly metadata: Metadata
  readonly tensors: ReadonlyMap<string, GgufTensor>
}

export function ggufInvalid(file: string, message: string): CheckpointError {
  return new CheckpointError('GGUF_INVALID', `${file}: ${message}`)
}

/** Whether `file` begins with GGUF's magic. */
export function isGguf(file: FileBytes): boolean {
  return file.size >= 4 && new DataView(file.read(0, 4).buffer).getUint32(0, true) === GGUF_MAGIC
}

/**
 * Reads the header. checkMetadata: called before the tensors are looked at, so that what it throws is told first.
 * Throws CheckpointError: GGUF_TRUNCATED (the file ends too soon), TENSOR_DTYPE (a type of tensor that is not
 * supported), GGUF_INVALID (anything else wrong).
 */
export function parseGguf(
  file: FileBytes,
  checkMetadata: (metadata: Metadata) => void = () => {},
): GgufHeader {
  const invalid = (message: string) => ggufInvalid(file.file, message)
  const cursor = new Cursor(file)
  if (cursor.u32() !== GGUF_MAGIC) throw invalid('not a GGUF file: it does not begin with "GGUF"')
  const version = cursor.u32()
  if (version !== 2 && version !== 3) {
    const swapped = (version & 0xffff) === 0
    throw invalid(
      swapped
        ? 'a big-endian GGUF file is not supported; convert it to little-endian'
        : `version ${version} of GGUF is not supported; supported: 2, 3`,
    )
  }
  // A tensor: the length of its name, a number of dimensions, a type, an offset. A value: a key, a type, a byte.
  const tensorCount = cursor.count('tensors', 24)
  const valueCount = cursor.count('metadata values', 13)

  const metadata = new Map<string, MetadataValue>()
  for (let i = 0; i < valueCount; i++) {
    const key = cursor.string(LONGEST_NAME)
    if (metadata.has(key)) throw invalid(`${quoted(key)} occurs twice in the metadata`)
    metadata.set(key, cursor.value(cursor.u32(), key))
  }
  checkMetadata(metadata)
  const alignment = metadata.get('general.alignment') ?? DEFAULT_ALIGNMENT
  const fits = typeof alignment === 'number' && alignment >= 1 && alignment <= LARGEST_ALIGNMENT
  if (!fits || (alignment & (alignment - 1)) !== 0) {
    throw invalid(`general.alignment is ${alignment}, not a power of 2 up to ${LARGEST_ALIGNMENT}`)
  }

  const tensors = new Map<string, GgufTensor>()
  for (let i = 0; i < tensorCount; i++) {
    const name = cursor.string(LONGEST_NAME)
    if (tensors.has(name)) throw invalid(`there are two tensors ${quoted(name)}`)
    tensors.set(name, tensorAt(cursor, name, alignment, file))
  }
  return { metadata, tensors: placed(tensors, cursor.position, alignment, file) }
}

/** The next tensor of the header, its offset still counted from the start of the data. */
function tensorAt(cursor: Cursor, name: string, alignment: number, { file }: FileBytes): GgufTensor {
  const dimensions = cursor.u32()
  if (dimensions < 1 || dimensions > MOST_DIMENSIONS) {
    throw ggufInvalid(
      file,
      `tensor ${quoted(name)} has ${dimensions} dimensions; supported: 1 to ${MOST_DIMENSIONS}`,
    )
  }
  const shape = Array.from({ length: dimensions }, () =>
    cursor.u64(`a dimension of tensor ${quoted(name)}`),
  ).reverse()
  const type = cursor.u32()
  const dtype = STORED_DTYPES.find(known => STORED_TYPES[known].ggml === type)
  if (dtype === undefined) {
    const supported = STORED_DTYPES.join(', ').toUpperCase()
    throw new CheckpointError(
      'TENSOR_DTYPE',
      `${file}: tensor ${quoted(name)} is of type ${TENSOR_TYPE_NAMES[type] ?? type}, which is not supported; ` +
        `supported: ${supported}; take a file of the same model in one of these, such as Q4_K_M, or make one: ` +
        'llama-quantize --allow-requantize OLD NEW Q4_K_M',
    )
  }
  const offset = cursor.u64(`the offset of tensor ${quoted(name)}`)
  const count = shape.reduce((a, b) => a * b)
  const perBlock = STORED_TYPES[dtype].values
  if (shape.includes(0) || shape.at(-1)! % perBlock !== 0) {
    throw ggufInvalid(
      file,
      `tensor ${quoted(name)} has shape [${shape.join(', ')}]; rows of ${dtype} are whole blocks of ${perBlock}`,
    )
  }
  if (offset % alignment !== 0) {
    throw ggufInvalid(
      file,
      `tensor ${quoted(name)} starts at ${offset}, no multiple of the alignment ${alignment}`,
    )
  }
  return { dtype, shape, offset, bytes: storedBytes(dtype, count) }
}

/** The tensors with offsets from the start of the file: all inside it, none overlapping another. */
function placed(
  tensors: ReadonlyMap<string, GgufTensor>,
  headerEnd: number,
  alignment: number,
  { file, size }: FileBytes,
): Map<string, GgufTensor> {
  const dataStart = Math.ceil(headerEnd / alignment) * alignment
  let end = dataStart
  for (const [name, tensor] of [...tensors].sort(
    ([, a], [, b]) => a.offset - b.offset || a.bytes - b.bytes,
  )) {
    const offset = dataStart + tensor.offset
    if (offset < end) throw ggufInvalid(file, `tensor ${quoted(name)} overlaps the tensor before it`)
    end = offset + tensor.bytes
  }
  if (end > size && tensors.size > 0) {
    throw new CheckpointError(
      'GGUF_TRUNCATED',
      `${file} is truncated: its tensors take ${end} bytes, the file has ${size}; fetch or write it again`,
    )
  }
  return new Map(
    [...tensors].map(([name, tensor]) => [name, { ...tensor, offset: dataStart + tensor.offset }]),
  )
}

/** Bytes of a value of each type but string and array, at least. */
const WIDTHS: Readonly<Record<number, number>> = {
  [ValueType.u8]: 1,
  [ValueType.i8]: 1,
  [ValueType.u16]: 2,
  [ValueType.i16]: 2,
  [ValueType.u32]: 4,
  [ValueType.i32]: 4,
  [ValueType.f32]: 4,
  [ValueType.bool]: 1,
  [ValueType.u64]: 8,
  [ValueType.i64]: 8,
  [ValueType.f64]: 8,
}

/** Reads the header from front to back, a window of the file at a time. */
class Cursor {
  static readonly #WINDOW = 1 << 20
  readonly #file: FileBytes
  readonly #utf8 = new TextDecoder('utf-8', { fatal: true, ignoreBOM: true })
  #window = new DataView(new ArrayBuffer(0))
  #windowStart = 0
  position = 0

  constructor(file: FileBytes) {
    this.#file = file
  }

  /** The offset in the window of the next `length` bytes, and moves past them. Throws GGUF_TRUNCATED. */
  #take(length: number): number {
    const at = this.position - this.#windowStart
    if (at + length > this.#window.byteLength) {
      const { size } = this.#file
      const wanted = Math.max(length, Math.min(Cursor.#WINDOW, size - this.position))
      this.#window = new DataView(this.#file.read(this.position, wanted).buffer)
      this.#windowStart = this.position
    }
    this.position += length
    return this.position - length - this.#windowStart
  }

  u32(): number {
    const at = this.#take(4)
    return this.#window.getUint32(at, true)
  }

  u64(what: string): number {
    const at = this.#take(8)
    return this.#size(this.#window.getBigUint64(at, true), what)
  }

  /** A number of things of at least `smallest` bytes each. */
  count(what: string, smallest: number): number {
    const count = this.u64(`the number of ${what}`)
    const left = this.#file.size - this.position
    if (count * smallest <= left) return count
    throw ggufInvalid(
      this.#file.file,
      `${count} ${what} do not fit in the ${left} bytes that are left of the file`,
    )
  }

  string(longest: number): string {
    const length = this.count('bytes of a string', 1)
    if (length > longest)
      throw ggufInvalid(this.#file.file, `a string of ${length} bytes is over the limit of ${longest}`)
    const at = this.#take(length)
    try {
      return this.#utf8.decode(new Uint8Array(this.#window.buffer, at, length))
    } catch {
      throw ggufInvalid(this.#file.file, `the string at byte ${this.position - length} is not UTF-8`)
    }
  }

  value(type: number, key: string): MetadataValue {
    if (type !== ValueType.array) return this.#single(type, key)
    const elementType = this.u32()
    const smallest = elementType === ValueType.string ? 8 : WIDTHS[elementType]
    if (smallest === undefined) {
      throw ggufInvalid(
        this.#file.file,
        `${quoted(key)} is a list of values of type ${elementType}, which is not supported`,
      )
    }
    const count = this.count(`values of ${quoted(key)}`, smallest)
    if (count > MOST_ELEMENTS) {
      throw ggufInvalid(
        this.#file.file,
        `${quoted(key)} has ${count} values, over the limit of ${MOST_ELEMENTS}`,
      )
    }
    if (elementType === ValueType.string)
      return Array.from({ length: count }, () => this.string(LONGEST_STRING))
    const values = new Float64Array(count)
    for (let i = 0; i < count; i++) values[i] = Number(this.#single(elementType, key))
    return values
  }

  #single(type: number, key: string): number | bigint | boolean | string {
    if (type === ValueType.string) return this.string(LONGEST_STRING)
    const width = WIDTHS[type]
    if (width === undefined) throw ggufInvalid(this.#file.file, `${quoted(key)} has the unknown type ${type}`)
    const at = this.#take(width)
    const window = this.#window
    switch (type) {
      case ValueType.u8:
        return window.getUint8(at)
      case ValueType.i8:
        return window.getInt8(at)
      case ValueType.u16:
        return window.getUint16(at, true)
      case ValueType.i16:
        return window.getInt16(at, true)
      case ValueType.u32:
        return window.getUint32(at, true)
      case ValueType.i32:
        return window.getInt32(at, true)
      case ValueType.f32:
        return window.getFloat32(at, true)
      case ValueType.u64:
        return exact(window.getBigUint64(at, true))
      case ValueType.i64:
        return exact(window.getBigInt64(at, true))
      case ValueType.f64:
        return window.getFloat64(at, true)
      default:
        return window.getUint8(at) !== 0
    }
  }

  #size(value: bigint, what: string): number {
    const number = exact(value)
    if (typeof number === 'number') return number
    throw ggufInvalid(this.#file.file, `${what} is ${value}, more than any file can hold`)
  }
}

/** A number where it is exact. */
function exact(value: bigint): number | bigint {
  const number = Number(value)
  return Number.isSafeInteger(number) ? number : value
}
