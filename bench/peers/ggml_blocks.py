#!/usr/bin/env python3
"""Random blocks of every tensor type and the values that ggml gives them, from ggml's own library.

    python3 bench/peers/ggml_blocks.py path/to/libggml-base.so OUT.json [blocks] [seed]

The library is part of node-llama-cpp (@node-llama-cpp/linux-x64/bins/linux-x64). Per type: `blocks` in hex, and `values`,
the f32 of dequantize_row_* in hex. test/fixtures/gguf/blocks.json is what 1 block and seed 1 give;
bench/peers/compare-blocks.mjs compares any such file with what Flicker reads.
"""

import ctypes
import json
import sys

import numpy as np

# name: values, bytes, and where a block has float16 scales, which are to be of usual size.
TYPES = {
    "q4_0": (32, 18, [0]),
    "q4_1": (32, 20, [0, 2]),
    "q5_0": (32, 22, [0]),
    "q5_1": (32, 24, [0, 2]),
    "q8_0": (32, 34, [0]),
    "q2_K": (256, 84, [80, 82]),
    "q3_K": (256, 110, [108]),
    "q4_K": (256, 144, [0, 2]),
    "q5_K": (256, 176, [0, 2]),
    "q6_K": (256, 210, [208]),
    "q8_K": (256, 292, []),
    "iq4_nl": (32, 18, [0]),
    "iq4_xs": (256, 136, [0]),
    "mxfp4": (32, 17, []),
    "tq1_0": (256, 54, [52]),
    "tq2_0": (256, 66, [64]),
}


def random_blocks(rng, name, count):
    values, size, halves = TYPES[name]
    blocks = rng.integers(0, 256, (count, size), dtype=np.uint8)
    for at in halves:
        scale = (rng.standard_normal(count) * 0.02).astype(np.float16)
        blocks[:, at : at + 2] = scale.view(np.uint8).reshape(count, 2)
    if name == "q8_K":
        blocks[:, :4] = rng.standard_normal(count).astype(np.float32).view(np.uint8).reshape(count, 4)
    if name == "mxfp4":
        blocks[:, 0] = rng.integers(100, 140, count)
    if name == "tq2_0":
        # 3 is no digit.
        pairs = rng.integers(0, 3, (count, 64, 4), dtype=np.uint8)
        blocks[:, :64] = pairs[..., 0] | pairs[..., 1] << 2 | pairs[..., 2] << 4 | pairs[..., 3] << 6
    return np.ascontiguousarray(blocks)


def main():
    library, out = ctypes.CDLL(sys.argv[1]), sys.argv[2]
    count = int(sys.argv[3]) if len(sys.argv) > 3 else 1
    rng = np.random.default_rng(int(sys.argv[4]) if len(sys.argv) > 4 else 1)
    types = {}
    for name, (values, _, _) in TYPES.items():
        blocks = random_blocks(rng, name, count)
        numbers = np.empty(count * values, dtype=np.float32)
        function = getattr(library, f"dequantize_row_{name}")
        function.argtypes = [ctypes.c_void_p, ctypes.c_void_p, ctypes.c_int64]
        function.restype = None
        function(blocks.ctypes.data, numbers.ctypes.data, numbers.size)
        types[name.lower()] = {"blocks": blocks.tobytes().hex(), "values": numbers.tobytes().hex()}
    with open(out, "w") as file:
        json.dump(types, file, indent=1)
        file.write("\n")


main()
