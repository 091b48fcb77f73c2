//! `hark devices`: the microphones.

use clap::Args as ClapArgs;
use serde::Serialize;

use super::output::{Out, json};
use super::{Failure, Globals};
use crate::audio::{DeviceInfo, list_devices};

const EXAMPLES: &str = "\
Examples:
  hark devices
  hark devices --json | jq -r '.[].id'
  hark caption --source \"mic:NAME\"";

/// Microphones: names for --source and the configuration
#[derive(Debug, ClapArgs)]
#[command(after_help = EXAMPLES)]
pub(crate) struct Args {}

#[derive(Serialize)]
struct Device<'a> {
    name: &'a str,
    id: &'a str,
    default: bool,
    formats: &'a [String],
}

/// Runs the subcommand.
pub(crate) fn run(_args: Args, globals: &Globals) -> Result<(), Failure> {
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
