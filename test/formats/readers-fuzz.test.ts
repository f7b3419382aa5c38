// Damaged model files, by the thousand: each either opens and reads, or is an error of ours with a code. Nothing else is
// thrown, nothing runs on, and nothing larger than the file is allocated. (safetensors, directories and tokenizers have tests
// of their own.)

import fs from 'node:fs'
import path from 'node:path'
import fc from 'fast-check'
import { afterAll, describe, expect, it } from 'vitest'
import { GGUF_FORMS } from '../../src/formats/architectures/index.js'
import { openModel } from '../../src/formats/index.js'
import { STORED_TYPES } from '../../src/formats/stored.js'
import type { ModelConfig } from '../../src/nn/config.js'
import { parameterShapes } from '../../src/nn/parameters.js'
import { edits } from './damage.js'
import { survivesReading } from './damaged-models.js'
import { FUZZ_TIMEOUT, mutants, withinLimits } from './fuzz-runs.js'
import { type RawGguf, type RawValue, rawGguf, splitGguf, texts, tinyLlama } from './gguf/raw-gguf.js'
import { product, temporaryDirectory, tinyConfig } from './tiny-model.js'

const directory = temporaryDirectory()
afterAll(() => fs.rmSync(directory, { recursive: true }))

function survivesAs(file: string, bytes: Uint8Array): void {
  const damaged = path.join(directory, file)
  fs.writeFileSync(damaged, bytes)
  withinLimits(() => survivesReading(damaged, bytes.length), bytes.length)
}

const absurd = fc.oneof(
  fc.nat(20),
  fc.constantFrom(2 ** 16, 2 ** 31, 2 ** 32 - 1, 2 ** 40, 2 ** 53 - 1),
  fc.constantFrom(2n ** 60n, 2n ** 63n, 2n ** 64n - 1n),
)

/** Keys that a header may have beside those of the smallest model. */
const FURTHER_KEYS = [
  'general.alignment',
  'llama.attention.head_count_kv',
  'llama.attention.causal',
  'llama.attention.scale',
  'llama.attention.sliding_window',
  'llama.rope.scaling.type',
  'llama.rope.scaling.factor',
  'llama.rope.scale_linear',
  'llama.expert_count',
  'llama.unknown',
  'split.count',
  'split.no',
  'split.tensors.count',
  'tokenizer.chat_template',
  'tokenizer.chat_templates',
  'tokenizer.ggml.eot_token_id',
]

/** A model of width 256 whose matrices have types that take turns, read as it is written. */
function withEveryType(): { raw: Buffer; headerLength: number } {
  const tiny = tinyLlama()
  const types = Object.values(STORED_TYPES)
  let [offset, next] = [0, 0]
  const tensors = tiny.tensors.map(tensor => {
    const dims = tensor.dims.map(size => 256 * Math.ceil(Number(size) / 256))
    if (tensor.name === 'token_embd.weight') dims[1] = 2
    const { ggml, values, bytes } = dims.length === 1 ? STORED_TYPES.f32 : types[(next++ * 7) % types.length]
    const own = { ...tensor, dims, type: ggml, offset }
    offset += (product(dims) / values) * bytes
    offset += (32 - (offset % 32)) % 32
    return own
  })
  const sizes: Record<string, number> = {
    'llama.embedding_length': 256,
    'llama.feed_forward_length': 256,
  }
  const values = tiny.values.map(([key, value]): [string, RawValue] => [
    key,
    key in sizes ? { type: 'u32', value: sizes[key] } : value,
  ])
  const data = Buffer.from(Array.from({ length: offset }, (_, i) => (Math.imul(i, 2654435761) >>> 20) & 0x3b))
  const raw = rawGguf({ values, tensors, data })
  return { raw, headerLength: raw.length - data.length }
}

it('the file with tensors of every type is a model', () => {
  const { raw } = withEveryType()
  const file = path.join(directory, 'every-type.gguf')
  fs.writeFileSync(file, raw)
  const source = openModel(file)
  const types = new Set(source.names.map(name => source.info(name).dtype))
  expect(types.size).toBeGreaterThan(6)
  expect(source.tensor('model.layers.0.mlp.up_proj.weight')).toHaveLength(256 * 256)
  source.close()
})

describe('GGUF', () => {
  const raw = tinyLlama()
  const original = rawGguf(raw)
  const headerLength = original.length - raw.data.length

  it('survives any truncation', () => {
    for (let length = 0; length < original.length; length += length < headerLength ? 3 : 41) {
      survivesAs('cut.gguf', original.subarray(0, length))
    }
  })

  it('survives a flipped bit in every byte of its header', () => {
    for (let bit = 0; bit < 8 * headerLength; bit += 7) {
      const bytes = Buffer.from(original)
      bytes[bit >> 3] ^= 1 << (bit & 7)
      survivesAs('flipped.gguf', bytes)
    }
  })

  it(
    'survives several edits',
    () => {
      fc.assert(
        fc.property(edits(headerLength + 8), edit => survivesAs('edited.gguf', edit(original))),
        mutants(400),
      )
    },
    FUZZ_TIMEOUT,
  )

  it(
    'survives several edits of a file with tensors of every type',
    () => {
      const { raw: typed, headerLength: reach } = withEveryType()
      fc.assert(
        fc.property(edits(reach + 8), edit => survivesAs('typed.gguf', edit(typed))),
        mutants(150),
      )
    },
    FUZZ_TIMEOUT,
  )

  it.each(GGUF_FORMS.map(({ name }) => name))('survives four billion layers of %s', name => {
    const values = raw.values.map(([key, value]): [string, RawValue] => {
      if (key === 'general.architecture') return [key, { type: 'string', value: name }]
      if (key === 'llama.block_count') return [`${name}.block_count`, { type: 'u32', value: 2 ** 32 - 1 }]
      return [key.replace(/^llama\./, `${name}.`), value]
    })
    survivesAs('layers.gguf', rawGguf({ ...raw, values }))
  })

  it(
    'survives absurd counts, lengths, shapes, types and offsets',
    () => {
      const tensor = fc.record(
        {
          at: fc.nat(raw.tensors.length - 1),
          dims: fc.array(absurd, { maxLength: 5 }),
          type: fc.constantFrom(...Object.values(STORED_TYPES).map(({ ggml }) => ggml), 9, 16, 99),
          offset: fc.oneof(
            absurd,
            fc.nat(60).map(n => 32 * n),
          ),
          dimensions: fc.constantFrom(1, 4, 5, 2 ** 32 - 1),
        },
        { requiredKeys: ['at'] },
      )
      const value: fc.Arbitrary<[string, RawValue]> = fc.tuple(
        fc.oneof(
          fc.constantFrom(...raw.values.map(([key]) => key), ...FURTHER_KEYS),
          fc.string({ maxLength: 4 }),
        ),
        fc.oneof(
          absurd.map((value): RawValue => ({ type: 'u64', value })),
          fc.float().map((value): RawValue => ({ type: 'f32', value })),
          fc.string({ maxLength: 4 }).map((value): RawValue => ({ type: 'string', value })),
          fc.array(fc.string({ maxLength: 3 }), { maxLength: 4 }).map(texts),
          fc.record({
            type: fc.constant('array' as const),
            element: fc.nat(14),
            count: absurd,
            bytes: fc.uint8Array({ maxLength: 16 }).map(bytes => Buffer.from(bytes)),
          }),
        ),
      )
      const change = fc.record(
        { tensor, value, tensorCount: absurd, valueCount: absurd },
        { requiredKeys: [] },
      )
      fc.assert(
        fc.property(change, ({ tensor, value, ...counts }) => {
          const changed: RawGguf = { ...raw, ...counts }
          if (tensor !== undefined) {
            const { at, ...fields } = tensor
            changed.tensors = raw.tensors.map((old, i) => (i === at ? { ...old, ...fields } : old))
          }
          if (value !== undefined) changed.values = [...raw.values.filter(([key]) => key !== value[0]), value]
          survivesAs('absurd.gguf', rawGguf(changed))
        }),
        mutants(400),
      )
    },
    FUZZ_TIMEOUT,
  )
})

describe('GGUF in two parts', () => {
  it(
    'survives several edits of either, and absurd numbers of parts',
    () => {
      const files = [1, 2].map(no => path.join(directory, `m-0000${no}-of-00002.gguf`))
      const parts = splitGguf(tinyLlama(), 2)
      const originals = parts.map(rawGguf)
      const size = originals[0].length + originals[1].length
      const write = (contents: Buffer[]) => {
        for (const [i, content] of contents.entries()) fs.writeFileSync(files[i], content)
      }
      write(originals)
      openModel(files[1]).close()
      const reach = originals[0].length - parts[0].data.length + 8
      fc.assert(
        fc.property(edits(reach), fc.nat(1), (edit, at) => {
          write(originals.map((bytes, i) => (i === at ? edit(bytes) : bytes)))
          for (const file of files) withinLimits(() => survivesReading(file, size), size)
        }),
        mutants(200),
      )
      const key = fc.constantFrom('split.no', 'split.count', 'split.tensors.count')
      fc.assert(
        fc.property(key, absurd, fc.nat(1), (changed, value, at) => {
          write(
            parts.map((part, i) =>
              rawGguf({
                ...part,
                values: part.values.map(([name, old]) => [
                  name,
                  i === at && name === changed ? { type: 'u64', value } : old,
                ]),
              }),
            ),
          )
          for (const file of files) withinLimits(() => survivesReading(file, size), size)
        }),
        mutants(100),
      )
    },
    FUZZ_TIMEOUT,
  )
})

describe("llama2.c's model.bin", () => {
  const config: ModelConfig = {
    ...tinyConfig,
    vocabSize: 3,
    hiddenSize: 4,
    numKeyValueHeads: 2,
    intermediateSize: 4,
  }
  const numbers = parameterShapes(config).reduce((sum, { shape }) => sum + product(shape), 0)
  const shape = [4, 4, 1, 2, 2, 3, 5]
  const legacy = Buffer.alloc(28 + 4 * (numbers + 5 * 2))
  for (const [i, size] of shape.entries()) legacy.writeInt32LE(size, 4 * i)
  const version1 = Buffer.alloc(256 + 4 * numbers)
  for (const [i, value] of [0x616b3432, 1, ...shape].entries()) version1.writeInt32LE(value, 4 * i)
  version1[36] = 1

  it('of these sizes is one', () => {
    for (const bytes of [legacy, version1]) {
      const file = path.join(directory, 'whole.bin')
      fs.writeFileSync(file, bytes)
      const source = openModel(file)
      expect(source.config).toMatchObject({ hiddenSize: 4, vocabSize: 3, tieWordEmbeddings: true })
      source.close()
    }
  })

  it('survives any truncation', () => {
    for (const bytes of [legacy, version1]) {
      for (let length = 0; length < bytes.length; length += 3)
        survivesAs('cut.bin', bytes.subarray(0, length))
    }
  })

  it(
    'survives several edits, and any numbers in its shape',
    () => {
      fc.assert(
        fc.property(fc.constantFrom(legacy, version1), edits(44), (bytes, edit) =>
          survivesAs('edited.bin', edit(bytes)),
        ),
        mutants(300),
      )
      const size = fc.oneof(
        fc.integer({ min: -3, max: 9 }),
        fc.constantFrom(2 ** 31 - 1, -(2 ** 31), 10_000, 65_536),
      )
      fc.assert(
        fc.property(fc.array(size, { minLength: 7, maxLength: 7 }), fc.boolean(), (sizes, old) => {
          const bytes = Buffer.from(old ? legacy : version1)
          for (const [i, value] of sizes.entries()) bytes.writeInt32LE(value, (old ? 0 : 8) + 4 * i)
          survivesAs('absurd.bin', bytes)
        }),
        mutants(200),
      )
    },
    FUZZ_TIMEOUT,
  )
})

describe('what is no model', () => {
  it.each<[string, string | Uint8Array, string]>([
    ['an empty file', '', 'MODEL_FORMAT_UNKNOWN'],
    ['a text', 'Once upon a time there was a text that was no model', 'MODEL_FORMAT_UNKNOWN'],
    ['zeros', new Uint8Array(4096), 'MODEL_FORMAT_UNKNOWN'],
  ])('%s is told so', (_, content, code) => {
    const file = path.join(directory, 'no-model')
    fs.writeFileSync(file, content)
    expect(() => openModel(file)).toThrow(expect.objectContaining({ code }))
  })

  it('a safetensors file alone is told to come with its directory', () => {
    const file = path.join(directory, 'model.safetensors')
    fs.writeFileSync(file, 'x'.repeat(100))
    expect(() => openModel(file)).toThrow(/give its directory/)
  })

  it.each<[string, () => string, string]>([
    [
      'a circle of links',
      () => {
        fs.symlinkSync('circle', path.join(directory, 'circle'))
        return path.join(directory, 'circle')
      },
      'LINK_LOOP',
    ],
    ['a name that is too long', () => path.join(directory, 'n'.repeat(300)), 'NAME_TOO_LONG'],
    ['a NUL in the name', () => `${directory}/a\0b`, 'PATH_INVALID'],
    ['an empty name', () => '', 'PATH_INVALID'],
    ['a file as a directory', () => path.join(directory, 'no-model', 'x'), 'CHECKPOINT_MISSING'],
    ['a device', () => '/dev/null', 'CHECKPOINT_MISSING'],
  ])('%s is told so', (_, model, code) => {
    expect(() => openModel(model())).toThrow(expect.objectContaining({ code }))
  })

  it('nothing at all is told so', () => {
    expect(() => openModel(path.join(directory, 'nothing'))).toThrow(
      expect.objectContaining({ code: 'CHECKPOINT_MISSING' }),
    )
  })
})
