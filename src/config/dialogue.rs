//! The sections of a conversation, `[listen]`, `[dialogue]` and `[timers]`, and what a command says
//! about the way it is carried out.

use std::sync::Arc;

use super::ConfigError;
use super::actions::action;
use super::document::{Entry, Section};
use super::lists::sentence;
use super::sections::place;
use crate::command::advice::{Remark, Weight};
use crate::command::lint::wake_phrase;
use crate::command::mistake::nearest;
use crate::command::{Care, GrammarError, GrammarSpec, Traits, Undo, words};
use crate::dialogue::{
    ListenMode, ListenSettings, Phrases, Settings, TalkSettings, TimerSettings, builtin,
};

/// Most wake phrases, and most words of one.
const MAX_PHRASES: usize = 16;
const MAX_PHRASE_WORDS: usize = 8;
/// What [`is_wake_phrase`] asks for.
pub(crate) const WAKE_PHRASE: &str = "one to 8 words";

/// Whether a phrase can wake.
pub(crate) fn is_wake_phrase(phrase: &str) -> bool {
    (1..=MAX_PHRASE_WORDS).contains(&words::normalise(phrase).len())
}

/// Reads the three sections; mistakes in their phrases are appended to `mistakes`, and what is
/// allowed and not wise to `remarks`.
pub(super) fn read(
    root: &mut Section,
    to: &mut Settings,
    (mistakes, remarks): (&mut Vec<GrammarError>, &mut Vec<Remark>),
) -> Result<(), ConfigError> {
    listen(root.section("listen")?, &mut to.listen, (mistakes, remarks))?;
    talk(root.section("dialogue")?, &mut to.talk, mistakes)?;
    timers(root.section("timers")?, &mut to.timers)
}

fn listen(
    mut section: Section,
    to: &mut ListenSettings,
    (mistakes, remarks): (&mut Vec<GrammarError>, &mut Vec<Remark>),
) -> Result<(), ConfigError> {
    let modes = [
        ("always", ListenMode::Always),
        ("wake", ListenMode::Wake),
        ("push", ListenMode::Push),
    ];
    section.choice("mode", &modes, &mut to.mode)?;
    if let Some(entry) = section.take("wake_phrases") {
        let origin = entry.origin.clone();
        to.wake_phrases = wake_phrases(entry)?;
        let texts = to.wake_phrases.iter().filter_map(|p| wake_phrase(p));
        remarks.extend(texts.map(|text| Remark {
            origin: origin.clone(),
            weight: Weight::Warning,
            text,
        }));
    }
    section.number("wake_threshold", -16.0..=0.0, &mut to.wake_threshold)?;
    section.number("follow_up_s", 0.0..=600.0, &mut to.follow_up_s)?;
    phrases(&mut section, "stop_words", &mut to.stop_words, mistakes)?;
    section.finish()
}

fn wake_phrases(entry: Entry) -> Result<Vec<String>, ConfigError> {
    let complaint = entry.invalid(format!("one to {MAX_PHRASES} phrases"));
    let elements = entry.elements()?;
    if !(1..=MAX_PHRASES).contains(&elements.len()) {
        return Err(complaint);
    }
    let phrase = |entry: &Entry| {
        let phrase = entry.text()?;
        match is_wake_phrase(&phrase) {
            true => Ok(phrase),
            false => Err(entry.invalid(WAKE_PHRASE)),
        }
    };
    elements.iter().map(phrase).collect()
}

fn talk(
    mut section: Section,
    to: &mut TalkSettings,
    mistakes: &mut Vec<GrammarError>,
) -> Result<(), ConfigError> {
    section.integer("max_commands", 1..=8, &mut to.max_commands)?;
    section.number("confirm_s", 1.0..=600.0, &mut to.confirm_s)?;
    section.number("undo_s", 0.0..=86_400.0, &mut to.undo_s)?;
    phrases(&mut section, "yes", &mut to.yes, mistakes)?;
    phrases(&mut section, "no", &mut to.no, mistakes)?;
    phrases(&mut section, "undo", &mut to.undo, mistakes)?;
    phrases(&mut section, "repeat", &mut to.repeat, mistakes)?;
    phrases(&mut section, "never_mind", &mut to.never_mind, mistakes)?;
    section.finish()
}

fn phrases(
    section: &mut Section,
    key: &'static str,
    to: &mut Phrases,
    mistakes: &mut Vec<GrammarError>,
) -> Result<(), ConfigError> {
    if let Some(entry) = section.take(key) {
        let elements = entry.elements()?;
        let sentences: Result<Vec<_>, _> = elements.iter().map(sentence).collect();
        *to = Phrases::new(sentences?, mistakes);
    }
    Ok(())
}

fn timers(mut section: Section, to: &mut TimerSettings) -> Result<(), ConfigError> {
    section.flag("enabled", &mut to.enabled)?;
    if let Some(entry) = section.take("names") {
        to.names = entry.texts()?;
    }
    section.integer("rings", 1..=1_000, &mut to.rings)?;
    section.number("ring_every_s", 1.0..=3_600.0, &mut to.ring_every_s)?;
    if let Some(entry) = section.take("ring") {
        // An empty table is none, so that the default can be written down.
        let is_none = entry.is_empty_table();
        to.ring = match is_none {
            true => None,
            false => Some(Arc::new(action(entry.section()?)?)),
        };
    }
    if let Some(entry) = section.take("state_file") {
        to.state_file = place(&entry)?;
    }
    section.finish()
}

/// What a command says about when and how it is carried out.
pub(super) fn traits(section: &mut Section) -> Result<Traits, ConfigError> {
    let mut traits = Traits::default();
    let mut is_safe = false;
    section.flag("safe", &mut is_safe)?;
    if is_safe {
        traits.care = Care::Safe;
    }
    if let Some(entry) = section.take("confirm") {
        let question = match entry.is_text() {
            true => Some(entry.text()?),
            false => None,
        };
        let is_wanted = question.is_some()
            || entry
                .flag()
                .map_err(|_| entry.invalid("true, false or a question in quotes"))?;
        if is_wanted && is_safe {
            return Err(entry.invalid("left out: a command that is safe is not asked about"));
        }
        if is_wanted {
            traits.care = Care::Confirm { question };
        }
    }
    if let Some(entry) = section.take("undo") {
        traits.undo = Some(Undo::Action(Arc::new(action(entry.section()?)?)));
    }
    if let Some(entry) = section.take("inverse") {
        if traits.undo.is_some() {
            return Err(entry.invalid("left out, or else `undo`: one of them takes it back"));
        }
        traits.undo = Some(Undo::Command {
            name: entry.text()?,
            origin: entry.origin.clone(),
        });
    }
    Ok(traits)
}

/// Adds the sentences of timers, if there are any, behind all other commands.
pub(super) fn add_built_in(spec: &mut GrammarSpec, timers: &TimerSettings) {
    let commands = builtin::commands(timers);
    if !commands.is_empty() {
        spec.languages.add(["en"]);
    }
    spec.commands.extend(commands);
}

/// Every inverse must be a command that does something.
pub(super) fn check_inverses(spec: &GrammarSpec) -> Result<(), ConfigError> {
    let acts = spec.commands.iter().filter(|c| c.action.is_some());
    let names: Vec<&str> = acts.map(|c| c.name.as_str()).collect();
    for command in &spec.commands {
        let Some(Undo::Command { name, origin }) = &command.traits.undo else {
            continue;
        };
        if names.contains(&name.as_str()) {
            continue;
        }
        let proposal = nearest(name, names.iter().copied());
        let proposal = proposal.map_or(String::new(), |name| format!(", such as \"{name}\""));
        return Err(ConfigError::Value {
            origin: origin.clone(),
            key: "inverse".to_owned(),
            found: format!("\"{name}\""),
            expected: format!("the name of a command that has an action{proposal}"),
        });
    }
    Ok(())
}
