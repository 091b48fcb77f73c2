//! What hark hears of itself: its own sentences come out of the loudspeaker and into the microphone.
//!
//! Words that are being said, and were lately, are taken out of what is heard; what is left was said by somebody
//! else. That works with any program that speaks, in any room, and somebody who interrupts is still heard.
//! Pure, on the sample clock.

use std::collections::VecDeque;

use crate::command::words;
use crate::event::Seconds;

/// How long after its last word hark may still be heard, in seconds: programs and devices hold sound back.
const TAIL_S: f64 = 1.5;
/// Share of the words heard that are hark's own, above which all of it is.
const OWN_SHARE: f64 = 0.5;
/// Texts that are remembered.
const MAX_TEXTS: usize = 16;
/// Words of them that are compared.
const MAX_WORDS: usize = 400;
/// How far apart words are said that are heard next to each other.
const MAX_SKIPPED: usize = 3;
/// How much alike two words are that may be the same one, misheard.
const ALIKE: f64 = 0.7;

/// What was heard, told apart.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Sifted {
    /// Somebody else's.
    Others,
    /// Hark's own, and these words of somebody else's, or none.
    Own(Vec<String>),
}

/// What hark says.
#[derive(Debug, Default)]
pub(crate) struct OwnVoice {
    /// Words of a text, and when it was being said last.
    said: VecDeque<(Vec<String>, Seconds)>,
}

impl OwnVoice {
    /// These texts are being said, or wait to be.
    pub(crate) fn says(&mut self, texts: &[String], t: Seconds) {
        for text in texts {
            let text = words::normalise(text);
            let known = self.said.iter().position(|(known, _)| *known == text);
            let known = known.and_then(|at| self.said.remove(at));
            let last = known.map_or(t, |(_, last)| if last < t { t } else { last });
            self.said.push_back((text, last));
        }
        while self.said.len() > MAX_TEXTS {
            self.said.pop_front();
        }
    }

    /// It fell silent.
    pub(crate) fn hush(&mut self, t: Seconds) {
        for (_, last) in &mut self.said {
            *last = if *last < t { *last } else { t };
        }
    }

    /// Whether something was being said then, or shortly before.
    pub(crate) fn is_near(&self, t: Seconds) -> bool {
        self.said.iter().any(|(_, last)| last.0 + TAIL_S >= t.0)
    }

    /// Tells apart what was heard from `t0` on.
    pub(crate) fn sift(&self, t0: Seconds, heard: &str) -> Sifted {
        let lately = self.said.iter().filter(|(_, last)| last.0 + TAIL_S >= t0.0);
        let own: Vec<&String> = lately.flat_map(|(words, _)| words).collect();
        let own = &own[own.len().saturating_sub(MAX_WORDS)..];
        let heard = words::normalise(heard);
        if own.is_empty() || heard.is_empty() {
            return Sifted::Others;
        }
        let is_own = common(&heard, own);
        let n_own = is_own.iter().filter(|is_own| **is_own).count();
        if (n_own as f64) < OWN_SHARE * heard.len() as f64 {
            return Sifted::Others;
        }
        let others = heard.into_iter().zip(is_own);
        Sifted::Own(
            others
                .filter(|(_, is_own)| !is_own)
                .map(|(word, _)| word)
                .collect(),
        )
    }
}

/// Which words of `heard` are hark's own: those in the longest common subsequence with `own` that have a neighbour
/// there. Single words of a long text are in anything that is said.
fn common(heard: &[String], own: &[&String]) -> Vec<bool> {
    let width = own.len() + 1;
    // Lengths of what is common from word i of the one and j of the other on.
    let mut lengths = vec![0_u32; (heard.len() + 1) * width];
    for (i, word) in heard.iter().enumerate().rev() {
        for (j, other) in own.iter().enumerate().rev() {
            lengths[i * width + j] = match is_alike(word, other) {
                true => lengths[(i + 1) * width + j + 1] + 1,
                false => lengths[(i + 1) * width + j].max(lengths[i * width + j + 1]),
            };
        }
    }
    let (mut i, mut j) = (0, 0);
    let mut places = vec![None; heard.len()];
    while i < heard.len() && j < own.len() {
        if is_alike(&heard[i], own[j]) {
            places[i] = Some(j);
            (i, j) = (i + 1, j + 1);
        } else if lengths[(i + 1) * width + j] >= lengths[i * width + j + 1] {
            i += 1;
        } else {
            j += 1;
        }
    }
    let is_next = |i: usize, other: Option<usize>| {
        let (here, there) = (places[i], other.and_then(|other| *places.get(other)?));
        here.zip(there)
            .is_some_and(|(here, there)| here.abs_diff(there) <= MAX_SKIPPED)
    };
    let is_own = |i: usize| is_next(i, i.checked_sub(1)) || is_next(i, Some(i + 1));
    match places.as_slice() {
        [one] => vec![one.is_some()],
        all => (0..all.len()).map(is_own).collect(),
    }
}

fn is_alike(a: &str, b: &str) -> bool {
    a == b || (a.len() > 3 && b.len() > 3 && strsim::normalized_levenshtein(a, b) >= ALIKE)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn voice(text: &str) -> OwnVoice {
        let mut voice = OwnVoice::default();
        voice.says(&[text.to_owned()], Seconds(10.0));
        voice
    }

    fn own(words: &[&str]) -> Sifted {
        Sifted::Own(words.iter().map(|word| (*word).to_owned()).collect())
    }

    #[test]
    fn its_own_words_are_taken_out() {
        let voice = voice("The capital of France is Paris, which lies on the Seine.");
        let sift = |heard| voice.sift(Seconds(9.0), heard);
        assert_eq!(sift("the capital of France"), own(&[]));
        assert_eq!(sift("capitol of France is Paris."), own(&[]));
        assert_eq!(sift("The capital of France is stop"), own(&["stop"]));
        assert_eq!(sift("of France hey hark is Paris"), own(&["hey", "hark"]));
        assert_eq!(sift("turn off the lights"), Sifted::Others);
        // Some words are in every text.
        assert_eq!(sift("is the Seine of Paris"), Sifted::Others);
        assert_eq!(sift(""), Sifted::Others);
    }

    #[test]
    fn only_what_was_said_lately_counts() {
        let mut voice = voice("It is raining.");
        assert_eq!(voice.sift(Seconds(11.5), "it is raining"), own(&[]));
        assert_eq!(voice.sift(Seconds(11.6), "it is raining"), Sifted::Others);
        voice.says(&["It is raining.".to_owned()], Seconds(12.0));
        assert_eq!(voice.sift(Seconds(13.0), "it is raining"), own(&[]));
        assert!(voice.is_near(Seconds(13.0)) && !voice.is_near(Seconds(14.0)));
        voice.hush(Seconds(11.0));
        assert_eq!(voice.sift(Seconds(13.0), "it is raining"), Sifted::Others);
        for i in 0..100 {
            voice.says(&[format!("text {i}")], Seconds(13.0));
        }
        assert_eq!(voice.said.len(), MAX_TEXTS);
        assert_eq!(
            OwnVoice::default().sift(Seconds(0.0), "hello"),
            Sifted::Others
        );
    }
}
