// In which precision the linear layers of a training step multiply. Weights, gradients, moments, sums, norms, attention,
// softmax and loss are f32 in each of them.

import { OptionError } from '../errors.js'
import type { Kernels } from '../kernels/index.js'

/**
 * f32; bf16: both operands rounded to bf16, by the processor's own products of those; bf16-emulated: the same numbers up to
 * the rounding of sums on any processor, and slower than f32.
 */
export const precisions = ['f32', 'bf16', 'bf16-emulated'] as const
export type Precision = (typeof precisions)[number]

/**
 * The kernels of a step in this precision. The products of mostly zero activations, which leave the zeros out, stay f32. Throws
 * OptionError PRECISION_UNSUPPORTED where the processor has no products of bf16.
 */
export function withPrecision(kernels: Kernels, precision: Precision): Kernels {
  if (precision === 'f32') return kernels
  const emulated = precision === 'bf16-emulated'
  const one = Float32Array.of(1)
  if (!emulated && !kernels.matmulBf16(one, one, Float32Array.of(0), 1, 1, 1, false, false, false, false)) {
    throw new OptionError(
      'PRECISION_UNSUPPORTED',
      `precision bf16 needs a processor that multiplies bf16 (AVX512-BF16, or BF16 of ARMv8.6), and the kernels here ` +
        `(${kernels.backend}, ${kernels.isa}) have no such instruction; leave it out, or give bf16-emulated for the same ` +
        'numbers, slower than f32',
    )
  }
  return {
    ...kernels,
    matmul: (a, b, c, m, n, k, transA, transB, accumulate) => {
      kernels.matmulBf16(a, b, c, m, n, k, transA, transB, accumulate, emulated)
    },
  }
}
