//! How loud a microphone is: what is needed to place it and to set its level.
//!
//! In: a device, as it is captured for recognition. Out: readings of what recognition would hear, behind
//! choice of channel, high-pass and gain. Runs on the thread that reads it and never waits.

use super::AudioError;
use super::capture::{Capture, CaptureConfig, CaptureFormat};
use super::front::Front;
use super::stall::Stall;

/// A sample of the device from which it counts as full scale: one step below it in 16 bits.
const FULL_SCALE: f32 = 32_766.5 / 32_768.0;
/// Loudness of samples in −1…1. In decibels 0 is full scale, to which a sine of full height has an
/// RMS of −3; −∞ is silence to the last bit.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Loudness {
    n_samples: u64,
    sum_of_squares: f64,
    peak: f32,
}

impl Loudness {
    /// Counts these samples, too.
    pub fn add(&mut self, samples: &[f32]) {
        self.n_samples += samples.len() as u64;
        for &sample in samples {
            self.sum_of_squares += f64::from(sample) * f64::from(sample);
            self.peak = self.peak.max(sample.abs());
        }
    }

    /// The root of the mean square, decibels.
    pub fn rms_db(&self) -> f64 {
        10.0 * (self.sum_of_squares / self.n_samples.max(1) as f64).log10()
    }

    /// The highest sample, decibels.
    pub fn peak_db(&self) -> f64 {
        20.0 * f64::from(self.peak).log10()
    }
}

/// What was heard since the last reading.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Reading {
    /// Frames of the device.
    pub n_frames: u64,
    /// What recognition would hear of them.
    pub loudness: Loudness,
    /// Samples that came from the device at full scale.
    pub n_clipped: u64,
    /// Samples that gain or high-pass would have taken beyond it.
    pub n_clipped_by_gain: u64,
    /// Frames that were lost before they could be read.
    pub n_lost_frames: u64,
    /// Samples of the device other than 0.
    pub n_nonzero: u64,
}

/// A device whose level is watched.
pub struct Meter {
    capture: Capture,
    front: Front,
    interleaved: Vec<f32>,
    samples: Vec<f32>,
    stall: Stall,
}

impl Meter {
    /// Opens the device and starts it.
    ///
    /// # Errors
    /// If there is no such device or it cannot be used.
    pub fn open(config: &CaptureConfig) -> Result<Meter, AudioError> {
        let capture = Capture::open(config)?;
        let CaptureFormat {
            rate_hz,
            n_channels,
            ..
        } = capture.format;
        Ok(Meter {
            front: Front::new(rate_hz, n_channels, config.front)?,
            capture,
            interleaved: Vec::new(),
            samples: Vec::new(),
            stall: Stall::new(config.stall_ms),
        })
    }

    /// The device's name.
    pub fn name(&self) -> &str {
        &self.capture.name
    }

    /// The device's own format.
    pub fn format(&self) -> &CaptureFormat {
        &self.capture.format
    }

    /// Adds up to `max_frames` frames that have come since to `reading`; their number, 0 when there
    /// are none yet.
    ///
    /// # Errors
    /// When the device is lost.
    pub fn take(&mut self, max_frames: u64, reading: &mut Reading) -> Result<u64, AudioError> {
        if let Some(n_lost) = self.capture.reader.take_gap() {
            reading.n_lost_frames += n_lost;
        }
        self.interleaved.clear();
        let max_frames = usize::try_from(max_frames).unwrap_or(usize::MAX);
        let n_frames = self.capture.reader.read(max_frames, &mut self.interleaved) as u64;
        if n_frames == 0 {
            let lost = self.stall.lost(&self.capture.name, &self.capture.counters);
            return lost.map_or(Ok(0), Err);
        }
        self.stall.delivered();
        let n_clipped_before = self.front.n_clipped();
        self.samples.clear();
        self.front.push(&self.interleaved, &mut self.samples);
        let count = |is_one: fn(f32) -> bool| {
            let some = self.interleaved.iter().filter(|&&sample| is_one(sample));
            some.count() as u64
        };
        reading.n_frames += n_frames;
        reading.loudness.add(&self.samples);
        reading.n_clipped += count(|sample| sample.abs() >= FULL_SCALE);
        reading.n_nonzero += count(|sample| sample != 0.0);
        reading.n_clipped_by_gain += self.front.n_clipped() - n_clipped_before;
        Ok(n_frames)
    }
}

#[cfg(test)]
mod tests {
    use std::f32::consts::TAU;

    use super::*;

    #[test]
    fn decibels_are_of_full_scale() {
        let sine: Vec<f32> = (0..1_600).map(|i| (TAU * i as f32 / 16.0).sin()).collect();
        let mut loudness = Loudness::default();
        sine.chunks(7).for_each(|piece| loudness.add(piece));
        assert!((loudness.rms_db() + 3.01).abs() < 0.01);
        assert!(loudness.peak_db().abs() < 0.01);
        let mut quiet = Loudness::default();
        quiet.add(&[0.1, -0.1]);
        assert!((quiet.rms_db() + 20.0).abs() < 0.01);
    }

    #[test]
    fn silence_is_infinitely_quiet() {
        let mut silence = Loudness::default();
        assert_eq!(silence.rms_db(), f64::NEG_INFINITY);
        silence.add(&[0.0; 100]);
        assert_eq!(silence.rms_db(), f64::NEG_INFINITY);
        assert_eq!(silence.peak_db(), f64::NEG_INFINITY);
    }
}
