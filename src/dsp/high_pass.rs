//! A high-pass: hum and rumble out, speech untouched.
//!
//! In and out: samples, in place, in pieces of any length; the same samples however they were cut.
//! Allocates nothing. After silence it settles at exact zeros, so that nothing is ever computed
//! with denormal numbers.

use std::f64::consts::{SQRT_2, TAU};

/// State below this is none: 300 dB under full scale.
const SILENCE: f64 = 1e-15;

/// A Butterworth high-pass of second order: 3 dB less at the cut-off, 12 dB an octave below it.
#[derive(Clone, Debug)]
pub struct HighPass {
    /// Of the input, now and one and two samples ago.
    b: [f64; 3],
    /// Of the output, one and two samples ago.
    a: [f64; 2],
    state: [f64; 2],
}

impl HighPass {
    /// A filter for samples at `rate_hz`.
    ///
    /// The bilinear transform of H(s) = s² / (s² + s·√2 + 1), with the cut-off where it should be; as
    /// in R. Bristow-Johnson's *Cookbook formulae for audio EQ biquad filter coefficients*, HPF
    /// with Q = 1/√2. In double precision, because for low frequencies the poles lie close to 1.
    ///
    /// # Panics
    /// If `cutoff_hz` is not between 0 and half the rate.
    pub fn new(cutoff_hz: f32, rate_hz: u32) -> HighPass {
        let (cutoff_hz, rate_hz) = (f64::from(cutoff_hz), f64::from(rate_hz));
        assert!(
            0.0 < cutoff_hz && cutoff_hz < rate_hz / 2.0,
            "a cut-off below half the rate"
        );
        let (sin, cos) = (TAU * cutoff_hz / rate_hz).sin_cos();
        let alpha = sin / SQRT_2;
        let a0 = 1.0 + alpha;
        let b0 = (1.0 + cos) / 2.0 / a0;
        HighPass {
            b: [b0, -2.0 * b0, b0],
            a: [-2.0 * cos / a0, (1.0 - alpha) / a0],
            state: [0.0; 2],
        }
    }

    /// Filters `samples` in place (transposed direct form II).
    pub fn run(&mut self, samples: &mut [f32]) {
        let ([b0, b1, b2], [a1, a2]) = (self.b, self.a);
        let [mut s1, mut s2] = self.state;
        let settled = |s: f64| if s.abs() < SILENCE { 0.0 } else { s };
        for sample in samples {
            let x = f64::from(*sample);
            let y = b0 * x + s1;
            s1 = settled(b1 * x - a1 * y + s2);
            s2 = settled(b2 * x - a2 * y);
            *sample = y as f32;
        }
        self.state = [s1, s2];
    }

    /// Forgets what was heard.
    pub fn reset(&mut self) {
        self.state = [0.0; 2];
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const RATE_HZ: u32 = 16_000;

    /// Decibels by which a tone of `hz` leaves louder than it came.
    fn response_db(cutoff_hz: f32, hz: f64) -> f64 {
        let tone = |i: u32| (TAU * hz * f64::from(i) / f64::from(RATE_HZ)).sin() as f32;
        let sound: Vec<f32> = (0..2 * RATE_HZ).map(tone).collect();
        let mut filtered = sound.clone();
        HighPass::new(cutoff_hz, RATE_HZ).run(&mut filtered);
        // The second of two seconds: whole periods, and the filter has settled.
        let power = |x: &[f32]| {
            x[RATE_HZ as usize..]
                .iter()
                .map(|v| f64::from(v * v))
                .sum::<f64>()
        };
        10.0 * (power(&filtered) / power(&sound)).log10()
    }

    #[test]
    fn it_answers_as_butterworth_said() {
        for cutoff_hz in [20.0, 80.0, 120.0, 500.0] {
            for times in [0.5, 1.0, 2.0, 10.0] {
                let hz = times * f64::from(cutoff_hz);
                // |H|² = 1 / (1 + (tan ω₀/2 / tan ω/2)⁴)
                let tangent = |hz: f64| (TAU * hz / f64::from(RATE_HZ) / 2.0).tan();
                let ratio = tangent(f64::from(cutoff_hz)) / tangent(hz);
                let wanted = -10.0 * (1.0 + ratio.powi(4)).log10();
                let found = response_db(cutoff_hz, hz);
                assert!(
                    (found - wanted).abs() < 0.05,
                    "{cutoff_hz} Hz at {hz}: {found} dB, not {wanted}"
                );
            }
        }
        assert!((response_db(80.0, 80.0) + 3.01).abs() < 0.05);
        assert!(response_db(80.0, 40.0) < -12.0);
    }

    #[test]
    fn a_constant_is_removed_and_silence_becomes_zeros() {
        let mut filter = HighPass::new(80.0, RATE_HZ);
        let mut sound = vec![0.5; RATE_HZ as usize];
        filter.run(&mut sound);
        assert!(sound[8_000..].iter().all(|x| x.abs() < 1e-6));
        let mut silence = vec![0.0; RATE_HZ as usize];
        filter.run(&mut silence);
        assert_eq!(filter.state, [0.0; 2]);
        assert!(silence[8_000..].iter().all(|&x| x == 0.0));
    }

    #[test]
    fn reset_equals_new() {
        let mut filter = HighPass::new(80.0, RATE_HZ);
        let noise: Vec<f32> = (0..100)
            .map(|i| ((i * 37 % 101) as f32 - 50.0) / 50.0)
            .collect();
        let (mut first, mut second) = (noise.clone(), noise);
        filter.run(&mut first);
        filter.reset();
        filter.run(&mut second);
        assert_eq!(first, second);
    }
}
