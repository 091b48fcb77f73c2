#!/usr/bin/env python3
"""Makes the golden speech probabilities with Silero's own ONNX graph.

    pip install numpy onnxruntime && pip download --no-deps silero-vad==6.2.3   # unzip the wheel
    python3 tests/golden/make_vad.py silero_vad/data/silero_vad_16k_op15.onnx

Writes vad_*.f32 (float32, little endian, one value per 512 samples; a rest is dropped) for each
speech_*.s16 beside this script, and one for their sequence with half a second of silence between,
at a tenth of the volume. Expected agreement: 1e-3.
"""
import pathlib
import sys

import numpy as np
import onnxruntime

HERE = pathlib.Path(__file__).parent
WINDOW, CONTEXT = 512, 64


def probabilities(session, x):
    state = np.zeros((2, 1, 128), np.float32)
    context = np.zeros(CONTEXT, np.float32)
    out = []
    for i in range(0, len(x) - WINDOW + 1, WINDOW):
        window = np.concatenate([context, x[i : i + WINDOW]])
        feeds = {"input": window[None], "state": state, "sr": np.array(16000, np.int64)}
        prob, state = session.run(None, feeds)
        context = window[-CONTEXT:]
        out.append(prob.item())
    return np.array(out, "<f4")


if __name__ == "__main__":
    session = onnxruntime.InferenceSession(sys.argv[1])
    a, b = (
        np.fromfile(HERE / f"speech_{c}.s16", "<i2").astype(np.float32) / 32768 for c in "ab"
    )
    silence = np.zeros(8000, np.float32)
    quiet = np.concatenate([a, silence, b]) * np.float32(0.1)
    for name, x in [("vad_a", a), ("vad_b", b), ("vad_quiet", quiet)]:
        p = probabilities(session, x)
        p.tofile(HERE / f"{name}.f32")
        print(f"{name}: {len(p)} windows, {(p > 0.5).mean():.0%} speech")
