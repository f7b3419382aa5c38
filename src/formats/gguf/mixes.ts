// Which type each matrix of a quantized file has: embedding and head lose more to few bits than the others, and so do v and
// down in some layers.

import type { WeightType } from '../../kernels/index.js'
import type { ModelConfig } from '../../nn/config.js'
import { expertPart } from '../../nn/parameters.js'

/** A type for all matrices, or a mix by llama.cpp's name. */
export type WrittenDtype = WeightType | 'q4_k_m'
/** llama_ftype of the mix. */
export const Q4_K_M_FILE = 15

/** The type of the matrix `name` of a model that is written as `dtype`. */
export function mixedDtype(name: string, config: ModelConfig, dtype: WrittenDtype): WeightType {
  const inLayer = /^model\.layers\.(\d+)\.(.+)\.weight$/.exec(name)
  if (inLayer === null) {
    if (dtype === 'q4_0') return 'q8_0'
    if (dtype === 'q4_k' || dtype === 'q5_k') return 'q6_k'
    if (dtype !== 'q4_k_m') return dtype
    const isHead = name === 'lm_head.weight' || config.tieWordEmbeddings
    return isHead ? 'q6_k' : 'q4_k'
  }
  // A router is small, and decides which experts are computed.
  if (inLayer[2] === 'mlp.gate') return 'f32'
  if (dtype !== 'q4_k_m') return dtype
  const [, layer, own] = inLayer
  const part = expertPart(own)?.part ?? own
  const sensitive = part === 'self_attn.v_proj' || part === 'mlp.down_proj'
  return sensitive && hasMoreBits(Number(layer), config.numHiddenLayers) ? 'q6_k' : 'q4_k'
}

/** The layers whose v and down have 6 bits in llama.cpp's Q4_K_M: the first and last eighth, of the others every third. */
function hasMoreBits(layer: number, layers: number): boolean {
  const eighth = Math.floor(layers / 8)
  return layer < eighth || layer >= Math.floor((7 * layers) / 8) || (layer - eighth) % 3 === 2
}
