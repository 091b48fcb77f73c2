//! `hark why`: what was heard, considered and decided, from the ledger.

use std::path::{Path, PathBuf};

use clap::Args as ClapArgs;
use serde::Serialize;

use super::output::{Out, json};
use super::setup::read_config;
use super::{Failure, Globals};
use crate::audio::write_wav;
use crate::config::Config;
use crate::dsp::SAMPLE_RATE_HZ;
use crate::error::Kind;
use crate::ledger::{self, LedgerError, LedgerReader, Utterance};

mod decision;
mod words;

const EXAMPLES: &str = "\
Examples:
  hark why
  hark why --last 3
  hark why 42
  hark why 42 --audio heard.wav
  hark why 42 --json | jq .decision
  hark why --ledger /var/lib/hark/ledger.sqlite

The ledger is off by default: enabled = true under [ledger] has `hark run` keep it. Read while it is
written; nothing is changed.";

/// What was heard, what it could have meant, and why it was carried out or not
#[derive(Debug, ClapArgs)]
#[command(after_help = EXAMPLES)]
pub(crate) struct Args {
    /// Number of an utterance; without one, the last utterances are listed
    #[arg(value_name = "ID")]
    id: Option<i64>,
    /// How many are listed
    #[arg(long, value_name = "N", default_value_t = 20, conflicts_with = "id")]
    #[arg(value_parser = clap::value_parser!(u32).range(1..=1_000_000))]
    last: u32,
    /// Writes the audio of the utterance to this file, where it was kept
    #[arg(long, value_name = "FILE.wav", requires = "id")]
    audio: Option<PathBuf>,
    /// The ledger to read, for example of a service [default: the configuration's]
    #[arg(long, value_name = "FILE")]
    ledger: Option<PathBuf>,
}

/// An utterance as JSON.
#[derive(Serialize)]
struct Told<'a> {
    #[serde(flatten)]
    utterance: &'a Utterance,
    /// In a few words.
    outcome: String,
    /// In sentences.
    decision: String,
}

/// Runs the subcommand.
pub(crate) fn run(args: Args, globals: &Globals) -> Result<(), Failure> {
    let reader = match &args.ledger {
        Some(path) => LedgerReader::open(path)?,
        None => configured(globals)?,
    };
    match args.id {
        Some(id) => one(&reader, id, args.audio.as_deref(), globals),
        None => list(&reader, args.last as usize, globals),
    }
}

/// The ledger of the configuration; mistakes in its sentences do not matter here.
fn configured(globals: &Globals) -> Result<LedgerReader, Failure> {
    let (config, _) = read_config(globals, Config::inspect)?;
    let path = ledger::path(&config.ledger.file).ok_or(LedgerError::NoPlace)?;
    LedgerReader::open(&path).map_err(|error| match error {
        LedgerError::Missing { .. } => Failure::from(error).hint(how_to_keep_one(&config)),
        error => error.into(),
    })
}

/// What to do where there is no ledger.
fn how_to_keep_one(config: &Config) -> String {
    if config.ledger.enabled {
        return "`hark run` begins it; --ledger FILE names another one, such as a service's"
            .to_owned();
    }
    let file = config.file.as_ref().map_or_else(
        || "config.toml".to_owned(),
        |file| file.display().to_string(),
    );
    format!("it is off: set enabled = true under [ledger] in {file} and start `hark run` again")
}

fn list(reader: &LedgerReader, max: usize, globals: &Globals) -> Result<(), Failure> {
    let all = reader.recent(max)?;
    let mut out = Out::stdout();
    if globals.json {
        let all: Vec<Told> = all.iter().map(told).collect();
        return out.line(&json::pretty(&all));
    }
    if all.is_empty() {
        return out.line("nothing was heard yet");
    }
    let width = all.last().map_or(0, |last| last.id.to_string().len());
    for utterance in &all {
        out.line(&words::line(utterance, width))?;
    }
    Ok(())
}

fn one(
    reader: &LedgerReader,
    id: i64,
    audio: Option<&Path>,
    globals: &Globals,
) -> Result<(), Failure> {
    let Some(utterance) = reader.find(id)? else {
        return Err(no_such(reader, id)?);
    };
    if let Some(file) = audio {
        write_audio(reader, id, file)?;
    }
    let mut out = Out::stdout();
    match globals.json {
        true => out.line(&json::pretty(&told(&utterance))),
        false => {
            out.write(&words::story(&utterance))?;
            out.flush()
        }
    }
}

fn told(utterance: &Utterance) -> Told<'_> {
    Told {
        utterance,
        outcome: decision::outcome(utterance),
        decision: decision::sentences(utterance).join(" "),
    }
}

fn no_such(reader: &LedgerReader, id: i64) -> Result<Failure, Failure> {
    let hint = match reader.recent(1)?.first() {
        Some(last) => format!("the last one is {}; `hark why` lists them", last.id),
        None => "nothing was heard yet".to_owned(),
    };
    let message = format!("there is no utterance {id} in the ledger");
    Ok(Failure::new(Kind::Usage, message).hint(hint))
}

fn write_audio(reader: &LedgerReader, id: i64, file: &Path) -> Result<(), Failure> {
    let Some(samples) = reader.audio(id)? else {
        let message = format!("the audio of utterance {id} was not kept");
        return Err(Failure::new(Kind::Usage, message)
            .hint("audio = true under [ledger] keeps that of later ones"));
    };
    write_wav(file, SAMPLE_RATE_HZ, &samples)
        .map_err(|error| Failure::output(&file.display().to_string(), &error))
}
