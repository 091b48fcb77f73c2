//! Short sounds that say something without words: two notes that rise, one soft note, two that fall; or
//! what somebody has recorded.
//!
//! In: which one, or a WAV file. Out: a [`Clip`], made or read once. Runs where it is called.

use std::f32::consts::TAU;
use std::fs::File;
use std::io::BufReader;
use std::path::Path;

use super::converter::Layout;
use super::playback::open_wav;
use super::{AudioError, PcmReader};

/// Rate of the notes that are made here.
const RATE_HZ: u32 = 48_000;
/// How loud they are at most: -18 dB below full scale.
const PEAK: f32 = 0.126;
/// How long a note takes to come and to go.
const ATTACK_MS: u32 = 8;
const RELEASE_MS: u32 = 45;
/// The second harmonic, which makes a sine less of a test tone.
const OVERTONE: f32 = 0.15;
/// The longest recording that counts as a short sound, and the most samples of all its channels.
const MAX_CLIP_S: u32 = 10;
const MAX_CLIP_SAMPLES: usize = 4 << 20;

/// A short sound in memory.
#[derive(Clone, Debug, PartialEq)]
pub struct Clip {
    pub(super) layout: Layout,
    pub(super) interleaved: Vec<f32>,
}

/// A sound that is made here.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Tone {
    /// Two notes that rise: somebody listens.
    Rise,
    /// One soft note: done.
    Soft,
    /// Two notes that fall: it failed.
    Fall,
}

impl Tone {
    /// Makes it.
    pub fn clip(self) -> Clip {
        // Notes of equal temperament, in Hz: E5 A5, E5, G4 D4.
        let notes: &[(f32, u32, f32)] = match self {
            Tone::Rise => &[(659.26, 90, 1.0), (880.0, 105, 1.0)],
            Tone::Soft => &[(659.26, 120, 0.6)],
            Tone::Fall => &[(392.0, 90, 1.0), (293.66, 105, 1.0)],
        };
        let mut interleaved = Vec::new();
        for &(f_hz, ms, level) in notes {
            note(f_hz, ms, level * PEAK, &mut interleaved);
        }
        Clip {
            layout: Layout {
                rate_hz: RATE_HZ,
                n_channels: 1,
            },
            interleaved,
        }
    }
}

/// Appends a note that begins and ends with nothing.
fn note(f_hz: f32, ms: u32, peak: f32, out: &mut Vec<f32>) {
    let samples = |ms: u32| (RATE_HZ * ms / 1_000) as usize;
    let (n, n_attack, n_release) = (samples(ms), samples(ATTACK_MS), samples(RELEASE_MS));
    // Half a period of a cosine has no edges.
    let fade =
        |done: usize, of: usize| 0.5 - 0.5 * (TAU / 2.0 * (done as f32 / of as f32).min(1.0)).cos();
    out.extend((0..n).map(|i| {
        let phase = TAU * f_hz * i as f32 / RATE_HZ as f32;
        let wave = (phase.sin() + OVERTONE * (2.0 * phase).sin()) / (1.0 + OVERTONE);
        peak * wave * fade(i, n_attack) * fade(n - 1 - i, n_release)
    }));
}

impl Clip {
    /// Reads a WAV file.
    ///
    /// # Errors
    /// If it cannot be read, is no WAV, holds nothing or more than a short sound.
    pub fn read(path: &Path) -> Result<Clip, AudioError> {
        let origin = path.display().to_string();
        let unreadable = |source| AudioError::Open {
            origin: origin.clone(),
            source,
        };
        // Before it is opened: opening a pipe may wait for ever.
        if !path.metadata().map_err(unreadable)?.is_file() {
            return Err(AudioError::NotAFile { origin });
        }
        let mut input = BufReader::new(File::open(path).map_err(unreadable)?);
        Clip::of(open_wav(&mut input, &origin)?, &origin)
    }

    fn of(mut reader: PcmReader<impl std::io::Read>, origin: &str) -> Result<Clip, AudioError> {
        let spec = reader.spec();
        let n_most = (spec.rate_hz * MAX_CLIP_S) as usize * spec.n_channels;
        let n_most = n_most.min(MAX_CLIP_SAMPLES);
        let unfit = |detail: String| AudioError::NotPlayable {
            origin: origin.to_owned(),
            detail,
        };
        let (mut interleaved, mut piece) = (Vec::new(), Vec::new());
        while reader.read(&mut piece)? > 0 {
            interleaved.extend_from_slice(&piece);
            if interleaved.len() > n_most {
                return Err(unfit(format!("it is longer than {MAX_CLIP_S} s")));
            }
        }
        if interleaved.is_empty() {
            return Err(unfit("it holds no sound".to_owned()));
        }
        Ok(Clip {
            layout: Layout {
                rate_hz: spec.rate_hz,
                n_channels: spec.n_channels,
            },
            interleaved,
        })
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use crate::audio::write_wav;

    /// The strongest of these frequencies in `samples`.
    fn pitch(samples: &[f32], candidates: &[f32]) -> f32 {
        let power = |f_hz: f32| {
            let turn = |i: usize| TAU * f_hz * i as f32 / RATE_HZ as f32;
            let parts = samples.iter().enumerate();
            let (re, im) = parts.fold((0.0, 0.0), |(re, im), (i, x)| {
                (re + x * turn(i).cos(), im + x * turn(i).sin())
            });
            re * re + im * im
        };
        let best = candidates.iter().copied();
        best.max_by(|a, b| power(*a).total_cmp(&power(*b))).unwrap()
    }

    #[test]
    fn tones_are_short_soft_and_without_edges() {
        for tone in [Tone::Rise, Tone::Soft, Tone::Fall] {
            let Clip {
                layout,
                interleaved,
            } = tone.clip();
            let ms = interleaved.len() * 1_000 / layout.rate_hz as usize;
            assert!((100..=200).contains(&ms), "{tone:?}: {ms} ms");
            let loudest = interleaved.iter().fold(0.0f32, |max, x| max.max(x.abs()));
            assert!((0.05..=0.126).contains(&loudest), "{tone:?}: {loudest}");
            let ends = [interleaved[0], interleaved[interleaved.len() - 1]];
            assert!(ends.iter().all(|x| x.abs() < 1e-4), "{tone:?}: {ends:?}");
            let step = |pair: &[f32]| (pair[1] - pair[0]).abs();
            assert!(interleaved.windows(2).all(|pair| step(pair) < 0.03));
        }
    }

    #[test]
    fn two_notes_rise_or_fall() {
        for (tone, expected) in [(Tone::Rise, [659.26, 880.0]), (Tone::Fall, [392.0, 293.66])] {
            let clip = tone.clip().interleaved;
            let (first, second) = clip.split_at(RATE_HZ as usize * 90 / 1_000);
            let all = [293.66, 392.0, 500.0, 659.26, 880.0];
            assert_eq!([pitch(first, &all), pitch(second, &all)], expected);
        }
    }

    #[test]
    fn files_are_read_and_strange_ones_are_errors() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("x.wav");
        write_wav(&path, 8_000, &[0.5; 100]).unwrap();
        let clip = Clip::read(&path).unwrap();
        assert_eq!(clip.interleaved.len(), 100);
        assert_eq!(clip.layout.rate_hz, 8_000);

        write_wav(&path, 1_000, &[0.5; 10_001]).unwrap();
        let error = Clip::read(&path).unwrap_err().to_string();
        assert!(error.contains("longer than 10 s"), "{error}");
        write_wav(&path, 8_000, &[]).unwrap();
        let error = Clip::read(&path).unwrap_err().to_string();
        assert!(error.contains("no sound"), "{error}");
        for bytes in [&b""[..], b"ID3", b"RIFF\xff\xff\xff\xffWAVEdata\0\0\0\0"] {
            std::fs::write(&path, bytes).unwrap();
            let error = Clip::read(&path).unwrap_err();
            assert!(matches!(error, AudioError::NotPlayable { .. }), "{error}");
        }
        let error = Clip::read(folder.path()).unwrap_err();
        assert!(matches!(error, AudioError::NotAFile { .. }), "{error}");
        let error = Clip::read(&folder.path().join("none")).unwrap_err();
        assert!(matches!(error, AudioError::Open { .. }), "{error}");
    }
}
