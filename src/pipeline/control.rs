//! What is done about a final: a command with its job, a rejection, or nothing.
//!
//! In: events, in order. Out: at most one decision for each final. Pure logic; carries nothing out
//! and waits for nothing.

use std::collections::BTreeSet;
use std::sync::Arc;

use crate::command::action::{self, beginning};
use crate::command::{Action, Completion, Job, Match, Matcher, Means, RunnerOptions};
use crate::config::CommandsConfig;
use crate::event::{Event, Seconds};

use super::recogniser::INTERRUPTED;

/// Most that an event holds of what an action gave back.
const MAX_OUTPUT_BYTES: usize = 1000;

/// What to do with commands.
#[derive(Clone, Debug, Default)]
pub enum Act {
    /// Say what would be done.
    #[default]
    Report,
    /// Carry them out by these means.
    CarryOut(Means),
}

/// The commands and what they do.
#[derive(Clone)]
pub struct Commands {
    /// Finds them in text.
    pub matcher: Matcher,
    /// The action of each, by its index in the grammar.
    pub actions: Vec<Option<Arc<Action>>>,
    /// Names of all slots there are.
    pub slots: Arc<BTreeSet<String>>,
    /// Limits of the actions that run.
    pub running: RunnerOptions,
}

impl Commands {
    /// The configured commands.
    pub fn new(config: &CommandsConfig) -> Self {
        Commands {
            matcher: Matcher::new(config.grammar.clone(), config.matching),
            actions: config
                .spec
                .commands
                .iter()
                .map(|command| command.action.clone())
                .collect(),
            slots: Arc::new(config.grammar.all_slots()),
            running: config.running,
        }
    }
}

/// What was decided about a final.
#[derive(Clone, Debug)]
pub(crate) struct Decision {
    /// The command or the rejection.
    pub(crate) event: Event,
    /// What is to be done.
    pub(crate) job: Option<Job>,
}

/// The control stage.
pub(crate) struct Control {
    commands: Option<Commands>,
}

impl Control {
    /// A stage that knows `commands`; without any it decides nothing.
    pub(crate) fn new(commands: Option<Commands>) -> Self {
        Control { commands }
    }

    /// Limits of the programs that run.
    pub(crate) fn running(&self) -> RunnerOptions {
        self.commands
            .as_ref()
            .map(|commands| commands.running)
            .unwrap_or_default()
    }

    /// What follows from the event.
    pub(crate) fn decide(&mut self, event: &Event) -> Option<Decision> {
        let commands = self.commands.as_ref()?;
        let Event::Final {
            id,
            t1,
            text,
            flags,
            readings,
            ..
        } = event
        else {
            return None;
        };
        if text.is_empty() {
            return None;
        }
        if flags.iter().any(|flag| flag == INTERRUPTED) {
            // "Set a timer for fifteen" may have gone on with "minutes", or with "no, don't".
            let event = rejected(*id, *t1, (None, None), INTERRUPTED);
            return Some(Decision { event, job: None });
        }
        Some(match commands.matcher.understand(text, readings.as_ref()) {
            Match::Accepted {
                command,
                name,
                slots,
                score,
                margin,
            } => {
                let action = commands.actions.get(command).cloned().flatten();
                let job = action.map(|action| Job {
                    id: *id,
                    name: name.clone(),
                    text: text.clone(),
                    slots: slots.clone(),
                    known_slots: commands.slots.clone(),
                    action,
                });
                let event = Event::Command {
                    id: *id,
                    t: *t1,
                    name,
                    slots,
                    score,
                    margin,
                };
                Decision { event, job }
            }
            Match::Rejected {
                best,
                score,
                reason,
            } => Decision {
                event: rejected(*id, *t1, (best, score), reason.as_str()),
                job: None,
            },
        })
    }
}

fn rejected(
    id: u64,
    t: Seconds,
    (best, score): (Option<String>, Option<f32>),
    reason: &'static str,
) -> Event {
    Event::Rejected {
        id,
        t,
        best,
        score,
        reason,
    }
}

/// Carries a job out, or not, on the caller's thread.
pub(crate) fn carry_out(job: &Job, act: &Act) -> Event {
    result_of(match act {
        Act::Report => Completion::skipped(job),
        Act::CarryOut(means) => action::run(job, means),
    })
}

/// How a job ended, as an event.
pub(crate) fn result_of(done: Completion) -> Event {
    let Completion {
        id,
        name,
        status,
        error,
        output,
        ms,
    } = done;
    let output = beginning(output.trim(), MAX_OUTPUT_BYTES);
    let output = (!output.is_empty()).then(|| output.to_owned());
    Event::Action {
        id,
        name,
        status,
        error,
        output,
        ms: Some(ms),
    }
}
