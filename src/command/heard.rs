//! From what the audio says of the commands to one of them, or to a reason for doing nothing.
//!
//! Enters: sentences of the grammar with their likelihoods, and that of the free transcription.
//! Leaves: a [`Match`]. Ways to write the same command count together; a command must be about as
//! likely as what was transcribed freely, and clearly likelier than every other command. Pure.

use std::collections::BTreeMap;

use super::lattice::turns_round;
use super::matcher::{Match, Matcher, Reason};
use super::words::Spoken;
use crate::event::Readings;

/// The greatest number of words that may have been said around a command: as many again, half of
/// it, and a few. The end of a command in the middle of a speech is unlikely, but so is any long
/// transcription as a whole.
const WORDS_PER_WORD: f32 = 1.5;
const WORDS_AROUND: f32 = 3.0;
/// A "not" or "stop" in the transcription forbids a command that is less likely than it by so much,
/// in nats for each token; one as likely says that the word was misheard.
const REFUSED_BELOW: f32 = -0.1;

/// A command with its slots, and how likely all that was read of it is.
struct Heard {
    /// None for a sentence that more than one command has.
    meaning: Option<Meant>,
    /// Of all ways to write it together.
    logprob: f32,
    n_tokens: usize,
    words: Vec<String>,
}

impl Matcher {
    /// The command in the audio of an utterance that was transcribed as `words`; none when no
    /// command is anywhere near.
    pub(super) fn match_heard(&self, readings: &Readings, words: &[String]) -> Option<Match> {
        let mut all: Vec<Heard> = Vec::new();
        for reading in &readings.readings {
            let spoken = Spoken::new(&reading.text);
            let meaning = match self.sentence(&spoken) {
                Match::Accepted { command, slots, .. } => Some((command, slots)),
                Match::Rejected { .. } => None,
            };
            let same = |heard: &&mut Heard| self.are_same(&heard.meaning, &meaning);
            match all.iter_mut().find(same) {
                Some(heard) => heard.logprob = log_add(heard.logprob, reading.logprob),
                None => all.push(Heard {
                    meaning,
                    logprob: reading.logprob,
                    n_tokens: reading.n_tokens,
                    words: spoken.words,
                }),
            }
        }
        all.sort_by(|a, b| b.logprob.total_cmp(&a.logprob));
        self.let_own_go_first(&mut all);
        let best = all.first()?;
        let behind = (best.logprob - readings.free_logprob).min(0.0);
        let score = behind / best.n_tokens.max(1) as f32;
        let margin = all.get(1).map(|next| best.logprob - next.logprob);
        let options = self.options();
        let most_words = best.words.len() as f32 * WORDS_PER_WORD + WORDS_AROUND;
        let is_part = words.len() as f32 > most_words;
        let is_refused = score < REFUSED_BELOW
            && (words.iter()).any(|word| turns_round(word) && !best.words.contains(word));
        let meaning = best.meaning.clone();
        let name = meaning
            .as_ref()
            .and_then(|(command, _)| self.grammar().command_name(*command));
        let name = name.map(str::to_owned);
        let reason = if is_part || is_refused || score < options.heard_threshold {
            Reason::BelowThreshold
        } else if margin.is_some_and(|margin| margin < options.heard_margin) {
            Reason::Ambiguous
        } else if let Some((command, slots)) = meaning {
            return Some(self.accept(command, slots, score, margin));
        } else {
            Reason::Ambiguous
        };
        Some(Match::Rejected {
            best: name,
            score: Some(score),
            reason,
        })
    }

    /// Whether two meanings are the same command with the same slots, in whichever of its blocks.
    fn are_same(&self, a: &Option<Meant>, b: &Option<Meant>) -> bool {
        let name_id = |command: usize| self.grammar().commands[command].name_id;
        match (a, b) {
            (Some((a, a_slots)), Some((b, b_slots))) => {
                name_id(*a) == name_id(*b) && a_slots == b_slots
            }
            (a, b) => a.is_none() && b.is_none(),
        }
    }
}

/// The index of a command, and its slots.
type Meant = (usize, BTreeMap<String, String>);
impl Matcher {
    /// Takes out the built-in commands that are not clearly likelier than all others.
    fn let_own_go_first(&self, all: &mut Vec<Heard>) {
        let is_built_in = |heard: &Heard| {
            let meaning = heard.meaning.as_ref();
            meaning.is_some_and(|(command, _)| self.is_built_in(*command))
        };
        let own = all.iter().find(|heard| !is_built_in(heard));
        let Some(best) = own.map(|heard| heard.logprob) else {
            return;
        };
        let margin = self.options().heard_margin;
        all.retain(|heard| !is_built_in(heard) || heard.logprob > best + margin);
    }
}

/// The logarithm of the sum of two numbers given by theirs.
fn log_add(a: f32, b: f32) -> f32 {
    let (most, least) = if a > b { (a, b) } else { (b, a) };
    most + (least - most).exp().ln_1p()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::command::MatchOptions;
    use crate::command::test_grammar::{compiled, spec_of};
    use crate::event::Reading;

    fn matcher() -> Matcher {
        let commands = [
            ("latte", "(make|brew) [a] latte"),
            ("mocha", "(make|brew) [a] mocha"),
            ("tea", "brew tea"),
            ("again", "brew tea"),
        ];
        let options = MatchOptions {
            heard_threshold: -1.0,
            heard_margin: 1.0,
            ..MatchOptions::default()
        };
        Matcher::new(compiled(&spec_of(&commands)), options)
    }

    /// What is understood of a transcription with a log-probability of -2, and of what was heard.
    fn understood(text: &str, heard: &[(&str, f32)]) -> String {
        let readings = heard.iter().map(|(text, logprob)| Reading {
            text: (*text).to_owned(),
            logprob: *logprob,
            n_tokens: 4,
        });
        let readings = Readings {
            free_logprob: -2.0,
            readings: readings.collect(),
        };
        match matcher().understand(text, Some(&readings)) {
            Match::Accepted { name, .. } => name,
            Match::Rejected { reason, .. } => reason.as_str().to_owned(),
        }
    }

    #[test]
    fn a_command_that_was_misheard_is_found_in_the_audio() {
        let heard = [("Brew a mocha.", -4.0), ("brew a latte", -9.0)];
        assert_eq!(understood("True a mock up", &heard), "mocha");
    }

    #[test]
    fn what_is_unlikely_or_unclear_is_rejected() {
        assert_eq!(
            understood("True a mock up", &[("brew a mocha", -7.0)]),
            "below_threshold"
        );
        let close = [("brew a mocha", -4.0), ("brew a latte", -4.5)];
        assert_eq!(understood("True a mock up", &close), "ambiguous");
        assert_eq!(understood("True a mock up", &[]), "no_match");
    }

    #[test]
    fn a_sentence_of_two_commands_is_none_of_them() {
        assert_eq!(understood("true tea", &[("brew tea", -2.0)]), "ambiguous");
        assert_eq!(understood("brew tea", &[("brew tea", -2.0)]), "ambiguous");
    }

    #[test]
    fn ways_to_write_the_same_count_together() {
        // Alone each is too near to the other command.
        let close = [
            ("brew a mocha", -4.0),
            ("Brew, a mocha.", -4.0),
            ("brew a latte", -4.6),
        ];
        assert_eq!(understood("True a mock up", &close), "mocha");
    }

    #[test]
    fn a_command_is_not_taken_out_of_a_speech_or_turned_round() {
        let heard = [("brew a mocha", -4.0)];
        let speech = "true a mock up of the house that they want to build there";
        assert_eq!(understood(speech, &heard), "below_threshold");
        assert_eq!(
            understood("never true a mock up", &heard),
            "below_threshold"
        );
    }
}
