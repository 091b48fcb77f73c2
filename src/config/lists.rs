//! Lists of values: in the configuration, or in a file of one value a line.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::document::{Entry, Section};
use super::{ConfigError, read_file};
use crate::command::{
    Context, Fractions, ListSpec, ListValue, NumberRange, Origin, Requirement, Sentence,
};

/// What a list may be, for messages.
const LIST: &str = "an array of values, { from = …, to = …, step = … }, { file = \"…\" }, or \
                    { wildcard = true }";

/// Names of the fractions that a range may have.
pub(super) const FRACTIONS: [(&str, Fractions); 3] = [
    ("none", Fractions::None),
    ("halves", Fractions::Halves),
    ("tenths", Fractions::Tenths),
];

/// The numbers that the ends of a range may be.
pub(super) const ENDS: std::ops::RangeInclusive<i64> = i32::MIN as i64..=i32::MAX as i64;

pub(super) fn sentence(entry: &Entry) -> Result<Sentence, ConfigError> {
    Ok(Sentence {
        template: entry.text()?,
        origin: entry.origin.clone(),
    })
}

/// An array of values, or a table that says what they are.
pub(super) fn list(entry: Entry) -> Result<ListSpec, ConfigError> {
    if !entry.is_array() {
        return described(entry);
    }
    if entry.is_empty() {
        return Err(entry.invalid("at least one value"));
    }
    let values: Result<Vec<_>, _> = entry.elements()?.into_iter().map(list_value).collect();
    Ok(ListSpec::Values(values?))
}

fn list_value(entry: Entry) -> Result<ListValue, ConfigError> {
    if entry.is_text() {
        return Ok(ListValue {
            spoken: sentence(&entry)?,
            ..ListValue::default()
        });
    }
    let mut section = entry.section()?;
    let spoken = sentence(&section.require("in")?)?;
    let value = section.take("out").map(|entry| entry.text()).transpose()?;
    let context = texts_by_name(section.section("context")?)?;
    section.finish()?;
    Ok(ListValue {
        spoken,
        value,
        context,
    })
}

/// A table of texts under names the author chose.
fn texts_by_name(section: Section) -> Result<Context, ConfigError> {
    let entries = section.into_entries().into_iter();
    entries
        .map(|(name, entry)| Ok((name, entry.text()?)))
        .collect()
}

/// What the context of a command's values must be.
pub(super) fn requirements(section: Section) -> Result<BTreeMap<String, Requirement>, ConfigError> {
    let mut all = BTreeMap::new();
    for (name, entry) in section.into_entries() {
        let wanted = match entry.flag() {
            Ok(true) => Requirement::default(),
            _ => Requirement {
                values: one_or_more(entry)?,
                to_slot: false,
            },
        };
        all.insert(name, wanted);
    }
    Ok(all)
}

/// What the context of a command's values must not be.
pub(super) fn exclusions(section: Section) -> Result<BTreeMap<String, Vec<String>>, ConfigError> {
    let mut all = BTreeMap::new();
    for (name, entry) in section.into_entries() {
        let unwanted = match entry.flag() {
            Ok(true) => Vec::new(),
            _ => one_or_more(entry)?,
        };
        all.insert(name, unwanted);
    }
    Ok(all)
}

fn one_or_more(entry: Entry) -> Result<Vec<String>, ConfigError> {
    let complaint = entry.invalid("a text, an array of texts, or true for any");
    let texts = match entry.is_text() {
        true => entry.text().map(|text| vec![text]),
        false => entry.texts(),
    };
    texts
        .ok()
        .filter(|texts| !texts.is_empty())
        .ok_or(complaint)
}

fn described(entry: Entry) -> Result<ListSpec, ConfigError> {
    let complaint = entry.invalid(LIST);
    let Ok(mut section) = entry.section() else {
        return Err(complaint);
    };
    if let Some(file) = section.take("file") {
        section.finish()?;
        return from_file(&file);
    }
    if let Some(wildcard) = section.take("wildcard") {
        section.finish()?;
        return match wildcard.flag()? {
            true => Ok(ListSpec::Free),
            false => Err(wildcard.invalid("true")),
        };
    }
    range(section)
}

fn range(mut section: Section) -> Result<ListSpec, ConfigError> {
    let from = section.require("from")?.integer(&ENDS)?;
    let last = section.require("to")?;
    let mut range = NumberRange::new(from, last.integer(&ENDS)?);
    if range.to < range.from {
        return Err(last.invalid(format!("no less than `from` ({from})")));
    }
    section.integer("step", 1..=i64::from(i32::MAX), &mut range.step)?;
    section.choice("fractions", &FRACTIONS, &mut range.fractions)?;
    let mut multiplier = 1.0;
    section.number("multiplier", -1_000.0..=1_000.0, &mut multiplier)?;
    range.multiplier = f64::from(multiplier);
    section.finish()?;
    Ok(ListSpec::Range(range))
}

/// One value a line, as it is spoken, or `spoken = value`; empty lines and those that begin with
/// `#` are left out. Brackets are no templates there: titles have them.
fn from_file(entry: &Entry) -> Result<ListSpec, ConfigError> {
    let path = entry.document().folder().join(entry.text()?);
    let text = read_file(&path).map_err(|source| ConfigError::Include {
        origin: entry.origin.clone(),
        path: path.clone(),
        source,
    })?;
    let file = Arc::new(path);
    let lines = text.lines().zip(1..);
    let lines = lines.map(|(written, line)| (written.trim(), line));
    let lines = lines.filter(|(written, _)| !written.is_empty() && !written.starts_with('#'));
    let values: Vec<ListValue> = lines
        .map(|(written, line)| {
            let origin = Origin {
                file: Arc::clone(&file),
                line,
            };
            value_in_file(written, origin)
        })
        .collect();
    match values.is_empty() {
        true => Err(entry.invalid("a file with at least one value")),
        false => Ok(ListSpec::Values(values)),
    }
}

fn value_in_file(line: &str, origin: Origin) -> ListValue {
    let (spoken, value) = match line.split_once('=') {
        Some((spoken, value)) => (spoken.trim_end(), Some(value.trim_start().to_owned())),
        None => (line, None),
    };
    let template = literal(spoken);
    ListValue {
        spoken: Sentence { template, origin },
        value,
        ..ListValue::default()
    }
}

/// The template that is said exactly as `text` is written.
fn literal(text: &str) -> String {
    let mut template = String::with_capacity(text.len());
    for c in text.chars() {
        if "()[]{}<>|;\\".contains(c) {
            template.push('\\');
        }
        template.push(c);
    }
    template
}
