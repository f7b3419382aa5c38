// quantization_config of config.json: which quantized checkpoints are read, and what to download instead of the others.
//
// Read is `fp8`, as DeepSeek and Qwen publish: 8-bit floats with scales in tensors of their own, one per block
// (weight_block_size) or one per tensor; weight = float8 · scale.

import { z } from 'zod'
import { CheckpointError } from '../../errors.js'
import { narrowBfloat16 } from '../../kernels/weights/half.js'
import { quoted, type TensorSource } from '../safetensors.js'

export const quantizationSchema = z
  .looseObject({
    quant_method: z.string().optional(),
    weight_block_size: z.tuple([z.int().positive(), z.int().positive()]).nullish(),
    load_in_4bit: z.boolean().nullish(),
    load_in_8bit: z.boolean().nullish(),
  })
  .nullish()

/** 8-bit floats with a scale for each `block` (rows, columns), or for each tensor where it is null. */
export interface Float8Weights {
  readonly block: readonly [rows: number, columns: number] | null
}

/** What weights of this config need; null for plain ones. Or the problem, as a sentence about quantization_config. */
export function quantizationOf(
  given: z.infer<typeof quantizationSchema>,
): Float8Weights | null | { readonly problem: string } {
  if (given === null || given === undefined) return null
  const method = given.quant_method ?? (given.load_in_4bit || given.load_in_8bit ? 'bitsandbytes' : 'unknown')
  if (method === 'fp8') return { block: given.weight_block_size ?? null }
  return {
    problem:
      `quantization_config: weights quantized by ${quoted(method)} are not supported; download the checkpoint that was ` +
      'quantized (its model card names it), or a GGUF file of the same model, as in hf:owner/name-GGUF:Q4_K_M',
  }
}

/** Names of the scales beside `NAME.weight`: transformers writes the first. */
const SCALES = ['weight_scale_inv', 'weight_scale']
/** Of what is read along with the weights and concerns activations alone. */
const ACTIVATION_SCALES = /\.(input_scale|activation_scale|input_activation_scale)$/

/**
 * `weights` with 8-bit floats as the bf16 values that they stand for, and without the scales. Throws CheckpointError
 * TENSOR_MISSING or TENSOR_SHAPE where the scales of a tensor are missing or of another shape.
 */
export function withoutScales(
  weights: TensorSource,
  { block }: Float8Weights,
  directory: string,
): TensorSource {
  const present = new Set(weights.names)
  const isScale = (name: string) =>
    ACTIVATION_SCALES.test(name) || SCALES.some(suffix => name.endsWith(`.${suffix}`))
  const isFloat8 = (name: string) => weights.info(name).dtype.startsWith('F8_')
  const readFloat32 = (name: string): Float32Array => {
    const values = weights.readFloat32(name)
    if (!isFloat8(name)) return values
    const scales = SCALES.map(suffix => name.replace(/weight$/, suffix)).find(scale => present.has(scale))
    if (scales === undefined) {
      throw new CheckpointError(
        'TENSOR_MISSING',
        `${directory}: tensor ${quoted(name)} is of 8-bit floats, and ${quoted(name.replace(/weight$/, SCALES[0]))} is missing`,
      )
    }
    return scaled(values, weights.info(name).shape, scales)
  }
  const scaled = (values: Float32Array, shape: readonly number[], name: string): Float32Array => {
    const scales = weights.readFloat32(name)
    const [rows, columns] = [shape[0] ?? 1, shape[1] ?? 1]
    const [high, wide] = scales.length === 1 ? [rows, columns] : (block ?? [1, columns])
    const across = Math.ceil(columns / wide)
    if (scales.length !== Math.ceil(rows / high) * across) {
      throw new CheckpointError(
        'TENSOR_SHAPE',
        `${directory}: ${quoted(name)} has ${scales.length} scales; blocks of ${high} × ${wide} of a tensor of shape ` +
          `[${shape.join(', ')}] need ${Math.ceil(rows / high) * across}`,
      )
    }
    for (let row = 0, at = 0; row < rows; row++) {
      const first = Math.floor(row / high) * across
      for (let column = 0; column < columns; column++, at++)
        values[at] *= scales[first + Math.floor(column / wide)]
    }
    return values
  }
  return {
    names: weights.names.filter(name => !isScale(name)),
    info(name) {
      const info = weights.info(name)
      return isFloat8(name) ? { ...info, dtype: 'BF16', bytes: 2 * info.bytes } : info
    },
    readFloat32,
    reader: name => (isFloat8(name) ? null : weights.reader(name)),
    readBytes(name) {
      if (!isFloat8(name)) return weights.readBytes(name)
      const values = readFloat32(name)
      const halves = new Uint16Array(values.length)
      narrowBfloat16(values, halves)
      return new Uint8Array(halves.buffer)
    },
    close: () => weights.close(),
  }
}
