// The buffers that all kernels of a pass share.

import {
  allFlagWords,
  bestChunks,
  bestWords,
  type DeviceMemory,
  MOST_BEST,
  paddedColumns,
  ROW_WORDS,
  splitInput,
} from '../../kernels/webgpu/index.js'
import { ffnWidths, type ModelConfig } from '../../nn/config.js'
import { attentionWidths } from './device-weights.js'

/** Rows of one pass. */
export const MOST_ROWS = 32

/** What all layers share: one row of each per row of a pass. */
export interface PassBuffers {
  /** Descriptions of the rows, ROW_WORDS words each. */
  readonly rows: GPUBuffer
  readonly x: GPUBuffer
  /** What a norm that is a kernel of its own made of x. */
  readonly normed: GPUBuffer
  /** The same in two parts, where gate and up rows of an FFN read one each (Spark). */
  readonly split: GPUBuffer
  /** What a branch adds to x, where that is normed or scaled first; else x. Zeros between layers. */
  readonly branch: GPUBuffer
  readonly qkv: GPUBuffer
  readonly gathered: GPUBuffer
  readonly hidden: GPUBuffer
  /** Of a mixture's router, (rows, experts). */
  readonly scores: GPUBuffer
  /** Active neurons per layer and row, (layers, MOST_ROWS); then the rows' bits; then their experts. */
  readonly flags: GPUBuffer
  readonly logits: GPUBuffer
  /** The largest logits of each row, and of each row's chunks of the vocabulary. */
  readonly best: GPUBuffer
  readonly chunkBest: GPUBuffer
}

/** Whether branches add to the residual stream as they are. */
export function addsAtOnce({
  normPlacement = 'before',
  parallelBranches,
  residualScale,
  experts,
}: ModelConfig): boolean {
  // An expert reads x after another one's output is there.
  const isOneBranch = normPlacement === 'before' && parallelBranches === undefined && experts === undefined
  return isOneBranch && residualScale === undefined
}

export function passBuffers(memory: DeviceMemory, config: ModelConfig): PassBuffers {
  const { hiddenSize: d, intermediateSize: h, numHiddenLayers, vocabSize, ffn, experts = null } = config
  const widths = ffnWidths(config)
  const { q, all } = attentionWidths(config)
  const perRow = (width: number) => memory.buffer(4 * MOST_ROWS * paddedColumns(width))
  const x = perRow(d)
  return {
    rows: memory.buffer(4 * MOST_ROWS * ROW_WORDS),
    x,
    normed: perRow(d),
    split: ffn === 'spark' ? perRow(splitInput(widths.gate, widths.up).stride) : x,
    branch: addsAtOnce(config) ? x : perRow(d),
    qkv: perRow(all),
    gathered: perRow(q),
    hidden: perRow(h),
    scores: experts === null ? x : perRow(experts.count),
    flags: memory.buffer(4 * allFlagWords(MOST_ROWS, numHiddenLayers, h, experts)),
    logits: perRow(vocabSize),
    best: memory.buffer(4 * MOST_ROWS * bestWords(MOST_BEST)),
    chunkBest: memory.buffer(4 * MOST_ROWS * bestWords(MOST_BEST) * bestChunks(vocabSize)),
  }
}
