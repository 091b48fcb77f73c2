//! `hark commands`: what can be said, whether it is written correctly, how a text would be
//! understood, and how sure it has to be. Nothing is carried out.

use clap::{Args as ClapArgs, Subcommand};

use super::{Failure, Globals};
use crate::config::Config;

mod calibrate;
mod check;
mod list;
mod sample;
mod test;

const EXAMPLES: &str = "\
Examples:
  hark commands list
  hark commands check --config kitchen.toml
  hark commands test \"turn the kitchen lights on\"
  hark commands sample --count 50 --command lights
  hark commands calibrate --negatives evenings/ --budget 1/10h";

/// Spoken commands: print them, check them, try a text
#[derive(Debug, ClapArgs)]
#[command(after_help = EXAMPLES)]
pub(crate) struct Args {
    #[command(subcommand)]
    what: What,
}

#[derive(Debug, Subcommand)]
enum What {
    /// What can be said, and what it does
    List,
    /// Every mistake in the commands of the configuration, with file and line, and what this machine
    /// lacks for them
    Check,
    /// How a text would be understood; nothing is carried out
    Test {
        /// What somebody might say
        #[arg(required = true)]
        text: Vec<String>,
    },
    /// Sentences at random, every command as often as every other
    Sample(sample::Args),
    Calibrate(calibrate::Args),
}

/// Runs the subcommand.
pub(crate) fn run(args: Args, globals: &Globals) -> Result<(), Failure> {
    match args.what {
        What::List => list::run(globals),
        What::Check => check::run(globals),
        What::Test { text } => test::run(&text.join(" "), globals),
        What::Sample(args) => sample::run(&args, globals),
        What::Calibrate(args) => calibrate::run(&args, globals),
    }
}

/// Why there are no commands.
fn nothing(config: &Config) -> String {
    match &config.file {
        Some(file) => format!("no commands in {}", file.display()),
        None => "no commands: no configuration file was found; see `hark --help` for where it is \
                 looked for"
            .to_owned(),
    }
}
