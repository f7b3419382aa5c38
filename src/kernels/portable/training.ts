// The portable backend: every kernel in plain TypeScript, for f32 and f64 buffers alike. It is the reference
// that the native kernels are held to, and what runs where there is no C++ compiler.

import type { Kernels } from '../interface/training.js'
import * as activations from './activation.js'
import { adamW } from './adamw.js'
import { attention, attentionBackward } from './attention.js'
import { crossEntropy } from './cross-entropy.js'
import * as elementwise from './elementwise.js'
import { embedding, embeddingBackward } from './embedding.js'
import { matmul, matmulBf16 } from './matmul.js'
import { layerNorm, layerNormBackward, rmsNorm, rmsNormBackward } from './norm.js'
import { rope, ropeBackward } from './rope.js'
import * as sparseProducts from './sparse-products.js'

/** The portable kernels. They run on the calling thread and sum in double precision. */
export function portableKernels(): Kernels {
  return {
    backend: 'portable',
    isa: 'typescript',
    threads: 1,
    matmul,
    matmulBf16,
    ...sparseProducts,
    ...elementwise,
    embedding,
    embeddingBackward,
    rmsNorm,
    rmsNormBackward,
    layerNorm,
    layerNormBackward,
    rope,
    ropeBackward,
    attention,
    attentionBackward,
    ...activations,
    crossEntropy,
    adamW,
  }
}
