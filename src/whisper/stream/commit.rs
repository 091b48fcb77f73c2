//! Which words of a hypothesis are settled.
//!
//! Pure logic: the words of two steps in a row, their places in the audio, and how much audio there
//! is. What is committed never changes, so a word is taken only when nothing that may still come
//! can change it.

use std::ops::Range;

use super::StreamSettings;

/// A word after the committed ones.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Candidate {
    /// Number of text tokens after the committed ones up to its end.
    pub(super) end_token: usize,
    /// Where it ends in the window, in seconds.
    pub(super) t1: f64,
    /// Whether it is whole characters.
    pub(super) is_whole: bool,
    /// Its probability.
    pub(super) p: f32,
}

/// What follows the last word of a hypothesis.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum After {
    /// Perhaps more of the same word.
    Unknown,
    /// Another word, whose end has not been heard yet.
    Word,
    /// Nothing: the model has come to the end.
    Nothing,
    /// A pause that lasts.
    Silence,
}

/// What the words of a hypothesis are judged by.
#[derive(Clone, Copy, Debug)]
pub(super) struct Evidence {
    /// What follows the last word.
    pub(super) after: After,
    /// Text tokens that are those of the step before.
    pub(super) n_stable: usize,
    /// The end of the audio in the window, in seconds.
    pub(super) heard_s: f64,
    /// Whether the utterance has committed words: it is speech.
    pub(super) has_begun: bool,
}

/// How many of `words` are settled.
///
/// A word is when its tokens are those of the step before (or it is a sure one, in an utterance
/// that has begun), it ended at least `commit_margin_ms` before the end of the audio (an
/// improbable one longer), and a word or a pause follows it. The first that is not keeps all after
/// it open.
pub(super) fn n_settled(
    words: &[Candidate],
    evidence: Evidence,
    settings: &StreamSettings,
) -> usize {
    let seconds = |ms: u32| f64::from(ms) / 1000.0;
    let last = words.len().saturating_sub(1);
    let is_settled = |(i, word): (usize, &Candidate)| {
        let silence_s = evidence.heard_s - word.t1;
        let waits = evidence.after == After::Silence || word.p < settings.unsure_p;
        let margin_s = match waits {
            true => seconds(settings.unsure_margin_ms),
            false => seconds(settings.commit_margin_ms),
        };
        let is_closed = match evidence.after {
            _ if i < last => true,
            After::Unknown => false,
            After::Word => true,
            After::Nothing | After::Silence => silence_s >= margin_s + seconds(settings.pause_ms),
        };
        let is_sure = evidence.has_begun && word.p >= settings.sure_p;
        let is_agreed = is_sure || word.end_token <= evidence.n_stable;
        word.is_whole && is_agreed && silence_s >= margin_s && is_closed
    };
    (words.iter().enumerate())
        .take_while(|word| is_settled(*word))
        .count()
}

/// Length of the common beginning.
pub(super) fn n_common(a: &[u32], b: &[u32]) -> usize {
    a.iter().zip(b).take_while(|(a, b)| a == b).count()
}

/// The words at the beginning of `new` that only say again, at a cut of the audio, what `old` ended
/// with: up to five. Each new word counts with the second at which it ends after the cut; a
/// repetition spoken on purpose takes longer than its echo.
pub(super) fn n_echoed(old: &[String], new: &[(String, f64)], echo_s: f64) -> Range<usize> {
    const MAX_ECHO: usize = 5;
    let most = MAX_ECHO.min(old.len()).min(new.len());
    let echo = (1..=most).rev().find(|&n| {
        let said = &old[old.len() - n..];
        let again = &new[..n];
        let same = said
            .iter()
            .zip(again)
            .all(|(a, (b, _))| !a.is_empty() && a == b);
        same && again[n - 1].1 <= echo_s * n as f64
    });
    0..echo.unwrap_or(0)
}

/// A word without case and punctuation.
pub(super) fn bare(word: &str) -> String {
    word.chars()
        .filter(|c| c.is_alphanumeric())
        .flat_map(char::to_lowercase)
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn words(ends: &[f64]) -> Vec<Candidate> {
        let word = |(i, &t1): (usize, &f64)| Candidate {
            end_token: i + 1,
            t1,
            is_whole: true,
            p: 0.9,
        };
        ends.iter().enumerate().map(word).collect()
    }

    fn settings() -> StreamSettings {
        StreamSettings {
            commit_margin_ms: 500,
            unsure_margin_ms: 1000,
            unsure_p: 0.5,
            sure_p: 0.95,
            pause_ms: 100,
            ..StreamSettings::default()
        }
    }

    fn evidence(after: After, n_stable: usize, heard_s: f64) -> Evidence {
        Evidence {
            after,
            n_stable,
            heard_s,
            has_begun: false,
        }
    }

    fn settled(ends: &[f64], n_stable: usize, heard_s: f64) -> usize {
        let evidence = evidence(After::Nothing, n_stable, heard_s);
        n_settled(&words(ends), evidence, &settings())
    }

    #[test]
    fn a_word_waits_for_the_margin_and_for_agreement() {
        assert_eq!(settled(&[0.5, 1.0, 1.5], 3, 1.4), 1);
        assert_eq!(settled(&[0.5, 1.0, 1.5], 3, 1.6), 2);
        assert_eq!(settled(&[0.5, 1.0, 1.5], 1, 1.6), 1);
        assert_eq!(settled(&[0.5, 1.0, 1.5], 0, 9.0), 0);
    }

    #[test]
    fn the_last_word_waits_for_a_pause() {
        assert_eq!(settled(&[0.5, 1.0], 2, 1.55), 1);
        assert_eq!(settled(&[0.5, 1.0], 2, 1.65), 2);
    }

    #[test]
    fn half_a_character_keeps_the_rest_open() {
        let mut words = words(&[0.5, 1.0, 1.5]);
        words[1].is_whole = false;
        assert_eq!(
            n_settled(&words, evidence(After::Word, 3, 9.0), &settings()),
            1
        );
    }

    #[test]
    fn what_may_go_on_is_not_settled() {
        let words = words(&[0.5, 1.0]);
        let settled = |after| n_settled(&words, evidence(after, 2, 1.55), &settings());
        assert_eq!(settled(After::Unknown), 1);
        assert_eq!(settled(After::Word), 2);
        assert_eq!(settled(After::Nothing), 1);
    }

    #[test]
    fn the_improbable_waits_longer() {
        let mut words = words(&[0.5, 1.0]);
        words[0].p = 0.3;
        let settled = |heard_s| n_settled(&words, evidence(After::Word, 2, heard_s), &settings());
        assert_eq!(settled(1.4), 0);
        assert_eq!(settled(1.6), 2);
    }

    #[test]
    fn the_sure_need_no_second_step_once_there_is_speech() {
        let mut words = words(&[0.5, 1.0, 1.5]);
        words[0].p = 0.99;
        words[1].p = 0.99;
        let mut evidence = evidence(After::Word, 0, 9.0);
        assert_eq!(n_settled(&words, evidence, &settings()), 0);
        evidence.has_begun = true;
        assert_eq!(n_settled(&words, evidence, &settings()), 2);
    }

    #[test]
    fn an_echo_at_a_cut_is_found_and_emphasis_is_not() {
        let old: Vec<String> = ["on", "the", "table"].map(str::to_owned).into();
        let new = |words: &[(&str, f64)]| -> Vec<(String, f64)> {
            words.iter().map(|(w, t)| ((*w).to_owned(), *t)).collect()
        };
        let echo = new(&[("the", 0.1), ("table", 0.3), ("and", 0.6)]);
        assert_eq!(n_echoed(&old, &echo, 0.25), 0..2);
        let said = new(&[("table", 0.6), ("and", 0.9)]);
        assert_eq!(n_echoed(&old, &said, 0.25), 0..0);
        assert_eq!(n_echoed(&[], &echo, 0.25), 0..0);
    }

    #[test]
    fn words_are_compared_bare() {
        assert_eq!(bare(" Table,"), "table");
    }
}
