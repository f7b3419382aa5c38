// Hugging Face directories with a quantization_config: fp8 with scales per block and per tensor is read, all others are refused
// by name.

import fs from 'node:fs'
import path from 'node:path'
import { afterAll, describe, expect, it } from 'vitest'
import { readCheckpoint, writeCheckpoint } from '../../src/formats/huggingface/index.js'
import { parameterShapes } from '../../src/nn/parameters.js'
import { contentOf, product, temporaryDirectory, tinyConfig, variedTensors } from './tiny-model.js'

const root = temporaryDirectory()
afterAll(() => fs.rmSync(root, { recursive: true }))
let made = 0

const QUANTIZED = 'model.layers.0.mlp.up_proj.weight'
const shapeOf = (name: string) =>
  parameterShapes(tinyConfig).find(parameter => parameter.name === name)!.shape
const [ROWS, COLUMNS] = shapeOf(QUANTIZED)

interface Stored {
  readonly dtype: string
  readonly shape: readonly number[]
  readonly bytes: Uint8Array
}
const f32 = (shape: readonly number[], values: Float32Array): Stored => ({
  dtype: 'F32',
  shape,
  bytes: new Uint8Array(values.buffer, values.byteOffset, values.byteLength),
})

/** The tiny model with other tensors, and a quantization_config. */
function checkpoint(quantization: object, changed: Record<string, Stored>): string {
  const directory = path.join(root, `model-${made++}`)
  writeCheckpoint(directory, contentOf(tinyConfig))
  const configFile = path.join(directory, 'config.json')
  const config = JSON.parse(fs.readFileSync(configFile, 'utf8'))
  fs.writeFileSync(configFile, JSON.stringify({ ...config, quantization_config: quantization }))
  const own = Object.fromEntries(
    variedTensors(tinyConfig).map(({ name, shape, data }) => [name, f32(shape, data)]),
  )
  const header: Record<string, object> = {}
  const parts: Uint8Array[] = []
  let at = 0
  for (const [name, { dtype, shape, bytes }] of Object.entries({ ...own, ...changed })) {
    header[name] = { dtype, shape, data_offsets: [at, at + bytes.length] }
    parts.push(bytes)
    at += bytes.length
  }
  const json = Buffer.from(JSON.stringify(header))
  const length = Buffer.alloc(8)
  length.writeBigUInt64LE(BigInt(json.length))
  fs.writeFileSync(path.join(directory, 'model.safetensors'), Buffer.concat([length, json, ...parts]))
  return directory
}

/** 0x38 is 1, 0x40 is 2, 0xb8 is −1 in E4M3. */
const codes = Uint8Array.from({ length: ROWS * COLUMNS }, (_, i) => [0x38, 0x40, 0xb8][i % 3])
const values = [1, 2, -1]
const float8: Stored = { dtype: 'F8_E4M3', shape: [ROWS, COLUMNS], bytes: codes }

describe('fp8', () => {
  it('multiplies each block by its scale', () => {
    const [high, wide] = [8, 3]
    const [down, across] = [Math.ceil(ROWS / high), Math.ceil(COLUMNS / wide)]
    const scales = Float32Array.from({ length: down * across }, (_, i) => 0.5 + i / 8)
    const directory = checkpoint(
      { quant_method: 'fp8', activation_scheme: 'dynamic', weight_block_size: [high, wide] },
      { [QUANTIZED]: float8, [`${QUANTIZED}_scale_inv`]: f32([down, across], scales) },
    )
    const source = readCheckpoint(directory)
    expect(source.info(QUANTIZED)).toEqual({ dtype: 'bf16', shape: [ROWS, COLUMNS] })
    const expected = Float32Array.from({ length: ROWS * COLUMNS }, (_, i) => {
      const [row, column] = [Math.floor(i / COLUMNS), i % COLUMNS]
      return values[i % 3] * scales[Math.floor(row / high) * across + Math.floor(column / wide)]
    })
    expect(source.tensor(QUANTIZED)).toEqual(expected)
    // These values have at most 8 significant bits: bf16 holds them exactly.
    const halves = new Uint16Array(source.stored(QUANTIZED).bytes.buffer)
    expect(Float32Array.from(halves, half => new Float32Array(Uint32Array.of(half << 16).buffer)[0])).toEqual(
      expected,
    )
    // A tensor that is not quantized is what it was.
    const norm = source.tensor('model.norm.weight')
    expect(norm).toHaveLength(product(shapeOf('model.norm.weight')))
    source.close()
  })

  it('takes one scale for a whole tensor, and ignores those of activations', () => {
    const directory = checkpoint(
      { quant_method: 'fp8', activation_scheme: 'static' },
      {
        [QUANTIZED]: float8,
        [`${QUANTIZED}_scale`]: f32([], Float32Array.of(0.25)),
        [QUANTIZED.replace('weight', 'input_scale')]: f32([], Float32Array.of(3)),
      },
    )
    const source = readCheckpoint(directory)
    expect([...source.tensor(QUANTIZED).subarray(0, 3)]).toEqual([0.25, 0.5, -0.25])
    source.close()
  })

  it.each([
    ['without scales', {}, 'TENSOR_MISSING', /weight_scale_inv" is missing/],
    [
      'with too few scales',
      { [`${QUANTIZED}_scale_inv`]: f32([3], new Float32Array(3)) },
      'TENSOR_SHAPE',
      /has 3 scales/,
    ],
  ] as const)('%s is an error', (_, more, code, message) => {
    const source = readCheckpoint(
      checkpoint({ quant_method: 'fp8', weight_block_size: [8, 3] }, { [QUANTIZED]: float8, ...more }),
    )
    expect(() => source.tensor(QUANTIZED)).toThrow(
      expect.objectContaining({ code, message: expect.stringMatching(message) }),
    )
    source.close()
  })
})

describe('other methods', () => {
  it.each([
    [{ quant_method: 'awq', bits: 4 }, 'awq'],
    [{ quant_method: 'gptq', bits: 4 }, 'gptq'],
    [{ quant_method: 'compressed-tensors' }, 'compressed-tensors'],
    [{ quant_method: 'mxfp4' }, 'mxfp4'],
    [{ load_in_4bit: true }, 'bitsandbytes'],
    [{ quant_method: 'bitsandbytes', load_in_8bit: true }, 'bitsandbytes'],
    [{}, 'unknown'],
  ])('%j is refused by name, with what to download', (quantization, name) => {
    expect(() => readCheckpoint(checkpoint(quantization, {}))).toThrow(
      expect.objectContaining({
        code: 'CONFIG_INVALID',
        message: expect.stringMatching(
          new RegExp(`quantized by "${name}" are not supported; download .*GGUF`),
        ),
      }),
    )
  })
})
