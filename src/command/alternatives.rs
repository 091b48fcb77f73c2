//! What else a text could have meant.
//!
//! Enters: a text. Leaves: the commands that it is nearly, whether or not one of them would be
//! carried out. For whoever wants to know why; decides nothing. Pure.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::lattice::Tolerance;
use super::matcher::{MAX_WORDS, Matcher};
use super::words::Spoken;

/// A command that a text is, nearly.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Alternative {
    /// Its name.
    pub name: String,
    /// Values of its slots.
    pub slots: BTreeMap<String, String>,
    /// Quality, in nats for each word; 0 is a perfect match.
    pub score: f32,
    /// The same in nats for the whole text, at least 0; differences of it are what the margin asks for.
    pub cost: f32,
}

impl Matcher {
    /// The commands nearest to `text`, at most `max`, the best first; none where nothing resembles it.
    pub fn alternatives(&self, text: &str, max: usize) -> Vec<Alternative> {
        let spoken = Spoken::new(text);
        let n_words = spoken.words.len();
        if n_words == 0 || n_words > MAX_WORDS {
            return Vec::new();
        }
        let mut meanings = self.meanings(&spoken, Tolerance::Near);
        meanings.truncate(max);
        let alternative = |meaning: super::search::Meaning| Alternative {
            name: self.grammar().commands[meaning.command].name.clone(),
            slots: meaning.slots,
            // No negative zero: it would be written so.
            score: 0.0 - meaning.cost / n_words as f32,
            cost: meaning.cost,
        };
        meanings.into_iter().map(alternative).collect()
    }
}

#[cfg(test)]
mod tests {
    use crate::command::Match;
    use crate::command::test_grammar::{matcher_of, spec_of};

    #[test]
    fn they_are_those_that_decide() {
        let commands = [
            ("lights", "turn (on|off) [the] [kitchen] lights"),
            ("heating", "turn (on|off) [the] heating"),
            ("timer", "set [a] timer for {1..999:n} minutes"),
        ];
        let matcher = matcher_of(&spec_of(&commands));
        let names = |text: &str| -> Vec<String> {
            let all = matcher.alternatives(text, 3);
            assert!(all.windows(2).all(|pair| pair[0].cost <= pair[1].cost));
            all.into_iter().map(|one| one.name).collect()
        };
        assert_eq!(names("turn on the kitchen lights")[0], "lights");
        assert_eq!(names("turn of the heating")[0], "heating");
        assert!(names("what a lovely day it is").is_empty());
        assert!(names("").is_empty());
        assert!(names(&"lights ".repeat(500)).is_empty());
        let exact = &matcher.alternatives("set a timer for ten minutes", 1)[0];
        assert_eq!((exact.score, exact.cost), (0.0, 0.0));
        assert_eq!(exact.slots["n"], "10");
    }

    #[test]
    fn a_rejection_has_the_score_of_the_best_of_them() {
        let matcher = matcher_of(&spec_of(&[("lights", "turn on [the] lights")]));
        let text = "turn on the garden lights";
        let best = &matcher.alternatives(text, 1)[0];
        match matcher.match_text(text) {
            Match::Rejected { score, .. } => assert_eq!(score, Some(best.score)),
            accepted => panic!("{accepted:?}"),
        }
    }
}
