//! What may be said next: the rules of Whisper's own decoding, applied to logits in place.
//!
//! Source: the decoding filters of OpenAI's reference (`decoding.py`): blanks and special tokens
//! are suppressed; timestamps come in pairs, never run backwards, the first lies within the first
//! second, and when all timestamps together are likelier than any word, one of them is due.

use crate::text::Tokenizer;

/// Timestamps are multiples of this.
pub(super) const SECONDS_PER_TIMESTAMP: f64 = 0.02;
/// The first segment of a window begins within its first second.
const MAX_INITIAL_TIMESTAMP: usize = 50;

/// Whether timestamps are decoded.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Timestamps {
    /// Text only.
    Off,
    /// Segments with start and end.
    On,
}

/// The rules for one vocabulary.
pub(super) struct Rules {
    /// Tokens never allowed.
    suppressed: Vec<u32>,
    /// Tokens not allowed at the start: the bare space and the end.
    blank: Vec<u32>,
    eot: u32,
    timestamp_begin: usize,
    timestamps: Timestamps,
}

impl Rules {
    pub(super) fn new(tokenizer: &Tokenizer, timestamps: Timestamps) -> Self {
        let special = tokenizer.special();
        let mut suppressed = tokenizer.non_speech_tokens();
        suppressed.extend([
            special.sot,
            special.translate,
            special.transcribe,
            special.sot_lm,
        ]);
        suppressed.extend([special.sot_prev, special.no_speech, special.no_timestamps]);
        let languages = special.language_begin..special.language_begin + special.n_languages;
        suppressed.extend(languages);
        if timestamps == Timestamps::Off {
            // Everything behind the first timestamp is one, too.
            suppressed.push(special.timestamp_begin);
        }
        let mut blank = tokenizer.encode(" ");
        blank.push(special.eot);
        Rules {
            suppressed,
            blank,
            eot: special.eot,
            timestamp_begin: special.timestamp_begin as usize,
            timestamps,
        }
    }

    /// For scripted models: words 0 to 9, the end 10, timestamps from 12.
    #[cfg(test)]
    pub(super) fn of_ten_words(timestamps: Timestamps) -> Self {
        Rules {
            suppressed: vec![11],
            blank: Vec::new(),
            eot: 10,
            timestamp_begin: 12,
            timestamps,
        }
    }

    /// The token that ends a text.
    pub(super) fn eot(&self) -> u32 {
        self.eot
    }

    /// Forbids in `logits`, `[n_vocab]`, what may not follow `text`, the tokens sampled so far.
    pub(super) fn apply(&self, text: &[u32], logits: &mut [f32]) {
        for &token in &self.suppressed {
            logits[token as usize] = f32::NEG_INFINITY;
        }
        if text.is_empty() {
            for &token in &self.blank {
                logits[token as usize] = f32::NEG_INFINITY;
            }
        }
        match self.timestamps {
            Timestamps::Off => logits[self.timestamp_begin..].fill(f32::NEG_INFINITY),
            Timestamps::On => self.apply_timestamps(text, logits),
        }
    }

    fn apply_timestamps(&self, text: &[u32], logits: &mut [f32]) {
        let begin = self.timestamp_begin;
        let is_time = |token: &u32| *token as usize >= begin;
        let last_is_time = text.last().is_some_and(is_time);
        let before_is_time = text.len() < 2 || is_time(&text[text.len() - 2]);
        if last_is_time && before_is_time {
            logits[begin..].fill(f32::NEG_INFINITY);
        } else if last_is_time {
            logits[..self.eot as usize].fill(f32::NEG_INFINITY);
        }
        if let Some(&latest) = text.iter().rev().find(|t| is_time(t)) {
            // A segment may end where it began only as the second of a pair.
            let closes_pair = last_is_time && !before_is_time;
            let first = latest as usize + usize::from(!closes_pair);
            let first = first.min(logits.len());
            logits[begin..first].fill(f32::NEG_INFINITY);
        }
        if text.is_empty() {
            logits[..begin].fill(f32::NEG_INFINITY);
            let last = (begin + MAX_INITIAL_TIMESTAMP + 1).min(logits.len());
            logits[last..].fill(f32::NEG_INFINITY);
        } else if time_is_due(logits, begin) {
            logits[..begin].fill(f32::NEG_INFINITY);
        }
    }
}

/// Whether all timestamps together are likelier than the likeliest other token.
fn time_is_due(logits: &[f32], begin: usize) -> bool {
    let max = |xs: &[f32]| xs.iter().copied().fold(f32::NEG_INFINITY, f32::max);
    let (text, times) = logits.split_at(begin);
    let (text_max, time_max) = (max(text), max(times));
    if time_max == f32::NEG_INFINITY {
        return false;
    }
    let sum: f32 = times.iter().map(|x| (x - time_max).exp()).sum();
    time_max + sum.ln() > text_max
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    const EOT: u32 = 10;
    const BEGIN: usize = 12;

    fn rules() -> Rules {
        Rules {
            suppressed: vec![3],
            blank: vec![0, EOT],
            eot: EOT,
            timestamp_begin: BEGIN,
            timestamps: Timestamps::On,
        }
    }

    /// The tokens that `text` may be followed by when all are equally likely.
    fn allowed(text: &[u32], n_vocab: usize) -> Vec<u32> {
        let mut logits = vec![0.0; n_vocab];
        // Words likely enough that no timestamp is due.
        logits[..BEGIN].fill(10.0);
        rules().apply(text, &mut logits);
        (0..n_vocab as u32)
            .filter(|t| logits[*t as usize].is_finite())
            .collect()
    }

    #[test]
    fn begins_with_a_timestamp_within_the_first_second() {
        let expected: Vec<u32> = (BEGIN as u32..=(BEGIN + MAX_INITIAL_TIMESTAMP) as u32).collect();
        assert_eq!(allowed(&[], BEGIN + 100), expected);
    }

    #[test]
    fn words_follow_an_opening_timestamp() {
        assert_eq!(
            allowed(&[14], BEGIN + 4),
            vec![0, 1, 2, 4, 5, 6, 7, 8, 9, 10, 11]
        );
    }

    #[test]
    fn a_closing_timestamp_is_followed_by_its_twin_or_the_end() {
        assert_eq!(allowed(&[12, 1, 14], BEGIN + 4), vec![10, 11, 14, 15]);
    }

    #[test]
    fn timestamps_never_run_backwards() {
        assert_eq!(allowed(&[12, 1, 14, 14, 2], BEGIN + 4)[11 - 1..], [11, 15]);
    }

    #[test]
    fn a_likely_sum_of_timestamps_forces_one() {
        let mut logits = vec![0.0; BEGIN + 4];
        logits[1] = 1.0;
        rules().apply(&[12, 1], &mut logits);
        assert!(logits[..BEGIN].iter().all(|x| x.is_infinite()));
    }
}
