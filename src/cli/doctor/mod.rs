//! `hark doctor`: whether this machine has what the configuration needs, and what to do next.
//!
//! Every check has a file and gives [`Check`]s; none of them waits for long, whatever is broken, and
//! none keeps the others from being made.

use std::sync::mpsc;
use std::time::Duration;

use clap::Args as ClapArgs;

use super::output::Out;
use super::setup::{Setup, read_config};
use super::{Failure, Globals};
use crate::config::{self, Config};

mod actions;
mod loudspeaker;
mod machine;
mod model;
mod pi;
mod privacy;
mod report;
mod responder;
mod service;
mod sound;

pub(crate) use machine::available_bytes;
use report::{Check, Report};

const EXAMPLES: &str = "\
Examples:
  hark doctor
  hark doctor --config kitchen.toml --json
  hark doctor --privacy

The exit code is 0 when nothing fails, and otherwise that of the first failure. It listens for a second,
and keeps nothing of it.";

/// Check this machine and the configuration, and say what to do
#[derive(Debug, ClapArgs)]
#[command(after_help = EXAMPLES)]
pub(crate) struct Args {
    /// List instead every file and address that the configuration makes hark read, write, run or
    /// contact
    #[arg(long)]
    privacy: bool,
}

/// Runs the subcommand.
pub(crate) fn run(args: Args, globals: &Globals) -> Result<(), Failure> {
    if args.privacy {
        return privacy::run(globals);
    }
    let mut report = Report::new(Out::stdout(), globals);
    let setup = configuration(globals, &mut report)?;
    let config = &setup.config;
    let daemon = service::daemon(config);
    let is_running = daemon.is_running;
    report.add(daemon.check)?;
    report.all(service::units())?;
    let heard = sound::devices(&setup, is_running);
    report.all(heard.checks)?;
    report.all(sound::permissions(heard.has_device))?;
    report.add(machine::processor(&setup))?;
    report.all(model::checks(&setup))?;
    report.all(responder::checks(&setup))?;
    report.all(pi::checks())?;
    report.all(machine::ledger(config))?;
    report.all(loudspeaker::checks(config))?;
    report.all(actions::checks(config))?;
    report.finish()
}

/// The configuration, or the defaults where it cannot be used.
fn configuration(globals: &Globals, report: &mut Report) -> Result<Setup, Failure> {
    const NAME: &str = "configuration";
    let config = read_config(globals, Config::load);
    let (check, config) = match config {
        Ok(config) => {
            let n_commands = config.commands.spec.commands.len();
            let check = match &config.file {
                Some(file) => Check::ok(NAME, format!("{}, {n_commands} commands", file.display())),
                None => Check::warn(
                    NAME,
                    searched(),
                    "write a configuration: copy the shipped config.toml",
                ),
            };
            (check, config)
        }
        Err(failure) => (
            Check::failed(
                NAME,
                &failure,
                "correct the configuration; the checks below use the defaults",
            ),
            Config::default(),
        ),
    };
    report.add(check)?;
    Ok(Setup::of(config, globals))
}

fn searched() -> String {
    let paths = config::search_paths(|name| std::env::var_os(name));
    let paths: Vec<_> = paths
        .iter()
        .map(|path| path.display().to_string())
        .collect();
    format!(
        "none, so that there are no commands; searched: {}",
        paths.join(", ")
    )
}

/// What `work` gives, done on a thread of its own; none when it takes longer than `limit`. The thread
/// is left then: what hangs in a driver cannot be ended.
fn within<T: Send + 'static>(
    limit: Duration,
    work: impl FnOnce() -> T + Send + 'static,
) -> Option<T> {
    let (sender, done) = mpsc::channel();
    let thread = std::thread::Builder::new().name("doctor".to_owned());
    // Nobody may wait for it any more.
    let thread = thread.spawn(move || drop(sender.send(work())));
    thread.ok()?;
    done.recv_timeout(limit).ok()
}
