//! Thresholds from recordings: loose enough for commands, tight enough for everything else.
//!
//! Enters: for each utterance of the recordings, the nearest command by its audio and by its text,
//! before any threshold. Leaves: the thresholds with which most is understood while false accepts
//! stay within a budget, and what they cost. Pure: the same recordings give the same thresholds.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::graph::Grammar;
use super::matcher::{Match, MatchOptions, Matcher};
use crate::event::Readings;

/// The confidence with which rates are stated.
pub const CONFIDENCE: f64 = 0.95;

/// How a command that was understood fits the recording.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fit {
    /// It is the one that was meant.
    Meant,
    /// It is the one that was meant, with other slots.
    OtherSlots,
    /// Another one was meant, or none.
    Other,
}

/// A command that an utterance may be taken for.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Candidate {
    /// How well it fits, 0 or less.
    pub score: f32,
    /// How much better than the next one; infinite when there is none.
    pub margin: f32,
    /// What accepting it would be.
    pub fit: Fit,
}

/// What an utterance may be taken for.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Utterance {
    /// A command word for word, which no threshold refuses.
    pub exact: Option<Fit>,
    /// The nearest command in the audio.
    pub heard: Option<Candidate>,
    /// The command nearest to the text.
    pub near: Option<Candidate>,
}

/// A recording and what is meant in it.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Recording {
    /// Whether a command is meant; else none is.
    pub is_command: bool,
    /// What was said in it.
    pub utterances: Vec<Utterance>,
}

/// Understands utterances without any threshold.
pub struct Probe {
    by_audio: Matcher,
    by_text: Matcher,
}

impl Probe {
    /// A probe of the commands of `grammar`.
    pub fn new(grammar: &Arc<Grammar>) -> Self {
        let never = MatchOptions {
            threshold: f32::INFINITY,
            margin: f32::INFINITY,
            heard_threshold: f32::NEG_INFINITY,
            heard_margin: 0.0,
        };
        let always = MatchOptions {
            threshold: f32::NEG_INFINITY,
            margin: 0.0,
            ..never
        };
        Probe {
            by_audio: Matcher::new(grammar.clone(), never),
            by_text: Matcher::new(grammar.clone(), always),
        }
    }

    /// What the utterance may be taken for; `fit` judges commands with their slots.
    pub fn utterance(
        &self,
        text: &str,
        readings: Option<&Readings>,
        fit: &dyn Fn(&str, &BTreeMap<String, String>) -> Fit,
    ) -> Utterance {
        let candidate = |decision: Match| match decision {
            Match::Accepted {
                name,
                slots,
                score,
                margin,
                ..
            } => Some(Candidate {
                score,
                margin: margin.unwrap_or(f32::INFINITY),
                fit: fit(&name, &slots),
            }),
            Match::Rejected { .. } => None,
        };
        // Without readings, this one takes nothing but sentences word for word.
        if let Some(exact) = candidate(self.by_audio.understand(text, None)) {
            return Utterance {
                exact: Some(exact.fit),
                ..Utterance::default()
            };
        }
        Utterance {
            exact: None,
            heard: readings
                .and_then(|readings| candidate(self.by_audio.understand(text, Some(readings)))),
            near: candidate(self.by_text.understand(text, None)),
        }
    }
}

impl Utterance {
    /// What is accepted with these thresholds, as the matcher decides.
    fn accepted(&self, options: &MatchOptions) -> Option<Fit> {
        let passes = |candidate: &Candidate, threshold: f32, margin: f32| {
            candidate.score >= threshold && candidate.margin >= margin
        };
        let heard = self
            .heard
            .filter(|heard| passes(heard, options.heard_threshold, options.heard_margin));
        let near = self
            .near
            .filter(|near| passes(near, options.threshold, options.margin));
        self.exact.or(heard.or(near).map(|candidate| candidate.fit))
    }

    fn is_silent(&self) -> bool {
        *self == Utterance::default()
    }
}

/// What came of recordings with some thresholds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Tally {
    /// Recordings of a command.
    pub commands: usize,
    /// Of these, the ones understood as meant.
    pub right: usize,
    /// Understood as the meant command with other slots.
    pub slot_errors: usize,
    /// Understood as another command.
    pub wrong: usize,
    /// Commands accepted where none was meant.
    pub false_accepts: usize,
}

impl Tally {
    /// What came of `recordings`.
    pub fn of(recordings: &[Recording], options: &MatchOptions) -> Tally {
        let mut tally = Tally::default();
        for recording in recordings {
            let utterances = recording.utterances.iter();
            let accepted = utterances.filter_map(|utterance| utterance.accepted(options));
            if recording.is_command {
                tally.add_command(&accepted.collect::<Vec<_>>());
            } else {
                tally.false_accepts += accepted.count();
            }
        }
        tally
    }

    /// Counts a recording of a command in which these were accepted.
    pub fn add_command(&mut self, accepted: &[Fit]) {
        self.commands += 1;
        if accepted == [Fit::Meant] {
            self.right += 1;
        } else if accepted.iter().any(|fit| *fit != Fit::Other) {
            self.slot_errors += 1;
        } else if !accepted.is_empty() {
            self.wrong += 1;
        }
    }

    /// Adds what came of other recordings.
    pub fn add(&mut self, other: &Tally) {
        self.commands += other.commands;
        self.right += other.right;
        self.slot_errors += other.slot_errors;
        self.wrong += other.wrong;
        self.false_accepts += other.false_accepts;
    }

    /// Recordings of a command of which nothing was understood.
    pub fn refused(&self) -> usize {
        self.commands - self.right - self.slot_errors - self.wrong
    }

    /// Share of the commands that were understood as meant.
    pub fn acceptance(&self) -> Option<f64> {
        (self.commands > 0).then(|| self.right as f64 / self.commands as f64)
    }

    /// What the thresholds are worth: something wrong that is done costs as much as a command that is
    /// understood is worth.
    fn worth(&self) -> i64 {
        self.right as i64 - (self.slot_errors + self.wrong) as i64
    }
}

/// The greatest rate that `n` events in `hours` are compatible with, at [`CONFIDENCE`]: the exact
/// bound of a Poisson process, 3 / `hours` when nothing happened at all. Infinite without hours.
pub fn most_per_hour(n: usize, hours: f64) -> f64 {
    if hours <= 0.0 {
        return f64::INFINITY;
    }
    // The mean at which so few events have the probability 1 - CONFIDENCE.
    let probability = |mean: f64| {
        let (mut term, mut sum) = ((-mean).exp(), 0.0);
        for k in 0..=n {
            sum += term;
            term *= mean / (k + 1) as f64;
        }
        sum
    };
    let (mut low, mut high) = (0.0, 2.0 * n as f64 + 10.0);
    for _ in 0..100 {
        let middle = (low + high) / 2.0;
        match probability(middle) > 1.0 - CONFIDENCE {
            true => low = middle,
            false => high = middle,
        }
    }
    high / hours
}

/// Thresholds, and what they give.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Choice {
    /// The thresholds.
    pub options: MatchOptions,
    /// What they give.
    pub tally: Tally,
    /// False accepts that no threshold keeps out: what was said is a command word for word.
    pub unavoidable: usize,
    /// Whether the recordings prove the budget, at [`CONFIDENCE`].
    pub is_proven: bool,
}

const HEARD_MARGINS: [f32; 10] = [0.0, 0.3, 0.5, 0.7, 1.0, 1.5, 2.0, 3.0, 5.0, 8.0];
const MARGINS: [f32; 5] = [0.5, 1.0, 1.5, 2.0, 4.0];

/// Values of `heard_threshold`: all that the search of the audio follows.
fn heard_thresholds() -> impl Iterator<Item = f32> {
    (0..=20).map(|i| i as f32 * -0.05)
}

/// Values of `threshold`.
fn thresholds() -> impl Iterator<Item = f32> {
    (0..=12).map(|i| i as f32 * -0.05)
}

/// Chooses thresholds for `recordings`, in which for `hours` no command is meant, so that there are
/// at most `budget` false accepts an hour. Of those within the budget it takes the ones that are
/// worth most, and of several the ones nearest to `present`. Without any recording of a command it
/// takes none looser than the defaults.
pub fn choose(recordings: &[Recording], hours: f64, budget: f64, present: MatchOptions) -> Choice {
    let spoken = |recording: &&Recording| {
        recording.is_command
            || recording
                .utterances
                .iter()
                .any(|utterance| !utterance.is_silent())
    };
    let recordings: Vec<Recording> = recordings.iter().filter(spoken).cloned().collect();
    let has_commands = recordings.iter().any(|recording| recording.is_command);
    let floor = MatchOptions::default();
    let present = match has_commands {
        true => present,
        false => floor,
    };
    let refuse_all = MatchOptions {
        threshold: f32::INFINITY,
        margin: f32::INFINITY,
        heard_threshold: f32::INFINITY,
        heard_margin: f32::INFINITY,
    };
    let unavoidable = Tally::of(&recordings, &refuse_all).false_accepts;
    let is_within = |n: usize| most_per_hour(n, hours) <= budget;
    let allowed = (0..)
        .take_while(|n| is_within(*n))
        .last()
        .unwrap_or(0)
        .max(unavoidable);
    let mut best: Option<(i64, f32, MatchOptions, Tally)> = None;
    for options in all_options() {
        if !has_commands && is_looser(&options, &floor) {
            continue;
        }
        let tally = Tally::of(&recordings, &options);
        if tally.false_accepts > allowed {
            continue;
        }
        let (worth, distance) = (tally.worth(), distance(&options, &present));
        let is_better = best
            .is_none_or(|(most, least, _, _)| worth > most || (worth == most && distance < least));
        if is_better {
            best = Some((worth, distance, options, tally));
        }
    }
    // The tightest of all lets nothing through but what is unavoidable.
    let (options, tally) = best.map_or(
        (present, Tally::of(&recordings, &present)),
        |(_, _, options, tally)| (options, tally),
    );
    Choice {
        options,
        tally,
        unavoidable,
        is_proven: is_within(tally.false_accepts),
    }
}

/// All that is tried. The last ones accept only what fits as if it were word for word, by itself.
fn all_options() -> impl Iterator<Item = MatchOptions> {
    heard_thresholds().flat_map(|heard_threshold| {
        HEARD_MARGINS.into_iter().flat_map(move |heard_margin| {
            thresholds().flat_map(move |threshold| {
                MARGINS.into_iter().map(move |margin| MatchOptions {
                    threshold,
                    margin,
                    heard_threshold,
                    heard_margin,
                })
            })
        })
    })
}

fn is_looser(options: &MatchOptions, floor: &MatchOptions) -> bool {
    const ROUNDING: f32 = 1e-4;
    options.threshold < floor.threshold - ROUNDING
        || options.margin < floor.margin
        || options.heard_threshold < floor.heard_threshold - ROUNDING
        || options.heard_margin < floor.heard_margin
}

/// How far apart two sets of thresholds are: a twentieth of a nat a word or token counts as much as
/// half a nat of margin.
fn distance(a: &MatchOptions, b: &MatchOptions) -> f32 {
    10.0 * ((a.threshold - b.threshold).abs() + (a.heard_threshold - b.heard_threshold).abs())
        + (a.margin - b.margin).abs()
        + (a.heard_margin - b.heard_margin).abs()
}

/// Which threshold changes from row to row.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Axis {
    /// `heard_threshold`.
    Heard,
    /// `threshold`.
    Text,
}

/// What comes of `recordings` with each value of one threshold, from the tightest on; the others are
/// those of `options`.
pub fn trade_off(recordings: &[Recording], options: MatchOptions, axis: Axis) -> Vec<(f32, Tally)> {
    let values: Vec<f32> = match axis {
        Axis::Heard => heard_thresholds().collect(),
        Axis::Text => thresholds().collect(),
    };
    let with = |value: f32| match axis {
        Axis::Heard => MatchOptions {
            heard_threshold: value,
            ..options
        },
        Axis::Text => MatchOptions {
            threshold: value,
            ..options
        },
    };
    let row = |value: f32| (value, Tally::of(recordings, &with(value)));
    values.into_iter().map(row).collect()
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use crate::command::test_grammar::{compiled, spec_of};
    use crate::event::Reading;

    fn heard(score: f32, margin: f32, fit: Fit) -> Utterance {
        Utterance {
            heard: Some(Candidate { score, margin, fit }),
            ..Utterance::default()
        }
    }

    fn command(utterances: &[Utterance]) -> Recording {
        Recording {
            is_command: true,
            utterances: utterances.to_vec(),
        }
    }

    fn other(utterances: &[Utterance]) -> Recording {
        Recording {
            is_command: false,
            utterances: utterances.to_vec(),
        }
    }

    /// Commands and other speech whose scores overlap.
    fn overlapping() -> Vec<Recording> {
        let mut all: Vec<Recording> = (0..40)
            .map(|i| command(&[heard(-0.02 * i as f32, 4.0, Fit::Meant)]))
            .collect();
        all.extend((0..20).map(|i| other(&[heard(-0.5 - 0.025 * i as f32, 4.0, Fit::Other)])));
        all
    }

    #[test]
    fn the_bound_is_that_of_the_poisson_distribution() {
        for (n, hours, expected) in [
            (0, 1.0, 2.996),
            (0, 10.0, 0.2996),
            (1, 1.0, 4.744),
            (10, 1.0, 16.96),
        ] {
            let bound = most_per_hour(n, hours);
            assert!((bound - expected).abs() < 0.01, "{n} in {hours} h: {bound}");
        }
        assert_eq!(most_per_hour(0, 0.0), f64::INFINITY);
    }

    #[test]
    fn the_budget_is_kept_and_a_larger_one_never_understands_less() {
        let recordings = overlapping();
        let mut before = i64::MIN;
        for budget in [0.1, 1.0, 3.0, 5.0, 10.0, 100.0] {
            let choice = choose(&recordings, 1.0, budget, MatchOptions::default());
            let n = choice.tally.false_accepts;
            assert!(n == 0 || most_per_hour(n, 1.0) <= budget, "{budget}: {n}");
            assert!(choice.tally.worth() >= before, "{budget}");
            before = choice.tally.worth();
            assert_eq!(choice.is_proven, budget >= 3.0, "{budget}");
        }
        assert_eq!(before, 40);
    }

    #[test]
    fn every_row_of_the_trade_off_is_looser_than_the_one_before() {
        let rows = trade_off(&overlapping(), MatchOptions::default(), Axis::Heard);
        for pair in rows.windows(2) {
            let [(a, tight), (b, loose)] = pair else {
                panic!()
            };
            assert!(a > b && tight.right <= loose.right);
            assert!(tight.false_accepts <= loose.false_accepts);
        }
        assert_eq!(rows[0].1.right, 1);
        assert_eq!(rows.last().unwrap().1.right, 40);
    }

    #[test]
    fn equally_good_thresholds_stay_where_they_are() {
        let recordings = [
            command(&[heard(-0.1, 5.0, Fit::Meant)]),
            other(&[heard(-0.95, 5.0, Fit::Other)]),
        ];
        let present = MatchOptions {
            threshold: -0.3,
            margin: 1.5,
            heard_threshold: -0.5,
            heard_margin: 2.0,
        };
        let choice = choose(&recordings, 100.0, 0.1, present);
        assert!(distance(&choice.options, &present) < 1e-3, "{choice:?}");
        assert!(choice.is_proven);
        let near = [
            other(&[heard(-0.4, 5.0, Fit::Other)]),
            recordings[0].clone(),
        ];
        let choice = choose(&near, 1.0, 0.1, present);
        assert!(
            (-0.36..=-0.1).contains(&choice.options.heard_threshold),
            "{choice:?}"
        );
        assert_eq!((choice.tally.right, choice.tally.false_accepts), (1, 0));
    }

    #[test]
    fn without_commands_nothing_is_looser_than_the_defaults() {
        let present = MatchOptions {
            heard_threshold: -1.0,
            ..MatchOptions::default()
        };
        let quiet = [other(&[heard(-0.99, 5.0, Fit::Other)])];
        let choice = choose(&quiet, 1.0, 3.0, present);
        assert!(
            distance(&choice.options, &MatchOptions::default()) < 1e-3,
            "{choice:?}"
        );
        let loud = [other(&[heard(-0.3, 5.0, Fit::Other)])];
        let choice = choose(&loud, 1.0, 3.0, present);
        assert_eq!(choice.tally.false_accepts, 0, "{choice:?}");
    }

    #[test]
    fn something_wrong_costs_as_much_as_something_right_is_worth() {
        let wrong = heard(-0.6, 5.0, Fit::OtherSlots);
        let recordings = [
            command(&[heard(-0.7, 5.0, Fit::Meant)]),
            command(&[wrong]),
            command(&[wrong]),
        ];
        let choice = choose(&recordings, 1.0, 3.0, MatchOptions::default());
        assert_eq!((choice.tally.right, choice.tally.slot_errors), (0, 0));
    }

    #[test]
    fn what_is_said_word_for_word_is_unavoidable() {
        let exact = Utterance {
            exact: Some(Fit::Other),
            ..Utterance::default()
        };
        let choice = choose(&[other(&[exact])], 100.0, 0.01, MatchOptions::default());
        assert_eq!((choice.unavoidable, choice.tally.false_accepts), (1, 1));
        assert!(!choice.is_proven);
    }

    fn matcher_for(options: MatchOptions) -> Matcher {
        let commands = [
            ("0", "(make|brew) [a] latte"),
            ("1", "brew a mocha"),
            ("2", "stop"),
        ];
        Matcher::new(compiled(&spec_of(&commands)), options)
    }

    /// What the probe finds must be what the matcher decides, at any thresholds.
    #[test]
    fn the_probe_agrees_with_the_matcher() {
        let reading = |text: &str, logprob: f32| Reading {
            text: text.to_owned(),
            logprob,
            n_tokens: 4,
        };
        let readings = Readings {
            free_logprob: -2.0,
            readings: vec![reading("brew a latte", -4.0), reading("brew a mocha", -5.2)],
        };
        let probe = Probe::new(matcher_for(MatchOptions::default()).grammar());
        let mut n_accepted = 0;
        for text in [
            "true a latter",
            "brew a late",
            "stop",
            "brew latte uh",
            "hello there",
            "",
        ] {
            for readings in [None, Some(&readings)] {
                let utterance = probe.utterance(text, readings, &|_, _| Fit::Meant);
                for options in all_options().step_by(7) {
                    let decision = matcher_for(options).understand(text, readings);
                    let accepts = !matches!(decision, Match::Rejected { .. });
                    assert_eq!(
                        utterance.accepted(&options).is_some(),
                        accepts,
                        "{text} {options:?}"
                    );
                    n_accepted += usize::from(accepts);
                }
            }
        }
        assert!(n_accepted > 100, "{n_accepted}");
    }
}
