//! `hark bench commands`: recordings of spoken commands, and of everything else, through the
//! pipeline with the configured commands.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use clap::Args as ClapArgs;
use serde_json::{Map, Value, json};

use super::live::{Heard, Pace, Player};
use super::report::{Report, spread_of};
use crate::cli::clips::{self, Clip, Label, LabelArgs, Noise, NoiseArgs};
use crate::cli::mixture::MixArgs;
use crate::cli::progress;
use crate::cli::setup::Setup;
use crate::cli::signals::{self, OnSignal};
use crate::cli::{Failure, Globals};
use crate::command::calibrate::{Fit, Tally, most_per_hour};
use crate::dsp::SAMPLE_RATE_HZ;
use crate::event::{Event, round_to};
use crate::pipeline::{Commands, Settings};

const EXAMPLES: &str = "\
Examples:
  hark --config examples/coffee.toml bench commands --labels clips/manifest.tsv clips/command
  hark --config home.toml bench commands evenings/*.flac --json
  hark --config examples/coffee.toml bench commands --labels clips/manifest.tsv clips/command \\
      --noise kitchen.flac --snr 24,18,12,6
  hark --config examples/home.toml bench commands --labels clips/manifest.tsv --references \\
      --where lang=en clips/command";

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
    #[command(flatten)]
    labels: LabelArgs,
    #[command(flatten)]
    noise: NoiseArgs,
    #[command(flatten)]
    mix: MixArgs,
    /// How fast they are played
    #[arg(long, value_enum, default_value = "max")]
    pace: Pace,
}

/// Runs the subcommand.
pub(super) fn run(args: &Args, globals: &Globals) -> Result<(), Failure> {
    let signals = OnSignal::watch(signals::INTERRUPTED)?;
    let setup = Setup::load(globals)?;
    let settings = setup.settings(None);
    let commands = commands_of(&settings)?;
    let mut clips = args.labels.clips(&args.paths, &commands.matcher)?;
    clips::add_mixtures(&mut clips, &args.mix);
    if clips.is_empty() {
        return Err(clips::none());
    }
    let noise = args.noise.read()?;
    let model = setup.model()?;
    let stop = signals.begin();
    let mut report = Report::default();
    report.put("bench", "commands");
    report.conditions(&model, &settings.options.decoding());
    report.put("pace", args.pace.name());
    report.put("runs", json!(1));
    let player = Player {
        pace: args.pace,
        settings: &settings,
        model: &model,
        stop,
    };
    let mut all = Sums::default();
    let (mut rows, mut misses) = (Vec::new(), Vec::new());
    for snr_db in conditions(noise.as_ref()) {
        let mut sums = Sums::default();
        sums.play(&clips, noise.as_ref().zip(snr_db), &player, &mut misses)?;
        all.add_all(&sums);
        rows.push(sums.row(snr_db));
        if stop.is_requested() {
            break;
        }
    }
    report.put("interrupted", stop.is_requested());
    all.report(&mut report);
    report.table("conditions", rows);
    report.table("misses", misses);
    report.print(globals)?;
    match stop.is_requested() {
        true => Err(Failure::interrupted()),
        false => Ok(()),
    }
}

/// The commands that are listened for.
pub(crate) fn commands_of(settings: &Settings) -> Result<&Commands, Failure> {
    settings.commands.as_ref().ok_or_else(|| {
        let message = "the configuration has no commands: name one with --config, such as \
                       examples/coffee.toml";
        Failure::new(crate::error::Kind::Usage, message)
    })
}

/// How much louder than the noise the recordings are; once without any.
pub(crate) fn conditions(noise: Option<&Noise>) -> Vec<Option<f64>> {
    noise.map_or(vec![None], |noise| {
        noise.snr_db().iter().copied().map(Some).collect()
    })
}

/// Plays all `clips`, with noise if there is any, until a stop is requested; `take` gets each with the
/// number of its samples and what came out of it.
pub(crate) fn each_heard(
    clips: &[Clip],
    noise: Option<(&Noise, f64)>,
    player: &Player<'_>,
    take: &mut dyn FnMut(&Clip, usize, &Heard),
) -> Result<(), Failure> {
    let condition = noise.map_or("as recorded".to_owned(), |(_, db)| format!("{db} dB"));
    let bar = progress::count(clips.len(), &condition);
    for (i, clip) in clips.iter().enumerate() {
        let mut samples = clip.samples()?;
        if let Some((noise, snr_db)) = noise {
            noise.add_to(&mut samples, snr_db, i);
        }
        let heard = player.play(&samples)?;
        if player.stop.is_requested() {
            break;
        }
        take(clip, samples.len(), &heard);
        bar.inc(1);
    }
    bar.finish_and_clear();
    Ok(())
}

/// What was understood under one condition.
#[derive(Clone, Default)]
struct Sums {
    tally: Tally,
    files: usize,
    /// Recordings without a command.
    others: usize,
    others_s: f64,
    /// Utterances in them.
    other_utterances: usize,
    delays_ms: Vec<f64>,
}

/// What came of a recording.
#[derive(Default)]
struct Understood<'h> {
    commands: Vec<Command<'h>>,
    texts: Vec<&'h str>,
    rejected: Option<String>,
    /// From the end of speech to the command, in milliseconds.
    delays_ms: Vec<f64>,
}

/// A command that was understood, with its slots.
struct Command<'h> {
    name: &'h str,
    slots: &'h BTreeMap<String, String>,
    score: f32,
    margin: Option<f32>,
}

impl<'h> Understood<'h> {
    fn of(heard: &'h Heard) -> Self {
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
                    understood.delays_ms.push((at_s - t.0) * 1e3);
                    understood.commands.push(Command {
                        name,
                        slots,
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
                "slots": clips::given(command.slots),
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
    /// Plays all `clips`, with noise if there is any, until a stop is requested; those that were not
    /// understood as they should be go to `misses`.
    fn play(
        &mut self,
        clips: &[Clip],
        noise: Option<(&Noise, f64)>,
        player: &Player<'_>,
        misses: &mut Vec<(String, Map<String, Value>)>,
    ) -> Result<(), Failure> {
        each_heard(clips, noise, player, &mut |clip, n_samples, heard| {
            let understood = Understood::of(heard);
            if !self.add(clip.label.as_ref(), n_samples, &understood) {
                misses.push(understood.told(&clip.file));
            }
        })
    }

    /// Counts a recording of `n_samples`; whether it was understood as it should be.
    fn add(
        &mut self,
        label: Option<&Label>,
        n_samples: usize,
        understood: &Understood<'_>,
    ) -> bool {
        self.files += 1;
        self.delays_ms.extend(&understood.delays_ms);
        let commands = &understood.commands;
        let Some(label) = label else {
            self.others += 1;
            self.others_s += n_samples as f64 / f64::from(SAMPLE_RATE_HZ);
            self.other_utterances += understood.texts.len();
            self.tally.false_accepts += commands.len();
            return commands.is_empty();
        };
        let fits = commands.iter().map(|c| label.fit(c.name, c.slots));
        let fits: Vec<Fit> = fits.collect();
        self.tally.add_command(&fits);
        fits == [Fit::Meant]
    }

    fn add_all(&mut self, other: &Sums) {
        self.tally.add(&other.tally);
        self.files += other.files;
        self.others += other.others;
        self.others_s += other.others_s;
        self.other_utterances += other.other_utterances;
        self.delays_ms.extend(&other.delays_ms);
    }

    /// Every figure but the delay, in the order in which it is printed.
    fn figures(&self) -> Vec<(&'static str, Value)> {
        let tally = &self.tally;
        let hours = self.others_s / 3600.0;
        let rounded = |x: f64, scale: f64| x.is_finite().then(|| round_to(x, scale));
        let n = tally.false_accepts;
        vec![
            ("files", json!(self.files)),
            ("labelled", json!(tally.commands)),
            (
                "acceptance",
                json!(tally.acceptance().map(|share| round_to(share, 10_000.0))),
            ),
            ("slot_errors", json!(tally.slot_errors)),
            ("wrong_commands", json!(tally.wrong)),
            ("rejected", json!(tally.refused())),
            ("others", json!(self.others)),
            ("other_utterances", json!(self.other_utterances)),
            ("hours", json!(round_to(hours, 1000.0))),
            ("false_accepts", json!(n)),
            (
                "false_accepts_per_hour",
                json!(rounded(n as f64 / hours, 100.0)),
            ),
            // What so little listening cannot exclude.
            (
                "false_accepts_per_hour_95",
                json!(rounded(most_per_hour(n, hours), 100.0)),
            ),
        ]
    }

    fn report(&mut self, report: &mut Report) {
        for (name, value) in self.figures() {
            report.put(name, value);
        }
        report.spread("delay_ms", &mut self.delays_ms);
    }

    fn row(&mut self, snr_db: Option<f64>) -> (String, Map<String, Value>) {
        let mut values = vec![("snr_db", json!(snr_db))];
        values.extend(self.figures());
        let delay = spread_of(&mut self.delays_ms);
        values.push(("delay_ms", delay));
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
    fn what_is_understood_is_counted_once() {
        let label = Label {
            intent: "order".to_owned(),
            slots: BTreeMap::from([("drink".to_owned(), "tea".to_owned())]),
        };
        let meant = label.slots.clone();
        let none = BTreeMap::new();
        let understood = |commands: &[(&'static str, &'static str)]| {
            let command = |(name, drink): &(&'static str, &'static str)| Command {
                name,
                slots: match *drink {
                    "tea" => &meant,
                    _ => &none,
                },
                score: 0.0,
                margin: None,
            };
            Understood {
                commands: commands.iter().map(command).collect(),
                texts: vec![""],
                delays_ms: vec![700.0],
                ..Understood::default()
            }
        };
        let mut sums = Sums::default();
        assert!(sums.add(Some(&label), 1, &understood(&[("order", "tea")])));
        assert!(!sums.add(Some(&label), 1, &understood(&[("order", "")])));
        assert!(!sums.add(
            Some(&label),
            1,
            &understood(&[("order", "tea"), ("stop", "")])
        ));
        assert!(!sums.add(Some(&label), 1, &understood(&[("stop", "")])));
        assert!(!sums.add(Some(&label), 1, &understood(&[])));
        assert!(!sums.add(None, 36_000 * 1600, &understood(&[("stop", "")])));
        assert!(sums.add(None, 0, &understood(&[])));
        let mut twice = sums.clone();
        twice.add_all(&sums);
        let figures: BTreeMap<_, _> = twice.figures().into_iter().collect();
        for (name, expected) in [
            ("files", json!(14)),
            ("labelled", json!(10)),
            ("acceptance", json!(0.2)),
            ("slot_errors", json!(4)),
            ("wrong_commands", json!(2)),
            ("rejected", json!(2)),
            ("hours", json!(2.0)),
            ("false_accepts", json!(2)),
            ("false_accepts_per_hour", json!(1.0)),
            ("false_accepts_per_hour_95", json!(3.15)),
        ] {
            assert_eq!(figures[name], expected, "{name}");
        }
        let (line, object) = sums.row(Some(6.0));
        assert!(line.starts_with("snr_db 6.0  files 7"), "{line}");
        assert_eq!(object["delay_ms"]["median"], json!(700.0));
        let (line, object) = Sums::default().row(None);
        assert!(!line.contains("per_hour"), "{line}");
        assert!(object["acceptance"].is_null());
    }
}
