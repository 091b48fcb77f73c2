//! `hark devices`: the microphones, and how loud they are; and what sound can be played on.

use clap::Args as ClapArgs;
use serde::Serialize;

use super::output::{Out, json};
use super::{Failure, Globals};
use crate::audio::{DeviceInfo, list_devices, list_outputs};

mod watch;

pub(crate) use watch::level;

const EXAMPLES: &str = "\
Examples:
  hark devices
  hark devices --json | jq -r '.[].id'
  hark devices --outputs --json
  hark devices --watch
  hark devices --watch NAME --seconds 5 --json
  hark caption --source \"mic:NAME\"

--watch shows what recognition would hear, behind [audio] channel, high_pass_hz and gain_db. 0 dB is full
scale; speech wants peaks of -20 to -6 dB, and nothing clipped. Ctrl-C ends it.";

/// Microphones and outputs: names for --source and the configuration
#[derive(Debug, ClapArgs)]
#[command(after_help = EXAMPLES)]
pub(crate) struct Args {
    /// Show how loud a microphone is [default: the configured one]: a bar on a terminal, elsewhere a
    /// line for each second
    #[arg(long, value_name = "NAME", num_args = 0..=1, default_missing_value = "")]
    watch: Option<String>,
    /// Only the output devices, for `speech.device`; with --json in the same form as microphones
    #[arg(long, conflicts_with = "watch")]
    outputs: bool,
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
        None if args.outputs => section(&list_outputs()?, NO_OUTPUT, globals),
        None => list(globals),
    }
}

fn list(globals: &Globals) -> Result<(), Failure> {
    section(&list_devices()?, NO_MICROPHONE, globals)?;
    if globals.json {
        return Ok(());
    }
    let mut out = Out::stdout();
    out.line("")?;
    out.line("outputs, for [speech] device:")?;
    match list_outputs() {
        Ok(outputs) => section(&outputs, NO_OUTPUT, globals),
        // The microphones are there all the same.
        Err(error) => out.line(&error.to_string()),
    }
}

/// What is said of no device: an answer, not an error; the next command that needs one will fail.
const NO_MICROPHONE: &str = "no microphone";
const NO_OUTPUT: &str = "no output";

/// Devices, each with its formats; or their objects.
fn section(devices: &[DeviceInfo], none: &str, globals: &Globals) -> Result<(), Failure> {
    let mut out = Out::stdout();
    if globals.json {
        let list: Vec<_> = devices.iter().map(object).collect();
        return out.line(&json::pretty(&list));
    }
    if devices.is_empty() {
        return out.line(none);
    }
    for device in devices {
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
