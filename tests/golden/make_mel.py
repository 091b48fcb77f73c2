#!/usr/bin/env python3
"""Makes the golden log-mel files from the definition, in float64 (numpy only).

    python3 tests/golden/make_mel.py            # writes mel_*.f32 beside itself
    python3 tests/golden/make_mel.py --check    # also compares with faster-whisper, if installed

Definition: OpenAI's whisper/audio.py (centred frames of 400 samples every 160, reflect padding,
periodic Hann window, power spectrum, Slaney-normalised mel filters, last frame dropped,
log10(max(x, 1e-10))). Files: float32, little endian, [frame][n_mels], not clamped.
Expected agreement: 1e-4 after normalisation, (max(x, max - 8) + 4) / 4.
"""
import pathlib
import sys

import numpy as np

HERE = pathlib.Path(__file__).parent
RATE, N_FFT, HOP = 16000, 400, 160


def formula_signal(n):
    """A sawtooth of rising pitch with noise, in integers: the same bits in every language."""
    phase, step, noise = 0, 300, 12345
    out = np.empty(n)
    for i in range(n):
        step += 1 if i % 8 == 0 else 0
        phase = (phase + step) % 65536
        noise = (noise * 1664525 + 1013904223) % 2**32
        out[i] = ((phase - 32768) // 4 + ((noise >> 16) - 32768) // 64) / 32768
    return out


def clip(name):
    return np.fromfile(HERE / name, "<i2").astype(np.float64) / 32768


def hz_from_mel(m):
    return np.where(m < 15, m * 200 / 3, 1000 * np.exp((m - 15) * np.log(6.4) / 27))


def mel_filters(n_mels):
    top = 15 + 27 * np.log(RATE / 2 / 1000) / np.log(6.4)
    corners = hz_from_mel(np.linspace(0, top, n_mels + 2))
    bins = np.arange(N_FFT // 2 + 1) * RATE / N_FFT
    low, peak, high = (corners[i : i + n_mels, None] for i in range(3))
    triangles = np.minimum((bins - low) / (peak - low), (high - bins) / (high - peak))
    return np.maximum(triangles, 0) * 2 / (high - low)


def log_mel(x, n_mels):
    n_frames = len(x) // HOP
    padded = np.pad(x, N_FFT // 2, mode="reflect")
    window = 0.5 - 0.5 * np.cos(2 * np.pi * np.arange(N_FFT) / N_FFT)
    frames = np.stack([padded[i * HOP : i * HOP + N_FFT] * window for i in range(n_frames)])
    power = np.abs(np.fft.rfft(frames)) ** 2
    return np.log10(np.maximum(power @ mel_filters(n_mels).T, 1e-10))


def normalise(raw):
    return (np.maximum(raw, raw.max() - 8) + 4) / 4


def check(x, n_mels):
    from faster_whisper.feature_extractor import FeatureExtractor

    theirs = FeatureExtractor(feature_size=n_mels)(x.astype(np.float32), padding=False)
    ours = normalise(log_mel(x, n_mels)).T
    n = min(theirs.shape[1], ours.shape[1])
    print(f"{n_mels} mels: off by {np.abs(theirs[:, :n] - ours[:, :n]).max():.2e}")


if __name__ == "__main__":
    formula, speech = formula_signal(8057), clip("speech_a.s16")[:16000]
    for name, x, n_mels in [
        ("mel_formula_80", formula, 80),
        ("mel_formula_128", formula, 128),
        ("mel_speech_80", speech, 80),
    ]:
        log_mel(x, n_mels).astype("<f4").tofile(HERE / f"{name}.f32")
        if "--check" in sys.argv:
            check(x, n_mels)
