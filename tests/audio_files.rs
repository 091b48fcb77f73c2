//! Recordings of every kind give the same sound: whatever the container, codec, rate, channels
//! and sample format, the samples at 16 kHz are those of one known signal, at the right time.
//! What cannot be read gives one clear line.

#![allow(clippy::unwrap_used)]

use std::f32::consts::TAU;
use std::fs;
use std::io::Cursor;
use std::path::{Path, PathBuf};

use hark::audio::{
    AudioError, AudioSource, FileSource, Heard, PcmFormat, PcmSource, PcmSpec, SourceSpec,
    decode_file, open, wav_bytes,
};
use hark::error::{Classify, Kind};

/// The signal of tests/data/audio/make.py.
fn signal(t: f32) -> f32 {
    let sweep = (TAU * (200.0 * t + 1_500.0 * t * t)).sin();
    0.4 * sweep * (0.6 + 0.4 * (TAU * 4.0 * t).sin())
}

/// Interleaved frames of it; the channels have levels 1, 1/2, 1/3 …
fn frames(rate_hz: u32, n_channels: usize, seconds: f32) -> Vec<f32> {
    let n_frames = (rate_hz as f32 * seconds).round() as usize;
    (0..n_frames * n_channels)
        .map(|i| {
            let t = (i / n_channels) as f32 / rate_hz as f32;
            signal(t) / (i % n_channels + 1) as f32
        })
        .collect()
}

/// What those frames are once mixed, at 16 kHz.
fn expected(n_channels: usize, seconds: f32) -> Vec<f32> {
    let level: f32 = (1..=n_channels).map(|k| 1.0 / k as f32).sum::<f32>() / n_channels as f32;
    frames(16_000, 1, seconds)
        .iter()
        .map(|x| x * level)
        .collect()
}

fn golden(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("tests/data/audio")
        .join(name)
}

/// Error power relative to the signal's, in dB, with `heard` shifted by `lag` samples; the ends,
/// where filters meet nothing, are left out.
fn error_db(heard: &[f32], wanted: &[f32], lag: usize) -> f32 {
    let heard = &heard[lag.min(heard.len())..];
    let n = heard.len().min(wanted.len());
    if n < 1_000 {
        return f32::INFINITY;
    }
    let range = 300..n - 300;
    let power = |x: &mut dyn Iterator<Item = f32>| x.map(|v| v * v).sum::<f32>();
    let error = power(&mut range.clone().map(|i| heard[i] - wanted[i]));
    10.0 * (error / power(&mut range.map(|i| wanted[i]))).log10()
}

fn temp_file(folder: &tempfile::TempDir, name: &str, bytes: &[u8]) -> PathBuf {
    let path = folder.path().join(name);
    fs::write(&path, bytes).unwrap();
    path
}

#[test]
fn every_codec_gives_the_signal_at_its_time() {
    for (name, n_channels, seconds, worst_db) in [
        ("44100_stereo.mp3", 2, 0.6, -25.0),
        ("22050_mono.mp3", 1, 0.6, -25.0),
        ("48000_stereo.ogg", 2, 0.6, -25.0),
        ("16000_mono_alac.m4a", 1, 0.6, -70.0),
        ("16000_mono.flac", 1, 0.6, -70.0),
        ("8000_stereo_24bit.wav", 2, 0.15, -60.0),
        ("8000_mono_alaw.wav", 1, 0.6, -30.0),
    ] {
        let heard = decode_file(golden(name)).unwrap();
        let wanted = expected(n_channels, seconds);
        let db = error_db(&heard, &wanted, 0);
        assert!(db < worst_db, "{name}: error {db:.1} dB");
        assert_eq!(heard.len(), wanted.len(), "{name}");
    }
}

#[test]
fn aac_gives_the_signal_after_its_encoder_delay() {
    let heard = decode_file(golden("44100_stereo.m4a")).unwrap();
    let wanted = expected(2, 0.6);
    // The container's edit list, which would cut the delay off, is not followed: 1024 samples.
    let lag = 1_024 * 16_000 / 44_100;
    let db = error_db(&heard, &wanted, lag).min(error_db(&heard, &wanted, lag + 1));
    assert!(db < -10.0, "error {db:.1} dB");
    assert!(
        heard.len().abs_diff(wanted.len()) < 1_600,
        "{}",
        heard.len()
    );
}

#[test]
fn every_wav_gives_the_signal_from_file_and_stream() {
    let folder = tempfile::tempdir().unwrap();
    for format in PcmFormat::ALL {
        for rate_hz in [8_000, 11_025, 16_000, 22_050, 44_100, 48_000, 96_000] {
            for n_channels in [1, 2, 6] {
                let spec = PcmSpec {
                    format,
                    rate_hz,
                    n_channels,
                };
                let interleaved = frames(rate_hz, n_channels, 0.3);
                let wav = wav_bytes(spec, &interleaved);
                let path = temp_file(&folder, "a.wav", &wav);
                let mut file = FileSource::open(&path).unwrap();
                let what = format!("{} {rate_hz} Hz {n_channels}", format.name());
                let length_s = interleaved.len() as f64 / (rate_hz as usize * n_channels) as f64;
                assert!(
                    (file.duration_s().unwrap() - length_s).abs() < 1e-6,
                    "{what}"
                );
                let heard = read_all(&mut file);

                let wanted = expected(n_channels, 0.3);
                let db = error_db(&heard, &wanted, 0);
                let worst_db = if format == PcmFormat::U8 {
                    -25.0
                } else {
                    -70.0
                };
                assert!(db < worst_db, "{what}: error {db:.1} dB");
                assert!(heard.len().abs_diff(wanted.len()) <= 1, "{what}");

                let stream = Cursor::new(wav[44..].to_vec());
                let streamed = read_all(&mut PcmSource::new("test", stream, spec, None).unwrap());
                // A padding byte cannot be told from sound in a raw stream.
                let n = heard.len();
                assert!(
                    streamed.len() - n <= usize::from(format == PcmFormat::U8),
                    "{what}"
                );
                let furthest = (0..n - 200).map(|i| (heard[i] - streamed[i]).abs());
                assert!(furthest.fold(0.0, f32::max) < 1e-5, "{what}");
            }
        }
    }
}

/// Reads to the end, in portions of at most 100 ms.
fn read_all(source: &mut dyn AudioSource) -> Vec<f32> {
    let mut samples = Vec::new();
    loop {
        let n_before = samples.len();
        let next = source.read(&mut samples).unwrap();
        let n = samples.len() - n_before;
        assert_eq!(next == Heard::Samples, (1..=1_600).contains(&n));
        if next == Heard::End {
            assert_eq!(source.read(&mut samples).unwrap(), Heard::End);
            return samples;
        }
        assert_eq!(next, Heard::Samples);
    }
}

#[test]
fn the_kind_is_found_by_content() {
    let folder = tempfile::tempdir().unwrap();
    let bytes = fs::read(golden("48000_stereo.ogg")).unwrap();
    let path = temp_file(&folder, "misnamed.mp3", &bytes);
    assert_eq!(decode_file(path).unwrap().len(), 9_600);
}

#[test]
fn damage_in_the_middle_costs_no_more_than_its_place() {
    let folder = tempfile::tempdir().unwrap();
    let quiet = |x: &f32| x.abs() < 0.01;
    for (name, n_samples, place) in [
        ("16000_mono.flac", 9_600usize, 0.5),
        ("44100_stereo.m4a", 10_031, 0.5),
        ("22050_mono.mp3", 9_600, 0.5),
        // The codec's tables are the first two thirds of it.
        ("48000_stereo.ogg", 9_600, 0.75),
    ] {
        let whole = decode_file(golden(name)).unwrap();
        assert_eq!(whole.len(), n_samples, "{name}");
        let mut bytes = fs::read(golden(name)).unwrap();
        let begin = (bytes.len() as f32 * place) as usize;
        for byte in &mut bytes[begin..begin + 100] {
            *byte = byte.wrapping_mul(37).wrapping_add(91);
        }
        let path = temp_file(&folder, name, &bytes);
        let heard = decode_file(&path).unwrap();
        assert!(
            heard.iter().all(|x| x.is_finite() && x.abs() <= 2.0),
            "{name}"
        );
        // Nothing marks the time in an MP3: what was lost is missing.
        let n_least = if name.ends_with("mp3") {
            6_000
        } else {
            n_samples
        };
        assert!(
            (n_least..=n_samples).contains(&heard.len()),
            "{name}: {}",
            heard.len()
        );
        let db = error_db(&heard[..3_000], &whole[..3_000], 0);
        assert!(db < -60.0, "{name}: before the damage, {db:.1} dB");
        if heard.len() == n_samples {
            let end = n_samples - 2_500;
            let db = error_db(&heard[end..], &whole[end..], 0);
            assert!(db < -60.0, "{name}: after the damage, {db:.1} dB");
        }
        let n_quiet = heard.iter().filter(|x| quiet(x)).count();
        let n_quiet_before = whole.iter().filter(|x| quiet(x)).count();
        assert!(
            n_quiet < n_quiet_before + 4_000,
            "{name}: {n_quiet} samples are silent"
        );
    }
}

#[test]
fn a_cut_recording_gives_what_is_there() {
    let folder = tempfile::tempdir().unwrap();
    for name in ["44100_stereo.mp3", "16000_mono.flac", "8000_mono_alaw.wav"] {
        let bytes = fs::read(golden(name)).unwrap();
        let path = temp_file(&folder, name, &bytes[..bytes.len() * 2 / 3]);
        let n = decode_file(&path).unwrap().len();
        assert!((3_000..9_600).contains(&n), "{name}: {n} samples");
    }
}

#[test]
fn what_cannot_be_read_is_said_in_one_line() {
    let folder = tempfile::tempdir().unwrap();
    let spec: PcmSpec = "s16le,16000,1".parse().unwrap();
    let good = wav_bytes(spec, &[0.25; 1_000]);
    let altered = |name: &str, at: usize, bytes: &[u8]| {
        let mut wav = good.clone();
        wav[at..at + bytes.len()].copy_from_slice(bytes);
        temp_file(&folder, name, &wav)
    };
    for (path, words) in [
        (folder.path().join("missing.wav"), "cannot open"),
        (folder.path().to_path_buf(), "not a regular file"),
        (temp_file(&folder, "empty.wav", b""), "holds no audio"),
        (
            temp_file(&folder, "text.wav", &[b'x'; 5_000]),
            "no audio that hark reads",
        ),
        (temp_file(&folder, "short.mp3", b"ID3"), "short.mp3"),
        (
            temp_file(&folder, "no-sound.wav", &wav_bytes(spec, &[])),
            "holds no audio",
        ),
        (temp_file(&folder, "header.wav", &good[..30]), "damaged"),
        (golden("16000_mono.opus"), "Opus audio"),
        (altered("rate-0.wav", 24, &[0; 4]), "rate-0.wav"),
        (
            altered("rate-max.wav", 24, &[255; 4]),
            "sample rate of 4294967295 Hz",
        ),
        (altered("channels-0.wav", 22, &[0; 2]), "channels-0.wav"),
        (
            altered("channels-max.wav", 22, &[255; 2]),
            "channels-max.wav",
        ),
        (altered("bits-0.wav", 34, &[0; 2]), "bits-0.wav"),
        (altered("code.wav", 20, &[0x77, 0x77]), "code.wav"),
    ] {
        let error = open(&SourceSpec::File(path.clone()))
            .and_then(|mut source| source.read(&mut Vec::new()))
            .expect_err(&path.display().to_string());
        let text = error.to_string();
        assert!(text.contains(words), "{}: {text}", path.display());
        assert!(text.contains(&path.display().to_string()), "{text}");
        assert!(!text.contains('\n') && text.len() < 400, "{text}");
        assert_eq!(error.kind(), Kind::Input);
    }
}

#[test]
fn a_length_that_is_a_lie_takes_no_memory() {
    let folder = tempfile::tempdir().unwrap();
    let spec: PcmSpec = "s16le,16000,1".parse().unwrap();
    let mut wav = wav_bytes(spec, &[0.25; 1_000]);
    for n_bytes in [1_000_000_000u32, u32::MAX, 0x7FFF_FFFF] {
        wav[40..44].copy_from_slice(&n_bytes.to_le_bytes());
        let path = temp_file(&folder, "lie.wav", &wav);
        let heard = decode_file(&path).unwrap_or_else(|error| panic!("{n_bytes}: {error}"));
        assert!(
            (900..=1_000).contains(&heard.len()),
            "{n_bytes}: {}",
            heard.len()
        );
    }
}

#[test]
fn sources_are_named_as_on_the_command_line() {
    let raw: PcmSpec = "f32le,48000,2".parse().unwrap();
    for (argument, raw, wanted) in [
        ("-", None, "Stdin(Wav)"),
        ("mic", None, "Mic(\"default\")"),
        ("mic:USB", None, "Mic(\"USB\")"),
        ("a.wav", Some(raw), "File(\"a.wav\")"),
    ] {
        let spec = SourceSpec::from_argument(argument, raw);
        assert_eq!(format!("{spec:?}"), wanted);
    }
    let spec = SourceSpec::from_argument("-", Some(raw));
    assert!(format!("{spec:?}").contains("48000"));
    let error: AudioError = "s16le,16000".parse::<PcmSpec>().unwrap_err();
    assert_eq!(error.kind(), Kind::Usage);
}
