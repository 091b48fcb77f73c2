//! Where the audio of a long utterance may be cut.
//!
//! Pure logic on the committed words and the levels of the mel columns.

use crate::whisper::loud;
use crate::whisper::window::COLUMNS_PER_SECOND;

use super::StreamSettings;

/// A pause is looked for this far on either side of the end of a word: word times are that exact.
const REACH_COLUMNS: usize = 20;
/// Audio kept before a word when the cut does not lie in a pause.
const LEAD_COLUMNS: usize = 20;
/// A cut that frees less is not worth it.
const MIN_CUT_COLUMNS: usize = 100;

/// A committed word that still lies in the window.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Placed {
    /// Text tokens of the window up to its end.
    pub(super) end_token: usize,
    /// Where it begins in the window, in seconds.
    pub(super) t0: f64,
    /// Where it ends.
    pub(super) t1: f64,
}

/// A place to cut.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Cut {
    /// Columns that go.
    pub(super) n_columns: usize,
    /// Words that go with them, of the placed ones.
    pub(super) n_words: usize,
}

/// Where to cut a window of raw mel columns, `[columns][n_mels]`, in which `words` are committed:
/// in the last pause behind a committed word, else before the last of them.
pub(super) fn cut(
    words: &[Placed],
    (columns, n_mels): (&[f32], usize),
    settings: &StreamSettings,
) -> Option<Cut> {
    let quiet = loud::floor(columns, n_mels);
    let pause = COLUMNS_PER_SECOND * settings.pause_ms as usize / 1000;
    let in_pause = (1..=words.len()).rev().find_map(|n_words| {
        let word = words[n_words - 1];
        let next = words.get(n_words).map(|word| column(word.t0));
        let from = column(word.t1)
            .saturating_sub(REACH_COLUMNS)
            .max(column(word.t0));
        let to = column(word.t1) + REACH_COLUMNS;
        let to = next.map_or(to, |next| to.max(next));
        let middle = middle_of_pause(columns, n_mels, from..to, (quiet, pause.max(1)))?;
        (middle >= MIN_CUT_COLUMNS).then_some(Cut {
            n_columns: middle,
            n_words,
        })
    });
    in_pause.or_else(|| {
        let last = words.last()?;
        let n_columns = column(last.t0).checked_sub(LEAD_COLUMNS)?;
        (n_columns >= MIN_CUT_COLUMNS).then_some(Cut {
            n_columns,
            n_words: words.len() - 1,
        })
    })
}

fn column(seconds: f64) -> usize {
    (seconds.max(0.0) * COLUMNS_PER_SECOND as f64).round() as usize
}

/// The middle of the longest stretch of at least `least` columns within `range` that do not reach
/// `quiet`.
fn middle_of_pause(
    columns: &[f32],
    n_mels: usize,
    range: std::ops::Range<usize>,
    (quiet, least): (f32, usize),
) -> Option<usize> {
    let (mut n, mut best) = (0, None);
    let levels = columns.chunks_exact(n_mels).map(loud::level);
    for (i, level) in levels.enumerate().take(range.end).skip(range.start) {
        n = if level <= quiet { n + 1 } else { 0 };
        if n >= least && best.is_none_or(|(longest, _)| n > longest) {
            best = Some((n, i + 1 - n / 2));
        }
    }
    best.map(|(_, middle)| middle)
}

#[cfg(test)]
mod tests {
    use super::*;

    const N_MELS: usize = 2;

    /// Ten seconds of talk with pauses at the given columns.
    fn talk(pauses: &[std::ops::Range<usize>]) -> Vec<f32> {
        let level = |i: usize| match pauses.iter().any(|pause| pause.contains(&i)) {
            true => -4.0,
            false => 1.0,
        };
        (0..1000).flat_map(|i| [level(i) - 1.0, level(i)]).collect()
    }

    fn word(end_token: usize, t0: f64, t1: f64) -> Placed {
        Placed { end_token, t0, t1 }
    }

    #[test]
    fn the_cut_lies_in_the_last_pause() {
        let columns = talk(&[200..240, 500..530, 800..1000]);
        let words = [word(1, 1.0, 2.0), word(2, 2.4, 5.0), word(3, 5.3, 6.0)];
        let cut = cut(&words, (&columns, N_MELS), &StreamSettings::default());
        let Some(Cut { n_columns, n_words }) = cut else {
            panic!("no cut")
        };
        assert_eq!(n_words, 2);
        assert!((505..526).contains(&n_columns), "{n_columns}");
    }

    #[test]
    fn without_a_pause_the_last_word_stays() {
        let columns = talk(&[880..890, 900..1000]);
        let words = [word(1, 1.0, 2.0), word(2, 2.0, 3.0)];
        let found = cut(&words, (&columns, N_MELS), &StreamSettings::default());
        assert_eq!(
            found,
            Some(Cut {
                n_columns: 180,
                n_words: 1
            })
        );
        assert_eq!(
            cut(&[], (&columns, N_MELS), &StreamSettings::default()),
            None
        );
    }
}
