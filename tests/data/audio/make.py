#!/usr/bin/env python3
"""Makes the recordings of this folder: one signal in many containers and codecs.

Needs ffmpeg with libmp3lame, libvorbis and libopus. The signal is that of `signal` in
tests/audio_files.rs: a sweep from 200 to 2000 Hz in 0.6 s, its loudness wavering like speech; the
right channel has half the level of the left.
"""

import math
import pathlib
import struct
import subprocess
import tempfile
import wave

HERE = pathlib.Path(__file__).parent
SECONDS = 0.6


def signal(t):
    sweep = math.sin(2 * math.pi * (200 * t + 1500 * t * t))
    return 0.4 * sweep * (0.6 + 0.4 * math.sin(2 * math.pi * 4 * t))


def write_source(path, rate_hz, n_channels):
    levels = (1.0, 0.5)[:n_channels]
    frames = bytearray()
    for i in range(round(SECONDS * rate_hz)):
        for level in levels:
            sample = round(signal(i / rate_hz) * level * (2**31 - 1))
            frames += struct.pack("<i", sample)
    with wave.open(str(path), "wb") as out:
        out.setnchannels(n_channels)
        out.setsampwidth(4)
        out.setframerate(rate_hz)
        out.writeframes(bytes(frames))


FILES = [
    # name, rate, channels, encoder's options
    ("44100_stereo.mp3", 44100, 2, "-c:a libmp3lame -b:a 64k"),
    ("22050_mono.mp3", 22050, 1, "-c:a libmp3lame -b:a 32k"),
    ("48000_stereo.ogg", 48000, 2, "-c:a libvorbis -q:a 1 -page_duration 50000"),
    ("44100_stereo.m4a", 44100, 2, "-c:a aac -b:a 96k -aac_is 0 -aac_pns 0"),
    ("16000_mono_alac.m4a", 16000, 1, "-c:a alac -sample_fmt s16p"),
    ("16000_mono.flac", 16000, 1, "-c:a flac -sample_fmt s16 -metadata_header_padding 0"),
    ("8000_stereo_24bit.wav", 8000, 2, "-c:a pcm_s24le -t 0.15"),
    ("8000_mono_alaw.wav", 8000, 1, "-c:a pcm_alaw"),
    ("16000_mono.opus", 16000, 1, "-c:a libopus -b:a 16k"),
]


def main():
    with tempfile.TemporaryDirectory() as folder:
        for name, rate_hz, n_channels, options in FILES:
            source = pathlib.Path(folder) / "source.wav"
            write_source(source, rate_hz, n_channels)
            subprocess.run(
                ["ffmpeg", "-v", "error", "-y", "-i", str(source), "-map_metadata", "-1",
                 "-fflags", "+bitexact", "-flags:a", "+bitexact", *options.split(),
                 str(HERE / name)],
                check=True,
            )


if __name__ == "__main__":
    main()
