//! `hark bench commands`: recordings of spoken commands, and of everything else, through the
//! pipeline with the configured commands.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use clap::Args as ClapArgs;
use serde::Deserialize;
use serde_json::{Map, Value, json};

use super::live::{self, Heard, Pace};
use super::manifest::Manifest;
use super::report::Report;
use crate::audio;
use crate::cli::progress;
use crate::cli::setup::Setup;
use crate::cli::{Failure, Globals};
use crate::dsp::SAMPLE_RATE_HZ;
use crate::error::Kind;
use crate::event::{Event, round_to};

const EXAMPLES: &str = "\
Examples:
  hark --config examples/coffee.toml bench commands --labels clips/manifest.tsv clips/command
  hark --config home.toml bench commands evenings/*.flac --json
  hark --config examples/coffee.toml bench commands --labels clips/manifest.tsv clips/command \\
      --noise kitchen.flac --snr 24,18,12,6";

/// Spoken commands: understood, misunderstood, and heard where there were none
///
/// Each recording is heard as by `hark run`, with the commands of the configuration; nothing is
/// carried out. A recording with a label {"intent": "...", "slots": {...}} should be understood as
/// that command, with these slots and no others; one without should be understood as none.
#[derive(Debug, ClapArgs)]
#[command(after_help = EXAMPLES)]
pub(super) struct Args {
    /// Recordings, or folders of them
    #[arg(required = true, value_name = "PATH")]
    paths: Vec<PathBuf>,
    /// Table with columns `file` (relative to it) and `labels`, separated by tabs
    #[arg(long, value_name = "FILE")]
    labels: Option<PathBuf>,
    /// Recording that is added to every other one
    #[arg(long, value_name = "FILE", requires = "snr")]
    noise: Option<PathBuf>,
    /// How much louder than it the recordings are, in decibels; one run for each
    #[arg(
        long,
        value_name = "DB",
        value_parser = decibels,
        value_delimiter = ',',
        allow_hyphen_values = true,
        requires = "noise"
    )]
    snr: Vec<f64>,
    /// How fast they are played
    #[arg(long, value_enum, default_value = "max")]
    pace: Pace,
}

/// What a label says; others, of readings that were joined for instance, name no command.
#[derive(Debug, Deserialize)]
struct Label {
    intent: String,
    #[serde(default)]
    slots: BTreeMap<String, String>,
}

/// A recording and the command that is meant in it.
struct Clip {
    file: PathBuf,
    label: Option<Label>,
}

/// Runs the subcommand.
pub(super) fn run(args: &Args, globals: &Globals) -> Result<(), Failure> {
    let setup = Setup::load(globals)?;
    let settings = setup.settings(None);
    if settings.commands.is_none() {
        let message = "the configuration has no commands: name one with --config, such as \
                       examples/coffee.toml";
        return Err(Failure::new(Kind::Usage, message));
    }
    let manifest = args.labels.as_deref().map(Manifest::read).transpose()?;
    let clips = clips(&args.paths, manifest.as_ref())?;
    if clips.is_empty() {
        let message =
            "no recordings there: name files, or folders with .flac, .wav, .mp3, .ogg or .m4a";
        return Err(Failure::new(Kind::Input, message));
    }
    let noise = args.noise.as_deref().map(audio::decode_file).transpose()?;
    let model = setup.model()?;
    let mut report = Report::default();
    report.put("bench", "commands");
    report.conditions(&model, &settings.options.decoding());
    report.put("pace", args.pace.name());
    let conditions: Vec<Option<f64>> = match args.snr.is_empty() {
        true => vec![None],
        false => args.snr.iter().copied().map(Some).collect(),
    };
    let (mut rows, mut misses, mut delays) = (Vec::new(), Vec::new(), Vec::new());
    for snr_db in conditions {
        let mut sums = Sums::default();
        let name = snr_db.map_or("as recorded".to_owned(), |db| format!("{db} dB"));
        let bar = progress::count(clips.len(), &name);
        for (i, clip) in clips.iter().enumerate() {
            let mut samples = audio::decode_file(&clip.file)?;
            if let (Some(noise), Some(snr_db)) = (&noise, snr_db) {
                add_noise(&mut samples, noise, snr_db, i);
            }
            let heard = live::listen(args.pace, &samples, &settings, &model)?;
            let understood = Understood::of(&heard, &mut delays);
            if !sums.add(clip.label.as_ref(), samples.len(), &understood) {
                misses.push(understood.told(&clip.file));
            }
            bar.inc(1);
        }
        bar.finish_and_clear();
        rows.push(sums.row(snr_db));
    }
    report.spread("delay_ms", &mut delays);
    report.table("conditions", rows);
    report.table("misses", misses);
    report.print(globals)
}

fn decibels(text: &str) -> Result<f64, String> {
    let number = text.parse().ok().filter(|db| (-60.0..=120.0).contains(db));
    number.ok_or_else(|| "decibels are a number from -60 to 120".to_owned())
}

/// The recordings at `paths`, those in folders by name.
fn clips(paths: &[PathBuf], manifest: Option<&Manifest>) -> Result<Vec<Clip>, Failure> {
    let mut files = Vec::new();
    for path in paths {
        if !path.is_dir() {
            files.push(path.clone());
            continue;
        }
        let unreadable = |error| {
            let message = format!("cannot read {}: {error}", path.display());
            Failure::new(Kind::Input, message)
        };
        let mut inside = Vec::new();
        for entry in std::fs::read_dir(path).map_err(unreadable)? {
            let file = entry.map_err(unreadable)?.path();
            let extension = file
                .extension()
                .and_then(|e| e.to_str())
                .unwrap_or_default();
            if ["flac", "wav", "mp3", "ogg", "m4a"].contains(&extension) {
                inside.push(file);
            }
        }
        inside.sort();
        files.append(&mut inside);
    }
    let clip = |file: PathBuf| {
        let text = manifest.and_then(|manifest| manifest.labels(&file));
        // Other labels tell of other things.
        let label = text
            .filter(|text| text.starts_with('{'))
            .map(serde_json::from_str);
        let label = label.transpose().map_err(|error| {
            let message = format!("the label of {} is unusable: {error}", file.display());
            Failure::new(Kind::Input, message)
        })?;
        Ok(Clip { file, label })
    };
    files.into_iter().map(clip).collect()
}

/// Adds `noise`, from another place for each recording, `snr_db` quieter than it.
fn add_noise(samples: &mut [f32], noise: &[f32], snr_db: f64, index: usize) {
    let power = |samples: &[f32]| {
        let sum: f64 = samples.iter().map(|x| f64::from(*x).powi(2)).sum();
        sum / samples.len().max(1) as f64
    };
    let from = (index * 7 * SAMPLE_RATE_HZ as usize) % noise.len().max(1);
    let part: Vec<f32> = (noise.iter().cycle().skip(from).take(samples.len()).copied()).collect();
    let gain = (power(samples) / power(&part).max(1e-12) / 10f64.powf(snr_db / 10.0)).sqrt();
    for (x, n) in samples.iter_mut().zip(part) {
        *x += n * gain as f32;
    }
}

/// What was understood under one condition.
#[derive(Default)]
struct Sums {
    labelled: usize,
    right: usize,
    /// The right command with other slots.
    wrong_slots: usize,
    wrong_command: usize,
    /// Recordings without a command, and the commands heard in them.
    others: usize,
    others_s: f64,
    false_accepts: usize,
    utterances: usize,
}

/// What came of a recording.
#[derive(Default)]
struct Understood<'h> {
    commands: Vec<Command<'h>>,
    texts: Vec<&'h str>,
    rejected: Option<String>,
}

/// A command that was understood, with its slots.
struct Command<'h> {
    name: &'h str,
    slots: BTreeMap<&'h str, &'h str>,
    score: f32,
    margin: Option<f32>,
}

/// Slots that have a value; spaces around it do not count.
fn given(slots: &BTreeMap<String, String>) -> BTreeMap<&str, &str> {
    let said = slots
        .iter()
        .map(|(slot, value)| (slot.as_str(), value.trim()));
    said.filter(|(_, value)| !value.is_empty()).collect()
}

impl<'h> Understood<'h> {
    /// Delays from the end of speech to the command go to `delays`, in milliseconds.
    fn of(heard: &'h Heard, delays: &mut Vec<f64>) -> Self {
        let mut understood = Understood::default();
        for (at_s, event) in &heard.events {
            match event {
                Event::Final { text, .. } => understood.texts.push(text),
                Event::Command {
                    name,
                    slots,
                    t,
                    score,
                    margin,
                    ..
                } => {
                    delays.push((at_s - t.0) * 1e3);
                    understood.commands.push(Command {
                        name,
                        slots: given(slots),
                        score: *score,
                        margin: *margin,
                    });
                }
                Event::Rejected {
                    best,
                    score,
                    reason,
                    ..
                } => {
                    let nearest = best.as_deref().unwrap_or("none");
                    let score = score.map_or(String::new(), |score| format!(" {score:.2}"));
                    understood.rejected = Some(format!("{reason}, nearest {nearest}{score}"));
                }
                _ => {}
            }
        }
        understood
    }

    /// As a line for people, and as an object.
    fn told(&self, file: &Path) -> (String, Map<String, Value>) {
        let rounded = |x: f32| round_to(f64::from(x), 100.0);
        let command = |command: &Command<'_>| {
            json!({
                "command": command.name,
                "slots": command.slots,
                "score": rounded(command.score),
                "margin": command.margin.map(rounded),
            })
        };
        let commands: Vec<Value> = self.commands.iter().map(command).collect();
        let (file, text) = (file.display().to_string(), self.texts.join(" "));
        let what = match (&self.rejected, commands.is_empty()) {
            (Some(rejected), true) => format!("rejected: {rejected}"),
            _ => format!("understood as {}", Value::Array(commands.clone())),
        };
        let line = format!("{file}: {text:?} {what}");
        let mut object = Map::new();
        object.insert("file".to_owned(), json!(file));
        object.insert("text".to_owned(), json!(text));
        object.insert("understood".to_owned(), json!(commands));
        object.insert("rejected".to_owned(), json!(self.rejected));
        (line, object)
    }
}

impl Sums {
    /// Counts a recording of `n_samples`; whether it was understood as it should be.
    fn add(
        &mut self,
        label: Option<&Label>,
        n_samples: usize,
        understood: &Understood<'_>,
    ) -> bool {
        self.utterances += understood.texts.len();
        let commands = &understood.commands;
        let Some(label) = label else {
            self.others += 1;
            self.others_s += n_samples as f64 / f64::from(SAMPLE_RATE_HZ);
            self.false_accepts += commands.len();
            return commands.is_empty();
        };
        self.labelled += 1;
        let is_meant = |command: &Command<'_>| {
            command.name == label.intent && command.slots == given(&label.slots)
        };
        if commands.len() == 1 && commands.iter().all(is_meant) {
            self.right += 1;
            return true;
        }
        if commands.iter().any(|command| command.name == label.intent) {
            self.wrong_slots += 1;
        } else if !commands.is_empty() {
            self.wrong_command += 1;
        }
        false
    }

    fn row(&self, snr_db: Option<f64>) -> (String, Map<String, Value>) {
        let hours = self.others_s / 3600.0;
        let share = |n: usize| {
            let share = n as f64 / self.labelled.max(1) as f64;
            json!((self.labelled > 0).then(|| round_to(share, 10_000.0)))
        };
        let missed = self.labelled - self.right - self.wrong_slots - self.wrong_command;
        let values = [
            ("snr_db", json!(snr_db)),
            ("labelled", json!(self.labelled)),
            ("right", share(self.right)),
            ("wrong_slots", json!(self.wrong_slots)),
            ("wrong_command", json!(self.wrong_command)),
            ("missed", json!(missed)),
            ("others", json!(self.others)),
            ("others_hours", json!(round_to(hours, 1000.0))),
            ("false_accepts", json!(self.false_accepts)),
            (
                "false_accepts_per_hour",
                json!((hours > 0.0).then(|| round_to(self.false_accepts as f64 / hours, 100.0))),
            ),
            ("utterances", json!(self.utterances)),
        ];
        let line: Vec<String> = (values.iter())
            .filter(|(_, value)| !value.is_null())
            .map(|(name, value)| format!("{name} {value}"))
            .collect();
        let values = values
            .into_iter()
            .map(|(name, value)| (name.to_owned(), value));
        (line.join("  "), values.collect())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn noise_lies_as_far_below_as_asked() {
        let mut samples = vec![0.0; 16_000];
        samples[8_000..].fill(0.5);
        let clean = samples.clone();
        add_noise(&mut samples, &[0.1, -0.1, 0.1], 20.0, 3);
        let power = |x: &[f32]| x.iter().map(|x| f64::from(*x).powi(2)).sum::<f64>();
        let added: Vec<f32> = samples.iter().zip(&clean).map(|(a, b)| a - b).collect();
        let snr_db = 10.0 * (power(&clean) / power(&added)).log10();
        assert!((snr_db - 20.0).abs() < 0.1, "{snr_db}");
    }

    #[test]
    fn slots_must_be_the_meant_ones_and_no_others() {
        let label: Label =
            serde_json::from_str(r#"{"intent": "order", "slots": {"drink": " tea", "milk": ""}}"#)
                .expect("a label");
        let understood = |name: &'static str, slots: &[(&'static str, &'static str)]| {
            let command = Command {
                name,
                slots: slots.iter().copied().collect(),
                score: 0.0,
                margin: None,
            };
            Understood {
                commands: vec![command],
                ..Understood::default()
            }
        };
        let mut sums = Sums::default();
        assert!(sums.add(Some(&label), 1, &understood("order", &[("drink", "tea")])));
        assert!(!sums.add(
            Some(&label),
            1,
            &understood("order", &[("drink", "coffee")])
        ));
        let more = [("drink", "tea"), ("size", "small")];
        assert!(!sums.add(Some(&label), 1, &understood("order", &more)));
        assert!(!sums.add(Some(&label), 1, &understood("stop", &[])));
        assert!(!sums.add(Some(&label), 1, &Understood::default()));
        assert!(!sums.add(None, 1, &understood("stop", &[])));
        assert!(sums.add(None, 1, &Understood::default()));
        assert_eq!(
            (
                sums.labelled,
                sums.right,
                sums.wrong_slots,
                sums.wrong_command
            ),
            (5, 1, 2, 1)
        );
        assert_eq!((sums.others, sums.false_accepts), (2, 1));
    }
}
