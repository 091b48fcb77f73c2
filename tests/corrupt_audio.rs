//! Damaged recordings: 200 variants of every format, and none may panic, hang, give sound that is
//! none or take much memory.
//!
//! The variants come from a fixed seed: bits flipped, bytes overwritten, stretches removed,
//! doubled, zeroed or filled with 0xFF, ends cut off, and figures of the header set to extremes.

#![allow(clippy::unwrap_used)]

use std::fs;
use std::path::Path;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use hark::audio::{
    AudioError, AudioSource, FileSource, Heard, PcmFormat, PcmSpec, SourceSpec, decode_file, open,
    wav_bytes,
};
use hark::error::{Classify, Kind};

const N_VARIANTS: u64 = 200;
/// Longest sound that a variant of a recording of 0.6 s may claim to hold, silence for what is
/// missing included.
const MAX_SAMPLES: usize = 16_000 * 120;
/// For all variants of a format together; a debug build on a busy machine needs a tenth of it.
const MAX_TIME: Duration = Duration::from_secs(120);
const MAX_MEMORY_BYTES: usize = 300 << 20;

/// Panics of the decoders are caught and become errors; this counts those of our own code.
static N_OWN_PANICS: AtomicUsize = AtomicUsize::new(0);

/// A small generator of numbers (Marsaglia, "Xorshift RNGs", 2003), the same on every machine.
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0
    }

    fn below(&mut self, n: usize) -> usize {
        (self.next() % n.max(1) as u64) as usize
    }
}

fn corrupt(original: &[u8], random: &mut Random) -> Vec<u8> {
    let mut bytes = original.to_vec();
    // Half of the damage hits the header, where the figures are.
    let reach = if random.below(2) == 0 {
        bytes.len().min(200)
    } else {
        bytes.len()
    };
    for _ in 0..=random.below(8) {
        if bytes.is_empty() {
            break;
        }
        let at = random.below(reach.min(bytes.len()));
        let n = (1 + random.below(64)).min(bytes.len() - at);
        match random.below(8) {
            0 => bytes[at] ^= 1 << random.below(8),
            1 => bytes[at] = random.next() as u8,
            2 => bytes[at..at + n].fill_with(|| random.next() as u8),
            3 => bytes[at..at + n].fill(0),
            4 => bytes[at..at + n.min(4)].fill(0xFF),
            5 => drop(bytes.drain(at..at + n)),
            6 => {
                let copy = bytes[at..at + n].to_vec();
                drop(bytes.splice(at..at, copy));
            }
            _ => bytes.truncate(bytes.len() - random.below(bytes.len() / 2)),
        }
    }
    bytes
}

/// Decodes every variant of a recording; gives how many could be heard.
fn decode_variants(name: &str, original: &[u8]) -> u64 {
    count_own_panics();
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join(name);
    let mut random = Random(0x9E37_79B9_7F4A_7C15 ^ original.len() as u64);
    let started = Instant::now();
    let mut n_heard = 0;
    for variant in 0..N_VARIANTS {
        fs::write(&path, corrupt(original, &mut random)).unwrap();
        let what = format!("{name}, variant {variant}");
        match decode(&path) {
            Ok(n_samples) => {
                assert!(n_samples <= MAX_SAMPLES, "{what}: {n_samples} samples");
                n_heard += 1;
            }
            Err(error) => {
                let text = error.to_string();
                assert!(
                    text.contains(name) && !text.contains('\n'),
                    "{what}: {text}"
                );
                assert_eq!(error.kind(), Kind::Input, "{what}: {text}");
            }
        }
        assert!(started.elapsed() < MAX_TIME, "{what}: too slow");
    }
    assert_eq!(N_OWN_PANICS.load(Ordering::Relaxed), 0, "{name}");
    if let Some(n_bytes) = peak_memory_bytes() {
        assert!(n_bytes < MAX_MEMORY_BYTES, "{name}: {n_bytes} bytes");
    }
    n_heard
}

/// Decodes as a stream, without keeping the sound; gives its length.
fn decode(path: &Path) -> Result<usize, AudioError> {
    let mut source = FileSource::open(path)?;
    let (mut n_samples, mut piece) = (0, Vec::new());
    loop {
        piece.clear();
        let next = source.read(&mut piece)?;
        assert!(piece.iter().all(|x| x.is_finite() && x.abs() < 4.0));
        if next == Heard::End {
            return Ok(n_samples);
        }
        n_samples += piece.len();
        assert!(n_samples <= MAX_SAMPLES, "no end");
    }
}

fn count_own_panics() {
    static ONCE: std::sync::Once = std::sync::Once::new();
    ONCE.call_once(|| {
        let usual = std::panic::take_hook();
        std::panic::set_hook(Box::new(move |about| {
            let file = about.location().map_or("", |place| place.file());
            if file.starts_with("src/") {
                N_OWN_PANICS.fetch_add(1, Ordering::Relaxed);
            }
            usual(about);
        }));
    });
}

/// The most memory this process ever had, where the system tells.
fn peak_memory_bytes() -> Option<usize> {
    let status = fs::read_to_string("/proc/self/status").ok()?;
    let line = status.lines().find(|line| line.starts_with("VmHWM:"))?;
    let kilobytes: usize = line.split_whitespace().nth(1)?.parse().ok()?;
    Some(kilobytes * 1024)
}

fn golden(name: &str) -> Vec<u8> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    fs::read(root.join("tests/data/audio").join(name)).unwrap()
}

fn check(name: &str, n_least_heard: u64) {
    let n_heard = decode_variants(name, &golden(name));
    assert!(
        n_heard >= n_least_heard,
        "{name}: only {n_heard} could be heard"
    );
}

#[test]
fn damaged_mp3() {
    check("44100_stereo.mp3", 100);
    check("22050_mono.mp3", 100);
}

#[test]
fn damaged_ogg() {
    check("48000_stereo.ogg", 5);
}

#[test]
fn damaged_m4a() {
    check("44100_stereo.m4a", 20);
    check("16000_mono_alac.m4a", 20);
}

#[test]
fn damaged_flac() {
    check("16000_mono.flac", 100);
}

#[test]
fn damaged_opus() {
    check("16000_mono.opus", 0);
}

#[test]
fn damaged_wav() {
    check("8000_stereo_24bit.wav", 50);
    check("8000_mono_alaw.wav", 50);
    for format in PcmFormat::ALL {
        let spec = PcmSpec {
            format,
            rate_hz: 44_100,
            n_channels: 2,
        };
        let sound: Vec<f32> = (0..5_000).map(|i| (i as f32 * 0.05).sin() * 0.5).collect();
        let name = format!("{}.wav", format.name());
        let n_heard = decode_variants(&name, &wav_bytes(spec, &sound));
        assert!(n_heard >= 50, "{name}: only {n_heard} could be heard");
    }
}

/// Every cut of every format: the header's and a sample of the others.
#[test]
fn cut_recordings() {
    let folder = tempfile::tempdir().unwrap();
    for name in [
        "44100_stereo.mp3",
        "48000_stereo.ogg",
        "44100_stereo.m4a",
        "16000_mono.flac",
        "8000_stereo_24bit.wav",
    ] {
        let bytes = golden(name);
        let path = folder.path().join(name);
        for n in (0..200).chain((200..bytes.len()).step_by(173)) {
            fs::write(&path, &bytes[..n.min(bytes.len())]).unwrap();
            if let Err(error) = decode_file(&path) {
                assert_eq!(error.kind(), Kind::Input, "{name}, {n} bytes: {error}");
            }
        }
    }
}

/// What is no audio at all is refused, and soon.
#[test]
fn noise_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("noise");
    let mut random = Random(7);
    let started = Instant::now();
    for n in [1, 2, 3, 11, 12, 13, 100, 5_000, 2_000_000] {
        let noise: Vec<u8> = (0..n).map(|_| random.next() as u8).collect();
        fs::write(&path, noise).unwrap();
        let opened = open(&SourceSpec::File(path.clone()));
        if let Err(error) = opened.and_then(|mut source| source.read(&mut Vec::new())) {
            assert_eq!(error.kind(), Kind::Input, "{n} bytes: {error}");
        }
    }
    assert!(started.elapsed() < Duration::from_secs(30));
}
