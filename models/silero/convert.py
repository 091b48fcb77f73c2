#!/usr/bin/env python3
"""Takes the weights of Silero VAD out of its ONNX graph.

    pip install numpy onnx safetensors && pip download --no-deps silero-vad==6.2.3   # unzip the wheel
    python3 models/silero/convert.py silero_vad/data/silero_vad_16k_op15.onnx

Writes silero_vad_16k.safetensors beside this script: float32, the names of the package's own
safetensors file. That file itself is not used: its weights are older than those of all the
package's graphs (probabilities differ by up to 0.2). Of the short-time Fourier transform, which
the graph holds as a convolution, only the window is kept; the script checks that it is all.
"""
import pathlib
import sys

import numpy as np
import onnx
import onnx.numpy_helper
import safetensors.numpy

NAMES = {
    "model.encoder.0.reparam_conv": "conv1",
    "model.encoder.1.reparam_conv": "conv2",
    "model.encoder.2.reparam_conv": "conv3",
    "model.encoder.3.reparam_conv": "conv4",
    "model.decoder.rnn": "lstm_cell",
    "model.decoder.decoder.2": "final_conv",
}

graph = onnx.load(sys.argv[1]).graph
tensors = {t.name: onnx.numpy_helper.to_array(t).astype(np.float32) for t in graph.initializer}

basis = tensors.pop("model.stft.forward_basis_buffer")[:, 0]
window, n_fft = basis[0], basis.shape[1]
turns = np.outer(np.arange(n_fft // 2 + 1), np.arange(n_fft)) / n_fft * 2 * np.pi
fourier = np.concatenate([np.cos(turns), -np.sin(turns)]) * window
assert np.abs(basis - fourier).max() < 1e-6, "the transform is not the one expected"

renamed = {"stft.window": window.copy()}
for name, tensor in tensors.items():
    prefix, kind = name.rsplit(".", 1)
    renamed[f"{NAMES[prefix]}.{kind}"] = tensor
path = pathlib.Path(__file__).with_name("silero_vad_16k.safetensors")
safetensors.numpy.save_file(renamed, path)
print({name: tensor.shape for name, tensor in renamed.items()})
