// Tensors by GGUF's names and by Hugging Face's.

const LAYER_PARTS: Readonly<Record<string, string>> = {
  input_layernorm: 'attn_norm',
  'self_attn.q_proj': 'attn_q',
  'self_attn.k_proj': 'attn_k',
  'self_attn.v_proj': 'attn_v',
  'self_attn.o_proj': 'attn_output',
  post_attention_layernorm: 'ffn_norm',
  'mlp.gate_proj': 'ffn_gate',
  'mlp.up_proj': 'ffn_up',
  'mlp.down_proj': 'ffn_down',
}
const OTHERS: Readonly<Record<string, string>> = {
  'model.embed_tokens': 'token_embd',
  'model.norm': 'output_norm',
  lm_head: 'output',
}

/** Factors of the rotary frequencies, as ggml divides by them: (headDim / 2). */
export const ROPE_FACTORS = 'rope_freqs.weight'

/** GGUF's name of one of `parameterShapes`; `blk.0.ffn_act.alpha` for what an activation learns, our own. */
export function ggufName(name: string): string {
  const learned = /^model\.layers\.(\d+)\.mlp\.act\.(.+)$/.exec(name)
  if (learned !== null) return `blk.${learned[1]}.ffn_act.${learned[2]}`
  const layer = /^model\.layers\.(\d+)\.(.+)\.(weight|bias)$/.exec(name)
  if (layer !== null) return `blk.${layer[1]}.${LAYER_PARTS[layer[2]]}.${layer[3]}`
  return `${OTHERS[name.replace(/\.weight$/, '')]}.weight`
}

/** Whether the rows of this parameter stand in another order in files of the `llama` architecture. */
export function hasRotaryRows(name: string): boolean {
  return /\.self_attn\.[qk]_proj\./.test(name)
}
