// SmolLM3: every fourth layer does not rotate queries and keys.

import type { Architecture } from './architecture.js'
import { everyLayerBut, jsonWindows, windowFields } from './windows.js'

/** llama.cpp has it in its code, not in the file. */
const INTERVAL = 4

export const SMOLLM3: Architecture = {
  huggingFace: [
    {
      name: 'SmolLM3ForCausalLM',
      modelType: 'smollm3',
      defaults: {
        max_position_embeddings: 32_768,
        rope_theta: 2_000_000,
        tie_word_embeddings: true,
      },
      reads: ['no_rope_layers', 'no_rope_layer_interval'],
      describe(json) {
        const { no_rope_layers: listed, no_rope_layer_interval: interval, num_hidden_layers: layers } = json
        const given = listed?.map(Boolean)
        const ropeLayers =
          given === undefined
            ? everyLayerBut(layers, interval ?? INTERVAL)
            : given.includes(false)
              ? given
              : undefined
        return {
          ...(ropeLayers === undefined ? {} : { ropeLayers }),
          ...(json.attention_bias ? { attentionBias: 'qkvo' } : {}),
          ...(json.use_sliding_window ? jsonWindows(json) : {}),
        }
      },
      write: config => ({
        attention_bias: config.attentionBias === 'qkvo',
        no_rope_layers: Array.from({ length: config.numHiddenLayers }, (_, layer) =>
          config.ropeLayers === undefined || config.ropeLayers[layer] ? 1 : 0,
        ),
        ...windowFields(config),
        use_sliding_window: config.slidingWindow !== undefined,
      }),
    },
  ],
  gguf: {
    name: 'smollm3',
    activation: 'silu',
    rowsInPairs: true,
    describe(keys) {
      const ropeLayers = everyLayerBut(keys.layers, INTERVAL)
      return ropeLayers === undefined ? {} : { ropeLayers }
    },
    write: () => [],
  },
}
