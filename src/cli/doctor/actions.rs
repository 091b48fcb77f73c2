//! What speaks and what commands do: whether the programs, folders and files for it are there.

use super::report::Check;
use crate::command::{Action, CommandSpec, Traits, Undo};
use crate::config::Config;

/// Missing things that are told one by one.
const MAX_TOLD: usize = 8;

/// Everything about actions.
pub(super) fn checks(config: &Config) -> Vec<Check> {
    let mut checks = vec![speech(config)];
    checks.extend(commands(config));
    checks
}

fn speech(config: &Config) -> Check {
    const NAME: &str = "speech";
    let program = &config.speech.program;
    match config.speech.lacks() {
        None => Check::ok(NAME, format!("{program} is there")),
        Some(_) if program.is_empty() => Check::ok(NAME, "off (speech.program is empty)"),
        Some(lack) => Check::warn(
            NAME,
            lack,
            format!("install {program}, or set speech.program to another program or to \"\""),
        ),
    }
}

fn commands(config: &Config) -> Vec<Check> {
    const NAME: &str = "commands";
    let mut n_actions = 0;
    let mut lacks: Vec<(String, String)> = Vec::new();
    for_each(config, &mut |owner, action| {
        n_actions += 1;
        for lack in action.lacks() {
            lacks.push((owner.to_owned(), lack));
        }
    });
    if lacks.is_empty() {
        let found = format!("{n_actions} actions, and nothing they need is missing");
        return (n_actions > 0)
            .then(|| Check::ok(NAME, found))
            .into_iter()
            .collect();
    }
    let n_more = lacks.len().saturating_sub(MAX_TOLD);
    let told = lacks.into_iter().take(MAX_TOLD);
    let mut checks: Vec<Check> = told
        .map(|(owner, lack)| {
            let advice = format!("look after {owner}: {lack}");
            Check::warn(NAME, format!("{owner}: {lack}"), advice)
        })
        .collect();
    if n_more > 0 {
        let found = format!("{n_more} more of this kind");
        checks.push(Check::warn(
            NAME,
            found,
            "see all of them: hark commands check",
        ));
    }
    checks
}

/// Every action that the configuration has, with who has it.
pub(super) fn for_each(config: &Config, with: &mut dyn FnMut(&str, &Action)) {
    for command in &config.commands.spec.commands {
        let CommandSpec {
            name,
            action,
            traits: Traits { undo, .. },
            origin,
            ..
        } = command;
        if let Some(action) = action {
            with(&format!("command `{name}` ({origin})"), action);
        }
        if let Some(Undo::Action(action)) = undo {
            with(&format!("undo of command `{name}` ({origin})"), action);
        }
    }
    if let Some(action) = &config.dialogue.timers.ring {
        with("timers.ring", action);
    }
}
