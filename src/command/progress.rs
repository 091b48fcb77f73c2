//! How far a speaker has come with a command: whether a pause is the end.
//!
//! Enters: the words so far, and what was heard of the commands in them. Leaves: a [`Progress`], and
//! from it the silence that ends the utterance ([`Patience`]). Pure.

use std::collections::BTreeSet;

use super::lattice::{Lattice, Tolerance};
use super::matcher::{MAX_WORDS, Match, Matcher};
use super::search::{Reach, Search};
use super::words::Spoken;
use crate::event::Readings;

/// Cost of the small words that may be missing in a sentence heard in the audio.
const MOST_LEFT_OUT: f32 = 1.0;

/// How far a command has come.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Progress {
    /// Nothing is known: no beginning of a command, or one that may be another.
    #[default]
    Unknown,
    /// A command, and nothing that could be added makes another one of it.
    Complete,
    /// A command that may go on and then mean more.
    Open,
    /// The beginning of a command, which needs more words.
    Begun,
}

/// How long to wait in a silence.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Patience {
    /// Silence that ends a complete command, milliseconds; 0: the usual one.
    pub complete_ms: u32,
    /// Silence that ends one that has begun only, milliseconds; 0: the usual one.
    pub incomplete_ms: u32,
}

impl Default for Patience {
    fn default() -> Self {
        Patience {
            complete_ms: 300,
            incomplete_ms: 1_500,
        }
    }
}

impl Patience {
    /// The silence that ends an utterance, where the usual one is `usual_ms`.
    pub fn silence_ms(self, progress: Progress, usual_ms: u32) -> u32 {
        let ms = match progress {
            Progress::Complete => self.complete_ms,
            Progress::Begun => self.incomplete_ms,
            Progress::Open | Progress::Unknown => 0,
        };
        if ms == 0 { usual_ms } else { ms }
    }

    /// The longest of all silences.
    pub fn longest_ms(self, usual_ms: u32) -> u32 {
        usual_ms.max(self.complete_ms).max(self.incomplete_ms)
    }

    /// The shortest of all silences.
    pub fn shortest_ms(self, usual_ms: u32) -> u32 {
        let complete_ms = self.silence_ms(Progress::Complete, usual_ms);
        let begun_ms = self.silence_ms(Progress::Begun, usual_ms);
        usual_ms.min(complete_ms).min(begun_ms)
    }
}

impl Matcher {
    /// How far the speaker has come with the words `text`, in which these commands were heard.
    ///
    /// What the text says by itself counts first: a beginning is not taken for the whole because the
    /// audio does not contradict its end. A text that is near a command, no more, says nothing.
    pub fn progress(&self, text: &str, readings: Option<&Readings>) -> Progress {
        let written = self.progress_of(text, 0.0);
        if written != Progress::Unknown {
            return written;
        }
        let Some(heard) = readings.and_then(|readings| readings.readings.first()) else {
            return Progress::Unknown;
        };
        if !matches!(self.understand(text, readings), Match::Accepted { .. }) {
            return Progress::Unknown;
        }
        match self.progress_of(&heard.text, MOST_LEFT_OUT) {
            Progress::Begun => Progress::Unknown,
            progress => progress,
        }
    }

    /// The command that `text` is word for word, when nothing that may follow can change it.
    pub(crate) fn settled(&self, text: &str) -> Option<Match> {
        let found = self.word_for_word(&Spoken::new(text));
        let is_command = matches!(found, Match::Accepted { .. });
        (is_command && self.progress_of(text, 0.0) == Progress::Complete).then_some(found)
    }

    fn progress_of(&self, text: &str, most_left_out: f32) -> Progress {
        let spoken = Spoken::new(text);
        let words = &spoken.words;
        if words.is_empty() || words.len() > MAX_WORDS {
            return Progress::Unknown;
        }
        let grammar = self.grammar();
        let lattice = Lattice::new(words, grammar, self.speller(), Tolerance::Exact);
        let mut search = Search::new(grammar, &lattice, &spoken, most_left_out);
        let reaches: Vec<Reach> = (0..grammar.commands.len())
            .map(|command| search.reach(command))
            .collect();
        // Commands of one name are one.
        let whole = reaches.iter().zip(&grammar.commands);
        let whole = whole.filter(|(reach, _)| reach.is_whole);
        let n_whole = whole
            .map(|(_, command)| command.name_id)
            .collect::<BTreeSet<_>>()
            .len();
        // More words for the same command and slots, "please" say, change nothing.
        let may_change =
            |reach: &Reach| reach.takes_slots || (reach.takes_words && !reach.is_whole);
        match (n_whole, reaches.iter().any(may_change)) {
            (0, false) => Progress::Unknown,
            (0, true) => Progress::Begun,
            (1, false) => Progress::Complete,
            _ => Progress::Open,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::command::test_grammar::{matcher_of, sentence, spec_of};
    use crate::command::{ListSpec, ListValue, NumberRange};
    use crate::event::Reading;

    fn values(all: &[&str]) -> ListSpec {
        let value = |spoken: &&str| ListValue {
            spoken: sentence(spoken),
            ..ListValue::default()
        };
        ListSpec::Values(all.iter().map(value).collect())
    }

    fn matcher() -> Matcher {
        let commands = [
            ("lights", "turn (on|off) the {room} lights [please]"),
            ("tea", "make me a tea [with {milk}]"),
            ("time", "what time is it"),
            ("abroad", "what time is it abroad"),
            ("volume", "set volume to {level}"),
            ("room", "i am in the {room}"),
        ];
        let level = ListSpec::Range(NumberRange {
            step: 5,
            ..NumberRange::new(0, 100)
        });
        let mut spec = spec_of(&commands);
        let lists = [
            ("room", values(&["kitchen", "living room", "living"])),
            ("milk", values(&["milk", "cream"])),
            ("level", level),
        ];
        for (name, list) in lists {
            spec.lists.insert(name.to_owned(), list);
        }
        matcher_of(&spec)
    }

    fn progress(text: &str) -> Progress {
        matcher().progress(text, None)
    }

    #[test]
    fn a_command_is_complete_when_nothing_could_change_it() {
        assert_eq!(progress("Turn on the kitchen lights."), Progress::Complete);
        assert_eq!(
            progress("turn on the kitchen lights please"),
            Progress::Complete
        );
        assert_eq!(progress("make me a tea with milk"), Progress::Complete);
        assert_eq!(progress("I am in the kitchen"), Progress::Complete);
    }

    #[test]
    fn one_that_may_mean_more_is_open() {
        assert_eq!(progress("make me a tea"), Progress::Open);
        // "Abroad" would be another command, "room" another value.
        assert_eq!(progress("what time is it"), Progress::Open);
        assert_eq!(progress("i am in the living"), Progress::Open);
        assert_eq!(progress("i am in the living room"), Progress::Complete);
        // Twenty five; one hundred is the most there is.
        assert_eq!(progress("set volume to twenty"), Progress::Open);
        assert_eq!(progress("set volume to 25"), Progress::Complete);
        assert_eq!(progress("set volume to 100"), Progress::Complete);
    }

    #[test]
    fn a_beginning_is_one_and_nothing_else_is() {
        assert_eq!(progress("turn on the"), Progress::Begun);
        assert_eq!(progress("turn on the living"), Progress::Begun);
        assert_eq!(progress("make me a tea with"), Progress::Begun);
        assert_eq!(progress("turn on the radio"), Progress::Unknown);
        assert_eq!(progress("well"), Progress::Unknown);
        assert_eq!(progress(""), Progress::Unknown);
    }

    #[test]
    fn the_audio_decides_where_the_text_says_nothing() {
        let heard = |logprob| Readings {
            free_logprob: -2.0,
            readings: vec![Reading {
                text: "turn off the kitchen lights".to_owned(),
                logprob,
                n_tokens: 6,
            }],
        };
        let matcher = matcher();
        let text = "Turn of the kit shin lights";
        let progress = |text, logprob| matcher.progress(text, Some(&heard(logprob)));
        assert_eq!(progress(text, -3.0), Progress::Complete);
        assert_eq!(matcher.progress(text, None), Progress::Unknown);
        assert_eq!(progress("it is raining again", -20.0), Progress::Unknown);
        // What was written is a beginning, however likely its end would be.
        assert_eq!(progress("turn off the kitchen", -3.0), Progress::Begun);
    }

    #[test]
    fn patience_follows_progress() {
        let patience = Patience::default();
        assert_eq!(patience.silence_ms(Progress::Complete, 700), 300);
        assert_eq!(patience.silence_ms(Progress::Begun, 700), 1_500);
        assert_eq!(patience.silence_ms(Progress::Open, 700), 700);
        assert_eq!(
            (patience.shortest_ms(700), patience.longest_ms(700)),
            (300, 1_500)
        );
        let off = Patience {
            complete_ms: 0,
            incomplete_ms: 0,
        };
        assert_eq!((off.shortest_ms(700), off.longest_ms(700)), (700, 700));
    }

    fn settled(templates: &[&str], text: &str) -> bool {
        let names = ["a", "b"];
        let commands: Vec<_> = names.into_iter().zip(templates.iter().copied()).collect();
        let mut spec = spec_of(&commands);
        let rooms = values(&["kitchen", "living", "living room"]);
        spec.lists.insert("room".to_owned(), rooms);
        matcher_of(&spec).settled(text).is_some()
    }

    #[test]
    fn what_can_become_another_command_is_not_settled() {
        assert!(settled(&["lights off"], "Lights off."));
        assert!(!settled(&["lights off"], "lights"));
        assert!(!settled(
            &["lights off", "lights off at noon"],
            "lights off"
        ));
        assert!(settled(&["lights off", "lights on at noon"], "lights off"));
        assert!(!settled(&["lights off [in the {room}]"], "lights off"));
        assert!(settled(
            &["lights off [in the {room}]"],
            "lights off in the kitchen"
        ));
        assert!(!settled(
            &["lights off [in the {room}]"],
            "lights off in the living"
        ));
        assert!(settled(
            &["lights off [in the {room}]"],
            "lights off in the living room"
        ));
        assert!(!settled(&["{room} off", "kitchen off now"], "kitchen off"));
    }

    #[test]
    fn small_talk_behind_it_changes_nothing() {
        assert!(settled(&["lights off [(please|now)]"], "lights off"));
        assert!(settled(&["{room} off [please]"], "kitchen off"));
    }

    #[test]
    fn numbers_may_go_on() {
        let volume = ["volume {0..100:level}"];
        assert!(!settled(&volume, "volume twenty"));
        assert!(settled(&volume, "volume 21"));
        assert!(settled(&volume, "volume fifteen"));
        assert!(settled(&volume, "volume five"));
        assert!(settled(&volume, "volume one hundred"));
        assert!(!settled(&volume, "volume one"));
        assert!(!settled(&["volume {0..1000:level}"], "volume five"));
        assert!(!settled(&["volume {0..1000000:level}"], "volume five"));
        assert!(settled(
            &["volume {0..100:level} percent"],
            "volume twenty percent"
        ));
    }
}
