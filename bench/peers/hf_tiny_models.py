"""Tiny random models of every architecture, run by transformers, as fixtures to hold ours against.

usage: python3 hf_tiny_models.py OUT [NAME ...]
Needs PyTorch and transformers (5 or 4.56 and later), no network and no GPU. For each model below it writes OUT/NAME.json:
config.json as transformers saves it, the tensors of its checkpoint (name, shape, base, scale), the tokens and the logits
at some positions, computed in float32. The weights are not stored: element i of a tensor is

    base + scale * (u / 2**24 - 0.5),   u = the upper 24 bits of mix(i * 0x9E3779B1 + fnv1a(name))

with 32-bit integers, FNV-1a over the UTF-8 name and mix() as below, so that any language can make them again; base and scale are
exact in float32. `test/formats/transformers.test.ts` does so. OUT/summary.json says what could not be made here, and why.
"""

import json
import sys
import tempfile
import traceback
from pathlib import Path

import torch
import transformers
from safetensors.torch import load_file, save_file
from transformers import AutoConfig, AutoModelForCausalLM

MASK = 0xFFFFFFFF
TOKENS = [(7 * i * i + 3 * i + 5) % 40 for i in range(24)]
POSITIONS = [0, 6, 13, 23]


def fnv1a(text):
    value = 0x811C9DC5
    for byte in text.encode():
        value = ((value ^ byte) * 0x01000193) & MASK
    return value


def mix(value):
    value ^= value >> 16
    value = (value * 0x85EBCA6B) & MASK
    value ^= value >> 13
    value = (value * 0xC2B2AE35) & MASK
    return value ^ (value >> 16)


def values(name, count, base, scale):
    seed = fnv1a(name)
    return [base + scale * ((mix((i * 0x9E3779B1 + seed) & MASK) >> 8) / 2**24 - 0.5) for i in range(count)]


def rope(theta, **scaling):
    """The rotation in the spelling of the installed version."""
    if int(transformers.__version__.split(".")[0]) >= 5:
        return {"rope_parameters": {"rope_type": "default", "rope_theta": theta, **scaling}}
    return {"rope_theta": theta, **({"rope_scaling": scaling} if scaling else {})}


# Sizes that every config class below calls alike.
LLAMA = dict(
    vocab_size=40, hidden_size=32, intermediate_size=48, num_hidden_layers=2, num_attention_heads=4,
    num_key_value_heads=2, max_position_embeddings=64, tie_word_embeddings=False,
    pad_token_id=0, bos_token_id=1, eos_token_id=2,
)
FULL = {**LLAMA, "num_key_value_heads": 4}
LLAMA3 = dict(rope_type="llama3", factor=4.0, low_freq_factor=1.0, high_freq_factor=4.0,
              original_max_position_embeddings=16)
YARN = dict(rope_type="yarn", factor=4.0, original_max_position_embeddings=16)
SHORT, LONG = [1.0, 1.1, 1.3], [1.5, 2.5, 6.0]  # head_dim 8, three quarters of it rotated
GEMMA = {**LLAMA, "head_dim": 16, "query_pre_attn_scalar": 12, "sliding_window": 5, "num_hidden_layers": 4}
MOE = {**LLAMA, "num_experts_per_tok": 2}


def gemma3_rope():
    if int(transformers.__version__.split(".")[0]) >= 5:
        return {"rope_parameters": {
            "sliding_attention": {"rope_type": "default", "rope_theta": 100.0},
            "full_attention": {"rope_type": "linear", "factor": 2.0, "rope_theta": 1000.0},
        }}
    return {"rope_theta": 1000.0, "rope_local_base_freq": 100.0, "rope_scaling": {"rope_type": "linear", "factor": 2.0}}


def olmo3_rope():
    """YaRN in the layers without a window alone."""
    if int(transformers.__version__.split(".")[0]) >= 5:
        return {"rope_parameters": {
            "sliding_attention": {"rope_type": "default", "rope_theta": 500.0},
            "full_attention": {"rope_theta": 500.0, **YARN},
        }}
    return {"rope_theta": 500.0, "rope_scaling": YARN}


def longrope(original):
    return rope(1000.0, rope_type="longrope", short_factor=SHORT, long_factor=LONG,
                **({"original_max_position_embeddings": original}
                   if int(transformers.__version__.split(".")[0]) >= 5 else {}))


MODELS = {
    "llama": ("llama", {**LLAMA, "num_hidden_layers": 2, **rope(500.0, **LLAMA3), "tie_word_embeddings": True}),
    "llama-yarn": ("llama", {**LLAMA, **rope(500.0, **YARN), "attention_bias": True}),
    "llama-linear": ("llama", {**LLAMA, **rope(500.0, rope_type="linear", factor=2.0), "hidden_act": "relu"}),
    "mistral-window": ("mistral", {**LLAMA, "sliding_window": 5, **rope(500.0)}),
    "qwen2": ("qwen2", {**LLAMA, **rope(500.0)}),
    "qwen2-window": ("qwen2", {**LLAMA, **rope(500.0), "use_sliding_window": True, "sliding_window": 5,
                               "max_window_layers": 1}),
    "qwen3": ("qwen3", {**LLAMA, "head_dim": 12, **rope(500.0), "tie_word_embeddings": True}),
    "gemma": ("gemma", {**LLAMA, "head_dim": 16, **rope(500.0), "tie_word_embeddings": True}),
    "gemma2": ("gemma2", {**GEMMA, **rope(500.0), "attn_logit_softcapping": 2.0, "final_logit_softcapping": 3.0,
                          "tie_word_embeddings": True}),
    "gemma3": ("gemma3_text", {**GEMMA, **gemma3_rope(), "tie_word_embeddings": True,
                               "layer_types": ["sliding_attention", "sliding_attention", "full_attention",
                                               "sliding_attention"]}),
    "phi3": ("phi3", {**LLAMA, **rope(500.0), "sliding_window": None}),
    "phi3-window": ("phi3", {**LLAMA, **rope(500.0), "sliding_window": 5}),
    "phi4-short": ("phi3", {**LLAMA, "max_position_embeddings": 128, "original_max_position_embeddings": 32,
                            "partial_rotary_factor": 0.75, "sliding_window": None, **longrope(32)}),
    "phi4-long": ("phi3", {**LLAMA, "max_position_embeddings": 64, "original_max_position_embeddings": 16,
                           "partial_rotary_factor": 0.75, "sliding_window": None, **longrope(16)}),
    "smollm3": ("smollm3", {**LLAMA, "num_hidden_layers": 4, **rope(500.0), "no_rope_layer_interval": 4,
                            "tie_word_embeddings": True}),
    "arcee": ("arcee", {**LLAMA, **rope(500.0, **YARN)}),
    "opt": ("opt", dict(vocab_size=40, hidden_size=32, ffn_dim=48, num_hidden_layers=2, num_attention_heads=4,
                        max_position_embeddings=64, word_embed_proj_dim=32, pad_token_id=0, bos_token_id=1,
                        eos_token_id=2)),
    "olmo2": ("olmo2", {**LLAMA, **rope(500.0)}),
    "olmo3": ("olmo3", {**LLAMA, "num_hidden_layers": 4, "sliding_window": 5, **olmo3_rope()}),
    "granite": ("granite", {**LLAMA, **rope(500.0), "embedding_multiplier": 3.0, "attention_multiplier": 0.2,
                            "residual_multiplier": 0.4, "logits_scaling": 2.0, "tie_word_embeddings": True}),
    "starcoder2": ("starcoder2", {**LLAMA, **rope(500.0), "sliding_window": None, "use_bias": True}),
    "gpt2": ("gpt2", dict(vocab_size=40, n_embd=32, n_layer=2, n_head=4, n_positions=64, n_inner=48, pad_token_id=0,
                          bos_token_id=1, eos_token_id=2)),
    "gpt_neox": ("gpt_neox", {**FULL, "rotary_pct": 0.25, "partial_rotary_factor": 0.25, **rope(500.0)}),
    "gpt_neox-sequential": ("gpt_neox", {**FULL, "rotary_pct": 0.5, "partial_rotary_factor": 0.5,
                                         "use_parallel_residual": False, **rope(500.0)}),
    "falcon-7b": ("falcon", {**LLAMA, "multi_query": True, "parallel_attn": True, "bias": False, "alibi": False,
                             "new_decoder_architecture": False, "ffn_hidden_size": 48, **rope(500.0)}),
    "falcon-relu": ("falcon", {**LLAMA, "multi_query": True, "parallel_attn": True, "bias": False, "alibi": False,
                               "new_decoder_architecture": False, "ffn_hidden_size": 48, "activation": "relu",
                               **rope(500.0)}),
    "falcon-40b": ("falcon", {**LLAMA, "num_kv_heads": 2, "parallel_attn": True, "bias": False, "alibi": False,
                              "new_decoder_architecture": True, "ffn_hidden_size": 48, **rope(500.0)}),
    "falcon-sequential": ("falcon", {**LLAMA, "multi_query": False, "parallel_attn": False, "bias": True,
                                     "alibi": False, "new_decoder_architecture": False, "ffn_hidden_size": 48,
                                     **rope(500.0)}),
    "nemotron": ("nemotron", {**LLAMA, "head_dim": 8, "partial_rotary_factor": 0.5, **rope(500.0)}),
    "stablelm": ("stablelm", {**LLAMA, "partial_rotary_factor": 0.5, "use_qkv_bias": True, **rope(500.0)}),
    "stablelm-parallel": ("stablelm", {**FULL, "partial_rotary_factor": 0.25, "use_parallel_residual": True,
                                       **rope(500.0)}),
    "phi": ("phi", {**FULL, "partial_rotary_factor": 0.5, **rope(500.0)}),
    "mixtral": ("mixtral", {**MOE, "num_local_experts": 4, "sliding_window": None, **rope(500.0)}),
    "qwen3_moe": ("qwen3_moe", {**MOE, "head_dim": 12, "num_experts": 4, "moe_intermediate_size": 24,
                                "norm_topk_prob": True, "mlp_only_layers": [], "decoder_sparse_step": 1,
                                **rope(500.0)}),
    "olmoe": ("olmoe", {**MOE, "num_experts": 4, "norm_topk_prob": False, **rope(500.0)}),
}

# Rotations that depend on a fraction must have it inside rope_parameters in transformers 5.
for kind, fields in MODELS.values():
    fraction = fields.get("partial_rotary_factor")
    if fraction is not None and "rope_type" in fields.get("rope_parameters", {}):
        fields["rope_parameters"] = {**fields["rope_parameters"], "partial_rotary_factor": fraction}


def described(name, tensor):
    """How a tensor is filled: around what it starts at, matrices wide enough that every part matters."""
    shape = list(tensor.shape)
    if len(shape) == 1:
        return {"shape": shape, "base": 1.0 if tensor.float().mean() > 0.5 else 0.0, "scale": 0.5}
    vocabulary = any(part in name for part in ("embed", "wte", "wpe", "word_embeddings"))
    return {"shape": shape, "base": 0.0, "scale": 2.0 if vocabulary else 0.5}


def make(name, out):
    kind, fields = MODELS[name]
    config = AutoConfig.for_model(kind, **fields)
    with tempfile.TemporaryDirectory() as directory:
        AutoModelForCausalLM.from_config(config).float().save_pretrained(directory)
        weights_file = Path(directory) / "model.safetensors"
        tensors = {key: described(key, tensor) for key, tensor in load_file(weights_file).items()}
        filled = {}
        for key, (shape, base, scale) in ((key, info.values()) for key, info in tensors.items()):
            count = torch.Size(shape).numel()
            filled[key] = torch.tensor(values(key, count, base, scale), dtype=torch.float32).reshape(shape)
        save_file(filled, weights_file, metadata={"format": "pt"})
        model, info = AutoModelForCausalLM.from_pretrained(
            directory, dtype=torch.float32, attn_implementation="eager", output_loading_info=True
        )
        if info["missing_keys"] or info["unexpected_keys"] or info["mismatched_keys"]:
            raise RuntimeError(f"the checkpoint was not read as written: {info}")
        with torch.no_grad():
            logits = model.eval()(torch.tensor([TOKENS])).logits[0].float()
        saved = json.loads((Path(directory) / "config.json").read_text())
    fixture = {
        "transformers": transformers.__version__,
        "config": saved,
        "tensors": tensors,
        "tokens": TOKENS,
        "greedy": logits.argmax(-1).tolist(),
        "positions": POSITIONS,
        "logits": [[float(f"{x:.7g}") for x in logits[position].tolist()] for position in POSITIONS],
    }
    (out / f"{name}.json").write_text(json.dumps(fixture) + "\n")
    return float(logits.abs().max()), float(logits.std())


def main():
    out = Path(sys.argv[1])
    out.mkdir(parents=True, exist_ok=True)
    summary = {"transformers": transformers.__version__, "torch": torch.__version__, "made": [], "failed": {}}
    for name in sys.argv[2:] or MODELS:
        try:
            largest, spread = make(name, out)
            summary["made"].append(name)
            print(f"{name}: largest logit {largest:.3f}, standard deviation {spread:.3f}", flush=True)
        except Exception as error:
            summary["failed"][name] = f"{type(error).__name__}: {error}"
            print(f"{name}: {type(error).__name__}: {error}", flush=True)
            traceback.print_exc(limit=3)
    (out / "summary.json").write_text(json.dumps(summary, indent=2) + "\n")


if __name__ == "__main__":
    main()
