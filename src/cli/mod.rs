//! The command line: one file a subcommand; arguments as typed in, exit code out.
//!
//! Results go to stdout, everything else to stderr. An error is one line: what, where, what to do.
//! Runs on the main thread and never panics on input; a panic anywhere is a bug of ours and ends
//! the program with exit code 70.

use std::path::PathBuf;
use std::process::ExitCode;

use clap::error::ErrorKind;
use clap::{Args, CommandFactory, Parser, Subcommand};

use crate::config::{ComputeConfig, LogConfig};
use crate::error::Kind;

mod ask;
mod bench;
mod caption;
mod clips;
mod commands;
mod completions;
mod ctl;
mod devices;
mod doctor;
mod failure;
mod interruptible;
mod language;
mod live;
mod logging;
mod manifest;
mod manual;
mod mixture;
mod models;
mod observer;
pub(crate) mod output;
mod progress;
mod reload;
mod replay;
mod responder;
mod run;
mod setup;
mod signals;
mod transcribe;
mod transcribe_live;
mod why;

pub(crate) use failure::Failure;

const EXIT_CODES: &str = "\
Exit codes: 0 done · 2 usage, configuration or output · 3 model missing or unusable · 4 audio device · \
5 input file · 70 a bug of ours · 130 interrupted";

/// A private, offline voice assistant: live captions and spoken commands on your own CPU.
#[derive(Debug, Parser)]
#[command(name = "hark", version, after_help = EXIT_CODES, max_term_width = 100)]
struct Cli {
    #[command(flatten)]
    globals: Globals,
    #[command(subcommand)]
    command: Command,
}

/// What every subcommand takes.
#[derive(Clone, Debug, Default, Args)]
pub(crate) struct Globals {
    /// Configuration file [default: ./config.toml, then ~/.config/hark/config.toml,
    /// then /etc/hark/config.toml]
    #[arg(
        long,
        global = true,
        value_name = "FILE",
        help_heading = "Global options"
    )]
    pub(crate) config: Option<PathBuf>,
    /// Speech model: a name (`hark models list`) or a file
    #[arg(
        long,
        global = true,
        value_name = "NAME|FILE",
        help_heading = "Global options"
    )]
    pub(crate) model: Option<String>,
    /// Arithmetic of the model's layers: int8, f32, or for small memories q8_0, q5_1, q5_0, q4_1 or
    /// q4_0 [default: of the configuration]
    #[arg(
        long,
        global = true,
        value_name = "TYPE",
        help_heading = "Global options"
    )]
    #[arg(value_parser = compute)]
    pub(crate) compute: Option<ComputeConfig>,
    /// Threads that compute [default: the physical cores]
    #[arg(long, global = true, value_name = "N", help_heading = "Global options")]
    #[arg(value_parser = clap::value_parser!(u16).range(1..=256))]
    pub(crate) threads: Option<u16>,
    /// How much to log: error, warn, info, debug or trace, for parts of hark besides, as in
    /// warn,audio=debug [default: of the configuration]
    #[arg(
        long,
        global = true,
        value_name = "LEVEL",
        help_heading = "Global options"
    )]
    #[arg(value_parser = LogConfig::of_argument)]
    pub(crate) log: Option<LogConfig>,
    /// Results as JSON
    #[arg(long, global = true, help_heading = "Global options")]
    pub(crate) json: bool,
}

/// The arithmetic of this name.
fn compute(name: &str) -> Result<ComputeConfig, String> {
    let found = ComputeConfig::ALL.iter().find(|(known, _)| *known == name);
    found.map(|(_, compute)| *compute).ok_or_else(|| {
        let names: Vec<&str> = ComputeConfig::ALL.iter().map(|(name, _)| *name).collect();
        format!("the types are {}", names.join(", "))
    })
}

#[derive(Debug, Subcommand)]
enum Command {
    Run(run::Args),
    Caption(caption::Args),
    Replay(replay::Args),
    Transcribe(transcribe::Args),
    Ask(ask::Args),
    Commands(commands::Args),
    Why(why::Args),
    Models(models::Args),
    Devices(devices::Args),
    Ctl(ctl::Args),
    Doctor(doctor::Args),
    Bench(bench::Args),
    Completions(completions::Args),
    Manual(manual::Args),
}

/// Runs the program with the process's arguments.
pub fn main() -> ExitCode {
    failure::install_panic_hook();
    let cli = match Cli::try_parse() {
        Ok(cli) => cli,
        Err(error) => return refuse(&error),
    };
    logging::start(cli.globals.log.as_ref());
    match run(cli) {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => failure.report(),
    }
}

fn run(cli: Cli) -> Result<(), Failure> {
    let globals = &cli.globals;
    match cli.command {
        Command::Run(args) => run::run(args, globals),
        Command::Caption(args) => caption::run(args, globals),
        Command::Replay(args) => replay::run(args, globals),
        Command::Transcribe(args) => transcribe::run(args, globals),
        Command::Ask(args) => ask::run(args, globals),
        Command::Commands(args) => commands::run(args, globals),
        Command::Why(args) => why::run(args, globals),
        Command::Models(args) => models::run(args, globals),
        Command::Devices(args) => devices::run(args, globals),
        Command::Ctl(args) => ctl::run(args, globals),
        Command::Doctor(args) => doctor::run(args, globals),
        Command::Bench(args) => bench::run(args, globals),
        Command::Completions(args) => completions::run(&args),
        Command::Manual(args) => manual::run(&args),
    }
}

/// Help and version go to stdout with code 0; anything else is one line on stderr and code 2.
fn refuse(error: &clap::Error) -> ExitCode {
    match error.kind() {
        ErrorKind::DisplayHelp | ErrorKind::DisplayVersion => {
            // A closed pipe (`hark --help | head -1`) is no error.
            let _ = error.print();
            ExitCode::SUCCESS
        }
        ErrorKind::DisplayHelpOnMissingArgumentOrSubcommand => {
            let _ = error.print();
            ExitCode::from(Kind::Usage.exit_code())
        }
        _ => {
            let message = one_line(&error.render().to_string());
            let help = format!("see `{} --help`", asked_subcommand());
            Failure::new(Kind::Usage, message).hint(help).report()
        }
    }
}

/// The program with as much of a subcommand as was understood.
fn asked_subcommand() -> String {
    let mut command = Cli::command();
    let mut words = vec!["hark".to_owned()];
    for arg in std::env::args_os().skip(1) {
        if let Some(found) = command.find_subcommand(&arg).cloned() {
            words.push(found.get_name().to_owned());
            command = found;
        }
    }
    words.join(" ")
}

/// The paragraphs of clap's message before its usage text, as one line.
fn one_line(message: &str) -> String {
    let message = message.strip_prefix("error: ").unwrap_or(message);
    let mut parts = Vec::new();
    for line in message
        .lines()
        .map(str::trim)
        .filter(|line| !line.is_empty())
    {
        if line.starts_with("Usage: ") {
            break;
        }
        // How to pass the mistake on as a value helps nobody.
        if line.starts_with("tip: to pass") || line.starts_with("For more information") {
            continue;
        }
        parts.push(match line.strip_prefix("tip: ") {
            Some(tip) => format!("({tip})"),
            None => line.to_owned(),
        });
    }
    parts.join(" ")
}
