// What the kernels of an FFN read of a layer beside its matrices: its index, the numbers of its activation (activation-code.ts),
// the biases of its neurons, and the limits or scales of a cut of them.

import type { Activation } from '../../activations/index.js'
import { activationNumbers, type CutLimits, type CutTop, LAYER_WORDS } from '../../kernels/webgpu/index.js'
import type { ModelConfig } from '../../nn/config.js'
import type { DeviceLayer } from './device-weights.js'

export interface LayerNumbers {
  readonly values: Float32Array
  /** Where the biases begin; null without. */
  readonly biasAt: number | null
  /** Of a cut by limits; null without. */
  readonly limits: CutLimits | null
  /** Of a cut that keeps the largest; null without. */
  readonly top: CutTop | null
}

export function layerNumbers(
  activation: Activation,
  index: number,
  { intermediateSize: neurons }: Pick<ModelConfig, 'intermediateSize'>,
  { learned, gateBias, cuts }: Pick<DeviceLayer, 'learned' | 'gateBias' | 'cuts'>,
): LayerNumbers {
  const cut = cuts?.neurons ?? null
  const own = activationNumbers(activation, learned?.of(activation) ?? [], neurons)
  const biasAt = LAYER_WORDS + own.length
  const cutAt = biasAt + (gateBias?.length ?? 0)
  const numbers = cut === null ? null : cut.kind === 'top' ? cut.scale : cut.limits
  const values = new Float32Array(cutAt + (numbers?.length ?? 0))
  values[0] = index
  values.set(own, LAYER_WORDS)
  if (gateBias !== null) values.set(gateBias, biasAt)
  if (numbers !== null) values.set(numbers, cutAt)
  // As many as there are, or more, are all kept.
  const isTop = cut?.kind === 'top' && cut.keep < neurons
  return {
    values,
    biasAt: gateBias === null ? null : biasAt,
    limits: cut?.kind === 'threshold' ? { at: cutAt, perNeuron: cut.limits.length > 1 } : null,
    top: isTop ? { keep: cut.keep, scaleAt: cut.scale === null ? null : cutAt } : null,
  }
}
