// The network on the native kernels of native/mlp.cc.

import type { MlpMoment, MlpStack } from '../kernels/index.js'
import { Purpose, seedWords } from '../kernels/philox.js'
import type { NetworkLayout } from './layout.js'
import type { Forward, Moment, Network } from './network.js'

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
