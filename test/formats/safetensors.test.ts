// safetensors files: the published byte layout, every dtype, what is refused and why, and shards.

import fs from 'node:fs'
import path from 'node:path'
import fc from 'fast-check'
import { afterAll, describe, expect, it } from 'vitest'
import { CheckpointError } from '../../src/errors.js'
import { openWeights } from '../../src/formats/huggingface/shards.js'
import { openSafetensors, safetensorsSize, writeSafetensors } from '../../src/formats/safetensors.js'
import { product, temporaryDirectory } from './tiny-model.js'

const directory = temporaryDirectory()
afterAll(() => fs.rmSync(directory, { recursive: true }))
let filesMade = 0
const newPath = () => path.join(directory, `${filesMade++}.safetensors`)

/** A file laid out by hand, as the format's README describes it. */
function byHand(header: string | object, data: Uint8Array, headerLength?: bigint): string {
  const json = Buffer.from(typeof header === 'string' ? header : JSON.stringify(header), 'utf8')
  const length = Buffer.alloc(8)
  length.writeBigUInt64LE(headerLength ?? BigInt(json.length))
  const file = newPath()
  fs.writeFileSync(file, Buffer.concat([length, json, data]))
  return file
}

function refusal(file: string): CheckpointError {
  try {
    openSafetensors(file).close()
  } catch (error) {
    expect(error).toBeInstanceOf(CheckpointError)
    return error as CheckpointError
  }
  throw new Error(`${file} was accepted`)
}

const bytesOf = (data: ArrayBufferView) => new Uint8Array(data.buffer, data.byteOffset, data.byteLength)

describe('8-bit floats', () => {
  const read = (dtype: string, ...bits: number[]) => {
    const file = byHand(
      { t: { dtype, shape: [bits.length], data_offsets: [0, bits.length] } },
      Uint8Array.from(bits),
    )
    const tensors = openSafetensors(file)
    const values = [...tensors.readFloat32('t')]
    tensors.close()
    return values
  }

  // The tables of values in the OCP 8-bit Floating Point Specification, section 5.1.
  it('E4M3: largest, smallest normal, subnormals, zeros and NaN', () => {
    expect(read('F8_E4M3', 0x7e, 0xfe, 0x08, 0x07, 0x01, 0x00, 0x38, 0x7f, 0xff)).toEqual([
      448,
      -448,
      2 ** -6,
      0.875 * 2 ** -6,
      2 ** -9,
      0,
      1,
      Number.NaN,
      Number.NaN,
    ])
    expect(Object.is(read('F8_E4M3', 0x80)[0], -0)).toBe(true)
  })

  it('E5M2: largest, infinities, NaN, smallest normal and subnormals', () => {
    expect(read('F8_E5M2', 0x7b, 0x7c, 0xfc, 0x7d, 0x04, 0x03, 0x01, 0x3c)).toEqual([
      57_344,
      Number.POSITIVE_INFINITY,
      Number.NEGATIVE_INFINITY,
      Number.NaN,
      2 ** -14,
      0.75 * 2 ** -14,
      2 ** -16,
      1,
    ])
  })
})

describe('the published layout', () => {
  it('may have null for its metadata, as no metadata at all', () => {
    const file = byHand(
      { __metadata__: null, t: { dtype: 'F32', shape: [2], data_offsets: [0, 8] } },
      bytesOf(Float32Array.of(1, 2)),
    )
    const source = openSafetensors(file)
    expect([...source.readFloat32('t')]).toEqual([1, 2])
    source.close()
  })

  it('is eight bytes of length, a JSON header, and the data', () => {
    const file = byHand(
      '{"b":{"dtype":"F32","shape":[2,2],"data_offsets":[4,20]},"a":{"dtype":"F32","shape":[],"data_offsets":[0,4]}}  ',
      Buffer.from('0000803f0000004000004040000080400000a040', 'hex'),
    )
    const tensors = openSafetensors(file)
    expect([...tensors.names].sort()).toEqual(['a', 'b'])
    expect(tensors.info('b').shape).toEqual([2, 2])
    expect(tensors.readFloat32('a')).toEqual(Float32Array.of(1))
    expect(tensors.readFloat32('b')).toEqual(Float32Array.of(2, 3, 4, 5))
    expect(() => tensors.readFloat32('bb')).toThrow(/no tensor "bb"\. Did you mean "b"\?/)
    tensors.close()
  })

  it('is what we write, with the data at a multiple of eight', () => {
    const file = newPath()
    const spec = { name: 'x', shape: [3] }
    writeSafetensors(file, [spec], [{ ...spec, data: Float32Array.of(1, -2, 0.5) }])
    const bytes = fs.readFileSync(file)
    const headerLength = Number(bytes.readBigUInt64LE(0))
    expect((8 + headerLength) % 8).toBe(0)
    expect(JSON.parse(bytes.toString('utf8', 8, 8 + headerLength))).toEqual({
      __metadata__: { format: 'pt' },
      x: { dtype: 'F32', shape: [3], data_offsets: [0, 12] },
    })
    expect(bytes.subarray(8 + headerLength).toString('hex')).toBe('0000803f000000c00000003f')
    expect(safetensorsSize([spec])).toBe(bytes.length)
  })

  it.each([
    ['F64', Float64Array.of(1.5, -1e-3), [1.5, Math.fround(-1e-3)]],
    ['F16', Uint16Array.of(0x3c00, 0x0001), [1, 2 ** -24]],
    ['BF16', Uint16Array.of(0x3f80, 0xc040), [1, -3]],
    ['I64', BigInt64Array.of(-5n, 1n << 40n), [-5, 2 ** 40]],
    ['U64', BigUint64Array.of(7n, 1n << 63n), [7, 2 ** 63]],
    ['I32', Int32Array.of(-5, 9), [-5, 9]],
    ['U32', Uint32Array.of(5, 2 ** 31), [5, 2 ** 31]],
    ['I16', Int16Array.of(-300, 300), [-300, 300]],
    ['U16', Uint16Array.of(1, 65_535), [1, 65_535]],
    ['I8', Int8Array.of(-128, 127), [-128, 127]],
    ['U8', Uint8Array.of(0, 255), [0, 255]],
    ['BOOL', Uint8Array.of(0, 1), [0, 1]],
  ] as const)('reads %s as float32', (dtype, data, expected) => {
    const file = byHand({ t: { dtype, shape: [2], data_offsets: [0, data.byteLength] } }, bytesOf(data))
    const tensors = openSafetensors(file)
    expect([...tensors.readFloat32('t')]).toEqual([...expected])
    tensors.close()
  })

  it('reads a half-precision tensor of more than one block at an odd offset', () => {
    const count = 600_001
    const data = Uint16Array.from({ length: count }, (_, i) => (i % 0x7c00) + 1)
    const header = {
      odd: { dtype: 'U8', shape: [1], data_offsets: [0, 1] },
      t: { dtype: 'F16', shape: [count], data_offsets: [1, 1 + 2 * count] },
    }
    const file = byHand(header, Buffer.concat([Buffer.of(3), bytesOf(data)]))
    const tensors = openSafetensors(file)
    const values = tensors.readFloat32('t')
    tensors.close()
    const copy = newPath()
    writeSafetensors(
      copy,
      [{ name: 't', shape: [count] }],
      [{ name: 't', shape: [count], data: values }],
      'f16',
    )
    expect(
      fs
        .readFileSync(copy)
        .subarray(-2 * count)
        .equals(bytesOf(data)),
    ).toBe(true)
  })
})

describe('round trip', () => {
  const shape = fc.array(fc.integer({ min: 0, max: 5 }), { maxLength: 4 })
  const named = fc.dictionary(fc.string({ minLength: 1, maxLength: 12, unit: 'grapheme' }), shape, {
    maxKeys: 6,
  })

  it('keeps every name, shape and bit of f32, empty tensors and scalars included, in any order of writing', () => {
    fc.assert(
      fc.property(named, fc.infiniteStream(fc.float()), (shapes, floats) => {
        fc.pre(!('__metadata__' in shapes))
        const tensors = Object.entries(shapes).map(([name, shape]) => ({
          name,
          shape,
          data: Float32Array.from({ length: product(shape) }, () => floats.next().value),
        }))
        const file = newPath()
        writeSafetensors(file, tensors, [...tensors].reverse())
        const read = openSafetensors(file)
        expect([...read.names].sort()).toEqual(tensors.map(({ name }) => name).sort())
        for (const { name, shape, data } of tensors) {
          expect(read.info(name).shape).toEqual(shape)
          expect(bytesOf(read.readFloat32(name))).toEqual(bytesOf(data))
        }
        read.close()
        fs.rmSync(file)
      }),
      { numRuns: 60 },
    )
  })

  it('loses at most half a unit in the last place with bf16 and f16', () => {
    const data = Float32Array.from({ length: 1000 }, (_, i) => Math.sin(i) * 3)
    for (const [dtype, relative] of [
      ['bf16', 2 ** -8],
      ['f16', 2 ** -11],
    ] as const) {
      const file = newPath()
      writeSafetensors(
        file,
        [{ name: 't', shape: [10, 100] }],
        [{ name: 't', shape: [10, 100], data }],
        dtype,
      )
      const tensors = openSafetensors(file)
      const back = tensors.readFloat32('t')
      tensors.close()
      expect(back.every((value, i) => Math.abs(value - data[i]) <= relative * Math.abs(data[i]))).toBe(true)
      expect(back).not.toEqual(data)
    }
  })

  it('refuses to write tensors that do not agree with the layout', () => {
    const layout = [{ name: 'a', shape: [2] }]
    const a = { name: 'a', shape: [2], data: new Float32Array(2) }
    const writing = (tensors: (typeof a)[]) => () => writeSafetensors(newPath(), layout, tensors)
    expect(writing([])).toThrow(/"a" was not given/)
    expect(writing([a, a])).toThrow(/"a" was given twice/)
    expect(writing([{ ...a, name: 'b' }])).toThrow(/"b" does not belong/)
    expect(writing([{ ...a, shape: [1, 2] }])).toThrow(/"a" must have shape \[2\], but given is \[1, 2\]/)
    expect(writing([{ ...a, data: new Float32Array(3) }])).toThrow(/given 3 values/)
    expect(() => writeSafetensors(newPath(), [...layout, ...layout], [])).toThrow(
      /two tensors have the name "a"/,
    )
  })
})

describe('a bad file is refused with its reason', () => {
  const one = (fields: object) => ({ t: { dtype: 'F32', shape: [2], data_offsets: [0, 8], ...fields } })
  const eight = new Uint8Array(8)
  const huge = Number.MAX_SAFE_INTEGER

  it.each([
    ['a missing file', () => path.join(directory, 'none'), 'CHECKPOINT_FILE_MISSING', /is missing/],
    ['a directory', () => directory, 'SAFETENSORS_INVALID', /not an ordinary file/],
    [
      'three bytes',
      () => {
        const f = newPath()
        fs.writeFileSync(f, 'abc')
        return f
      },
      'SAFETENSORS_TRUNCATED',
      /3 bytes/,
    ],
    [
      'a header length of 2^63',
      () => byHand('{}', eight, 1n << 63n),
      'SAFETENSORS_INVALID',
      /9223372036854775808 bytes/,
    ],
    [
      'a header longer than the file',
      () => byHand('{}', eight, 99_000_000n),
      'SAFETENSORS_TRUNCATED',
      /99000008/,
    ],
    ['a header that is no object', () => byHand('[]', eight), 'SAFETENSORS_INVALID', /begin with "\{"/],
    ['a header that is not UTF-8', () => byHand('{}', Buffer.of(0xff), 3n), 'SAFETENSORS_INVALID', /UTF-8/],
    ['a header that is not JSON', () => byHand('{"a"}', eight), 'SAFETENSORS_INVALID', /not valid JSON/],
    [
      'metadata that are no strings',
      () => byHand({ __metadata__: { a: 1 } }, eight.subarray(8)),
      'SAFETENSORS_INVALID',
      /__metadata__/,
    ],
    [
      'an unknown dtype',
      () => byHand(one({ dtype: 'F31' }), eight),
      'SAFETENSORS_INVALID',
      /"t" has dtype "F31"; known: .*BF16/,
    ],
    [
      'a negative dimension',
      () => byHand(one({ shape: [-2] }), eight),
      'SAFETENSORS_INVALID',
      /"t": shape\[0\]: must be/,
    ],
    [
      'a fractional dimension',
      () => byHand(one({ shape: [1.5] }), eight),
      'SAFETENSORS_INVALID',
      /"t": shape\[0\]: must be/,
    ],
    ['a shape that is no list', () => byHand(one({ shape: 2 }), eight), 'SAFETENSORS_INVALID', /"t": shape/],
    [
      'a shape whose size overflows',
      () => byHand(one({ shape: [huge, huge, huge] }), eight),
      'SAFETENSORS_INVALID',
      /needs .* bytes, not 8/,
    ],
    [
      'a shape that promises more than the range',
      () => byHand(one({ shape: [3] }), eight),
      'SAFETENSORS_INVALID',
      /needs 12 bytes, not 8/,
    ],
    [
      'a range that ends before it begins',
      () => byHand(one({ data_offsets: [8, 0] }), eight),
      'SAFETENSORS_INVALID',
      /not -8/,
    ],
    [
      'three offsets',
      () => byHand(one({ data_offsets: [0, 8, 9] }), eight),
      'SAFETENSORS_INVALID',
      /data_offsets/,
    ],
    [
      'a gap before a tensor',
      () => byHand(one({ data_offsets: [4, 12] }), new Uint8Array(12)),
      'SAFETENSORS_INVALID',
      /unused bytes before/,
    ],
    [
      'bytes after the last tensor',
      () => byHand(one({}), new Uint8Array(9)),
      'SAFETENSORS_INVALID',
      /1 bytes at the end/,
    ],
    [
      'data cut short',
      () => byHand(one({}), new Uint8Array(7)),
      'SAFETENSORS_TRUNCATED',
      /truncated: its tensors take \d+ bytes/,
    ],
    [
      'tensors far beyond the end',
      () => byHand(one({ shape: [huge - 1, 1], dtype: 'U8', data_offsets: [0, huge - 1] }), eight),
      'SAFETENSORS_TRUNCATED',
      /truncated/,
    ],
    [
      'two tensors over the same bytes',
      () => byHand({ ...one({}), u: one({}).t }, eight),
      'SAFETENSORS_INVALID',
      /overlaps/,
    ],
    [
      'one name twice',
      () =>
        byHand(
          '{"t":{"dtype":"F32","shape":[0],"data_offsets":[0,0]},"\\u0074":{"dtype":"U8","shape":[0],"data_offsets":[0,0]}}',
          eight.subarray(8),
        ),
      'SAFETENSORS_INVALID',
      /"t" occurs twice/,
    ],
  ] as const)('%s', (_, make, code, message) => {
    const error = refusal(make())
    expect(error.code).toBe(code)
    expect(error.message).toMatch(message)
    expect(error.message).not.toMatch(/\n/)
  })

  it('a file that shrinks after it was opened', () => {
    const file = byHand(one({}), eight)
    const tensors = openSafetensors(file)
    fs.truncateSync(file, fs.statSync(file).size - 1)
    expect(() => tensors.readFloat32('t')).toThrow(CheckpointError)
    tensors.close()
  })

  it('but names such as __proto__ are ordinary', () => {
    const file = byHand('{"__proto__":{"dtype":"F32","shape":[2],"data_offsets":[0,8]}}', eight)
    const tensors = openSafetensors(file)
    expect(tensors.readFloat32('__proto__')).toEqual(Float32Array.of(0, 0))
    tensors.close()
  })
})

describe('shards', () => {
  function shardedDirectory(weightMap: Record<string, string>): string {
    const dir = fs.mkdtempSync(path.join(directory, 'shards-'))
    const shard = (name: string, tensor: string, value: number) => {
      const spec = { name: tensor, shape: [2] }
      writeSafetensors(path.join(dir, name), [spec], [{ ...spec, data: Float32Array.of(value, value) }])
    }
    shard('model-00001-of-00002.safetensors', 'a', 1)
    shard('model-00002-of-00002.safetensors', 'b', 2)
    const index = JSON.stringify({ metadata: { total_size: 16 }, weight_map: weightMap })
    fs.writeFileSync(path.join(dir, 'model.safetensors.index.json'), index)
    return dir
  }
  const weightMap = { a: 'model-00001-of-00002.safetensors', b: 'model-00002-of-00002.safetensors' }

  it('read as one', () => {
    const weights = openWeights(shardedDirectory(weightMap))
    expect(weights.names).toEqual(['a', 'b'])
    expect(weights.readFloat32('a')).toEqual(Float32Array.of(1, 1))
    expect(weights.readFloat32('b')).toEqual(Float32Array.of(2, 2))
    weights.close()
  })

  it.each([
    [
      'a shard outside the directory',
      { ...weightMap, b: '../b.safetensors' },
      /not the name of a safetensors file/,
    ],
    [
      'a shard that is missing',
      { ...weightMap, c: 'model-00003.safetensors' },
      /model-00003\.safetensors is missing/,
    ],
    ['a tensor that its shard lacks', { ...weightMap, c: weightMap.a }, /has no tensor "c"/],
    ['a tensor that the index does not name', { a: weightMap.a, c: weightMap.b }, /"b" lies in model-00002/],
    ['a map of numbers', { a: 1 } as never, /weight_map\.a: must be a text, not 1/],
  ])('with %s are refused', (_, map, message) => {
    const dir = shardedDirectory(map)
    expect(() => openWeights(dir)).toThrow(CheckpointError)
    expect(() => openWeights(dir)).toThrow(message)
  })
})
