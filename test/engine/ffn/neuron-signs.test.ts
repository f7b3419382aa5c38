// `neurons` of a session: the signs of the activated gate, computed here from what the FFN reads.

import { expect, it } from 'vitest'
import { parseActivation } from '../../../src/activations/index.js'
import { EngineModel, Session } from '../../../src/engine/index.js'
import type { ModelConfig } from '../../../src/nn/config.js'
import { randomTensors, smallConfig, tensorOf } from '../naive-model.js'

const { hiddenSize: d, intermediateSize: h, numHiddenLayers: layers } = smallConfig

it.each([
  ['relu, gated', { activation: 'relu' }, 'gate'],
  ['silu, gated: nothing is 0', { activation: 'silu' }, 'gate'],
  ['relu, plain', { activation: 'relu', ffn: 'plain' }, 'up'],
] as const)('%s', (_, part, gate) => {
  const config: ModelConfig = { ...smallConfig, ...part }
  const tensors = randomTensors(config, 4)
  const inputs: Float32Array[] = []
  const model = new EngineModel(config, tensorOf(tensors), {
    observer: (vector, layer, values, rows, width) => {
      if (vector === 'ffn') inputs[layer] = values.slice((rows - 1) * width, rows * width)
    },
  })
  const activation = parseActivation(config.activation)
  const expected = () =>
    Array.from({ length: layers * h }, (_, i) => {
      const [layer, neuron] = [Math.floor(i / h), i % h]
      const w = tensors.get(`model.layers.${layer}.mlp.${gate}_proj.weight`)!
      let z = 0
      for (let k = 0; k < d; k++) z += w[neuron * d + k] * inputs[layer][k]
      return z > 0 ? 1 : activation.exactZeros ? 0 : 2
    })
  const session = model.session({ neurons: true })
  session.prefill([3, 1, 4])
  expect([...session.stats.neurons!]).toEqual(expected())
  expect(new Set(session.stats.neurons).size).toBe(2)
  const [told, silent] = session.fork([{ sequence: 1 }, { neurons: false }])
  Session.stepTogether([silent, told], [5, 9])
  expect([...told.stats.neurons!]).toEqual(expected())
  expect(told.activeNeurons.reduce((a, b) => a + b, 0)).toBe(told.stats.neurons!.filter(s => s > 0).length)
  expect(silent.stats.neurons).toBeUndefined()
})
