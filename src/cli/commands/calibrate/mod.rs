//! `hark commands calibrate`: how sure a command must be, from recordings.

use std::path::PathBuf;

use clap::Args as ClapArgs;
use serde_json::{Value, json};

use crate::cli::bench::commands::{commands_of, conditions, each_heard};
use crate::cli::bench::live::{Heard, Pace, Player};
use crate::cli::clips::{self, Clip, Label, LabelArgs, Noise, NoiseArgs};
use crate::cli::mixture::MixArgs;
use crate::cli::output::Out;
use crate::cli::setup::Setup;
use crate::cli::signals::{self, OnSignal};
use crate::cli::{Failure, Globals};
use crate::command::MatchOptions;
use crate::command::calibrate::{self, Axis, Choice, Fit, Probe, Recording, Tally, most_per_hour};
use crate::dsp::SAMPLE_RATE_HZ;
use crate::event::{Event, round_to};
use crate::pipeline::INTERRUPTED;

mod chart;
mod told;

const EXAMPLES: &str = "\
Examples:
  hark commands calibrate --negatives evenings/ radio/*.flac
  hark --config examples/coffee.toml commands calibrate --negatives clips/dictation \\
      --positives clips/command --labels clips/manifest.tsv --speakers odd --svg trade-off.svg";

/// Set the thresholds from recordings
///
/// Recordings in which nobody means a command, and if possible some of commands, are heard as by
/// `hark run`; nothing is carried out. Printed are the thresholds with which most commands are
/// understood while false accepts stay within the budget, what each threshold costs, and how much the
/// recordings prove. Ctrl-C ends the listening, and what was heard counts.
#[derive(Debug, ClapArgs)]
#[command(after_help = EXAMPLES)]
pub(super) struct Args {
    /// Recordings, or folders of them, in which no command is meant
    #[arg(long, required = true, num_args = 1.., value_name = "PATH")]
    negatives: Vec<PathBuf>,
    /// Recordings, or folders of them, of commands; what is meant stands in the table of --labels
    #[arg(long, num_args = 1.., value_name = "PATH", requires = "labels")]
    positives: Vec<PathBuf>,
    #[command(flatten)]
    labels: LabelArgs,
    #[command(flatten)]
    noise: NoiseArgs,
    #[command(flatten)]
    mix: MixArgs,
    /// False accepts that are put up with
    #[arg(long, value_name = "N/HOURS", default_value = "1/10h", value_parser = budget)]
    budget: f64,
    /// Draws what each threshold costs
    #[arg(long, value_name = "FILE")]
    svg: Option<PathBuf>,
}

/// False accepts an hour: `1/10h`, `0.5/h`.
fn budget(text: &str) -> Result<f64, String> {
    let complaint = || "write how many in how many hours: 1/10h".to_owned();
    let (n, hours) = text.split_once('/').ok_or_else(complaint)?;
    let hours = hours.trim().strip_suffix('h').ok_or_else(complaint)?;
    let hours = if hours.trim().is_empty() { "1" } else { hours };
    let number = |text: &str| text.trim().parse::<f64>().ok();
    let both = number(n).zip(number(hours));
    let rate = both.map(|(n, hours)| n / hours);
    rate.filter(|rate| rate.is_finite() && *rate > 0.0)
        .ok_or_else(complaint)
}

/// What was heard.
#[derive(Default)]
struct Collected {
    recordings: Vec<Recording>,
    /// Hours in which no command is meant.
    hours: f64,
    /// Utterances in them.
    n_utterances: usize,
}

/// Everything that is printed.
struct Findings {
    collected: Collected,
    budget: f64,
    present: MatchOptions,
    /// What the thresholds of now give.
    before: Tally,
    choice: Choice,
    heard: Vec<(f32, Tally)>,
    text: Vec<(f32, Tally)>,
    was_interrupted: bool,
}

pub(super) fn run(args: &Args, globals: &Globals) -> Result<(), Failure> {
    let signals = OnSignal::watch(signals::INTERRUPTED)?;
    let setup = Setup::load(globals)?;
    let settings = setup.settings(None);
    let commands = commands_of(&settings)?;
    let positives = args.labels.clips(&args.positives, &commands.matcher)?;
    let positives: Vec<Clip> = positives
        .into_iter()
        .filter(|clip| clip.label.is_some())
        .collect();
    if positives.is_empty() && !args.positives.is_empty() {
        return Err(unlabelled());
    }
    let mut negatives = args.labels.without_commands(&args.negatives)?;
    if negatives.is_empty() {
        return Err(clips::none());
    }
    clips::add_mixtures(&mut negatives, &args.mix);
    let noise = args.noise.read()?;
    let model = setup.model()?;
    let stop = signals.begin();
    let player = Player {
        pace: Pace::Max,
        settings: &settings,
        model: &model,
        stop,
    };
    let probe = Probe::new(commands.matcher.grammar());
    let mut collected = Collected::default();
    for snr_db in conditions(noise.as_ref()) {
        let noise = noise.as_ref().zip(snr_db);
        collected.listen(&positives, noise, &player, &probe)?;
    }
    collected.listen(&negatives, None, &player, &probe)?;
    let present = setup.config.commands.matching;
    let mut findings = findings(collected, args.budget, present);
    findings.was_interrupted = stop.is_requested();
    deliver(&findings, args, globals)
}

fn unlabelled() -> Failure {
    let message = "none of the --positives has a label of a command: the table of --labels needs \
                   {\"intent\": \"...\", \"slots\": {...}} in column labels, or --references";
    Failure::new(crate::error::Kind::Input, message)
}

fn findings(collected: Collected, budget: f64, present: MatchOptions) -> Findings {
    let recordings = &collected.recordings;
    let choice = calibrate::choose(recordings, collected.hours, budget, present);
    Findings {
        budget,
        present,
        before: Tally::of(recordings, &present),
        heard: calibrate::trade_off(recordings, choice.options, Axis::Heard),
        text: calibrate::trade_off(recordings, choice.options, Axis::Text),
        choice,
        collected,
        was_interrupted: false,
    }
}

fn deliver(findings: &Findings, args: &Args, globals: &Globals) -> Result<(), Failure> {
    if let Some(path) = &args.svg {
        let mut file = Out::file(path)?;
        file.write(&chart::svg(findings))?;
        file.deliver()?;
    }
    let mut out = Out::stdout();
    out.line(&match globals.json {
        true => as_object(findings).to_string(),
        false => told::text(findings),
    })?;
    match findings.was_interrupted {
        true => Err(Failure::interrupted()),
        false => Ok(()),
    }
}

impl Collected {
    /// Hears all `clips`, with noise if there is any, until a stop is requested.
    fn listen(
        &mut self,
        clips: &[Clip],
        noise: Option<(&Noise, f64)>,
        player: &Player<'_>,
        probe: &Probe,
    ) -> Result<(), Failure> {
        if clips.is_empty() || player.stop.is_requested() {
            return Ok(());
        }
        each_heard(clips, noise, player, &mut |clip, n_samples, heard| {
            self.add(clip.label.as_ref(), n_samples, heard, probe);
        })
    }

    fn add(&mut self, label: Option<&Label>, n_samples: usize, heard: &Heard, probe: &Probe) {
        let mut recording = Recording {
            is_command: label.is_some(),
            utterances: Vec::new(),
        };
        for (_, event) in &heard.events {
            let Event::Final {
                text,
                flags,
                readings,
                ..
            } = event
            else {
                continue;
            };
            // What broke off is no command, whatever it says.
            if flags.iter().any(|flag| flag == INTERRUPTED) {
                continue;
            }
            let fit =
                |name: &str, slots: &_| label.map_or(Fit::Other, |label| label.fit(name, slots));
            let utterance = probe.utterance(text, readings.as_ref(), &fit);
            recording.utterances.push(utterance);
        }
        if label.is_none() {
            self.hours += n_samples as f64 / f64::from(SAMPLE_RATE_HZ) / 3600.0;
            self.n_utterances += recording.utterances.len();
        }
        self.recordings.push(recording);
    }
}

fn as_object(findings: &Findings) -> Value {
    let Findings {
        collected,
        choice,
        budget,
        ..
    } = findings;
    let rate = |tally: &Tally| rated(tally, collected.hours);
    let rows = |rows: &[(f32, Tally)]| -> Vec<Value> {
        let row = |(value, tally): &(f32, Tally)| {
            let mut row = rate(tally);
            row["threshold"] = rounded(f64::from(*value));
            row
        };
        rows.iter().map(row).collect()
    };
    let options = |options: &MatchOptions| {
        json!({
            "threshold": rounded(f64::from(options.threshold)),
            "margin": rounded(f64::from(options.margin)),
            "heard_threshold": rounded(f64::from(options.heard_threshold)),
            "heard_margin": rounded(f64::from(options.heard_margin)),
        })
    };
    json!({
        "budget_per_hour": budget,
        "hours": round_to(collected.hours, 1000.0),
        "utterances": collected.n_utterances,
        "proven": choice.is_proven,
        "hours_to_prove": rounded(most_per_hour(choice.tally.false_accepts, 1.0) / budget),
        "unavoidable": choice.unavoidable,
        "thresholds": options(&choice.options),
        "result": rate(&choice.tally),
        "present_thresholds": options(&findings.present),
        "present_result": rate(&findings.before),
        "heard_threshold": rows(&findings.heard),
        "threshold": rows(&findings.text),
        "interrupted": findings.was_interrupted,
    })
}

/// A tally with its rates.
fn rated(tally: &Tally, hours: f64) -> Value {
    json!({
        "labelled": tally.commands,
        "acceptance": tally.acceptance().map(|share| round_to(share, 10_000.0)),
        "slot_errors": tally.slot_errors,
        "wrong_commands": tally.wrong,
        "rejected": tally.refused(),
        "false_accepts": tally.false_accepts,
        "false_accepts_per_hour": rounded(tally.false_accepts as f64 / hours),
        "false_accepts_per_hour_95": rounded(most_per_hour(tally.false_accepts, hours)),
    })
}

/// Two decimals; null for what is no number.
fn rounded(value: f64) -> Value {
    json!(value.is_finite().then(|| round_to(value, 100.0)))
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use crate::command::calibrate::{Candidate, Utterance};

    /// Forty commands and one hour of talk.
    pub(super) fn example(n_commands: usize) -> Findings {
        let recording = |is_command: bool, score: f32, fit: Fit| {
            let margin = 4.0;
            let candidate = Candidate { score, margin, fit };
            Recording {
                is_command,
                utterances: vec![Utterance {
                    heard: Some(candidate),
                    ..Utterance::default()
                }],
            }
        };
        let commands = (0..n_commands).map(|i| recording(true, -0.02 * i as f32, Fit::Meant));
        let others = (0..20).map(|i| recording(false, -0.5 - 0.025 * i as f32, Fit::Other));
        let collected = Collected {
            recordings: commands.chain(others).collect(),
            hours: 1.0,
            n_utterances: 20,
        };
        findings(collected, 0.1, MatchOptions::default())
    }

    #[test]
    fn budgets_are_rates() {
        assert_eq!(budget("1/10h"), Ok(0.1));
        assert_eq!(budget("3 / 2 h"), Ok(1.5));
        assert_eq!(budget("2/h"), Ok(2.0));
        for text in [
            "", "1", "1/10", "0/h", "1/0h", "-1/h", "a/h", "1/h/h", "inf/h",
        ] {
            assert!(budget(text).is_err(), "{text}");
        }
    }

    #[test]
    fn the_object_says_what_is_proven() {
        let object = as_object(&example(40));
        assert_eq!(object["proven"], json!(false));
        assert_eq!(object["hours_to_prove"], json!(29.96));
        assert_eq!(object["result"]["false_accepts"], json!(0));
        assert_eq!(object["result"]["false_accepts_per_hour_95"], json!(3.0));
        assert_eq!(object["heard_threshold"].as_array().unwrap().len(), 21);
        assert_eq!(object["heard_threshold"][0]["threshold"], json!(0.0));
        assert!(as_object(&example(0))["result"]["acceptance"].is_null());
    }
}
