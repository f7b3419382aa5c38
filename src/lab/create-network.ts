// Makes the lab's networks: native kernels run the whole stack in one call where they can; every other activation, and
// every machine without them, runs on the tape.

import type { Activation } from '../activations/index.js'
import {
  type Kernels,
  kernels,
  type MlpMoment,
  type MlpStack,
  mlpStack,
  mlpSupports,
} from '../kernels/index.js'
import { Purpose, seedWords } from '../kernels/philox.js'
import type { NetworkLayout } from './layout.js'
import type { Forward, Moment, Network } from './network.js'
import { tapeNetwork } from './tape-network.js'

/** A network for one activation; `start` are its parameters (see `initialParameters`). */
export function createNetwork(
  layout: NetworkLayout,
  activation: Activation,
  start: Float64Array,
  using: Kernels = kernels(),
): Network {
  const stack = mlpSupports(activation) ? mlpStack(using, layout.widths) : null
  return stack === null ? tapeNetwork(using, layout, start) : nativeNetwork(stack, layout, start)
}

export function nativeNetwork(stack: MlpStack, layout: NetworkLayout, start: Float64Array): Network {
  const parameters = Float32Array.from(start)
  const gradients = new Float32Array(parameters.length)
  const hiddenNeurons = layout.widths.slice(1, -1).reduce((sum, width) => sum + width, 0)
  const classes = layout.widths[layout.widths.length - 1]
  let [logits, hidden, gates] = [new Float32Array(0), new Float32Array(0), new Float32Array(0)]

  const at = ({ activation, seed, purpose, step, dropout }: Moment): MlpMoment => {
    const [seedLow, seedHigh] = seedWords(seed)
    return {
      activation,
      draw: { seedLow, seedHigh, purpose, step, layer: 0, firstRow: 0 },
      dropout,
      dropoutPurpose: Purpose.dropout,
    }
  }

  return {
    layout,
    parameters,
    gradients,
    learn: (data, order, first, count, moment) =>
      stack.gradients(at(moment), parameters, gradients, data, order, first, count),
    forward: (x, samples, moment): Forward => {
      if (logits.length !== samples * classes) {
        logits = new Float32Array(samples * classes)
        hidden = new Float32Array(samples * hiddenNeurons)
      }
      const gated = moment.activation.gate !== undefined
      if (gated && gates.length !== hidden.length) gates = new Float32Array(hidden.length)
      stack.forward(at(moment), parameters, x, samples, { logits, hidden, gates: gated ? gates : null })
      return { logits, hidden, gates: gated ? gates : null }
    },
  }
}
