"""The training step of `flicker bench train`, in PyTorch: the same Llama block, batch, AdamW and clipping.

usage: python3 torch_step.py '{"hiddenSize": 128, "numHiddenLayers": 4, …}'
Tries a few numbers of threads and keeps the best; then, for every line on stdin, prints {"milliseconds": median of 5
steps}, so that the two programs can be measured alternately.
"""

import json
import statistics
import sys
import time

import torch
import torch.nn.functional as F
from torch import nn


class RMSNorm(nn.Module):
    def __init__(self, width):
        super().__init__()
        self.weight = nn.Parameter(torch.ones(width))

    def forward(self, x):
        return x * torch.rsqrt(x.pow(2).mean(-1, keepdim=True) + 1e-5) * self.weight


def rope(x, cos, sin):
    a, b = x.chunk(2, -1)
    return torch.cat((a * cos - b * sin, b * cos + a * sin), -1)


class Block(nn.Module):
    def __init__(self, d, heads, h):
        super().__init__()
        self.heads = heads
        self.norm1, self.norm2 = RMSNorm(d), RMSNorm(d)
        self.q, self.k, self.v, self.o = (nn.Linear(d, d, bias=False) for _ in range(4))
        self.gate, self.up = nn.Linear(d, h, bias=False), nn.Linear(d, h, bias=False)
        self.down = nn.Linear(h, d, bias=False)

    def forward(self, x, cos, sin):
        batch, seq, d = x.shape
        split = lambda t: t.view(batch, seq, self.heads, -1).transpose(1, 2)
        n = self.norm1(x)
        q, k, v = rope(split(self.q(n)), cos, sin), rope(split(self.k(n)), cos, sin), split(self.v(n))
        if hasattr(F, "scaled_dot_product_attention"):
            a = F.scaled_dot_product_attention(q, k, v, is_causal=True)
        else:
            scores = q @ k.transpose(-1, -2) / q.shape[-1] ** 0.5
            mask = torch.full((seq, seq), float("-inf")).triu(1)
            a = (scores + mask).softmax(-1) @ v
        x = x + self.o(a.transpose(1, 2).reshape(batch, seq, d))
        n = self.norm2(x)
        return x + self.down(F.silu(self.gate(n)) * self.up(n))


class Llama(nn.Module):
    def __init__(self, s):
        super().__init__()
        d = s["hiddenSize"]
        self.embed = nn.Embedding(s["vocabSize"], d)
        nn.init.normal_(self.embed.weight, std=0.02)
        self.blocks = nn.ModuleList(
            Block(d, s["numAttentionHeads"], s["intermediateSize"]) for _ in range(s["numHiddenLayers"])
        )
        self.norm = RMSNorm(d)
        head = d // s["numAttentionHeads"]
        angle = torch.outer(torch.arange(s["context"]), 10000 ** (-torch.arange(0, head, 2) / head))
        self.register_buffer("cos", angle.cos())
        self.register_buffer("sin", angle.sin())

    def forward(self, tokens):
        x = self.embed(tokens)
        for block in self.blocks:
            x = block(x, self.cos, self.sin)
        return F.linear(self.norm(x), self.embed.weight)


class Steps:
    """Steps of a new model, which can be run a few at a time."""

    def __init__(self, shape):
        torch.manual_seed(1)
        self.model = Llama(shape)
        self.optimizer = torch.optim.AdamW(
            self.model.parameters(), lr=1e-3, betas=(0.9, 0.95), weight_decay=0.1
        )
        self.tokens = torch.randint(0, shape["vocabSize"], (shape["batchSize"], shape["context"] + 1))

    def milliseconds(self, steps=5):
        """The median of some steps."""
        times = []
        for _ in range(steps):
            start = time.perf_counter()
            logits = self.model(self.tokens[:, :-1])
            loss = F.cross_entropy(logits.reshape(-1, logits.shape[-1]), self.tokens[:, 1:].reshape(-1))
            self.optimizer.zero_grad(set_to_none=True)
            loss.backward()
            torch.nn.utils.clip_grad_norm_(self.model.parameters(), 1.0)
            self.optimizer.step()
            times.append((time.perf_counter() - start) * 1000)
        return statistics.median(times)


def fastest_threads(steps):
    found = {}
    for threads in sorted({1, 2, torch.get_num_threads()}):
        torch.set_num_threads(threads)
        steps.milliseconds(1)
        found[threads] = steps.milliseconds()
    return min(found, key=found.get)


if __name__ == "__main__":
    steps = Steps(json.loads(sys.argv[1]))
    torch.set_num_threads(fastest_threads(steps))
    for _ in sys.stdin:
        print(json.dumps({"milliseconds": steps.milliseconds()}), flush=True)
