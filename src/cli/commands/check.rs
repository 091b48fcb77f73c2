//! `hark commands check`: mistakes, and what was probably not meant.

use serde::Serialize;

use super::nothing;
use crate::cli::output::{Out, json};
use crate::cli::setup::read_config;
use crate::cli::{Failure, Globals};
use crate::command::advice::{self, Remark, Weight};
use crate::command::{CommandSpec, GrammarError};
use crate::config::Config;
use crate::error::Kind;

#[derive(Serialize)]
struct Checked {
    commands: usize,
    sentences: usize,
    nodes: usize,
    mistakes: Vec<Mistake>,
    warnings: Vec<Mistake>,
}

#[derive(Serialize)]
struct Mistake {
    file: String,
    line: usize,
    message: String,
}

pub(super) fn run(globals: &Globals) -> Result<(), Failure> {
    let (config, mistakes) = read_config(globals, Config::inspect)?;
    let commands = &config.commands;
    let mut remarks = advice::remarks(&commands.spec);
    remarks.extend(mute(&config));
    remarks.extend_from_slice(&config.remarks);
    let of_weight = |weight: Weight| {
        let some = remarks.iter().filter(move |remark| remark.weight == weight);
        some.map(remarked)
    };
    let mistakes = mistakes.iter().map(mistake);
    // Those of hark itself are nobody's to check.
    let own = || (commands.spec.commands.iter()).filter(|c| c.traits.built_in.is_none());
    let checked = Checked {
        commands: own().count(),
        sentences: own().map(|command| command.sentences.len()).sum(),
        nodes: commands.grammar.n_nodes(),
        mistakes: mistakes.chain(of_weight(Weight::Mistake)).collect(),
        warnings: of_weight(Weight::Warning).collect(),
    };
    let mut out = Out::stdout();
    if globals.json {
        out.line(&json::pretty(&checked))?;
    } else {
        print_checked(&checked, &config, &mut out)?;
    }
    match checked.mistakes.len() {
        0 => Ok(()),
        // They have been printed as results.
        _ => Err(Failure::reported(Kind::Usage)),
    }
}

fn print_checked(checked: &Checked, config: &Config, out: &mut Out) -> Result<(), Failure> {
    let mistakes = checked.mistakes.iter().map(|mistake| ("", mistake));
    let warnings = checked
        .warnings
        .iter()
        .map(|warning| ("warning: ", warning));
    for (label, found) in mistakes.chain(warnings) {
        let Mistake {
            file,
            line,
            message,
        } = found;
        out.line(&format!("{file}:{line}: {label}{message}"))?;
    }
    let Checked {
        commands,
        sentences,
        ..
    } = checked;
    if *commands == 0 {
        out.line(&nothing(config))
    } else if checked.mistakes.is_empty() {
        out.line(&format!(
            "{commands} commands, {sentences} sentences: no mistakes"
        ))
    } else {
        Ok(())
    }
}

/// What speaks, where something should be spoken and cannot.
fn mute(config: &Config) -> Vec<Remark> {
    let Some(lack) = config.speech.lacks() else {
        return Vec::new();
    };
    let commands = config.commands.spec.commands.iter();
    let speaking = commands.filter(|command| command.action.as_ref().is_some_and(|a| a.speaks()));
    let remark = |command: &CommandSpec| Remark {
        origin: command.origin.clone(),
        weight: Weight::Warning,
        text: format!("command `{}` cannot speak: {lack}", command.name),
    };
    speaking.map(remark).collect()
}

fn remarked(remark: &Remark) -> Mistake {
    Mistake {
        file: remark.origin.file.display().to_string(),
        line: remark.origin.line,
        message: remark.text.clone(),
    }
}

fn mistake(error: &GrammarError) -> Mistake {
    let file = error.origin.file.display().to_string();
    Mistake {
        file,
        line: error.origin.line,
        message: error.cause.to_string(),
    }
}
