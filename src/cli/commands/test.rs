//! `hark commands test`: how a text would be understood.

use std::collections::BTreeMap;

use serde::Serialize;

use super::nothing;
use crate::cli::output::{Out, json};
use crate::cli::setup::read_config;
use crate::cli::{Failure, Globals};
use crate::command::action::quoted;
use crate::command::{Care, Match, Matcher};
use crate::config::{CommandsConfig, Config};

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
    /// When it is carried out, if not when its sentence is over: `early`, or `asks` first.
    #[serde(skip_serializing_if = "Option::is_none")]
    care: Option<&'static str>,
    /// Why the action would fail with these slots.
    #[serde(skip_serializing_if = "Option::is_none")]
    problem: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    best: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    reason: Option<&'static str>,
}

pub(super) fn run(text: &str, globals: &Globals) -> Result<(), Failure> {
    let config = read_config(globals, Config::load)?;
    let commands = &config.commands;
    let matcher = Matcher::new(commands.grammar.clone(), commands.matching);
    let max = config.dialogue.talk.max_commands;
    let mut out = Out::stdout();
    for decision in matcher.understand_all(text, None, max) {
        let tested = tested(text, decision, commands);
        out.line(&match globals.json {
            true => json::line(&tested),
            false => in_words(&tested),
        })?;
    }
    if !globals.json && commands.grammar.n_commands() == 0 {
        out.line(&nothing(&config))?;
    }
    Ok(())
}

fn tested<'a>(text: &'a str, decision: Match, commands: &CommandsConfig) -> Tested<'a> {
    let hundredths = |value: f32| (f64::from(value) * 100.0).round() / 100.0;
    match decision {
        Match::Accepted {
            command,
            name,
            slots,
            score,
            margin,
        } => {
            let action = commands.grammar.action(command);
            let line = action.map(|a| a.filled_line(&slots));
            let (action, problem) = match line {
                Some(Ok(line)) => (Some(line), None),
                Some(Err(error)) => (None, Some(error.to_string())),
                None => (None, None),
            };
            Tested {
                text,
                command: Some(name),
                care: match commands.spec.commands[command].traits.care {
                    Care::Usual => None,
                    Care::Safe => Some("early"),
                    Care::Confirm { .. } => Some("asks"),
                },
                action,
                problem,
                slots,
                score: Some(hundredths(score)),
                margin: margin.map(hundredths),
                best: None,
                reason: None,
            }
        }
        Match::Rejected {
            best,
            score,
            reason,
        } => Tested {
            text,
            command: None,
            care: None,
            action: None,
            problem: None,
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
    match tested.care {
        Some("asks") => text.push_str("\n    asks first"),
        Some(_) => text.push_str("\n    as soon as its words can mean nothing else"),
        None => {}
    }
    if let Some(action) = &tested.action {
        text.push_str(&format!("\n    => {}", quoted(action)));
    }
    if let Some(problem) = &tested.problem {
        text.push_str(&format!("\n    => not done: {problem}"));
    }
    text
}
