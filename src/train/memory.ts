// The memory that training takes, from the config alone.

import os from 'node:os'
import process from 'node:process'
import { headDimOf, type ModelConfig, neuronsPerToken } from '../nn/config.js'
import { parameterShapes } from '../nn/parameters.js'
import { sizeOf } from '../tensor/index.js'

export interface TrainingMemory {
  /** Bytes of the weights. */
  readonly weights: number
  /** Gradients and the two moments of what is trained. */
  readonly training: number
  /** Buffers of a step, for one micro-batch. */
  readonly step: number
  /** The same with those of a measurement on held-out text, which are held as well. */
  readonly working: number
}

/**
 * Bytes for training a model of this config in f32. What a forward pass keeps per token and layer: the two norms, q, k
 * and v before and after rotation, the output of attention, the residual stream twice, gate, up and hidden.
 */
export function trainingMemory(
  config: ModelConfig,
  { batchSize, context }: { readonly batchSize: number; readonly context: number },
  isTrained: (name: string) => boolean,
): TrainingMemory {
  const { hiddenSize: d, numHiddenLayers: layers, vocabSize } = config
  // Of a mixture, as if its rows were spread evenly; every chosen expert also has a copy of its rows and an output.
  const [h, more] = [neuronsPerToken(config), 2 * d * (config.experts?.perToken ?? 0)]
  const q = headDimOf(config) * config.numAttentionHeads
  const kv = headDimOf(config) * config.numKeyValueHeads
  let [weights, trained] = [0, 0]
  for (const { name, shape } of parameterShapes(config)) {
    weights += sizeOf(shape)
    if (isTrained(name)) trained += sizeOf(shape)
  }
  const ffn = config.ffn === 'plain' ? 2 * h : 3 * h
  const rectified = config.normActivation === undefined ? 0 : 2 * d
  const forward = layers * (4 * d + rectified + 3 * q + 3 * kv + ffn + more) + 2 * d + vocabSize
  // Gradients of one layer at a time: buffers are used again.
  const backward = 3 * d + 2 * q + 4 * kv + ffn
  const tokens = batchSize * context
  return {
    weights: 4 * weights,
    training: 12 * trained,
    step: 4 * tokens * (forward + backward),
    working: 4 * tokens * (2 * forward + backward),
  }
}

/** Bytes that this process may still take. */
export function availableMemory(): number {
  return process.availableMemory?.() ?? os.freemem()
}
