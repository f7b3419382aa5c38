// Which neurons a token has activated, as a streamed response tells it: a bit per neuron, in base64.

import type { GeneratedToken, LanguageModel } from '../engine/index.js'
import { bytesRead, bytesSkipped } from '../engine/pass-stats.js'
import { OptionError } from '../errors.js'
import type { SamplingBody } from './requests.js'

/** Neurons of a model whose bits are sent with every token: 700 kB of text. */
const MOST_NEURONS = 2 ** 22

/** `neurons` of a choice. */
export interface NeuronMasks {
  readonly layers: number
  /** Of one layer. */
  readonly neurons: number
  /**
   * Base64. Bit i % 8 of byte ⌊i / 8⌋ is 1 where neuron i, counted over all layers, was not exactly 0. */
  readonly active: string
  /** The same for those below zero, such as those that StochA draws; null without any. */
  readonly negative: string | null
  /** Bytes of the step that gave the token, for all sequences that decoded in it. */
  readonly bytes_read: number
  readonly bytes_skipped: number
}

/** Throws OptionError REQUEST_INVALID, NEURONS_UNSUPPORTED unless the request may ask for neurons, or does not. */
export function requireNeurons({ neurons, stream }: SamplingBody, { config }: LanguageModel): void {
  if (neurons !== true) return
  if (stream !== true) throw new OptionError('REQUEST_INVALID', 'neurons needs stream: true')
  const { experts, numHiddenLayers, intermediateSize } = config
  if (experts !== undefined) {
    throw new OptionError(
      'NEURONS_UNSUPPORTED',
      'neurons: this model is a mixture of experts, of which they are not told',
    )
  }
  const count = numHiddenLayers * intermediateSize
  if (count > MOST_NEURONS) {
    throw new OptionError(
      'NEURONS_UNSUPPORTED',
      `neurons: this model has ${count} neurons, and at most ${MOST_NEURONS} are sent with a token`,
    )
  }
}

/** Of a token that was generated with `neurons`; undefined of others. */
export function neuronMasks({ neurons, activeNeurons, pass }: GeneratedToken): NeuronMasks | undefined {
  if (neurons === undefined) return undefined
  const layers = activeNeurons.length
  const active = Buffer.alloc(Math.ceil(neurons.length / 8))
  const negative = Buffer.alloc(active.length)
  let below = 0
  for (let i = 0; i < neurons.length; i++) {
    if (neurons[i] === 0) continue
    const bit = 1 << (i & 7)
    active[i >> 3] |= bit
    if (neurons[i] !== 2) continue
    negative[i >> 3] |= bit
    below++
  }
  return {
    layers,
    neurons: neurons.length / layers,
    active: active.toString('base64'),
    negative: below === 0 ? null : negative.toString('base64'),
    bytes_read: bytesRead(pass),
    bytes_skipped: bytesSkipped(pass),
  }
}
