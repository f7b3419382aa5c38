// Writes a model as a GGUF file that llama.cpp loads: header first, then the tensors one at a time, each padded to the
// alignment.

import type { Tokenizer } from '../../data/tokenizers/tokenizer.js'
import { CheckpointError } from '../../errors.js'
import type { WeightType } from '../../kernels/index.js'
import type { ModelConfig } from '../../nn/config.js'
import { parameterShapes } from '../../nn/parameters.js'
import { assembled, assembledBytes, fileTensors } from '../architectures/tensors.js'
import { writeFileAtomic } from '../atomic.js'
import { encodeStored, storedBytes, WRITTEN_TYPES } from '../stored.js'
import { type MetadataEntry, type WrittenForm, writtenForm } from './config.js'
import { generationMetadata } from './generation.js'
import { mixedDtype, Q4_K_M_FILE, type WrittenDtype } from './mixes.js'
import { DEFAULT_ALIGNMENT, GGUF_MAGIC, GGUF_VERSION, ValueType } from './types.js'
import { tokenizerMetadata } from './write-tokenizer.js'

export interface GgufContent {
  readonly config: ModelConfig
  /** null: the file gets none, and llama.cpp can only be given token ids. */
  readonly tokenizer: Tokenizer | null
  /** Jinja templates of conversations by name; the one for everyday use is called `default`. */
  readonly chatTemplates?: ReadonlyMap<string, string>
  /** Ids that end a text beside the tokenizer's own end; llama.cpp has keys for two more. */
  readonly endOfText?: readonly number[]
  /**
   * How matrices are stored: all in one type, as a mix, or each as it says. Vectors are f32; a matrix whose rows are not
   * whole blocks is q8_0 instead of a K-quant, or f16.
   */
  readonly dtype: WrittenDtype | ((name: string) => WeightType)
  /** Gives each of `parameterShapes(config)`; called once per tensor, in the order of the file. */
  readonly tensor: (name: string) => Float32Array
  /** Gives a tensor's bytes when it has them in this very type already, so that none of them changes. */
  readonly bytes?: (name: string, dtype: WeightType) => Uint8Array | null
  /** For people: `general.name`. */
  readonly name?: string
}

interface WrittenTensor {
  readonly name: string
  readonly shape: readonly number[]
  readonly dtype: WeightType
  readonly bytes: () => Uint8Array
}

/** What was written, for messages. */
export interface WrittenGguf {
  readonly architecture: string
  /** Whether llama.cpp can use the tokenizer. */
  readonly tokenizerKnown: boolean
  /** Where llama.cpp gives other ids with the tokenizer, in a sentence each. */
  readonly tokenizerNotes: readonly string[]
  /** Matrices in another type than asked for, since their rows are not whole blocks of that: names as in the model. */
  readonly unblocked: readonly Unblocked[]
}

export interface Unblocked {
  readonly name: string
  readonly columns: number
  readonly asked: WeightType
  readonly written: WeightType
}

/**
 * Writes `file`, which is afterwards either complete or as it was. `onTensor` is told of every tensor written. Throws
 * StorageError, TokenizerError VOCABULARY_MISMATCH, OptionError QUANTIZE_RANGE, CheckpointError TENSOR_SHAPE.
 */
export function writeGguf(
  file: string,
  content: GgufContent,
  onTensor: (done: number, all: number) => void = () => {},
): WrittenGguf {
  const { config, tokenizer } = content
  const form = writtenForm(config)
  const tensors = layOut(content, form)
  const written = tokenizer === null ? null : tokenizerMetadata(tokenizer, config.vocabSize)
  const { architecture } = form
  const entries: MetadataEntry[] = [
    ['general.architecture', 'string', architecture],
    ...(content.name === undefined ? [] : [['general.name', 'string', content.name] as const]),
    ['general.alignment', 'u32', DEFAULT_ALIGNMENT],
    ['general.file_type', 'u32', fileType(content, tensors)],
    ...(tensors.some(({ dtype }) => dtype.startsWith('q'))
      ? [['general.quantization_version', 'u32', 2] as const]
      : []),
    ...form.entries,
    ...(written?.entries ?? [['tokenizer.ggml.model', 'string', 'none'] as const]),
    ...generationMetadata(
      content.chatTemplates ?? new Map(),
      (content.endOfText ?? []).filter(id => id !== tokenizer?.endOfText),
      tokensOf(written?.entries ?? []),
    ),
  ]
  writeFileAtomic(file, pieces(entries, tensors, onTensor))
  return {
    architecture,
    tokenizerKnown: written?.known === true,
    tokenizerNotes: written?.notes ?? [],
    unblocked: unblocked(content, form),
  }
}

/** The vocabulary among the entries; empty when llama.cpp gets none. */
function tokensOf(entries: readonly MetadataEntry[]): readonly string[] {
  for (const [key, type, value] of entries)
    if (key === 'tokenizer.ggml.tokens' && type === 'strings') return value
  return []
}

/** The file's tensors in its order: the model's, then the factors of the rotary frequencies. */
function layOut({ config, dtype, tensor, bytes }: GgufContent, form: WrittenForm): WrittenTensor[] {
  const shapes = new Map(parameterShapes(config).map(({ name, shape }) => [name, shape]))
  const valuesOf = (name: string) => {
    const values = tensor(name)
    const shape = shapes.get(name) ?? []
    if (values.length === shape.reduce((a, b) => a * b, 1)) return values
    throw new CheckpointError(
      'TENSOR_SHAPE',
      `tensor ${name} of shape [${shape.join(', ')}] was given ${values.length} values`,
    )
  }
  const tensors = fileTensors(parameterShapes(config), form.tensors).map((of): WrittenTensor => {
    const [first] = of.parts
    const { name } = first.parameter
    const stored = of.shape.length > 1 ? blocked(matrixDtype(name, config, dtype), of.shape.at(-1)!) : 'f32'
    const given = () => (bytes === undefined ? null : assembledBytes(of, name => bytes(name, stored)))
    return {
      name: of.name,
      shape: of.shape,
      dtype: stored,
      bytes: () => given() ?? encodeStored(stored, assembled(of, valuesOf)),
    }
  })
  for (const [name, values] of form.more) {
    const encoded = () => encodeStored('f32', values)
    tensors.push({ name, shape: [values.length], dtype: 'f32', bytes: encoded })
  }
  return tensors
}

/** The type of a matrix, before its width is looked at. */
function matrixDtype(name: string, config: ModelConfig, dtype: GgufContent['dtype']): WeightType {
  if (typeof dtype === 'function') return dtype(name)
  return mixedDtype(name, config, dtype)
}

/** `dtype`, or where rows of so many columns are not whole blocks of it, a type whose blocks they are. */
function blocked(dtype: WeightType, columns: number): WeightType {
  const whole = [dtype, 'q8_0' as const].find(type => columns % WRITTEN_TYPES[type].values === 0)
  return whole ?? 'f16'
}

function unblocked({ config, dtype }: GgufContent, form: WrittenForm): WrittenGguf['unblocked'] {
  return fileTensors(parameterShapes(config), form.tensors).flatMap(({ parts: [first], shape }) => {
    const { name } = first.parameter
    const columns = shape.at(-1)
    if (columns === undefined || shape.length === 1) return []
    const asked = matrixDtype(name, config, dtype)
    const written = blocked(asked, columns)
    return written === asked ? [] : [{ name, columns, asked, written }]
  })
}

/** llama_ftype: what most matrices of a layer are. */
function fileType({ dtype }: GgufContent, tensors: readonly WrittenTensor[]): number {
  if (dtype === 'q4_k_m') return Q4_K_M_FILE
  if (typeof dtype === 'string') return WRITTEN_TYPES[dtype].ftype
  const gate = tensors.find(({ name }) => /\.ffn_(gate|up)\.weight$/.test(name))
  const mixed = tensors.some(({ dtype: other }) => gate?.dtype === 'q4_k' && other === 'q6_k')
  return mixed ? Q4_K_M_FILE : WRITTEN_TYPES[gate?.dtype ?? 'f32'].ftype
}

/** The file's content, piece by piece. */
function* pieces(
  entries: readonly MetadataEntry[],
  tensors: readonly WrittenTensor[],
  onTensor: (done: number, all: number) => void,
): Generator<Uint8Array> {
  const header = new HeaderWriter()
  header.u32(GGUF_MAGIC)
  header.u32(GGUF_VERSION)
  header.u64(tensors.length)
  header.u64(entries.length)
  for (const entry of entries) header.entry(entry)
  let offset = 0
  for (const { name, shape, dtype } of tensors) {
    header.string(name)
    header.u32(shape.length)
    for (const size of shape.toReversed()) header.u64(size)
    header.u32(WRITTEN_TYPES[dtype].ggml)
    header.u64(offset)
    offset = padded(
      offset +
        storedBytes(
          dtype,
          shape.reduce((a, b) => a * b),
        ),
    )
  }
  const start = header.take()
  yield start
  yield new Uint8Array(padded(start.length) - start.length)

  for (const [index, { bytes }] of tensors.entries()) {
    const raw = bytes()
    yield raw
    yield new Uint8Array(padded(raw.length) - raw.length)
    onTensor(index + 1, tensors.length)
  }
}

function padded(length: number): number {
  return Math.ceil(length / DEFAULT_ALIGNMENT) * DEFAULT_ALIGNMENT
}

/** Builds a header: integers and strings one after another, little-endian. */
class HeaderWriter {
  readonly #parts: Buffer[] = []

  take(): Uint8Array {
    return Buffer.concat(this.#parts)
  }

  u32(value: number): void {
    const bytes = Buffer.alloc(4)
    bytes.writeUInt32LE(value)
    this.#parts.push(bytes)
  }

  u64(value: number): void {
    const bytes = Buffer.alloc(8)
    bytes.writeBigUInt64LE(BigInt(value))
    this.#parts.push(bytes)
  }

  string(text: string): void {
    const bytes = Buffer.from(text, 'utf8')
    this.u64(bytes.length)
    this.#parts.push(bytes)
  }

  entry([key, type, value]: MetadataEntry): void {
    this.string(key)
    switch (type) {
      case 'u32':
        this.u32(ValueType.u32)
        this.u32(value)
        return
      case 'f32':
        this.u32(ValueType.f32)
        this.#parts.push(Buffer.from(Float32Array.of(value).buffer))
        return
      case 'string':
        this.u32(ValueType.string)
        this.string(value)
        return
      case 'bool':
        this.u32(ValueType.bool)
        this.#parts.push(Buffer.of(value ? 1 : 0))
        return
      case 'strings':
        this.#list(ValueType.string, value.length)
        for (const text of value) this.string(text)
        return
      case 'f32s':
        this.#list(ValueType.f32, value.length)
        this.#parts.push(Buffer.from(Float32Array.from(value).buffer))
        return
      case 'i32s':
        this.#list(ValueType.i32, value.length)
        this.#parts.push(Buffer.from(Int32Array.from(value).buffer))
    }
  }

  #list(type: number, length: number): void {
    this.u32(ValueType.array)
    this.u32(type)
    this.u64(length)
  }
}
