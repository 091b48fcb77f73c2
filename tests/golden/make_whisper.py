#!/usr/bin/env python3
"""Reference figures for tests/whisper_golden.rs.

    pip install faster-whisper==1.2.1 numpy
    make_whisper.py CT2_FOLDER CLIP.flac OUT.json

CT2_FOLDER holds model.bin, config.json and tokenizer.json in CTranslate2 format. The figures come
from a plain float32 transcription of the paper's equations in numpy; before anything is written, the
final encoder output is compared with CTranslate2's own, an independent implementation, and the text
is faster-whisper's. Of every stage a regular sample of frames and channels is kept.
"""
import json
import struct
import sys

import ctranslate2
import numpy as np
from faster_whisper import WhisperModel
from faster_whisper.audio import decode_audio
from faster_whisper.feature_extractor import FeatureExtractor

folder, clip, out_path = sys.argv[1:]
DTYPES = {0: np.float32, 1: np.int8, 2: np.int16, 3: np.int32, 4: np.float16}


def load(path):
    data = open(path, "rb").read()
    at = 0

    def take(fmt):
        nonlocal at
        values = struct.unpack_from("<" + fmt, data, at)
        at += struct.calcsize("<" + fmt)
        return values if len(values) > 1 else values[0]

    def name():
        nonlocal at
        n = take("H")
        at += n
        return data[at - n : at - 1].decode()

    take("I"), name(), take("I")
    tensors = {}
    for _ in range(take("I")):
        key, rank = name(), take("B")
        shape = [take("I") for _ in range(rank)]
        kind, size = take("BI")
        tensors[key] = np.frombuffer(data, DTYPES[kind], size // DTYPES[kind]().itemsize, at)
        tensors[key] = tensors[key].reshape(shape).astype(np.float32)
        at += size
    return tensors


W = load(folder + "/model.bin")
n_head = int(W["encoder/num_heads"])
n_state, n_mels = W["encoder/conv1/weight"].shape[:2]


def erf(x):
    # Numerical integration would do; the standard library's is exact.
    import math

    return np.vectorize(math.erf, otypes=[np.float64])(x)


def gelu(x):
    return (x * 0.5 * (1.0 + erf(x / np.sqrt(2.0)))).astype(np.float32)


def dense(x, key):
    return x @ W[key + "/weight"].T + W.get(key + "/bias", np.float32(0))


def layer_norm(x, key):
    centred = x - x.mean(axis=1, keepdims=True)
    scale = np.sqrt((centred**2).mean(axis=1, keepdims=True) + 1e-5)
    return centred / scale * W[key + "/gamma"] + W[key + "/beta"]


def attention(q, k, v, causal=False):
    heads = []
    width = n_state // n_head
    for h in range(n_head):
        part = slice(h * width, (h + 1) * width)
        score = q[:, part] @ k[:, part].T / np.sqrt(width)
        if causal:
            score[np.triu_indices(len(q), 1, len(k))] = -np.inf
        weight = np.exp(score - score.max(axis=1, keepdims=True))
        heads.append(weight / weight.sum(axis=1, keepdims=True) @ v[:, part])
    return np.concatenate(heads, axis=1)


def convolution(x, key, stride):
    w, b = W[key + "/weight"], W[key + "/bias"]
    padded = np.pad(x, ((1, 1), (0, 0)))
    frames = np.stack([padded[t : t + 3] for t in range(0, len(x), stride)])
    return gelu(np.einsum("tkc,ock->to", frames, w, optimize=True) + b)


def block(x, key, cross=None):
    h = layer_norm(x, key + "/self_attention/layer_norm")
    q, k, v = np.split(dense(h, key + "/self_attention/linear_0"), 3, axis=1)
    h = attention(q, k, v, causal=cross is not None)
    x = x + dense(h, key + "/self_attention/linear_1")
    if cross is not None:
        q = dense(layer_norm(x, key + "/attention/layer_norm"), key + "/attention/linear_0")
        k, v = np.split(dense(cross, key + "/attention/linear_1"), 2, axis=1)
        x = x + dense(attention(q, k, v), key + "/attention/linear_2")
    h = gelu(dense(layer_norm(x, key + "/ffn/layer_norm"), key + "/ffn/linear_0"))
    return x + dense(h, key + "/ffn/linear_1")


def layers(side):
    return sum(key.startswith(side) and key.endswith("ffn/linear_0/weight") for key in W)


audio = decode_audio(clip)
padded = np.zeros(480000, np.float32)
padded[: len(audio)] = audio
mel = FeatureExtractor(feature_size=n_mels)(padded, padding=0)[:, :3000].astype(np.float32)

stages = []
x = convolution(convolution(mel.T, "encoder/conv1", 1), "encoder/conv2", 2)
x = x + W["encoder/position_encodings/encodings"]
stages.append(x)
for i in range(layers("encoder")):
    x = block(x, f"encoder/layer_{i}")
    stages.append(x)
x = layer_norm(x, "encoder/layer_norm")
stages.append(x)

reference = ctranslate2.models.Whisper(folder, device="cpu", compute_type="float32")
theirs = np.array(reference.encode(ctranslate2.StorageView.from_array(mel[None]), to_cpu=True))[0]
apart = float(np.abs(theirs - x).max())
print(f"encoder output against CTranslate2: largest difference {apart:.2e}")
assert apart < 5e-3, apart

multilingual = W["decoder/embeddings/weight"].shape[0] >= 51865
prompt = [50258, 50259, 50359] if multilingual else [50257]
y = W["decoder/embeddings/weight"][prompt] + W["decoder/position_encodings/encodings"][: len(prompt)]
for i in range(layers("decoder")):
    y = block(y, f"decoder/layer_{i}", cross=x)
logits = (layer_norm(y, "decoder/layer_norm") @ W["decoder/embeddings/weight"].T)[-1]
best = np.argsort(-logits)[:20]
spread = np.arange(0, len(logits), 997)

model = WhisperModel(folder, device="cpu", compute_type="float32")
# Padded here, with silence: faster-whisper itself pads the normalised spectrogram with zeros.
segments, info = model.transcribe(
    padded, language=None if multilingual else "en", beam_size=1, temperature=0.0,
    condition_on_previous_text=False, word_timestamps=True,
)
segments = list(segments)
FRAMES, CHANNELS = list(range(0, 1500, 149)), list(range(0, n_state, 31))
json.dump(
    {
        "clip": clip.split("/")[-1],
        "frames": FRAMES,
        "channels": CHANNELS,
        "stages": [[[round(float(s[f, c]), 5) for c in CHANNELS] for f in FRAMES] for s in stages],
        "prompt": prompt,
        "logits": {int(i): round(float(logits[i]), 4) for i in [*best, *spread]},
        "language": info.language,
        "text": "".join(s.text for s in segments),
        "words": [[w.word, round(w.start, 2), round(w.end, 2)] for s in segments for w in s.words],
    },
    open(out_path, "w"),
    separators=(",", ":"),
)
print("".join(s.text for s in segments))
