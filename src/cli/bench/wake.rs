//! `hark bench wake`: recordings of wake phrases, and of everything else, through the pipeline.

use std::path::PathBuf;

use clap::Args as ClapArgs;
use serde_json::{Map, Value, json};

use super::commands::each_heard;
use super::live::{Heard, Pace, Player};
use super::report::Report;
use crate::cli::clips::{self, Label, TableArgs};
use crate::cli::mixture::MixArgs;
use crate::cli::setup::Setup;
use crate::cli::signals::{self, OnSignal};
use crate::cli::{Failure, Globals};
use crate::command::calibrate::most_per_hour;
use crate::config;
use crate::dialogue::{ListenMode, ListenSettings, after_phrase};
use crate::dsp::SAMPLE_RATE_HZ;
use crate::event::{Event, round_to};

const EXAMPLES: &str = "\
Examples:
  hark bench wake --phrase alexa --phrase computer --labels clips/manifest.tsv clips/*
  hark --config home.toml bench wake evenings/*.flac --json";

/// Thresholds that are compared, beside the configured one.
const THRESHOLDS: [f32; 8] = [-0.5, -1.0, -2.0, -3.0, -4.0, -5.0, -6.0, -8.0];

/// Wake phrases: heard, missed, and heard where nobody said them
///
/// Each recording is heard as by `hark run` with `listen.mode = "wake"`. One whose text in the table
/// begins with a phrase should wake; every other one should not. A recording without a text, or
/// mixed from others, counts as one of the others.
#[derive(Debug, ClapArgs)]
#[command(after_help = EXAMPLES)]
pub(super) struct Args {
    /// Recordings, or folders of them
    #[arg(required = true, value_name = "PATH")]
    paths: Vec<PathBuf>,
    /// A phrase that wakes; may be repeated. Those of the configuration if none is given
    #[arg(long = "phrase", value_name = "WORDS", value_parser = phrase)]
    phrases: Vec<String>,
    #[command(flatten)]
    table: TableArgs,
    #[command(flatten)]
    mix: MixArgs,
}

fn phrase(text: &str) -> Result<String, String> {
    match config::is_wake_phrase(text) {
        true => Ok(text.to_owned()),
        false => Err(format!("write {}", config::WAKE_PHRASE)),
    }
}

/// Runs the subcommand.
pub(super) fn run(args: &Args, globals: &Globals) -> Result<(), Failure> {
    let signals = OnSignal::watch(signals::INTERRUPTED)?;
    let setup = Setup::load(globals)?;
    let listen = listening(args, &setup);
    let (phrases, threshold) = (listen.wake_phrases.clone(), listen.wake_threshold);
    let mut settings = setup.settings(None);
    settings.commands = Some(setup.commands_to(listen));
    let mut clips = args.table.clips_saying(&args.paths, &|text| {
        let said = phrases.iter().find(|p| after_phrase(text, p).is_some());
        said.map(|phrase| Label {
            intent: phrase.clone(),
            ..Label::default()
        })
    })?;
    clips::add_mixtures(&mut clips, &args.mix);
    if clips.is_empty() {
        return Err(clips::none());
    }
    let model = setup.model()?;
    let stop = signals.begin();
    let mut report = Report::default();
    report.put("bench", "wake");
    report.conditions(&model, &settings.options.decoding());
    report.put("threshold", json!(threshold));
    let player = Player {
        pace: Pace::Max,
        settings: &settings,
        model: &model,
        stop,
    };
    let mut found = Found::default();
    each_heard(&clips, None, &player, &mut |clip, n_samples, heard| {
        let said = clip.label.as_ref().map(|label| label.intent.as_str());
        found.add(&clip.file.display().to_string(), said, n_samples, heard);
    })?;
    report.put("interrupted", stop.is_requested());
    found.report(&phrases, threshold, &mut report);
    report.print(globals)?;
    match stop.is_requested() {
        true => Err(Failure::interrupted()),
        false => Ok(()),
    }
}

/// The configured way of listening, with the phrases that were asked for.
fn listening(args: &Args, setup: &Setup) -> ListenSettings {
    let configured = setup.config.dialogue.listen.clone();
    let wake_phrases = match args.phrases.is_empty() {
        true => configured.wake_phrases.clone(),
        false => args.phrases.clone(),
    };
    ListenSettings {
        mode: ListenMode::Wake,
        wake_phrases,
        ..configured
    }
}

/// What was heard in all recordings.
#[derive(Default)]
struct Found {
    recordings: Vec<Recording>,
}

/// What was heard in one.
struct Recording {
    file: String,
    /// The phrase that is said in it.
    said: Option<String>,
    duration_s: f64,
    /// The likeliest phrase of each utterance, with its score, however low.
    heard: Vec<(String, f32)>,
    text: String,
}

impl Recording {
    /// How many utterances begin with the phrase.
    fn n_heard(&self, phrase: &str, threshold: f32) -> usize {
        let heard = self.heard.iter();
        let is_it = |(other, score): &&(String, f32)| other == phrase && *score >= threshold;
        heard.filter(is_it).count()
    }
}

/// How often a phrase was missed, and heard where it was not said.
#[derive(Debug, Default, PartialEq)]
struct Count {
    said: usize,
    missed: usize,
    false_accepts: usize,
    /// Length of the recordings in which it is not said.
    others_h: f64,
}

impl Count {
    fn missed_share(&self) -> Option<f64> {
        (self.said > 0).then(|| round_to(self.missed as f64 / self.said as f64, 1e4))
    }

    fn values(&self) -> Map<String, Value> {
        let rate = |x: f64| x.is_finite().then(|| round_to(x, 100.0));
        let per_hour = rate(self.false_accepts as f64 / self.others_h);
        let bound = rate(most_per_hour(self.false_accepts, self.others_h));
        let values = json!({
            "said": self.said,
            "missed": self.missed,
            "missed_share": self.missed_share(),
            "false_accepts": self.false_accepts,
            "hours": round_to(self.others_h, 1000.0),
            "false_accepts_per_hour": per_hour,
            "false_accepts_per_hour_95": bound,
        });
        match values {
            Value::Object(values) => values,
            _ => Map::new(),
        }
    }
}

impl Found {
    fn add(&mut self, file: &str, said: Option<&str>, n_samples: usize, heard: &Heard) {
        let (mut texts, mut phrases) = (Vec::new(), Vec::new());
        for (_, event) in &heard.events {
            if let Event::Final { text, wake, .. } = event {
                texts.push(text.as_str());
                phrases.extend(wake.as_ref().map(|wake| (wake.phrase.clone(), wake.score)));
            }
        }
        self.recordings.push(Recording {
            file: file.to_owned(),
            said: said.map(str::to_owned),
            duration_s: n_samples as f64 / f64::from(SAMPLE_RATE_HZ),
            heard: phrases,
            text: texts.join(" "),
        });
    }

    fn count(&self, phrase: &str, threshold: f32) -> Count {
        let mut count = Count::default();
        for recording in &self.recordings {
            let n_heard = recording.n_heard(phrase, threshold);
            if recording.said.as_deref() == Some(phrase) {
                count.said += 1;
                count.missed += usize::from(n_heard == 0);
            } else {
                count.others_h += recording.duration_s / 3600.0;
                count.false_accepts += n_heard;
            }
        }
        count
    }

    fn report(&self, phrases: &[String], threshold: f32, report: &mut Report) {
        report.put("files", json!(self.recordings.len()));
        let row = |phrase: &String, threshold: f32| {
            let mut object = Map::new();
            object.insert("phrase".to_owned(), json!(phrase));
            let threshold = round_to(f64::from(threshold), 100.0);
            object.insert("threshold".to_owned(), json!(threshold));
            object.append(&mut self.count(phrase, threshold as f32).values());
            let shown = |name: &str| object[name].to_string();
            let line = format!(
                "{phrase} at {threshold}: missed {} of {}, heard {} times in {} other hours",
                shown("missed"),
                shown("said"),
                shown("false_accepts"),
                shown("hours"),
            );
            (line, object)
        };
        report.table(
            "phrases",
            phrases.iter().map(|p| row(p, threshold)).collect(),
        );
        let pairs = phrases
            .iter()
            .flat_map(|phrase| THRESHOLDS.map(|threshold| row(phrase, threshold)));
        report.table("thresholds", pairs.collect());
        report.table("mistakes", self.mistakes(phrases, threshold));
    }

    /// The recordings that were taken for something else at the threshold.
    fn mistakes(&self, phrases: &[String], threshold: f32) -> Vec<(String, Map<String, Value>)> {
        let is_mistaken = |recording: &&Recording| {
            (phrases.iter()).any(|phrase| {
                let is_said = recording.said.as_deref() == Some(phrase);
                (recording.n_heard(phrase, threshold) > 0) != is_said
            })
        };
        let told = |recording: &Recording| {
            let rounded = |score: f32| round_to(f64::from(score), 100.0);
            let heard = (recording.heard.iter()).map(|(p, score)| json!([p, rounded(*score)]));
            let object = json!({
                "file": recording.file,
                "said": recording.said,
                "heard": heard.collect::<Vec<_>>(),
                "text": recording.text,
            });
            let line = format!(
                "{}: {:?}, heard {}",
                recording.file, recording.text, object["heard"]
            );
            match object {
                Value::Object(object) => (line, object),
                _ => (line, Map::new()),
            }
        };
        (self.recordings.iter())
            .filter(is_mistaken)
            .map(told)
            .collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_phrase_is_missed_below_the_threshold_and_false_where_it_is_not_said() {
        let recording = |said: Option<&str>, heard: &[(&str, f32)]| Recording {
            file: String::new(),
            said: said.map(str::to_owned),
            duration_s: 1800.0,
            heard: heard.iter().map(|(p, s)| ((*p).to_owned(), *s)).collect(),
            text: String::new(),
        };
        let found = Found {
            recordings: vec![
                recording(Some("jarvis"), &[("jarvis", -2.0)]),
                recording(Some("jarvis"), &[("alexa", 0.0)]),
                recording(None, &[("jarvis", -4.0), ("jarvis", -4.5)]),
                recording(None, &[]),
            ],
        };
        let count = |missed, false_accepts| Count {
            said: 2,
            missed,
            false_accepts,
            others_h: 1.0,
        };
        assert_eq!(found.count("jarvis", -1.0), count(2, 0));
        assert_eq!(found.count("jarvis", -2.0), count(1, 0));
        assert_eq!(found.count("jarvis", -5.0), count(1, 2));
        let phrases = ["jarvis".to_owned(), "alexa".to_owned()];
        assert_eq!(found.mistakes(&phrases, -3.0).len(), 1);
        assert_eq!(found.mistakes(&phrases[..1], -5.0).len(), 2);
    }
}
