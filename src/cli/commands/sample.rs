//! `hark commands sample`: sentences at random, to read, to say, or to test with.

use std::collections::BTreeMap;

use clap::Args as ClapArgs;
use serde::Serialize;

use super::nothing;
use crate::cli::output::{Out, json};
use crate::cli::setup::read_config;
use crate::cli::{Failure, Globals};
use crate::command::mistake::nearest;
use crate::command::sample::{Sampled, Sampler};
use crate::config::Config;
use crate::error::Kind;

#[derive(Debug, ClapArgs)]
pub(super) struct Args {
    /// How many
    #[arg(long, value_name = "N", default_value_t = 20)]
    #[arg(value_parser = clap::value_parser!(u32).range(1..=1_000_000))]
    count: u32,
    /// The same seed gives the same sentences
    #[arg(long, value_name = "S", default_value_t = 1)]
    seed: u64,
    /// Of this command alone
    #[arg(long, value_name = "NAME")]
    command: Option<String>,
}

#[derive(Serialize)]
struct Said<'a> {
    text: &'a str,
    command: &'a str,
    slots: &'a BTreeMap<String, String>,
}

pub(super) fn run(args: &Args, globals: &Globals) -> Result<(), Failure> {
    let config = read_config(globals, Config::load)?;
    let names: Vec<&str> = (config.commands.spec.commands.iter())
        .map(|command| command.name.as_str())
        .collect();
    let mut out = Out::stdout();
    if names.is_empty() && !globals.json {
        return out.line(&nothing(&config));
    }
    let commands = chosen(&names, args.command.as_deref())?;
    let mut sampler = Sampler::new(&config.commands.grammar, args.seed);
    let turns = (0..args.count as usize).filter_map(|i| commands.get(i % commands.len().max(1)));
    let all: Vec<Sampled> = turns
        .filter_map(|command| sampler.sentence(*command))
        .collect();
    if globals.json {
        let all: Vec<Said> = all.iter().map(said).collect();
        return out.line(&json::pretty(&all));
    }
    let width = names.iter().map(|name| name.len()).max().unwrap_or(0);
    for Sampled { name, text, .. } in &all {
        out.line(&format!("{name:width$}  {text}"))?;
    }
    Ok(())
}

fn said(sampled: &Sampled) -> Said<'_> {
    Said {
        text: &sampled.text,
        command: &sampled.name,
        slots: &sampled.slots,
    }
}

/// The commands of that name, or all.
fn chosen(names: &[&str], name: Option<&str>) -> Result<Vec<usize>, Failure> {
    let is_chosen = |i: &usize| name.is_none_or(|name| names[*i] == name);
    let chosen: Vec<usize> = (0..names.len()).filter(is_chosen).collect();
    match name.filter(|_| chosen.is_empty()) {
        None => Ok(chosen),
        Some(name) => {
            let hint = match nearest(name, names.iter().copied()) {
                Some(near) => format!("did you mean {near}?"),
                None => "see `hark commands list`".to_owned(),
            };
            let message = format!("there is no command `{name}`");
            Err(Failure::new(Kind::Usage, message).hint(hint))
        }
    }
}
