// The optimizers against the textbook, number by number.

import { describe, expect, it } from 'vitest'
import { parseActivation } from '../../src/activations/index.js'
import { portableKernels } from '../../src/kernels/index.js'
import { networkLayout } from '../../src/lab/layout.js'
import { type OptimizerOptions, optimizer } from '../../src/lab/optimizer.js'
import { tapeNetwork } from '../../src/lab/tape-network.js'

/** Parameters after three steps with gradient parameter² + 1, and what `update` makes of one number. */
function compare(
  options: OptimizerOptions,
  update: () => (parameter: number, gradient: number) => number,
): void {
  const layout = networkLayout([1, 1, 2], parseActivation('relu'))
  const start = Float64Array.from({ length: layout.length }, (_, i) => i / 3 - 1)
  const network = tapeNetwork(portableKernels(), layout, start, 'f64')
  const step = optimizer(portableKernels(), network, options)
  const expected = [...start].map(value => ({ value, update: update() }))
  for (let t = 0; t < 3; t++) {
    for (const [i, one] of expected.entries()) {
      network.gradients[i] = network.parameters[i] ** 2 + 1
      one.value = one.update(one.value, one.value ** 2 + 1)
    }
    step()
  }
  for (const [i, { value }] of expected.entries()) expect(network.parameters[i]).toBeCloseTo(value, 12)
}

/** Kingma & Ba 2015, algorithm 1. */
function adam(lr: number, decay: { inGradient: number; decoupled: number }) {
  let [m, v, t] = [0, 0, 0]
  return (parameter: number, gradient: number) => {
    const g = gradient + decay.inGradient * parameter
    t++
    m = 0.9 * m + 0.1 * g
    v = 0.999 * v + 0.001 * g * g
    const step = (lr * (m / (1 - 0.9 ** t))) / (Math.sqrt(v / (1 - 0.999 ** t)) + 1e-8)
    return parameter * (1 - lr * decay.decoupled) - step
  }
}

describe('the optimizers', () => {
  it("adam is Kingma and Ba's, weight decay in the gradient", () => {
    compare({ optimizer: 'adam', lr: 0.01, weightDecay: 0, momentum: 0.9 }, () =>
      adam(0.01, { inGradient: 0, decoupled: 0 }),
    )
    compare({ optimizer: 'adam', lr: 0.01, weightDecay: 0.3, momentum: 0.9 }, () =>
      adam(0.01, { inGradient: 0.3, decoupled: 0 }),
    )
  })

  it('adamw decays the weights themselves', () => {
    compare({ optimizer: 'adamw', lr: 0.01, weightDecay: 0.3, momentum: 0.9 }, () =>
      adam(0.01, { inGradient: 0, decoupled: 0.3 }),
    )
  })

  it('sgd keeps a running sum of gradients and takes lr times it', () => {
    compare({ optimizer: 'sgd', lr: 0.01, weightDecay: 0.2, momentum: 0.8 }, () => {
      let velocity = 0
      return (parameter, gradient) => {
        velocity = 0.8 * velocity + gradient + 0.2 * parameter
        return parameter - 0.01 * velocity
      }
    })
  })
})
