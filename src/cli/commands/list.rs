//! `hark commands list`: what can be said, and what it does.

use serde::Serialize;

use super::nothing;
use crate::cli::output::{Out, json};
use crate::cli::setup::read_config;
use crate::cli::{Failure, Globals};
use crate::command::action::quoted;
use crate::command::{Action, CommandSpec, Grammar};
use crate::config::Config;

#[derive(Serialize)]
struct Listed<'a> {
    name: &'a str,
    file: String,
    line: usize,
    sentences: Vec<&'a str>,
    slots: Vec<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    action: Option<Vec<String>>,
}

pub(super) fn run(globals: &Globals) -> Result<(), Failure> {
    let config = read_config(globals, Config::load)?;
    let grammar = &config.commands.grammar;
    let commands = config.commands.spec.commands.iter().enumerate();
    let all: Vec<Listed> = commands.map(|(i, spec)| listed(i, spec, grammar)).collect();
    let mut out = Out::stdout();
    if globals.json {
        return out.line(&json::pretty(&all));
    }
    if all.is_empty() {
        return out.line(&nothing(&config));
    }
    for command in &all {
        out.line(&format!(
            "{}  ({}:{})",
            command.name, command.file, command.line
        ))?;
        for sentence in &command.sentences {
            out.line(&format!("    {sentence}"))?;
        }
        if let Some(action) = &command.action {
            out.line(&format!("    => {}", quoted(action)))?;
        }
    }
    Ok(())
}

fn listed<'a>(index: usize, spec: &'a CommandSpec, grammar: &'a Grammar) -> Listed<'a> {
    Listed {
        name: &spec.name,
        file: spec.origin.file.display().to_string(),
        line: spec.origin.line,
        sentences: spec.sentences.iter().map(|s| s.template.as_str()).collect(),
        slots: grammar.slots(index).into_iter().collect(),
        action: spec.action.as_deref().map(Action::line),
    }
}
