// The working buffers of a forward pass. A model has one set: its sessions run one after the other.

import type { ModelConfig } from '../nn/config.js'

/** Positions of a prompt that are computed together: each weight is read once for all of them. */
export const PREFILL_BLOCK = 32

/** Buffers of one forward pass over up to PREFILL_BLOCK positions. */
export interface Workspace {
  /** The residual stream, (positions, d). */
  readonly x: Float32Array
  /** (positions, d). */
  readonly normed: Float32Array
  readonly rstd: Float32Array
  /** (positions, d + 2·kv). */
  readonly qkv: Float32Array
  /** (positions, d). */
  readonly mixed: Float32Array
  /** Pre-activations, then activations, (positions, h). */
  readonly activated: Float32Array
  /** Active neurons of one layer, (positions). */
  readonly active: Int32Array
}

/** Buffers for any forward pass of `config`. */
export function makeWorkspace(config: ModelConfig): Workspace {
  const { hiddenSize: d, intermediateSize: h, numAttentionHeads, numKeyValueHeads } = config
  const kv = (d / numAttentionHeads) * numKeyValueHeads
  const rows = (width: number) => new Float32Array(PREFILL_BLOCK * width)
  return {
    x: rows(d),
    normed: rows(d),
    rstd: rows(1),
    qkv: rows(d + 2 * kv),
    mixed: rows(d),
    activated: rows(h),
    active: new Int32Array(PREFILL_BLOCK),
  }
}
