"""Logits of a checkpoint computed by PyTorch, to hold ours against.

usage: python3 torch_logits.py CHECKPOINT '[1, 2, 3]'
Reads config.json and model.safetensors (f32) by itself and prints the logits of the last position as JSON. Gated or
plain FFN, SiLU or ReLU, grouped-query attention, tied or untied head.
"""

import json
import struct
import sys
from pathlib import Path

import torch
import torch.nn.functional as F


def read_safetensors(file):
    data = file.read_bytes()
    (length,) = struct.unpack("<Q", data[:8])
    header = json.loads(data[8 : 8 + length])
    header.pop("__metadata__", None)
    tensors = {}
    for name, info in header.items():
        assert info["dtype"] == "F32", f"{name} is {info['dtype']}"
        begin, end = (8 + length + offset for offset in info["data_offsets"])
        tensors[name] = torch.frombuffer(bytearray(data[begin:end]), dtype=torch.float32).reshape(info["shape"])
    return tensors


def rms_norm(x, weight, eps):
    return x * torch.rsqrt(x.pow(2).mean(-1, keepdim=True) + eps) * weight


def logits(directory, tokens):
    config = json.loads((directory / "config.json").read_text())
    w = read_safetensors(directory / "model.safetensors")
    heads, kv_heads = config["num_attention_heads"], config["num_key_value_heads"]
    head_dim, eps = config["hidden_size"] // heads, config["rms_norm_eps"]
    activation = {"silu": F.silu, "relu": F.relu}[config["hidden_act"]]
    seq = len(tokens)
    theta = config.get("rope_theta") or config["rope_parameters"]["rope_theta"]
    angle = torch.outer(torch.arange(seq).double(), theta ** (-torch.arange(0, head_dim, 2).double() / head_dim)).float()

    def rope(x):
        a, b = x.chunk(2, -1)
        return torch.cat((a * angle.cos() - b * angle.sin(), b * angle.cos() + a * angle.sin()), -1)

    x = w["model.embed_tokens.weight"][torch.tensor(tokens)]
    for layer in range(config["num_hidden_layers"]):
        p = f"model.layers.{layer}."
        n = rms_norm(x, w[p + "input_layernorm.weight"], eps)
        split = lambda name, count: (n @ w[p + f"self_attn.{name}.weight"].T).view(seq, count, head_dim).transpose(0, 1)
        q, k, v = rope(split("q_proj", heads)), rope(split("k_proj", kv_heads)), split("v_proj", kv_heads)
        k, v = (t.repeat_interleave(heads // kv_heads, 0) for t in (k, v))
        scores = q @ k.transpose(-1, -2) / head_dim**0.5 + torch.full((seq, seq), float("-inf")).triu(1)
        x = x + (scores.softmax(-1) @ v).transpose(0, 1).reshape(seq, -1) @ w[p + "self_attn.o_proj.weight"].T
        n = rms_norm(x, w[p + "post_attention_layernorm.weight"], eps)
        up = n @ w[p + "mlp.up_proj.weight"].T
        gate = w.get(p + "mlp.gate_proj.weight")
        hidden = activation(up) if gate is None else activation(n @ gate.T) * up
        x = x + hidden @ w[p + "mlp.down_proj.weight"].T
    head = w["model.embed_tokens.weight"] if config["tie_word_embeddings"] else w["lm_head.weight"]
    return rms_norm(x, w["model.norm.weight"], eps)[-1] @ head.T


if __name__ == "__main__":
    with torch.no_grad():
        print(json.dumps(logits(Path(sys.argv[1]), json.loads(sys.argv[2])).tolist()))
