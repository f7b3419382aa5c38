// Phi-3, Phi-3.5 and Phi-4: Llama with q, k, v and gate, up fused, LongRoPE, and a part of each head rotated (Phi-4 mini).

import type { ModelConfig } from '../../nn/config.js'
import type { Architecture } from './architecture.js'
import { fusedQkv, headRows, isRotated, layerName, rowsFrom, type TensorMap, within } from './tensors.js'
import { jsonWindows, windowFields, windowsOf } from './windows.js'

/** The rows of q, k, v, gate and up in two fused tensors of these names. */
function fused(config: ModelConfig, usual: TensorMap, names: { qkv: string; gateUp: string }): TensorMap {
  const { intermediateSize: h } = config
  return name => {
    const of = layerName(name)
    if (of === null) return usual(name)
    const file = (part: string) => part.replace('{layer}', String(of.layer))
    if (/^self_attn\.[qkv]_proj$/.test(of.part)) {
      const rows = fusedQkv(config, of.part)
      return {
        name: file(names.qkv),
        rows: within(rows, isRotated(of.part) ? headRows(config, 'halves', rows.total) : undefined),
      }
    }
    if (of.part === 'mlp.gate_proj') return { name: file(names.gateUp), rows: rowsFrom(0, 2 * h) }
    if (of.part === 'mlp.up_proj') return { name: file(names.gateUp), rows: rowsFrom(h, 2 * h) }
    return usual(name)
  }
}

export const PHI3: Architecture = {
  huggingFace: [
    {
      name: 'Phi3ForCausalLM',
      modelType: 'phi3',
      runs: { partialRotation: true },
      defaults: { max_position_embeddings: 4096, original_max_position_embeddings: 4096, rms_norm_eps: 1e-5 },
      describe: json => jsonWindows(json),
      write: config => ({
        ...windowFields(config),
        original_max_position_embeddings:
          config.ropeScaling?.type === 'longrope'
            ? config.ropeScaling.originalMaxPositionEmbeddings
            : config.maxPositionEmbeddings,
      }),
      tensors: config =>
        fused(config, name => ({ name }), {
          qkv: 'model.layers.{layer}.self_attn.qkv_proj.weight',
          gateUp: 'model.layers.{layer}.mlp.gate_up_proj.weight',
        }),
    },
  ],
  gguf: {
    name: 'phi3',
    activation: 'silu',
    factors: 'shortAndLong',
    describe(keys) {
      // llama.cpp reads the window of Phi-3 and does not use it.
      const all = Array<boolean>(keys.layers).fill(true)
      return windowsOf(keys.number('attention.sliding_window', 0), all, keys.number('context_length'))
    },
    write: () => [],
    tensors: (config, usual) =>
      fused(config, usual, {
        qkv: 'blk.{layer}.attn_qkv.weight',
        gateUp: 'blk.{layer}.ffn_up.weight',
      }),
  },
}
