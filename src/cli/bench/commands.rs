//! `hark bench commands`: recordings of spoken commands, and of everything else, through the
//! pipeline with the configured commands.

use std::collections::BTreeMap;
use std::path::PathBuf;

use clap::Args as ClapArgs;
use serde::Deserialize;
use serde_json::{Map, Value, json};

use super::live::{self, Heard, Pace};
use super::machine;
use super::manifest::Manifest;
use super::report::Report;
use crate::audio;
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
    let noise = args.noise.as_deref().map(audio::decode_file).transpose()?;
    let model = setup.model()?;
    let mut report = Report::default();
    report.put("bench", "commands");
    report.put("machine", machine::name());
    report.put("threads", json!(model.exec().n_threads()));
    report.put("simd", model.exec().cpu().name());
    report.put("model", model.name());
    report.put("compute", model.compute().name());
    report.put("decoding", settings.options.decoding());
    report.put("pace", args.pace.name());
    let conditions: Vec<Option<f64>> = match args.snr.is_empty() {
        true => vec![None],
        false => args.snr.iter().copied().map(Some).collect(),
    };
    let (mut rows, mut misses, mut delays) = (Vec::new(), Vec::new(), Vec::new());
    for snr_db in conditions {
        let mut sums = Sums::default();
        for (i, clip) in clips.iter().enumerate() {
            let mut samples = audio::decode_file(&clip.file)?;
            if let (Some(noise), Some(snr_db)) = (&noise, snr_db) {
                add_noise(&mut samples, noise, snr_db, i);
            }
            let heard = live::listen(args.pace, &samples, &settings, &model)?;
            if let Some(miss) = sums.add(clip, &samples, &heard, &mut delays) {
                misses.push(miss);
            }
        }
        rows.push(sums.row(snr_db));
    }
    report.spread("delay_ms", &mut delays);
    report.table("conditions", rows);
    report.table("misses", misses);
    report.print(globals)
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
        let labels = manifest.and_then(|manifest| manifest.labels(&file));
        Clip {
            label: labels.and_then(|labels| serde_json::from_str(labels).ok()),
            file,
        }
    };
    Ok(files.into_iter().map(clip).collect())
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

impl Sums {
    /// Counts a recording; what went wrong with it, if anything did. Delays from the end of speech
    /// go to `delays`, in milliseconds.
    fn add(
        &mut self,
        clip: &Clip,
        samples: &[f32],
        heard: &Heard,
        delays: &mut Vec<f64>,
    ) -> Option<(String, Map<String, Value>)> {
        let mut understood: Vec<(&str, &BTreeMap<String, String>)> = Vec::new();
        let (mut texts, mut scores) = (Vec::new(), Vec::new());
        let mut reason = None;
        for (at_s, event) in &heard.events {
            match event {
                Event::Final { text, .. } => {
                    self.utterances += 1;
                    texts.push(text.as_str());
                }
                Event::Command {
                    name,
                    slots,
                    t,
                    score,
                    margin,
                    ..
                } => {
                    understood.push((name, slots));
                    scores.push((*score, *margin));
                    delays.push((at_s - t.0) * 1e3);
                }
                Event::Rejected {
                    best,
                    score,
                    reason: why,
                    ..
                } => {
                    reason = Some(format!("{why} {best:?} {score:?}"));
                }
                _ => {}
            }
        }
        let given = |slots: &BTreeMap<String, String>| -> BTreeMap<String, String> {
            let said = slots.iter().filter(|(_, value)| !value.trim().is_empty());
            said.map(|(slot, value)| (slot.clone(), value.trim().to_owned()))
                .collect()
        };
        let is_right = match &clip.label {
            None => {
                self.others += 1;
                self.others_s += samples.len() as f64 / f64::from(SAMPLE_RATE_HZ);
                self.false_accepts += understood.len();
                understood.is_empty()
            }
            Some(label) => {
                self.labelled += 1;
                let same_name = |(name, _): &&(&str, _)| *name == label.intent;
                let is_meant = |(name, slots): &(&str, &BTreeMap<String, String>)| {
                    *name == label.intent && given(slots) == given(&label.slots)
                };
                let is_right = understood.len() == 1 && understood.iter().all(is_meant);
                match (
                    is_right,
                    understood.iter().find(same_name),
                    understood.is_empty(),
                ) {
                    (true, ..) => self.right += 1,
                    (false, Some(_), _) => self.wrong_slots += 1,
                    (false, None, false) => self.wrong_command += 1,
                    (false, None, true) => {}
                }
                is_right
            }
        };
        if is_right {
            return None;
        }
        let file = clip.file.display().to_string();
        let understood: Vec<Value> = understood
            .iter()
            .zip(&scores)
            .map(|((name, slots), (score, margin))| {
                let score = round_to(f64::from(*score), 100.0);
                json!({"command": name, "slots": slots, "score": score, "margin": margin})
            })
            .collect();
        let mut object = Map::new();
        let text = texts.join(" ");
        let line = format!(
            "{file}: {text:?} understood as {}{}",
            Value::Array(understood.clone()),
            reason
                .as_ref()
                .map_or(String::new(), |reason| format!(", rejected: {reason}"))
        );
        object.insert("file".to_owned(), json!(file));
        object.insert("text".to_owned(), json!(text));
        object.insert("understood".to_owned(), json!(understood));
        object.insert("rejected".to_owned(), json!(reason));
        Some((line, object))
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
}
