//! Rate, channels, depth, coding and the cut of a stream do not change the text.

#![allow(clippy::unwrap_used)]

mod support;

use std::f64::consts::PI;
use std::path::Path;

use support::program::{arg, hark, hark_with_input, recording};
use support::{model, root};

const CLIP: &str = "dictation/dictation_en_0005.flac";

/// Lower-case words without punctuation.
fn words(text: &str) -> Vec<String> {
    let letters = |word: &str| {
        word.chars()
            .filter(|c| c.is_alphanumeric())
            .collect::<String>()
    };
    text.split_whitespace()
        .map(|word| letters(word).to_lowercase())
        .collect()
}

fn text_of(path: &Path) -> Vec<String> {
    words(&hark(&["transcribe", arg(path)]).expect(0).stdout)
}

/// Words that differ, place by place.
fn difference(a: &[String], b: &[String]) -> usize {
    let pairs = a.iter().zip(b).filter(|(a, b)| a != b).count();
    pairs + a.len().abs_diff(b.len())
}

/// `samples` at 16 kHz as samples at a higher rate: windowed sinc, 32 zero crossings a side.
fn upsample(samples: &[f32], rate_hz: u32) -> Vec<f32> {
    const SIDE: i64 = 32;
    let n_out = samples.len() as u64 * u64::from(rate_hz) / 16_000;
    let value = |n: u64| {
        let at = n as f64 * 16_000.0 / f64::from(rate_hz);
        let centre = at.floor() as i64;
        let mut sum = 0.0;
        for k in centre - SIDE + 1..=centre + SIDE {
            let Some(sample) = usize::try_from(k).ok().and_then(|k| samples.get(k)) else {
                continue;
            };
            let x = at - k as f64;
            let sinc = if x == 0.0 {
                1.0
            } else {
                (PI * x).sin() / (PI * x)
            };
            let window = 0.5 + 0.5 * (PI * x / SIDE as f64).cos();
            sum += f64::from(*sample) * sinc * window;
        }
        sum as f32
    };
    (0..n_out).map(value).collect()
}

/// How samples are stored in a WAV file.
#[derive(Clone, Copy, Debug)]
enum Depth {
    U8,
    I16,
    I24,
    I32,
    F32,
    F64,
}

fn wav(samples: &[f32], rate_hz: u32, n_channels: u16, depth: Depth) -> Vec<u8> {
    let (tag, bits): (u16, u16) = match depth {
        Depth::U8 => (1, 8),
        Depth::I16 => (1, 16),
        Depth::I24 => (1, 24),
        Depth::I32 => (1, 32),
        Depth::F32 => (3, 32),
        Depth::F64 => (3, 64),
    };
    let mut data = Vec::new();
    for sample in samples {
        for _ in 0..n_channels {
            let sample = f64::from(*sample);
            match depth {
                Depth::U8 => data.push((sample * 127.0 + 128.0) as u8),
                Depth::I16 => data.extend(((sample * 32_767.0) as i16).to_le_bytes()),
                Depth::I24 => {
                    data.extend(&((sample * 8_388_607.0) as i32).to_le_bytes()[..3]);
                }
                Depth::I32 => data.extend(((sample * 2_147_483_647.0) as i32).to_le_bytes()),
                Depth::F32 => data.extend((sample as f32).to_le_bytes()),
                Depth::F64 => data.extend(sample.to_le_bytes()),
            }
        }
    }
    let frame_bytes = n_channels * bits / 8;
    let mut file = b"RIFF".to_vec();
    file.extend((36 + data.len() as u32).to_le_bytes());
    file.extend(b"WAVEfmt \x10\0\0\0");
    file.extend(tag.to_le_bytes());
    file.extend(n_channels.to_le_bytes());
    file.extend(rate_hz.to_le_bytes());
    file.extend((rate_hz * u32::from(frame_bytes)).to_le_bytes());
    file.extend(frame_bytes.to_le_bytes());
    file.extend(bits.to_le_bytes());
    file.extend(b"data");
    file.extend((data.len() as u32).to_le_bytes());
    file.extend(data);
    file
}

#[test]
fn wav_files_of_any_kind_give_the_same_text() {
    if model("tiny.en").is_none() {
        return;
    }
    let reference = text_of(&recording(CLIP));
    assert!(reference.len() > 10, "{reference:?}");
    let samples = hark::audio::decode_file(recording(CLIP)).unwrap();
    let folder = tempfile::tempdir().unwrap();
    let kinds = [
        (16_000, 1, Depth::I16),
        (44_100, 2, Depth::I24),
        (48_000, 1, Depth::F32),
        (96_000, 2, Depth::I32),
        (22_050, 6, Depth::F64),
        (32_000, 1, Depth::U8),
    ];
    for (rate_hz, n_channels, depth) in kinds {
        let path = folder
            .path()
            .join(format!("{rate_hz}_{n_channels}_{depth:?}.wav"));
        std::fs::write(
            &path,
            wav(&upsample(&samples, rate_hz), rate_hz, n_channels, depth),
        )
        .unwrap();
        let text = text_of(&path);
        // Eight bits are noise: one word may differ.
        let allowed = usize::from(matches!(depth, Depth::U8));
        assert!(
            difference(&text, &reference) <= allowed,
            "{path:?}: {text:?} / {reference:?}"
        );
    }
}

#[test]
fn coded_recordings_give_the_same_text() {
    if model("tiny.en").is_none() {
        return;
    }
    let reference = text_of(&recording(CLIP));
    for name in [
        "clip_48000_stereo.flac",
        "clip_44100_mono.mp3",
        "clip_44100_stereo.ogg",
        "clip_22050_mono.m4a",
    ] {
        let text = text_of(&root().join("tests/data/formats").join(name));
        assert!(
            difference(&text, &reference) <= 1,
            "{name}: {text:?} / {reference:?}"
        );
    }
}

#[test]
fn the_cut_of_a_stream_changes_nothing() {
    if model("tiny.en").is_none() {
        return;
    }
    let samples = hark::audio::decode_file(recording(CLIP)).unwrap();
    let wav = wav(&samples, 16_000, 1, Depth::I16);
    let raw = &wav[44..];
    let file = hark(&["transcribe", "--words", "--json", arg(&recording(CLIP))]).expect(0);
    let file: serde_json::Value = serde_json::from_str(&file.stdout).unwrap();
    for piece in [997, 4_096, usize::MAX] {
        let ran = hark_with_input(&["transcribe", "-", "--words", "--json"], &wav, piece).expect(0);
        let mut streamed: serde_json::Value = serde_json::from_str(&ran.stdout).unwrap();
        streamed["file"] = file["file"].clone();
        assert_eq!(
            words(streamed["text"].as_str().unwrap()),
            words(file["text"].as_str().unwrap())
        );
    }
    let mut outputs = Vec::new();
    for piece in [101, 30_001] {
        let args = ["replay", "-", "--raw", "s16le,16000,1"];
        outputs.push(hark_with_input(&args, raw, piece).expect(0).stdout);
    }
    assert_eq!(outputs[0], outputs[1]);
}
