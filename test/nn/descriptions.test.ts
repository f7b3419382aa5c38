// Every description can be trained: its gradients are those of finite differences, and its loss falls.

import { describe, expect, it } from 'vitest'
import { parseActivation } from '../../src/activations/index.js'
import { kernels, portableKernels } from '../../src/kernels/index.js'
import { modelConfigProblem } from '../../src/nn/config.js'
import { Llama } from '../../src/nn/llama.js'
import { Tape } from '../../src/tensor/index.js'
import { TrainingStep } from '../../src/train/step.js'
import { DESCRIPTIONS } from './descriptions.js'
import { expectFiniteDifferences } from './finite-differences.js'

const draw = { seedLow: 1, seedHigh: 2, purpose: 2, step: 3, firstRow: 0 }
const inputs = Int32Array.of(1, 2, 3, 4, 10, 9, 8, 7)
const targets = Int32Array.of(2, 3, 4, 5, 9, 8, 7, 6)

describe.each(Object.entries(DESCRIPTIONS))('%s', (_, config) => {
  const activation = parseActivation(config.activation)

  it('is a valid description', () => {
    expect(modelConfigProblem(config)).toBeNull()
  })

  it('has the gradients of finite differences', () => {
    const model = Llama.initialize(config, 5, 'f64')
    // Away from the small initial weights, where everything is nearly linear; biases and norms are not all alike.
    for (const { data } of model.parameters.values()) {
      for (let i = 0; i < data.length; i++) data[i] = 8 * data[i] + 0.1 * Math.sin(i + data.length)
    }
    const loss = (training: boolean) => {
      const tape = new Tape(portableKernels(), { dtype: 'f64', training })
      return { tape, loss: model.loss(tape, inputs, targets, 4, { activation, draw }) }
    }
    // Scores of random weights change fast: a larger step leaves the linear part.
    expectFiniteDifferences(model, loss, { h: 1e-6, relative: 2e-5, samples: 7 })
  })

  it('loses less after 20 steps', () => {
    const model = Llama.initialize(config, 5)
    const options = { beta1: 0.9, beta2: 0.95, eps: 1e-8, weightDecay: 0, clip: 1, seed: 1 }
    const step = new TrainingStep(kernels(), model, options)
    const losses = Array.from({ length: 20 }, (_, i) => {
      return step.run(i + 1, 0.02, activation, [{ inputs, targets, seq: 4 }]).loss
    })
    expect(losses[19]).toBeLessThan(0.6 * losses[0])
  })
})
