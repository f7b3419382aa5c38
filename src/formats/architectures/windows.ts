// Which layers have a sliding window, which are rotated, and other lists of layers that files describe by patterns.

import type { ModelConfig } from '../../nn/config.js'
import type { ConfigJson } from './config-json.js'

type Windows = Pick<ModelConfig, 'slidingWindow' | 'windowLayers'>

/** The window of `layers`, left out where no position is beyond it or no layer has it. */
export function windowsOf(
  window: number | null | undefined,
  layers: readonly boolean[],
  context: number,
): Windows {
  const applies = window !== null && window !== undefined && window > 0 && window < context
  if (!applies || !layers.includes(true)) return {}
  return { slidingWindow: window, ...(layers.includes(false) ? { windowLayers: layers } : {}) }
}

/**
 * As `sliding_window` and `layer_types` of config.json say; without a list, the layers for which `otherwise` returns true have
 * the window. Default: all.
 */
export function jsonWindows(json: ConfigJson, otherwise: (layer: number) => boolean = () => true): Windows {
  const layers = Array.from({ length: json.num_hidden_layers }, (_, layer) => {
    return json.layer_types ? json.layer_types[layer] === 'sliding_attention' : otherwise(layer)
  })
  return windowsOf(json.sliding_window, layers, json.max_position_embeddings)
}

/** `sliding_window` and `layer_types`. */
export function windowFields(config: ModelConfig): Record<string, unknown> {
  const { slidingWindow, windowLayers, numHiddenLayers } = config
  return {
    sliding_window: slidingWindow ?? null,
    layer_types: Array.from({ length: numHiddenLayers }, (_, layer) => {
      const slides = slidingWindow !== undefined && (windowLayers === undefined || windowLayers[layer])
      return slides ? 'sliding_attention' : 'full_attention'
    }),
  }
}

/** All layers but every `interval`-th; undefined where that is none. */
export function everyLayerBut(layers: number, interval: number): readonly boolean[] | undefined {
  const list = Array.from({ length: layers }, (_, layer) => (layer + 1) % interval !== 0)
  return list.includes(false) ? list : undefined
}
