#!/usr/bin/env python3
"""Turns scaled by YaRN:  yarn.py > yarn.json

From the paper (Peng et al. 2023, section 3), without any program's help: a pair makes r = n_ctx * step / (2 pi)
rounds in the context of the training. One that makes fewer than beta_slow is interpolated (divided by the factor),
one that makes more than beta_fast is left alone, and between the two the share goes from one to the other, linearly
in the number of the pair; as programs do it, the ends of the ramp are whole numbers. Cosines and sines are
multiplied by 0.1 ln(factor) + 1.
"""
import json
import math

CASES = [
    # name, numbers turned, base, factor, context of the training, beta_fast, beta_slow
    ("Qwen 2.5 and 3", 128, 1e6, 4.0, 32768, 32.0, 1.0),
    ("LLaMA 2 of 64 thousand positions", 128, 1e4, 16.0, 4096, 32.0, 1.0),
    ("few numbers", 32, 1e4, 2.5, 64, 8.0, 2.0),
    ("a ramp that begins before the first pair", 16, 1e4, 8.0, 128, 64.0, 1.0),
]


def pair_of(rounds, n, base, n_ctx):
    """The pair, as a real number, that makes so many rounds."""
    # n_ctx * base^(-2 i / n) = 2 pi rounds
    return n / 2 * math.log(n_ctx / (2 * math.pi * rounds), base)


def case(name, n, base, factor, n_ctx, fast, slow):
    first = max(0, math.floor(pair_of(fast, n, base, n_ctx)))
    last = min(n - 1, math.ceil(pair_of(slow, n, base, n_ctx)))
    steps = []
    for i in range(n // 2):
        step = base ** (-2 * i / n)
        share = min(1.0, max(0.0, (i - first) / max(last - first, 0.001)))
        steps.append(share * step / factor + (1 - share) * step)
    return {
        "name": name,
        "n_turned": n,
        "base": base,
        "factor": factor,
        "n_ctx": n_ctx,
        "beta_fast": fast,
        "beta_slow": slow,
        "steps": steps,
        "magnitude": 0.1 * math.log(factor) + 1,
    }


print(json.dumps([case(*c) for c in CASES], indent=1))
