//! What is done about what was heard: commands with their jobs, rejections, questions, or nothing.
//!
//! In: events, in order, and the time. Out: effects, in order. Pure logic; carries nothing out and
//! waits for nothing.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use super::conversation::Conversation;
use crate::command::action::{self, beginning};
use crate::command::{
    Action, Completion, Job, Matcher, Means, Patience, RunnerOptions, Traits, Undo,
};
use crate::config::CommandsConfig;
use crate::dialogue::{self, Effect, Now, SavedTimer};
use crate::event::{Event, Seconds};
use crate::place::Place;
use crate::respond::Calls;

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
    /// When and how each is done, by its index.
    pub traits: Vec<Traits>,
    /// Names of all slots there are.
    pub slots: Arc<BTreeSet<String>>,
    /// Limits of the actions that run.
    pub running: RunnerOptions,
    /// How long to wait in a silence.
    pub patience: Patience,
    /// How a conversation about them goes.
    pub dialogue: dialogue::Settings,
    /// Whether what is no command is a question, and what the answer may call.
    pub responder: Option<Calls>,
    /// Index of each by its name.
    by_name: BTreeMap<String, usize>,
}

impl Commands {
    /// The configured commands, in a conversation as configured.
    pub fn new(config: &CommandsConfig, dialogue: &dialogue::Settings) -> Self {
        let commands = &config.spec.commands;
        let mut by_name = BTreeMap::new();
        for (index, command) in commands.iter().enumerate() {
            by_name.entry(command.name.clone()).or_insert(index);
        }
        Commands {
            matcher: Matcher::new(config.grammar.clone(), config.matching),
            actions: commands.iter().map(|c| c.action.clone()).collect(),
            traits: commands.iter().map(|c| c.traits.clone()).collect(),
            slots: Arc::new(config.grammar.all_slots()),
            running: config.running,
            patience: config.patience,
            dialogue: dialogue.clone(),
            responder: None,
            by_name,
        }
    }

    /// What takes the action of a command back, under the name that it has in events.
    pub(super) fn inverse(&self, command: usize) -> Option<(String, Arc<Action>)> {
        match self.traits.get(command)?.undo.as_ref()? {
            Undo::Action(action) => {
                let name = self.matcher.grammar().command_name(command)?;
                Some((name.to_owned(), action.clone()))
            }
            Undo::Command { name, .. } => {
                let action = self.actions.get(*self.by_name.get(name)?)?.clone()?;
                Some((name.clone(), action))
            }
        }
    }
}

/// When the control stage is to be woken, if nothing is said.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(crate) struct Due {
    /// When so much audio was heard.
    pub(crate) heard: Option<Seconds>,
    /// When it is so late on the clock of the timers.
    pub(crate) clock_s: Option<f64>,
}

/// What a conversation leaves to the next one, under another configuration.
#[derive(Clone, Debug, Default)]
pub(crate) struct Legacy {
    pub(super) timers: Vec<SavedTimer>,
    pub(super) is_pushed: bool,
    pub(super) last_said: String,
}

/// The control stage.
pub(crate) struct Control {
    conversation: Option<Conversation>,
}

impl Control {
    /// A stage that knows `commands`; without any it decides nothing.
    pub(crate) fn new(commands: Option<Commands>) -> Self {
        Control {
            conversation: commands.map(Conversation::new),
        }
    }

    /// Limits of the programs that run.
    pub(crate) fn running(&self) -> RunnerOptions {
        self.conversation
            .as_ref()
            .map(|conversation| conversation.commands().running)
            .unwrap_or_default()
    }

    /// What follows from the event, which somebody else reports.
    pub(crate) fn decide(&mut self, event: &Event, now: Now) -> Vec<Effect> {
        match &mut self.conversation {
            Some(conversation) => conversation.take(event, now),
            None => Vec::new(),
        }
    }

    /// What follows from the time alone.
    pub(crate) fn tick(&mut self, now: Now) -> Vec<Effect> {
        match &mut self.conversation {
            Some(conversation) => conversation.tick(now),
            None => Vec::new(),
        }
    }

    /// Push-to-talk is switched on, off, or, when nothing is said, over.
    pub(crate) fn push(&mut self, on: Option<bool>, now: Now) -> Vec<Effect> {
        match &mut self.conversation {
            Some(conversation) => conversation.push(on, now),
            None => Vec::new(),
        }
    }

    /// The responder calls a command by one of its sentences.
    pub(crate) fn call(&mut self, id: u64, sentence: &str, now: Now) -> Vec<Effect> {
        match &mut self.conversation {
            Some(conversation) => conversation.call(id, sentence, now),
            None => Vec::new(),
        }
    }

    /// The responder has failed.
    pub(crate) fn no_answer(&mut self, id: u64, now: Now) -> Vec<Effect> {
        match &mut self.conversation {
            Some(conversation) => conversation.no_answer(id, now),
            None => Vec::new(),
        }
    }

    /// These texts are being said, and may be heard.
    pub(crate) fn overhear(&mut self, texts: &[String], t: Seconds) {
        if let Some(conversation) = &mut self.conversation {
            conversation.overhear(texts, t);
        }
    }

    /// When [`Control::tick`] has something to do.
    pub(crate) fn due(&self) -> Due {
        match &self.conversation {
            Some(conversation) => conversation.due(),
            None => Due::default(),
        }
    }

    /// Where timers are kept.
    pub(crate) fn timers_file(&self) -> Place {
        let commands = self.conversation.as_ref().map(Conversation::commands);
        match commands.map(|commands| &commands.dialogue.timers) {
            Some(timers) if timers.enabled => timers.state_file.clone(),
            _ => Place::Nowhere,
        }
    }

    /// What goes on when another configuration takes over.
    pub(crate) fn leave(&self) -> Legacy {
        let conversation = self.conversation.as_ref();
        conversation.map(Conversation::leave).unwrap_or_default()
    }

    /// Goes on from there.
    pub(crate) fn inherit(&mut self, legacy: Legacy) {
        if let Some(conversation) = &mut self.conversation {
            conversation.inherit(legacy);
        }
    }

    /// Takes up timers that were kept.
    pub(crate) fn restore(&mut self, timers: Vec<SavedTimer>) {
        if let Some(conversation) = &mut self.conversation {
            conversation.restore(timers);
        }
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
