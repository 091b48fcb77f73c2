#!/usr/bin/env python3
"""Makes the golden blocks of every quantised type, with the `gguf` package's numpy code.

    pip install gguf && python3 tests/golden/make_quant.py      # writes quant.bin beside itself

File, little endian: 512 f32 numbers x; then for every type in the order of TYPES:
512 numbers as blocks of random bits (scales are small finite halves), the same 512 as f32,
and, for the types that are also written, x as blocks. Expected agreement: bit for bit.
"""
import pathlib

import numpy as np
from gguf import GGML_QUANT_SIZES, GGMLQuantizationType as T
from gguf.quants import dequantize, quantize

TYPES = "F32 F16 BF16 Q4_0 Q4_1 Q5_0 Q5_1 Q8_0 Q2_K Q3_K Q4_K Q5_K Q6_K IQ4_NL".split()
# Where the halves that scale a block lie in it, in bytes.
HALVES = {"Q4_0": [0], "Q4_1": [0, 2], "Q5_0": [0], "Q5_1": [0, 2], "Q8_0": [0],
          "Q2_K": [80, 82], "Q3_K": [108], "Q4_K": [0, 2], "Q5_K": [0, 2], "Q6_K": [208], "IQ4_NL": [0]}
N = 512
rng = np.random.default_rng(20)

x = rng.standard_normal(N).astype(np.float32)
x[:32] = 0.0            # silence: the scale is zero
x[32:64] = 0.75         # equal numbers: the range is zero
x[64:96] = np.linspace(-1, 1, 32)
x[96:128] *= 1e-5       # scales below the smallest normal half
x[128:160] *= 1000.0


def random_blocks(name):
    if name in ("F32", "F16", "BF16"):
        return quantize(rng.standard_normal(N).astype(np.float32), T[name]).view(np.uint8).ravel()
    length, size = GGML_QUANT_SIZES[T[name]]
    blocks = rng.integers(0, 256, (N // length, size), dtype=np.uint8)
    for at in HALVES[name]:
        scale = (rng.standard_normal((N // length, 1)) * 0.02).astype(np.float16)
        blocks[:, at:at + 2] = scale.view(np.uint8)
    return blocks.ravel()


with open(pathlib.Path(__file__).parent / "quant.bin", "wb") as out:
    out.write(x.tobytes())
    for name in TYPES:
        blocks = random_blocks(name)
        numbers = dequantize(blocks, T[name]).astype(np.float32).ravel()
        assert numbers.size == N and np.isfinite(numbers).all(), name
        out.write(blocks.tobytes())
        out.write(numbers.tobytes())
        if not name.endswith(("_K", "_NL")):
            out.write(quantize(x, T[name]).tobytes())
