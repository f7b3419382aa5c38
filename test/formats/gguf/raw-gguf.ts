// GGUF files built by hand from the format's description, so that they can also be wrong.

export type RawValue =
  | { type: 'u8' | 'u32' | 'i32' | 'f32' | 'u64'; value: number | bigint }
  | { type: 'string'; value: string }
  | { type: 'bool'; value: boolean }
  /** `count` instead of the number of elements; elements as bytes already. */
  | { type: 'array'; element: number; count: number | bigint; bytes: Buffer }
  | { type: 'raw'; tag: number; bytes: Buffer }

export interface RawTensor {
  name: string
  /** The file's order: fastest first. */
  dims: (number | bigint)[]
  type: number
  offset: number | bigint
  /** Instead of dims.length. */
  dimensions?: number
}

export interface RawGguf {
  magic?: number
  version?: number
  tensorCount?: number | bigint
  valueCount?: number | bigint
  values: [key: string, value: RawValue][]
  tensors: RawTensor[]
  alignment?: number
  data: Buffer
}

const TAGS = { u8: 0, u32: 4, i32: 5, f32: 6, bool: 7, string: 8, array: 9, u64: 10 } as const

export const u32 = (value: number) => le(4, b => b.writeUInt32LE(value >>> 0))
export const u64 = (value: number | bigint) =>
  le(8, b => b.writeBigUInt64LE(BigInt.asUintN(64, BigInt(value))))
export const text = (value: string) => Buffer.concat([u64(Buffer.byteLength(value)), Buffer.from(value)])
export const texts = (values: string[]): RawValue => ({
  type: 'array',
  element: 8,
  count: values.length,
  bytes: Buffer.concat(values.map(text)),
})

export const int32s = (values: number[]): RawValue => ({
  type: 'array',
  element: 5,
  count: values.length,
  bytes: Buffer.from(Int32Array.from(values).buffer),
})

function le(bytes: number, write: (buffer: Buffer) => void): Buffer {
  const buffer = Buffer.alloc(bytes)
  write(buffer)
  return buffer
}

function valueBytes(value: RawValue): Buffer {
  if (value.type === 'raw') return Buffer.concat([u32(value.tag), value.bytes])
  const tag = u32(TAGS[value.type])
  switch (value.type) {
    case 'array':
      return Buffer.concat([tag, u32(value.element), u64(value.count), value.bytes])
    case 'string':
      return Buffer.concat([tag, text(value.value)])
    case 'bool':
      return Buffer.concat([tag, Buffer.of(value.value ? 1 : 0)])
    case 'u8':
      return Buffer.concat([tag, Buffer.of(Number(value.value))])
    case 'u64':
      return Buffer.concat([tag, u64(value.value)])
    case 'f32':
      return Buffer.concat([tag, le(4, b => b.writeFloatLE(Number(value.value)))])
    default:
      return Buffer.concat([tag, u32(Number(value.value))])
  }
}

export function rawGguf(content: RawGguf): Buffer {
  const { values, tensors, alignment = 32 } = content
  const header = Buffer.concat([
    u32(content.magic ?? 0x46554747),
    u32(content.version ?? 3),
    u64(content.tensorCount ?? tensors.length),
    u64(content.valueCount ?? values.length),
    ...values.flatMap(([key, value]) => [text(key), valueBytes(value)]),
    ...tensors.flatMap(({ name, dims, type, offset, dimensions }) => [
      text(name),
      u32(dimensions ?? dims.length),
      ...dims.map(u64),
      u32(type),
      u64(offset),
    ]),
  ])
  return Buffer.concat([
    header,
    Buffer.alloc((alignment - (header.length % alignment)) % alignment),
    content.data,
  ])
}

/** The smallest model of the `llama` architecture: two tokens or more, width 4, one head, one layer. */
export function tinyLlama(vocabSize = 2): RawGguf {
  const number = (value: number): RawValue => ({ type: 'u32', value })
  const shapes: [string, number[]][] = [
    ['token_embd.weight', [4, vocabSize]],
    ['blk.0.attn_norm.weight', [4]],
    ['blk.0.attn_q.weight', [4, 4]],
    ['blk.0.attn_k.weight', [4, 4]],
    ['blk.0.attn_v.weight', [4, 4]],
    ['blk.0.attn_output.weight', [4, 4]],
    ['blk.0.ffn_norm.weight', [4]],
    ['blk.0.ffn_gate.weight', [4, 6]],
    ['blk.0.ffn_up.weight', [4, 6]],
    ['blk.0.ffn_down.weight', [6, 4]],
    ['output_norm.weight', [4]],
  ]
  let offset = 0
  const tensors = shapes.map(([name, dims]) => {
    const tensor = { name, dims, type: 0, offset }
    offset += 4 * dims.reduce((a, b) => a * b)
    offset += (32 - (offset % 32)) % 32
    return tensor
  })
  return {
    values: [
      ['general.architecture', { type: 'string', value: 'llama' }],
      ['llama.context_length', number(16)],
      ['llama.embedding_length', number(4)],
      ['llama.block_count', number(1)],
      ['llama.feed_forward_length', number(6)],
      ['llama.attention.head_count', number(1)],
      ['llama.attention.layer_norm_rms_epsilon', { type: 'f32', value: 1e-5 }],
      ['tokenizer.ggml.model', { type: 'string', value: 'llama' }],
      ['tokenizer.ggml.tokens', texts(['<unk>', 'a'])],
      ['tokenizer.ggml.bos_token_id', number(0)],
      ['tokenizer.ggml.eos_token_id', number(0)],
    ],
    tensors,
    data: Buffer.from(Float32Array.from({ length: offset / 4 }, (_, i) => i).buffer),
  }
}

/** The parts that llama-gguf-split makes of a model: all metadata in the first, tensors in order, `split.*` in each. */
export function splitGguf({ values, tensors, data }: RawGguf, count: number): RawGguf[] {
  const perPart = Math.ceil(tensors.length / count)
  return Array.from({ length: count }, (_, no) => {
    const own = tensors.slice(no * perPart, (no + 1) * perPart)
    const start = Number(own[0].offset)
    const end = Number(tensors[(no + 1) * perPart]?.offset ?? data.length)
    const split: [string, RawValue][] = [
      ['split.no', { type: 'u32', value: no }],
      ['split.count', { type: 'u32', value: count }],
      ['split.tensors.count', { type: 'i32', value: tensors.length }],
    ]
    return {
      values: no === 0 ? [...values, ...split] : split,
      tensors: own.map(tensor => ({ ...tensor, offset: Number(tensor.offset) - start })),
      data: data.subarray(start, end),
    }
  })
}
