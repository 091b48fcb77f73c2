//! `hark run`: the daemon: microphone to captions, commands and their actions.

use std::time::Instant;

use clap::Args as ClapArgs;

use super::live::{Feed, Work};
use super::output::Out;
use super::output::captions::{Captions, Format};
use super::setup::{self, Setup};
use super::signals::{self, OnSignal};
use super::{Failure, Globals};
use crate::config::{self, Config};
use crate::daemon::Flow;
use crate::event::Event;

const EXAMPLES: &str = "\
Examples:
  hark run
  hark run --config kitchen.toml --json
  hark run --source recording.wav

Captions, commands and what became of them go to standard output: text, or events with --json.
SIGUSR1 switches push-to-talk on and off (listen.mode = \"push\"). Ctrl-C and SIGTERM end within a second
with what was heard so far.";

/// The daemon: microphone to captions and commands
#[derive(Debug, ClapArgs)]
#[command(after_help = EXAMPLES)]
pub(crate) struct Args {
    /// mic, the name of a device (`hark devices`), a recording played at real time, or - for
    /// standard input [default: the configuration's device]
    #[arg(long, value_name = "mic|NAME|FILE|-")]
    source: Option<String>,
    /// What standard input is when it is no WAV, for example s16le,16000,1
    #[arg(long, value_name = "FORMAT,RATE,CHANNELS")]
    raw: Option<String>,
}

/// Runs the subcommand.
pub(crate) fn run(args: Args, globals: &Globals) -> Result<(), Failure> {
    let signals = OnSignal::watch(0)?;
    let format = if globals.json {
        Format::Jsonl
    } else {
        Format::Text
    };
    let setup = Setup::load(globals)?;
    let spec = setup.source(args.source.as_deref(), args.raw.as_deref())?;
    let mut settings = setup.settings(None);
    tell_configuration(&setup.config);
    // Before the model, which takes longer: what is missing is said at once.
    let source = crate::audio::open(&spec)?;
    let model = setup.model()?;
    settings.smaller = setup.smaller_model()?;
    let pace = setup::pace(&spec);
    let mut captions = Captions::new(format, Out::stdout(), Instant::now())?;
    let mut written = Ok(());
    let mut sink = |event: Event| {
        written = captions.event(&event);
        if written.is_ok() {
            Flow::Go
        } else {
            Flow::Stop
        }
    };
    let feed = Feed::Threads(pace, signals::push_to_talk()?);
    let work = Work {
        source,
        feed,
        settings: &settings,
        model: &model,
        stop: signals.begin(),
    };
    let outcome = work.run(&mut sink);
    // Before a message about what went wrong, the caption gets its end.
    let finished = captions.finish();
    written.and(outcome).and(finished)
}

/// Which configuration is used. A daemon that cannot do anything because its file lies elsewhere
/// would otherwise look like one that does not understand.
fn tell_configuration(config: &Config) {
    if let Some(file) = &config.file {
        log::info!("configuration {}", file.display());
        return;
    }
    let searched = config::search_paths(|name| std::env::var_os(name));
    let searched: Vec<_> = searched
        .iter()
        .map(|path| path.display().to_string())
        .collect();
    log::warn!(
        "there are no commands, because no configuration was found; searched: {}",
        searched.join(", ")
    );
}
