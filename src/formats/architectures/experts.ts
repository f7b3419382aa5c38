// What files say of a mixture of experts: the fields and keys that all such architectures have, and where the experts' matrices
// are in GGUF: those of all experts of a layer in one tensor, or, in files of early 2024, a tensor for each expert.

import type { ModelConfig } from '../../nn/config.js'
import { expertPart } from '../../nn/parameters.js'
import type { Differences } from './architecture.js'
import type { ConfigJson } from './config-json.js'
import type { GgufKeys, MetadataEntry } from './gguf-keys.js'
import { layerName, rowsFrom, type TensorMap } from './tensors.js'

/** The fields of config.json that `jsonExperts` reads. */
export const EXPERT_FIELDS = ['num_experts', 'num_local_experts']

/** `otherwise`: the defaults of the configuration class. */
export function jsonExperts(
  json: ConfigJson,
  otherwise: { readonly count: number; readonly perToken: number },
  normalized: boolean,
): Differences {
  // transformers 5 writes num_local_experts for every architecture.
  const count = json.num_experts ?? json.num_local_experts ?? otherwise.count
  return { experts: { count, perToken: json.num_experts_per_tok ?? otherwise.perToken, normalized } }
}

export function expertFields({ experts }: ModelConfig): Record<string, unknown> {
  if (experts === undefined) return {}
  return { num_experts_per_tok: experts.perToken, router_aux_loss_coef: 0, output_router_logits: false }
}

/** Nothing for a file without experts. `normalized`: what llama.cpp does for this architecture, which the file does not say. */
export function ggufExperts(keys: GgufKeys, normalized: boolean): Differences {
  const count = keys.number('expert_count', 0)
  const perToken = keys.number('expert_used_count', 0)
  return count === 0 ? {} : { experts: { count, perToken, normalized } }
}

export function expertEntries({ experts }: ModelConfig): MetadataEntry[] {
  if (experts === undefined) return []
  return [
    ['expert_count', 'u32', experts.count],
    ['expert_used_count', 'u32', experts.perToken],
  ]
}

const PARTS: Readonly<Record<string, string>> = {
  'mlp.gate_proj': 'ffn_gate',
  'mlp.up_proj': 'ffn_up',
  'mlp.down_proj': 'ffn_down',
}

/** How the experts of a file are stored. */
export type ExpertTensors = 'merged' | 'mergedGateUp' | 'split'

/** As the names of a file's tensors say. */
export function expertTensorsOf(tensors: ReadonlyMap<string, unknown>): ExpertTensors {
  if (tensors.has('blk.0.ffn_down.0.weight')) return 'split'
  return tensors.has('blk.0.ffn_gate_up_exps.weight') ? 'mergedGateUp' : 'merged'
}

/** `usual`, with the router and the experts of a mixture. */
export function withExperts(config: ModelConfig, usual: TensorMap, stored: ExpertTensors): TensorMap {
  const { experts, intermediateSize: h } = config
  if (experts === undefined) return usual
  const { count } = experts
  return name => {
    const of = layerName(name)
    if (of?.part === 'mlp.gate') return { name: `blk.${of.layer}.ffn_gate_inp.weight` }
    const inExpert = of === null ? null : expertPart(of.part)
    if (of === null || inExpert === null) return usual(name)
    const { expert: index, part } = inExpert
    if (stored === 'split') return { name: `blk.${of.layer}.${PARTS[part]}.${index}.weight` }
    if (stored === 'mergedGateUp' && part !== 'mlp.down_proj') {
      const rows = rowsFrom(part === 'mlp.gate_proj' ? 0 : h, 2 * h)
      return { name: `blk.${of.layer}.ffn_gate_up_exps.weight`, slice: { index, count }, rows }
    }
    return { name: `blk.${of.layer}.${PARTS[part]}_exps.weight`, slice: { index, count } }
  }
}
