//! `hark commands`: what can be said, whether it is written correctly, and how a text would be
//! understood. Reads the configuration only: no audio, no model, and nothing is carried out.

use std::collections::BTreeMap;

use clap::{Args as ClapArgs, Subcommand};
use serde::Serialize;

use super::output::{Out, json};
use super::setup::read_config;
use super::{Failure, Globals};
use crate::command::advice::{self, Remark, Weight};
use crate::command::{Action, CommandSpec, Grammar, GrammarError, Match, Matcher};
use crate::config::Config;
use crate::error::Kind;

const EXAMPLES: &str = "\
Examples:
  hark commands list
  hark commands check --config kitchen.toml
  hark commands test \"turn the kitchen lights on\"";

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
}

/// Runs the subcommand.
pub(crate) fn run(args: Args, globals: &Globals) -> Result<(), Failure> {
    match args.what {
        What::List => list(globals),
        What::Check => check(globals),
        What::Test { text } => test(&text.join(" "), globals),
    }
}

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

fn list(globals: &Globals) -> Result<(), Failure> {
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
        action: (spec.action.as_deref()).map(|action| with_program(action, action.args.clone())),
    }
}

fn with_program(action: &Action, args: Vec<String>) -> Vec<String> {
    let program = std::iter::once(action.program.clone());
    program.chain(args).collect()
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

fn check(globals: &Globals) -> Result<(), Failure> {
    let (config, mistakes) = read_config(globals, Config::inspect)?;
    let commands = &config.commands;
    let remarks = advice::remarks(&commands.spec);
    let of_weight = |weight: Weight| {
        let some = remarks.iter().filter(move |remark| remark.weight == weight);
        some.map(remarked)
    };
    let mistakes = mistakes.iter().map(mistake);
    let checked = Checked {
        commands: commands.grammar.n_commands(),
        sentences: commands
            .spec
            .commands
            .iter()
            .map(|c| c.sentences.len())
            .sum(),
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

/// How a text was understood.
#[derive(Serialize)]
struct Tested<'a> {
    text: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    command: Option<String>,
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    slots: BTreeMap<String, String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    score: Option<f64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    margin: Option<f64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    action: Option<Vec<String>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    best: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    reason: Option<&'static str>,
}

fn test(text: &str, globals: &Globals) -> Result<(), Failure> {
    let config = read_config(globals, Config::load)?;
    let commands = &config.commands;
    let matcher = Matcher::new(commands.grammar.clone(), commands.matching);
    let tested = tested(text, matcher.match_text(text), &commands.grammar);
    let mut out = Out::stdout();
    if globals.json {
        return out.line(&json::line(&tested));
    }
    out.line(&in_words(&tested))?;
    if commands.grammar.n_commands() == 0 {
        out.line(&nothing(&config))?;
    }
    Ok(())
}

fn tested<'a>(text: &'a str, decision: Match, grammar: &Grammar) -> Tested<'a> {
    let hundredths = |value: f32| (f64::from(value) * 100.0).round() / 100.0;
    match decision {
        Match::Accepted {
            command,
            name,
            slots,
            score,
            margin,
        } => Tested {
            text,
            command: Some(name),
            action: (grammar.action(command))
                .map(|action| with_program(action, action.filled_args(&slots))),
            slots,
            score: Some(hundredths(score)),
            margin: margin.map(hundredths),
            best: None,
            reason: None,
        },
        Match::Rejected {
            best,
            score,
            reason,
        } => Tested {
            text,
            command: None,
            action: None,
            slots: BTreeMap::new(),
            score: score.map(hundredths),
            margin: None,
            best,
            reason: Some(reason.as_str()),
        },
    }
}

fn in_words(tested: &Tested) -> String {
    let score = tested
        .score
        .map_or(String::new(), |score| format!("  score {score:.2}"));
    let margin = tested
        .margin
        .map_or(String::new(), |margin| format!("  margin {margin:.2}"));
    let Some(command) = &tested.command else {
        let reason = tested.reason.unwrap_or_default();
        let best = tested
            .best
            .as_ref()
            .map_or(String::new(), |best| format!("  nearest {best}"));
        return format!("rejected: {reason}{best}{score}");
    };
    let mut text = format!("{command}{score}{margin}");
    for (slot, value) in &tested.slots {
        text.push_str(&format!("\n    {slot} = {value}"));
    }
    if let Some(action) = &tested.action {
        text.push_str(&format!("\n    => {}", quoted(action)));
    }
    text
}

/// A program and its arguments, those with unusual characters in quotes.
fn quoted(line: &[String]) -> String {
    let is_plain = |c: char| c.is_alphanumeric() || "-_./:=+,{}".contains(c);
    let quote = |arg: &String| match !arg.is_empty() && arg.chars().all(is_plain) {
        true => arg.clone(),
        false => format!("{arg:?}"),
    };
    line.iter().map(quote).collect::<Vec<_>>().join(" ")
}
