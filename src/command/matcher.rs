//! From a sentence to a command, or to a reason for doing nothing.
//!
//! Enters: text. Leaves: a [`Match`]. First the words must be a sentence of the grammar exactly;
//! only when they are not, near ones are weighed: the cheapest path through grammar and
//! lattice must cost little for each word, and clearly less than the cheapest
//! path that would do something else. Pure: no clock, no state between calls.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::graph::Grammar;
use super::lattice::{Lattice, Speller, Tolerance};
use super::search::{Meaning, Search};
use super::words::Spoken;
use crate::event::Readings;

/// Longest text, in words, that can be a command.
pub(super) const MAX_WORDS: usize = 60;
/// Costs a path may have before it counts as no match, per word and in all.
const HOPELESS_PER_WORD: f32 = 0.8;
const HOPELESS: f32 = 1.5;

/// When a match is good enough. The defaults are those of the shipped configuration.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct MatchOptions {
    /// Lowest score, in nats for each word; 0 is a perfect match.
    pub threshold: f32,
    /// Least distance to the next different meaning, in nats.
    pub margin: f32,
    /// Lowest score of a command in the audio, in nats for each token by which it is less likely
    /// than the free transcription.
    pub heard_threshold: f32,
    /// Least distance to the next different command in the audio, in nats.
    pub heard_margin: f32,
}

impl Default for MatchOptions {
    fn default() -> Self {
        MatchOptions {
            threshold: -0.25,
            margin: 1.0,
            heard_threshold: -0.8,
            heard_margin: 0.7,
        }
    }
}

/// Why nothing is done.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reason {
    /// Nothing in the grammar resembles what was said.
    NoMatch,
    /// The nearest command is too far away.
    BelowThreshold,
    /// Two commands are equally near.
    Ambiguous,
}

impl Reason {
    /// The name in events.
    pub fn as_str(self) -> &'static str {
        match self {
            Reason::NoMatch => "no_match",
            Reason::BelowThreshold => "below_threshold",
            Reason::Ambiguous => "ambiguous",
        }
    }
}

/// What a text means.
#[derive(Clone, Debug, PartialEq)]
pub enum Match {
    /// A command.
    Accepted {
        /// Index of the command in the grammar it was compiled from.
        command: usize,
        /// Its name.
        name: String,
        /// Values of its slots.
        slots: BTreeMap<String, String>,
        /// Quality, in nats for each word; 0 is a perfect match.
        score: f32,
        /// Distance to the next different meaning, in nats; absent when there is none near.
        margin: Option<f32>,
    },
    /// No command.
    Rejected {
        /// Name of the nearest command.
        best: Option<String>,
        /// Its quality.
        score: Option<f32>,
        /// Why it was not taken.
        reason: Reason,
    },
}

/// Finds commands in text.
#[derive(Clone, Debug)]
pub struct Matcher {
    grammar: Arc<Grammar>,
    speller: Speller,
    options: MatchOptions,
}

impl Matcher {
    /// A matcher for `grammar`. Sorts the vocabulary once.
    pub fn new(grammar: Arc<Grammar>, options: MatchOptions) -> Matcher {
        let speller = Speller::new(&grammar);
        Matcher {
            grammar,
            speller,
            options,
        }
    }

    /// The grammar.
    pub fn grammar(&self) -> &Arc<Grammar> {
        &self.grammar
    }

    /// Finds similar words.
    pub(super) fn speller(&self) -> &Speller {
        &self.speller
    }

    /// When a match is good enough.
    pub(crate) fn options(&self) -> MatchOptions {
        self.options
    }

    /// Understands `text`, or says why not.
    pub fn match_text(&self, text: &str) -> Match {
        self.understand(text, None)
    }

    /// Understands an utterance by its transcription `text` and by what was heard of the commands
    /// in its audio, or says why not. A text that is a command word for word needs no more; else
    /// the audio decides, and at last a text that is nearly a command.
    pub fn understand(&self, text: &str, readings: Option<&Readings>) -> Match {
        let spoken = Spoken::new(text);
        if spoken.words.is_empty() || spoken.words.len() > MAX_WORDS {
            return Match::Rejected {
                best: None,
                score: None,
                reason: Reason::NoMatch,
            };
        }
        let exact = self.meanings(&spoken, Tolerance::Exact);
        if let Some(decision) = self.decide_exact(&exact) {
            return self.own_first(decision, &spoken);
        }
        let heard = readings.and_then(|readings| self.match_heard(readings, &spoken.words));
        match heard {
            Some(accepted @ Match::Accepted { .. }) => accepted,
            heard => {
                let near = self.meanings(&spoken, Tolerance::Near);
                match (heard, self.decide_near(&near, spoken.words.len())) {
                    (Some(heard), Match::Rejected { best: None, .. }) => heard,
                    (_, near) => near,
                }
            }
        }
    }

    /// Whether `text` is a sentence of the grammar word for word.
    pub(crate) fn is_sentence(&self, text: &str) -> bool {
        let spoken = Spoken::new(text);
        spoken.words.len() <= MAX_WORDS && !self.meanings(&spoken, Tolerance::Exact).is_empty()
    }

    /// What `spoken` means as it stands, or that it means nothing.
    pub(super) fn word_for_word(&self, spoken: &Spoken) -> Match {
        let exact = match spoken.words.len() {
            1..=MAX_WORDS => self.decide_exact(&self.meanings(spoken, Tolerance::Exact)),
            _ => None,
        };
        match exact {
            Some(exact) => self.own_first(exact, spoken),
            None => Match::Rejected {
                best: None,
                score: None,
                reason: Reason::NoMatch,
            },
        }
    }

    /// What `spoken`, a sentence of the grammar in which small words may be missing, means.
    pub(super) fn sentence(&self, spoken: &Spoken) -> Match {
        let exact = self.decide_exact(&self.meanings(spoken, Tolerance::Exact));
        exact.unwrap_or_else(|| {
            let near = self.meanings(spoken, Tolerance::Near);
            self.decide_near(&near, spoken.words.len())
        })
    }

    /// All meanings within reach, best first.
    pub(super) fn meanings(&self, spoken: &Spoken, tolerance: Tolerance) -> Vec<Meaning> {
        let words = &spoken.words;
        let lattice = Lattice::new(words, &self.grammar, &self.speller, tolerance);
        let limit = match tolerance {
            Tolerance::Exact => 0.0,
            Tolerance::Near => HOPELESS + HOPELESS_PER_WORD * words.len() as f32,
        };
        let mut search = Search::new(&self.grammar, &lattice, spoken, limit);
        let mut all: Vec<Meaning> = Vec::new();
        for command in 0..self.grammar.commands.len() {
            for meaning in search.command(command) {
                let same =
                    |m: &&mut Meaning| m.name_id == meaning.name_id && m.slots == meaning.slots;
                match all.iter_mut().find(same) {
                    Some(known) if Meaning::order(known, &meaning).is_le() => {}
                    Some(known) => *known = meaning,
                    None => all.push(meaning),
                }
            }
        }
        all.sort_by(Meaning::order);
        self.give_way(
            &mut all,
            match tolerance {
                Tolerance::Exact => 0.0,
                Tolerance::Near => self.options.margin,
            },
        );
        all
    }

    fn decide_exact(&self, meanings: &[Meaning]) -> Option<Match> {
        let best = meanings.first()?;
        let name = &self.grammar.commands[best.command].name;
        let next = meanings.get(1);
        let is_tied = next
            .is_some_and(|next| Meaning::order(best, next).is_eq() && next.name_id != best.name_id);
        if is_tied {
            return Some(Match::Rejected {
                best: Some(name.clone()),
                score: Some(0.0),
                reason: Reason::Ambiguous,
            });
        }
        Some(self.accepted(best, 0.0, next.map(|_| 0.0)))
    }

    pub(super) fn decide_near(&self, meanings: &[Meaning], n_words: usize) -> Match {
        let Some(best) = meanings.first() else {
            return Match::Rejected {
                best: None,
                score: None,
                reason: Reason::NoMatch,
            };
        };
        let score = -best.cost / n_words as f32;
        let next = meanings[1..].iter().find(|next| next.rivals(best));
        let margin = next.map(|next| next.cost - best.cost);
        let reason = if score < self.options.threshold {
            Reason::BelowThreshold
        } else if margin.is_some_and(|margin| margin < self.options.margin) {
            Reason::Ambiguous
        } else {
            return self.accepted(best, score, margin);
        };
        let best = Some(self.grammar.commands[best.command].name.clone());
        Match::Rejected {
            best,
            score: Some(score),
            reason,
        }
    }

    fn accepted(&self, best: &Meaning, score: f32, margin: Option<f32>) -> Match {
        self.accept(best.command, best.slots.clone(), score, margin)
    }

    pub(super) fn accept(
        &self,
        command: usize,
        slots: BTreeMap<String, String>,
        score: f32,
        margin: Option<f32>,
    ) -> Match {
        Match::Accepted {
            command,
            name: self.grammar.commands[command].name.clone(),
            slots,
            score,
            margin,
        }
    }
}
