//! A TOML document that knows where everything stands.
//!
//! Enters: a file's text. Leaves: typed values, or errors with file, line and key. A [`Section`]
//! learns the keys it may have by being asked for them; whatever is left at the end is unknown.

use std::ops::{Range, RangeInclusive};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use serde_json::{Number, Value};
use toml::Spanned;
use toml::de::{DeArray, DeTable, DeValue};

use super::ConfigError;
use crate::command::Origin;
use crate::command::mistake::nearest;

/// A parsed file.
pub(super) struct Document {
    file: Arc<PathBuf>,
    source: String,
    /// Byte at which each line begins.
    line_starts: Vec<usize>,
}

impl Document {
    pub(super) fn new(file: &Path, source: String) -> Document {
        let breaks = source
            .bytes()
            .enumerate()
            .filter(|(_, b)| *b == b'\n')
            .map(|(at, _)| at + 1);
        let line_starts = std::iter::once(0).chain(breaks).collect();
        Document {
            file: Arc::new(file.to_owned()),
            source,
            line_starts,
        }
    }

    pub(super) fn path(&self) -> &Path {
        &self.file
    }

    /// The folder that relative paths in the file start from.
    pub(super) fn folder(&self) -> &Path {
        self.file.parent().unwrap_or(Path::new(""))
    }

    fn origin(&self, span: &Range<usize>) -> Origin {
        let line = self
            .line_starts
            .partition_point(|start| *start <= span.start);
        Origin {
            file: Arc::clone(&self.file),
            line,
        }
    }

    /// The whole file as a section.
    pub(super) fn parse(&self) -> Result<Section<'_>, ConfigError> {
        match DeTable::parse(&self.source) {
            Ok(root) => {
                let span = root.span();
                Ok(Section::new(self, String::new(), root.into_inner(), span))
            }
            Err(error) => Err(ConfigError::Syntax {
                origin: self.origin(&error.span().unwrap_or(0..0)),
                message: error.message().to_owned(),
            }),
        }
    }
}

/// A value and where it stands.
pub(super) struct Entry<'d> {
    document: &'d Document,
    /// Full name of its key.
    pub(super) key: String,
    pub(super) origin: Origin,
    value: DeValue<'d>,
    span: Range<usize>,
}

impl<'d> Entry<'d> {
    fn new(document: &'d Document, key: String, value: Spanned<DeValue<'d>>) -> Self {
        let span = value.span();
        let origin = document.origin(&span);
        Entry {
            document,
            key,
            origin,
            value: value.into_inner(),
            span,
        }
    }

    pub(super) fn document(&self) -> &'d Document {
        self.document
    }

    /// An error about this value.
    pub(super) fn invalid(&self, expected: impl Into<String>) -> ConfigError {
        let written = self
            .document
            .source
            .get(self.span.clone())
            .unwrap_or_default();
        ConfigError::Value {
            origin: self.origin.clone(),
            key: self.key.clone(),
            found: shorten(written),
            expected: expected.into(),
        }
    }

    pub(super) fn is_text(&self) -> bool {
        self.value.is_str()
    }

    pub(super) fn is_array(&self) -> bool {
        self.value.is_array()
    }

    /// Whether it is a table without keys.
    pub(super) fn is_empty_table(&self) -> bool {
        self.value.as_table().is_some_and(|table| table.is_empty())
    }

    /// Whether it is an array without elements.
    pub(super) fn is_empty(&self) -> bool {
        self.value.as_array().is_some_and(|array| array.is_empty())
    }

    pub(super) fn text(&self) -> Result<String, ConfigError> {
        let text = self
            .value
            .as_str()
            .ok_or_else(|| self.invalid("a text in quotes"))?;
        Ok(text.to_owned())
    }

    pub(super) fn flag(&self) -> Result<bool, ConfigError> {
        self.value
            .as_bool()
            .ok_or_else(|| self.invalid("true or false"))
    }

    pub(super) fn integer(&self, allowed: &RangeInclusive<i64>) -> Result<i64, ConfigError> {
        let value = self
            .value
            .as_integer()
            .and_then(|n| i64::from_str_radix(n.as_str(), n.radix()).ok())
            .filter(|n| allowed.contains(n));
        let (low, high) = (allowed.start(), allowed.end());
        value.ok_or_else(|| self.invalid(format!("a whole number from {low} to {high}")))
    }

    pub(super) fn number(&self, allowed: &RangeInclusive<f32>) -> Result<f32, ConfigError> {
        let text = match &self.value {
            DeValue::Float(n) => Some(n.as_str()),
            DeValue::Integer(n) if n.radix() == 10 => Some(n.as_str()),
            _ => None,
        };
        let value = text
            .and_then(|t| t.parse::<f32>().ok())
            .filter(|n| allowed.contains(n));
        let (low, high) = (allowed.start(), allowed.end());
        value.ok_or_else(|| self.invalid(format!("a number from {low} to {high}")))
    }

    /// The elements of an array.
    pub(super) fn elements(self) -> Result<Vec<Entry<'d>>, ConfigError> {
        if !self.is_array() {
            return Err(self.invalid("an array: [ … ]"));
        }
        let (document, key) = (self.document, self.key);
        let array = match self.value {
            DeValue::Array(array) => array,
            _ => DeArray::default(),
        };
        let element = |(i, value)| Entry::new(document, format!("{key}[{i}]"), value);
        Ok(array.into_iter().enumerate().map(element).collect())
    }

    /// The value as JSON; a date is a text there.
    pub(super) fn json(&self) -> Result<Value, ConfigError> {
        json(&self.value).ok_or_else(|| self.invalid("a value that JSON has: no nan and no inf"))
    }

    pub(super) fn choice<T: Copy>(
        &self,
        choices: &[(&str, T)],
        to: &mut T,
    ) -> Result<(), ConfigError> {
        let chosen = self.text().ok();
        let mut known = choices.iter();
        match known.find(|(name, _)| chosen.as_deref() == Some(*name)) {
            Some((_, value)) => {
                *to = *value;
                Ok(())
            }
            None => {
                let names = choices.iter().map(|(name, _)| format!("\"{name}\""));
                Err(self.invalid(names.collect::<Vec<_>>().join(" or ")))
            }
        }
    }

    pub(super) fn texts(self) -> Result<Vec<String>, ConfigError> {
        self.elements()?.iter().map(Entry::text).collect()
    }

    pub(super) fn section(self) -> Result<Section<'d>, ConfigError> {
        if !self.value.is_table() {
            return Err(self.invalid("a table"));
        }
        let table = match self.value {
            DeValue::Table(table) => table,
            _ => DeTable::new(),
        };
        Ok(Section::new(self.document, self.key, table, self.span))
    }
}

/// A value as JSON; none for what JSON does not have.
fn json(value: &DeValue) -> Option<Value> {
    Some(match value {
        DeValue::String(text) => Value::String(text.clone().into_owned()),
        DeValue::Integer(n) => i64::from_str_radix(n.as_str(), n.radix()).ok()?.into(),
        DeValue::Float(n) => Value::Number(Number::from_f64(n.as_str().parse().ok()?)?),
        DeValue::Boolean(flag) => Value::Bool(*flag),
        DeValue::Datetime(date) => Value::String(date.to_string()),
        DeValue::Array(array) => {
            let values: Option<Vec<Value>> =
                array.iter().map(|value| json(value.get_ref())).collect();
            Value::Array(values?)
        }
        DeValue::Table(table) => {
            let members: Option<_> = table
                .iter()
                .map(|(key, value)| {
                    Some((key.get_ref().clone().into_owned(), json(value.get_ref())?))
                })
                .collect();
            Value::Object(members?)
        }
    })
}

/// The beginning of what was written, on one line.
fn shorten(written: &str) -> String {
    let line = written.lines().next().unwrap_or_default();
    match line.char_indices().nth(40) {
        Some((at, _)) => format!("{}…", &line[..at]),
        None => line.to_owned(),
    }
}

/// A table whose keys are taken out one by one.
pub(super) struct Section<'d> {
    document: &'d Document,
    /// Full name; empty for the file itself.
    path: String,
    pub(super) origin: Origin,
    table: DeTable<'d>,
    known: Vec<&'static str>,
}

impl<'d> Section<'d> {
    fn new(
        document: &'d Document,
        path: String,
        table: DeTable<'d>,
        span: Range<usize>,
    ) -> Section<'d> {
        Section {
            document,
            path,
            origin: document.origin(&span),
            table,
            known: Vec::new(),
        }
    }

    pub(super) fn document(&self) -> &'d Document {
        self.document
    }

    fn full_key(&self, key: &str) -> String {
        match self.path.as_str() {
            "" => key.to_owned(),
            path => format!("{path}.{key}"),
        }
    }

    /// Takes the value of `key`, if there is one.
    pub(super) fn take(&mut self, key: &'static str) -> Option<Entry<'d>> {
        self.known.push(key);
        let value = self.table.remove(key)?;
        Some(Entry::new(self.document, self.full_key(key), value))
    }

    /// Takes the value of `key`, which must be there.
    pub(super) fn require(&mut self, key: &'static str) -> Result<Entry<'d>, ConfigError> {
        self.take(key).ok_or_else(|| self.missing(key))
    }

    /// The error that `key` is missing.
    pub(super) fn missing(&self, key: &str) -> ConfigError {
        ConfigError::Missing {
            origin: self.origin.clone(),
            key: self.full_key(key),
        }
    }

    /// The section `key`; an empty one when it is not there.
    pub(super) fn section(&mut self, key: &'static str) -> Result<Section<'d>, ConfigError> {
        match self.take(key) {
            Some(entry) => entry.section(),
            None => Ok(Section::new(
                self.document,
                self.full_key(key),
                DeTable::new(),
                0..0,
            )),
        }
    }

    pub(super) fn text(&mut self, key: &'static str, to: &mut String) -> Result<(), ConfigError> {
        if let Some(entry) = self.take(key) {
            *to = entry.text()?;
        }
        Ok(())
    }

    pub(super) fn flag(&mut self, key: &'static str, to: &mut bool) -> Result<(), ConfigError> {
        if let Some(entry) = self.take(key) {
            *to = entry.flag()?;
        }
        Ok(())
    }

    pub(super) fn number(
        &mut self,
        key: &'static str,
        allowed: RangeInclusive<f32>,
        to: &mut f32,
    ) -> Result<(), ConfigError> {
        if let Some(entry) = self.take(key) {
            *to = entry.number(&allowed)?;
        }
        Ok(())
    }

    pub(super) fn integer<T: TryFrom<i64>>(
        &mut self,
        key: &'static str,
        allowed: RangeInclusive<i64>,
        to: &mut T,
    ) -> Result<(), ConfigError> {
        if let Some(entry) = self.take(key) {
            let value = entry.integer(&allowed)?;
            *to = T::try_from(value).map_err(|_| entry.invalid("a smaller number"))?;
        }
        Ok(())
    }

    pub(super) fn choice<T: Copy>(
        &mut self,
        key: &'static str,
        choices: &[(&str, T)],
        to: &mut T,
    ) -> Result<(), ConfigError> {
        match self.take(key) {
            Some(entry) => entry.choice(choices, to),
            None => Ok(()),
        }
    }

    /// All entries, whose keys are names the author chose.
    pub(super) fn into_entries(self) -> Vec<(String, Entry<'d>)> {
        let Section {
            document,
            path,
            table,
            ..
        } = self;
        let entries = table.into_iter().map(|(key, value)| {
            let name = key.into_inner().into_owned();
            let full = format!("{path}.{name}");
            (name, Entry::new(document, full, value))
        });
        entries.collect()
    }

    /// Fails if keys are left that nobody asked for.
    pub(super) fn finish(self) -> Result<(), ConfigError> {
        // The first in the file, not in the alphabet.
        let first = self.table.keys().min_by_key(|key| key.span().start);
        let Some(key) = first else { return Ok(()) };
        let name = key.get_ref().as_ref();
        Err(ConfigError::UnknownKey {
            origin: self.document.origin(&key.span()),
            key: self.full_key(name),
            nearest: nearest(name, self.known.iter().copied()).map(|key| self.full_key(&key)),
            known: self.known.join(", "),
        })
    }
}
