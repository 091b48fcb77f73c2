//! The mel filter bank: triangles on Slaney's mel scale, each of unit area.
//!
//! Enters: the number of filters. Leaves: weights per filter and a way to apply them to a power
//! spectrum. Built once; applying it allocates nothing.

use super::{N_BINS, N_FFT, SAMPLE_RATE_HZ};

/// Slaney's scale is linear below this frequency and logarithmic above it.
const BREAK_HZ: f64 = 1000.0;
/// Width of a mel in the linear part.
const HZ_PER_MEL: f64 = 200.0 / 3.0;
/// Mels in which the frequency grows 6.4-fold in the logarithmic part.
const MELS_PER_LOG_STEP: f64 = 27.0;
const LOG_STEP_RATIO: f64 = 6.4;

/// Triangular filters over the bins of the one-sided spectrum.
///
/// A triangle covers a few bins only, so each filter keeps its first bin and its non-zero
/// weights: the whole bank has two weights a bin, whatever the number of filters.
pub(super) struct FilterBank {
    filters: Vec<Filter>,
    weights: Vec<f32>,
}

/// One triangle: `weights[begin..end]` of the bank belong to the bins from `first_bin` on.
struct Filter {
    first_bin: usize,
    begin: usize,
    end: usize,
}

impl FilterBank {
    /// The bank of `n_mels` filters from 0 Hz to half the sample rate, as `librosa.filters.mel`
    /// defines it (`htk=False, norm="slaney"`), computed in f64.
    pub(super) fn new(n_mels: usize) -> Self {
        let top_mel = mel_from_hz(f64::from(SAMPLE_RATE_HZ) / 2.0);
        let corner_hz = |index: usize| hz_from_mel(top_mel * index as f64 / (n_mels as f64 + 1.0));
        let mut bank = FilterBank {
            filters: Vec::with_capacity(n_mels),
            weights: Vec::new(),
        };
        for m in 0..n_mels {
            bank.add_triangle(corner_hz(m), corner_hz(m + 1), corner_hz(m + 2));
        }
        bank
    }

    /// Appends the triangle that rises from `low_hz` to `peak_hz` and falls to `high_hz`; its
    /// height makes its area over the frequencies one.
    fn add_triangle(&mut self, low_hz: f64, peak_hz: f64, high_hz: f64) {
        let height = 2.0 / (high_hz - low_hz);
        let weight = |bin: usize| {
            let hz = bin as f64 * f64::from(SAMPLE_RATE_HZ) / N_FFT as f64;
            let rise = (hz - low_hz) / (peak_hz - low_hz);
            let fall = (high_hz - hz) / (high_hz - peak_hz);
            height * rise.min(fall).max(0.0)
        };
        let begin = self.weights.len();
        // A narrow triangle may lie between two bins and cover none.
        let first_bin = (0..N_BINS).find(|&bin| weight(bin) > 0.0).unwrap_or(0);
        let covered = (first_bin..N_BINS).map(weight).take_while(|&w| w > 0.0);
        self.weights.extend(covered.map(|w| w as f32));
        self.filters.push(Filter {
            first_bin,
            begin,
            end: self.weights.len(),
        });
    }

    /// The energy in each filter: `power` is `[N_BINS]`; yields one value per filter.
    pub(super) fn apply<'a>(&'a self, power: &'a [f32; N_BINS]) -> impl Iterator<Item = f32> + 'a {
        self.filters.iter().map(move |filter| {
            let weights = &self.weights[filter.begin..filter.end];
            let bins = &power[filter.first_bin..filter.first_bin + weights.len()];
            weights.iter().zip(bins).map(|(w, p)| w * p).sum()
        })
    }

    /// Number of filters.
    pub(super) fn n_mels(&self) -> usize {
        self.filters.len()
    }
}

/// The bank of `n_mels` filters as a matrix `[n_mels, 201]`, row-major: the form in which model
/// files carry it.
pub fn mel_filters(n_mels: usize) -> Vec<f32> {
    let bank = FilterBank::new(n_mels);
    let mut matrix = vec![0.0; n_mels * N_BINS];
    for (row, filter) in matrix.chunks_exact_mut(N_BINS).zip(&bank.filters) {
        let weights = &bank.weights[filter.begin..filter.end];
        row[filter.first_bin..filter.first_bin + weights.len()].copy_from_slice(weights);
    }
    matrix
}

/// Slaney's mel scale (Auditory Toolbox, 1998): 3 mels per 200 Hz up to 1 kHz, then 27 mels for
/// each factor of 6.4.
fn mel_from_hz(hz: f64) -> f64 {
    if hz < BREAK_HZ {
        hz / HZ_PER_MEL
    } else {
        BREAK_HZ / HZ_PER_MEL + (hz / BREAK_HZ).ln() * MELS_PER_LOG_STEP / LOG_STEP_RATIO.ln()
    }
}

/// The inverse of [`mel_from_hz`].
fn hz_from_mel(mel: f64) -> f64 {
    let break_mel = BREAK_HZ / HZ_PER_MEL;
    if mel < break_mel {
        mel * HZ_PER_MEL
    } else {
        BREAK_HZ * ((mel - break_mel) * LOG_STEP_RATIO.ln() / MELS_PER_LOG_STEP).exp()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn scale_is_its_own_inverse() {
        for hz in [0.0, 40.0, 999.0, 1000.0, 1001.0, 8000.0] {
            assert!((hz_from_mel(mel_from_hz(hz)) - hz).abs() < 1e-9, "{hz} Hz");
        }
        assert!((mel_from_hz(1000.0) - 15.0).abs() < 1e-12);
        assert!((mel_from_hz(6400.0) - 42.0).abs() < 1e-12);
    }

    #[test]
    fn every_filter_has_unit_area_and_covers_its_peak() {
        for n_mels in [80, 128] {
            let bank = FilterBank::new(n_mels);
            assert_eq!(bank.n_mels(), n_mels);
            for (m, filter) in bank.filters.iter().enumerate() {
                let weights = &bank.weights[filter.begin..filter.end];
                assert!(!weights.is_empty(), "filter {m} of {n_mels} is empty");
                // The triangle sampled every 40 Hz: exact for wide ones, rough for narrow ones.
                if weights.len() >= 8 {
                    let area: f32 = weights.iter().sum::<f32>() * 40.0;
                    assert!(
                        (area - 1.0).abs() < 0.02,
                        "filter {m} of {n_mels}: area {area}"
                    );
                }
            }
        }
    }

    #[test]
    fn flat_spectrum_gives_each_filter_the_sum_of_its_weights() {
        let bank = FilterBank::new(80);
        let flat: Vec<f32> = bank.apply(&[1.0; N_BINS]).collect();
        assert_eq!(flat.len(), 80);
        assert!(flat.iter().all(|&x| x > 0.0));
        assert!(bank.apply(&[0.0; N_BINS]).all(|x| x == 0.0));
    }
}
