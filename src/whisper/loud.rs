//! How much of a window is loud enough to be speech: judged by its mel columns alone, for the
//! checks that ask whether a text is too short for what was said.

use std::ops::Range;

/// Powers of ten below the window's loudest column in which speech lies.
const SPEECH_RANGE: f32 = 2.0;
/// Powers of ten that speech stands out of the background.
const ABOVE_BACKGROUND: f32 = 1.0;
/// Speech spans at least so many powers of ten, from its pauses to its peaks.
const MASKED_RANGE: f32 = 1.5;
/// The background is what this part of the columns does not exceed: speakers pause between words.
const BACKGROUND_SHARE: f32 = 0.1;

/// Levels are counted in tenths of a power of ten, from the floor of the spectrogram on.
const FLOOR: f32 = -10.0;
const BINS_PER_DECADE: f32 = 10.0;
const N_BINS: usize = 160;

/// Columns within `stretch` that are loud for the window `columns`, `[n][n_mels]` of log10 power.
///
/// Loud is what lies near the loudest column and well above the quietest tenth: neither digital
/// silence nor a steady noise is.
pub(super) fn n_loud(columns: &[f32], n_mels: usize, stretch: Range<usize>) -> usize {
    let levels = || columns.chunks_exact(n_mels).map(level);
    let least = floor(columns, n_mels).max(background(levels()) + ABOVE_BACKGROUND);
    let of_stretch = levels().take(stretch.end).skip(stretch.start);
    of_stretch.filter(|level| *level > least).count()
}

/// The level below which no column of the window is speech, however quiet its background.
pub(super) fn floor(columns: &[f32], n_mels: usize) -> f32 {
    let levels = columns.chunks_exact(n_mels).map(level);
    levels.fold(f32::NEG_INFINITY, f32::max) - SPEECH_RANGE
}

/// Whether a steady noise hides what is loud: the quietest tenth of the columns is hardly below the
/// loudest one.
pub(super) fn is_masked(columns: &[f32], n_mels: usize) -> bool {
    let levels = || columns.chunks_exact(n_mels).map(level);
    let loudest = levels().fold(f32::NEG_INFINITY, f32::max);
    loudest - background(levels()) < MASKED_RANGE
}

/// The level that a tenth of the columns does not exceed.
fn background(levels: impl Iterator<Item = f32>) -> f32 {
    let mut counts = [0_usize; N_BINS];
    let mut n = 0;
    for level in levels {
        // Casting saturates: what is not a number counts as the floor.
        let bin = ((level - FLOOR) * BINS_PER_DECADE) as usize;
        counts[bin.min(N_BINS - 1)] += 1;
        n += 1;
    }
    let quiet = (n as f32 * BACKGROUND_SHARE) as usize;
    let mut below = 0;
    let bin = counts.iter().position(|count| {
        below += count;
        below > quiet
    });
    FLOOR + bin.unwrap_or(0) as f32 / BINS_PER_DECADE
}

/// The largest value of a column.
pub(super) fn level(column: &[f32]) -> f32 {
    column.iter().copied().fold(f32::NEG_INFINITY, f32::max)
}

#[cfg(test)]
mod tests {
    use super::*;

    const N_MELS: usize = 4;

    fn columns(levels: impl IntoIterator<Item = f32>) -> Vec<f32> {
        let column = |level: f32| [level - 1.0, level, level - 2.0, level - 0.5];
        levels.into_iter().flat_map(column).collect()
    }

    #[test]
    fn silence_and_steady_noise_are_not_loud() {
        assert_eq!(n_loud(&columns([-10.0; 300]), N_MELS, 0..300), 0);
        let hiss = (0..300).map(|i| -3.0 + 0.05 * (i % 7) as f32);
        assert_eq!(n_loud(&columns(hiss), N_MELS, 0..300), 0);
    }

    #[test]
    fn steady_noise_masks_and_pauses_do_not() {
        let hum = (0..300).map(|i| 0.5 + if i % 10 < 7 { 0.4 } else { 0.0 });
        assert!(is_masked(&columns(hum), N_MELS));
        let talk = (0..300).map(|i| if i % 10 < 7 { 1.0 } else { -2.0 });
        assert!(!is_masked(&columns(talk), N_MELS));
    }

    #[test]
    fn words_are_loud_and_pauses_are_not() {
        let talk = (0..300).map(|i| if i % 10 < 7 { 1.0 } else { -2.0 });
        assert_eq!(n_loud(&columns(talk), N_MELS, 0..300), 210);
    }

    #[test]
    fn noise_after_speech_is_not_loud() {
        let levels = (0..400).map(|i| match i {
            0..200 if i % 10 < 7 => 1.0,
            _ => -0.5,
        });
        let columns = columns(levels);
        assert_eq!(n_loud(&columns, N_MELS, 200..400), 0);
        assert_eq!(n_loud(&columns, N_MELS, 0..200), 140);
    }

    #[test]
    fn nothing_at_all_is_not_loud() {
        assert_eq!(n_loud(&[], N_MELS, 0..0), 0);
        assert_eq!(n_loud(&columns([f32::NAN; 5]), N_MELS, 0..5), 0);
    }
}
