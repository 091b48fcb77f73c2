//! `hark bench`: how fast this machine is.
//!
//! Each figure is the median of several runs, with the least and the greatest beside it. With
//! `--json` one object is printed on one line, and nothing else.

use clap::{Args as ClapArgs, Subcommand};

use super::{Failure, Globals};

mod answer;
pub(crate) mod commands;
mod kernels;
pub(crate) mod live;
mod machine;
mod report;
mod stream;
mod wake;
mod whisper;

const EXAMPLES: &str = "\
Examples:
  hark bench whisper
  hark bench whisper speech.flac --model base --runs 5 --json
  hark bench kernels --threads 1
  hark bench answer --perplexity book.txt
  hark bench stream talk.flac --pace real
  hark --config examples/coffee.toml bench commands --labels clips/manifest.tsv clips/command
  hark bench wake --phrase alexa --labels clips/manifest.tsv clips/wakeword clips/dictation";

/// How fast this machine is
#[derive(Debug, ClapArgs)]
#[command(after_help = EXAMPLES)]
pub(crate) struct Args {
    #[command(subcommand)]
    what: What,
}

#[derive(Debug, Subcommand)]
enum What {
    Whisper(whisper::Args),
    Kernels(kernels::Args),
    Stream(stream::Args),
    Commands(commands::Args),
    Wake(wake::Args),
    Answer(answer::Args),
}

/// Runs the subcommand.
pub(crate) fn run(args: Args, globals: &Globals) -> Result<(), Failure> {
    match args.what {
        What::Whisper(args) => whisper::run(&args, globals),
        What::Kernels(args) => kernels::run(&args, globals),
        What::Stream(args) => stream::run(&args, globals),
        What::Commands(args) => commands::run(&args, globals),
        What::Wake(args) => wake::run(&args, globals),
        What::Answer(args) => answer::run(&args, globals),
    }
}
