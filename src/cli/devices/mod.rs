//! `hark devices`: the microphones, and how loud they are.

use clap::Args as ClapArgs;
use serde::Serialize;

use super::output::{Out, json};
use super::{Failure, Globals};
use crate::audio::{DeviceInfo, list_devices};

mod watch;

pub(crate) use watch::level;

const EXAMPLES: &str = "\
Examples:
  hark devices
  hark devices --json | jq -r '.[].id'
  hark devices --watch
  hark devices --watch NAME --seconds 5 --json
  hark caption --source \"mic:NAME\"

--watch shows what recognition would hear, behind [audio] channel, high_pass_hz and gain_db. 0 dB is full
scale; speech wants peaks of -20 to -6 dB, and nothing clipped. Ctrl-C ends it.";

/// Microphones: names for --source and the configuration
#[derive(Debug, ClapArgs)]
#[command(after_help = EXAMPLES)]
pub(crate) struct Args {
    /// Show how loud a microphone is [default: the configured one]: a bar on a terminal, elsewhere a
    /// line for each second
    #[arg(long, value_name = "NAME", num_args = 0..=1, default_missing_value = "")]
    watch: Option<String>,
    /// How long, instead of until Ctrl-C
    #[arg(long, value_name = "N", requires = "watch")]
    #[arg(value_parser = clap::value_parser!(u32).range(1..=86_400))]
    seconds: Option<u32>,
}

#[derive(Serialize)]
struct Device<'a> {
    name: &'a str,
    id: &'a str,
    default: bool,
    formats: &'a [String],
}

/// Runs the subcommand.
pub(crate) fn run(args: Args, globals: &Globals) -> Result<(), Failure> {
    match args.watch {
        Some(name) => watch::run(&name, args.seconds, globals),
        None => list(globals),
    }
}

fn list(globals: &Globals) -> Result<(), Failure> {
    let devices = list_devices()?;
    let mut out = Out::stdout();
    if globals.json {
        let list: Vec<_> = devices.iter().map(object).collect();
        return out.line(&json::pretty(&list));
    }
    if devices.is_empty() {
        // No device is an answer, not an error: the next command that needs one will fail.
        return out.line("no microphone");
    }
    for device in &devices {
        let mark = if device.is_default { "*" } else { " " };
        out.line(&format!("{mark} {}", device.name))?;
        if device.id != device.name {
            out.line(&format!("    id {}", device.id))?;
        }
        for format in &device.formats {
            out.line(&format!("    {format}"))?;
        }
    }
    Ok(())
}

fn object(device: &DeviceInfo) -> Device<'_> {
    let DeviceInfo {
        name,
        id,
        is_default,
        formats,
        ..
    } = device;
    Device {
        name,
        id,
        default: *is_default,
        formats,
    }
}
