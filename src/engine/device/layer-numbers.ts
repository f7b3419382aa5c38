// What the first kernel of an FFN reads of a layer beside its matrices: its index, the uniforms and learned parameters of its
// activation (activation-code.ts), and the biases of its neurons.

import type { Activation } from '../../activations/index.js'
import { LAYER_WORDS } from '../../kernels/webgpu/index.js'
import type { ModelConfig } from '../../nn/config.js'
import type { DeviceLayer } from './device-weights.js'

export interface LayerNumbers {
  readonly values: Float32Array
  /** Where the biases begin; null without. */
  readonly biasAt: number | null
}

export function layerNumbers(
  activation: Activation,
  index: number,
  { intermediateSize: neurons }: Pick<ModelConfig, 'intermediateSize'>,
  { learned, gateBias }: Pick<DeviceLayer, 'learned' | 'gateBias'>,
): LayerNumbers {
  const program = activation.programs?.forward
  const uniforms = new Float64Array(program?.uniformCount ?? 0)
  const parameters = learned?.of(activation) ?? new Float32Array(0)
  program?.fillUniforms(uniforms, activation.settings, parameters, neurons)
  const shared = activation.programs?.learned.filter(({ per }) => per === 'layer').length ?? 0
  const own = parameters.subarray(shared)
  const end = LAYER_WORDS + uniforms.length + own.length
  const values = new Float32Array(end + (gateBias?.length ?? 0))
  values[0] = index
  values.set(uniforms, LAYER_WORDS)
  values.set(own, LAYER_WORDS + uniforms.length)
  if (gateBias !== null) values.set(gateBias, end)
  return { values, biasAt: gateBias === null ? null : end }
}
