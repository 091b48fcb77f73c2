//! `hark caption`: live captions of a microphone or a recording.

use std::time::Instant;

use clap::{Args as ClapArgs, ValueEnum};

use super::live::{Feed, Work};
use super::output::Out;
use super::output::captions::{Captions, Format};
use super::setup::{self, Setup};
use super::signals::OnSignal;
use super::{Failure, Globals};
use crate::audio::SourceSpec;
use crate::daemon::Flow;
use crate::event::Event;
use crate::pipeline::Act;
use crate::whisper::Task;

const EXAMPLES: &str = "\
Examples:
  hark caption
  hark caption --source talk.mp3
  hark caption --source talk.mp3 --speed max --format srt > talk.srt
  hark caption --format jsonl | jq -r 'select(.type == \"final\") | .text'
  parecord --raw --format s16le --rate 16000 --channels 1 | hark caption --source - --raw s16le,16000,1

On a terminal the words that may still change are dim and rewritten in place. Into a pipe go settled
words only, a line for each utterance. Ctrl-C ends with what was heard so far.";

/// Live captions of a microphone or a recording
#[derive(Debug, ClapArgs)]
#[command(after_help = EXAMPLES)]
pub(crate) struct Args {
    /// mic, the name of a device (`hark devices`), a recording, or - for standard input
    /// [default: the configuration's device]
    #[arg(long, value_name = "mic|NAME|FILE|-")]
    source: Option<String>,
    /// How fast a recording is played
    #[arg(long, value_enum, default_value = "1")]
    speed: Speed,
    /// Form of the output [default: text, or jsonl with --json]
    #[arg(long, value_enum)]
    format: Option<Format>,
    /// Language spoken: a code or name, several with commas of which one is detected, or auto
    /// [default: of the configuration]
    #[arg(long, value_name = "LANGUAGE")]
    language: Option<String>,
    /// Captions in English, whatever is spoken
    #[arg(long)]
    translate: bool,
    /// What standard input is when it is no WAV, for example s16le,16000,1
    #[arg(long, value_name = "FORMAT,RATE,CHANNELS")]
    raw: Option<String>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Speed {
    /// As if it were spoken now
    #[value(name = "1")]
    One,
    /// As fast as it goes
    Max,
}

/// Runs the subcommand.
pub(crate) fn run(args: Args, globals: &Globals) -> Result<(), Failure> {
    let signals = OnSignal::watch(0)?;
    let format = args.format.unwrap_or(if globals.json {
        Format::Jsonl
    } else {
        Format::Text
    });
    let setup = Setup::load(globals)?;
    let spec = setup.source(args.source.as_deref(), args.raw.as_deref())?;
    let source = setup.open(&spec)?;
    let mut settings = setup.caption_settings(args.language.as_deref());
    if args.translate {
        settings.options.task = Task::Translate;
    }
    let feed = match (&spec, args.speed) {
        (SourceSpec::Mic(_), _) | (_, Speed::One) => Feed::Threads(setup::pace(&spec)),
        (_, Speed::Max) => Feed::Direct(Act::Report),
    };
    let model = setup.model()?;
    settings.smaller = setup.smaller_model()?;
    let began = Instant::now();
    let mut captions = Captions::new(format, Out::stdout(), began)?;
    let mut written = Ok(());
    let mut sink = |event: Event| {
        written = captions.event(&event);
        if written.is_ok() {
            Flow::Go
        } else {
            Flow::Stop
        }
    };
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
