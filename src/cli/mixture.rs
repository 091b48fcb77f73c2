//! Hours of other speech out of minutes: recordings one behind another and over each other.
//!
//! In: recordings without a command. Out: pieces of three minutes, in each of which the recordings
//! come in another order, at other speeds and levels, with other pauses, and with one of the others
//! in the background. The same recordings give the same pieces. **Mixing makes no new speakers**: it
//! tells how often what they say is mistaken in other surroundings, and nothing of other people.

use std::path::{Path, PathBuf};

use clap::Args as ClapArgs;

use super::Failure;
use crate::audio;
use crate::dsp::SAMPLE_RATE_HZ;
use crate::random::Random;

/// Length of a piece, in seconds.
const PIECE_S: f64 = 180.0;
/// Levels of the recordings in front and behind, in decibels.
const FRONT_DB: (f64, f64) = (-9.0, 3.0);
const BEHIND_DB: (f64, f64) = (-26.0, -12.0);
/// How fast they are played.
const SPEED: (f64, f64) = (0.9, 1.1);
/// Silence between them, in seconds.
const PAUSE_S: (f64, f64) = (0.3, 2.0);
/// Recordings in a piece at most: some last no time at all.
const MAX_PARTS: usize = 1_000;

/// How much to mix.
#[derive(Debug, Default, ClapArgs)]
pub(crate) struct MixArgs {
    /// Hours of further recordings without a command, mixed from those that are there: in other
    /// orders, speeds and levels, one over the other. This makes no new speakers
    #[arg(long, value_name = "HOURS", value_parser = hours)]
    mix: Option<f64>,
}

fn hours(text: &str) -> Result<f64, String> {
    let number = text.parse().ok();
    let number = number.filter(|hours| (0.0..=1000.0).contains(hours));
    number.ok_or_else(|| "hours are a number from 0 to 1000".to_owned())
}

/// A piece to be mixed.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Mixture {
    files: Vec<PathBuf>,
    seed: u64,
}

impl MixArgs {
    /// The pieces, by name, made of `files`.
    pub(crate) fn pieces(&self, files: &[&Path]) -> Vec<(PathBuf, Mixture)> {
        let n = self
            .mix
            .map_or(0.0, |hours| (hours * 3600.0 / PIECE_S).ceil()) as u64;
        if files.is_empty() {
            return Vec::new();
        }
        let files: Vec<PathBuf> = files.iter().map(|file| (*file).to_owned()).collect();
        let piece = |seed: u64| {
            let files = files.clone();
            let name = PathBuf::from(format!("mixture {}", seed + 1));
            (name, Mixture { files, seed })
        };
        (0..n).map(piece).collect()
    }
}

impl Mixture {
    /// The piece, at 16 kHz.
    pub(crate) fn samples(&self) -> Result<Vec<f32>, Failure> {
        let mut random = Random::new(self.seed);
        let decode = |file: &Path| Ok(audio::decode_file(file)?);
        let front = track(&self.files, FRONT_DB, &mut random, &decode)?;
        let behind = track(&self.files, BEHIND_DB, &mut random, &decode)?;
        let mixed = front.iter().zip(&behind);
        Ok(mixed.map(|(a, b)| (a + b).clamp(-1.0, 1.0)).collect())
    }
}

/// Recordings one behind another, for the length of a piece.
fn track(
    files: &[PathBuf],
    level_db: (f64, f64),
    random: &mut Random,
    decode: &dyn Fn(&Path) -> Result<Vec<f32>, Failure>,
) -> Result<Vec<f32>, Failure> {
    let rate = f64::from(SAMPLE_RATE_HZ);
    let length = (PIECE_S * rate) as usize;
    let mut track: Vec<f32> = Vec::with_capacity(length);
    for _ in 0..MAX_PARTS {
        if track.len() >= length {
            break;
        }
        let pause = between(random, PAUSE_S) * rate;
        track.resize(track.len() + pause as usize, 0.0);
        let (speed, db) = (between(random, SPEED), between(random, level_db));
        let file = random.below(files.len() as u64).unwrap_or(0) as usize;
        let samples = decode(&files[file])?;
        // A long recording does not fill a piece by itself.
        let from = random.below(samples.len() as u64).unwrap_or(0) as usize;
        let part = match samples.len() > length / 2 {
            true => &samples[from..(from + length / 4).min(samples.len())],
            false => &samples[..],
        };
        let gain = 10f64.powf(db / 20.0) as f32;
        track.extend(played(part, speed).map(|x| x * gain));
    }
    track.resize(length, 0.0);
    Ok(track)
}

fn between(random: &mut Random, (from, to): (f64, f64)) -> f64 {
    from + (to - from) * random.unit()
}

/// `samples` at another speed, interpolated.
fn played(samples: &[f32], speed: f64) -> impl Iterator<Item = f32> {
    let n = (samples.len().saturating_sub(1) as f64 / speed) as usize;
    (0..n).map(move |i| {
        let at = i as f64 * speed;
        let (whole, part) = (at as usize, at.fract() as f32);
        samples[whole] * (1.0 - part) + samples[whole + 1] * part
    })
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn a_piece_is_as_long_as_it_should_be_and_always_the_same() {
        let files: Vec<PathBuf> = ["1", "2", "0", "400"].map(PathBuf::from).into();
        let decode = |file: &Path| {
            let seconds: usize = file.to_str().unwrap().parse().unwrap();
            Ok(vec![0.5; seconds * 16_000])
        };
        let mixed = |seed: u64| track(&files, FRONT_DB, &mut Random::new(seed), &decode).unwrap();
        let piece = mixed(1);
        assert_eq!(piece.len(), 180 * 16_000);
        assert!(piece == mixed(1) && piece != mixed(2));
        let loud = piece.iter().filter(|x| **x > 0.1).count();
        assert!(loud > piece.len() / 4, "{loud}");
        let empty = [PathBuf::from("0")];
        let silence = track(&empty, FRONT_DB, &mut Random::new(1), &decode).unwrap();
        assert!(silence.iter().all(|x| *x == 0.0));
    }

    #[test]
    fn there_are_as_many_pieces_as_hours_hold() {
        let args = MixArgs { mix: Some(0.11) };
        let pieces = args.pieces(&[Path::new("a")]);
        assert_eq!(pieces.len(), 3);
        assert_eq!(pieces[2].0, Path::new("mixture 3"));
        assert!(args.pieces(&[]).is_empty());
        assert!(MixArgs::default().pieces(&[Path::new("a")]).is_empty());
        assert!(hours("-1").is_err() && hours("inf").is_err() && hours("3").is_ok());
    }
}
