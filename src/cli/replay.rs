//! `hark replay`: the whole pipeline on a recording, as JSON lines.

use std::path::PathBuf;
use std::sync::Arc;

use clap::Args as ClapArgs;

use super::live::{Feed, Work};
use super::output::{Out, json};
use super::setup::{self, Setup};
use super::signals::{self, OnSignal};
use super::{Failure, Globals};
use crate::command::Means;
use crate::daemon::{Flow, Stop, speaker};
use crate::error::Kind;
use crate::event::Event;
use crate::pipeline::Act;

const EXAMPLES: &str = "\
Examples:
  hark replay command.wav
  hark replay --config kitchen.toml day.flac | jq -c 'select(.type == \"command\")'
  hark replay --act command.wav

Nothing in the output depends on the wall clock or the number of threads: the same recording, model
and configuration give the same bytes. Commands are reported, and carried out only with --act.";

/// The whole pipeline on a recording, as fast as it goes: JSON lines
#[derive(Debug, ClapArgs)]
#[command(after_help = EXAMPLES)]
pub(crate) struct Args {
    /// Recording, or - for standard input
    #[arg(value_name = "FILE")]
    file: PathBuf,
    /// Carry commands out
    #[arg(long)]
    act: bool,
    /// Language spoken: a code or name, several with commas of which one is detected, or auto
    /// [default: of the configuration]
    #[arg(long, value_name = "LANGUAGE")]
    language: Option<String>,
    /// What standard input is when it is no WAV, for example s16le,16000,1
    #[arg(long, value_name = "FORMAT,RATE,CHANNELS")]
    raw: Option<String>,
}

/// Runs the subcommand.
pub(crate) fn run(args: Args, globals: &Globals) -> Result<(), Failure> {
    let signals = OnSignal::watch(signals::INTERRUPTED)?;
    let setup = Setup::load(globals)?;
    let spec = setup::file_or_stdin(&args.file, args.raw.as_deref())?;
    let source = crate::audio::open(&spec)?;
    let settings = setup.settings_with_responder(args.language.as_deref(), None)?;
    let model = setup.model()?;
    let stop = signals.begin();
    let act = if args.act {
        Act::CarryOut(means(&setup, stop)?)
    } else {
        Act::Report
    };
    let mut out = Out::stdout();
    let mut written = Ok(());
    let mut sink = |event: Event| {
        written = out.line(&json::event(&timeless(event)));
        if written.is_ok() {
            Flow::Go
        } else {
            Flow::Stop
        }
    };
    let feed = Feed::Direct(act);
    let work = Work {
        source,
        feed,
        settings: &settings,
        model: &model,
        stop,
    };
    let outcome = work.run(&mut sink);
    written.and(outcome)?;
    match stop.is_requested() {
        true => Err(Failure::interrupted()),
        false => Ok(()),
    }
}

/// What actions need.
fn means(setup: &Setup, stop: &Stop) -> Result<Means, Failure> {
    let speaker = speaker(&setup.config.speech)
        .map_err(|error| Failure::new(Kind::Bug, format!("no thread for speech: {error}")))?;
    Ok(Means {
        stop: stop.flag(),
        voice: Some(Arc::new(speaker)),
    })
}

/// The event without what a clock has measured.
fn timeless(mut event: Event) -> Event {
    match &mut event {
        Event::Partial { lag_ms, .. } | Event::Degraded { lag_ms, .. } => *lag_ms = None,
        Event::Action { ms, .. } => *ms = None,
        _ => {}
    }
    event
}
