//! The sections of commands: `[commands]`, `[[command]]`, `[lists]`, `[rules]`, and the same of
//! included files.

use std::collections::BTreeMap;
use std::collections::btree_map::Entry as MapEntry;
use std::sync::Arc;

use super::actions::action;
use super::dialogue::traits;
use super::document::{Entry, Section};
use super::include::Includes;
use super::lists::{exclusions, list, requirements, sentence};
use super::sections::languages;
use super::{CommandsConfig, ConfigError};
use crate::command::CommandSpec;
use crate::command::template::is_name;

const NAME: &str = "a name of letters, digits, `_`, `-` and `.`";

const ONE_BRACKET: &str =
    "a table of settings for all commands; one command is written under [[command]], without s";
const TWO_BRACKETS: &str =
    "an array of tables: each command begins with [[command]], with two brackets";

/// The complaint about a value, with what belongs there in other words.
fn expecting(error: ConfigError, words: &str) -> ConfigError {
    match error {
        ConfigError::Value {
            origin, key, found, ..
        } => ConfigError::Value {
            origin,
            key,
            found,
            expected: words.to_owned(),
        },
        other => other,
    }
}

/// The complaint about a key of `[commands]`, when it is one of a command.
fn misplaced(error: ConfigError) -> ConfigError {
    match error {
        ConfigError::UnknownKey {
            origin, key, known, ..
        } if OF_A_COMMAND.iter().any(|name| key.ends_with(name)) => ConfigError::UnknownKey {
            origin,
            key,
            nearest: None,
            known: format!("{known}; one command is written under [[command]], without s"),
        },
        other => other,
    }
}

/// What a command has and the settings for all commands have not.
const OF_A_COMMAND: [&str; 4] = [".name", ".sentences", ".slots", ".action"];

/// Reads everything about commands.
pub(super) fn read(root: &mut Section, to: &mut CommandsConfig) -> Result<(), ConfigError> {
    let mut section = root
        .section("commands")
        .map_err(|error| expecting(error, ONE_BRACKET))?;
    section.number("threshold", -10.0..=0.0, &mut to.matching.threshold)?;
    section.number("margin", 0.0..=100.0, &mut to.matching.margin)?;
    section.number(
        "heard_threshold",
        -1.0..=0.0,
        &mut to.matching.heard_threshold,
    )?;
    section.number("heard_margin", 0.0..=100.0, &mut to.matching.heard_margin)?;
    let patience = &mut to.patience;
    section.integer("complete_ms", 0..=10_000, &mut patience.complete_ms)?;
    section.integer("incomplete_ms", 0..=10_000, &mut patience.incomplete_ms)?;
    section.integer("max_running", 1..=64, &mut to.running.max_running)?;
    section.integer("max_waiting", 1..=1_000, &mut to.running.max_waiting)?;
    if let Some(entry) = section.take("skip_words") {
        let words = entry.elements()?;
        to.spec.skip_words = words.iter().map(sentence).collect::<Result<_, _>>()?;
    }
    let languages = languages(section.take("language").as_ref())?;
    let include = section.take("include");
    section.finish().map_err(misplaced)?;
    let mut includes = Includes::new(root.document().path(), &mut to.spec);
    includes.grammar(root, &languages)?;
    includes.all(include, root.document().folder())?;
    to.files = includes.finish()?;
    Ok(())
}

/// What the main file and included ones have in common.
pub(super) fn grammar(root: &mut Section, to: &mut Includes) -> Result<(), ConfigError> {
    if let Some(entry) = root.take("command") {
        let elements = entry.elements();
        for element in elements.map_err(|error| expecting(error, TWO_BRACKETS))? {
            match command(element.section()?)? {
                (spec, Said::Here) => to.spec.commands.push(spec),
                (spec, Said::Elsewhere) => to.actions.push(spec),
            }
        }
    }
    for (name, entry) in root.section("lists")?.into_entries() {
        insert_once(&mut to.spec.lists, name, entry, list)?;
    }
    for (name, entry) in root.section("rules")?.into_entries() {
        insert_once(&mut to.spec.rules, name, entry, |entry| sentence(&entry))?;
    }
    Ok(())
}

/// Where the sentences of a command are.
enum Said {
    Here,
    /// In included blocks of the same name, which get its action.
    Elsewhere,
}

/// Adds what `read` makes of `entry`; its name must be one, and new.
fn insert_once<T>(
    to: &mut BTreeMap<String, T>,
    name: String,
    entry: Entry,
    read: impl FnOnce(Entry) -> Result<T, ConfigError>,
) -> Result<(), ConfigError> {
    if !is_name(&name) {
        return Err(entry.invalid(format!("under {NAME}")));
    }
    match to.entry(name) {
        MapEntry::Vacant(place) => {
            place.insert(read(entry)?);
            Ok(())
        }
        MapEntry::Occupied(_) => Err(entry.invalid("in one file only; the name is taken")),
    }
}

fn command(mut section: Section) -> Result<(CommandSpec, Said), ConfigError> {
    let name = section.require("name")?;
    let mut to = CommandSpec {
        name: name.text()?,
        origin: section.origin.clone(),
        ..CommandSpec::default()
    };
    if !is_name(&to.name) {
        return Err(name.invalid(NAME));
    }
    let sentences = section.take("sentences");
    let said = match &sentences {
        Some(_) => Said::Here,
        None => Said::Elsewhere,
    };
    for element in sentences.map_or(Ok(Vec::new()), Entry::elements)? {
        to.sentences.push(sentence(&element)?);
    }
    to.requires = requirements(section.section("requires_context")?)?;
    to.excludes = exclusions(section.section("excludes_context")?)?;
    if let Some(entry) = section.take("required_keywords") {
        to.required_keywords = entry.texts()?;
    }
    for (name, entry) in section.section("lists")?.into_entries() {
        insert_once(&mut to.lists, name, entry, list)?;
    }
    for (name, entry) in section.section("slots")?.into_entries() {
        insert_once(&mut to.slots, name, entry, |entry| entry.text())?;
    }
    if let Some(entry) = section.take("action") {
        to.action = Some(Arc::new(action(entry.section()?)?));
    }
    to.traits = traits(&mut section)?;
    section.finish()?;
    Ok((to, said))
}
