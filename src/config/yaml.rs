//! A YAML file as a tree that knows where everything stands.
//!
//! Enters: a file's text. Leaves: a [`Yaml`], or an error with file and line. Every scalar is a
//! text; anchors and aliases are refused, and so is more than one document. Bounded in depth and in
//! the number of values, whatever the text is.

use std::path::PathBuf;
use std::sync::Arc;

use saphyr_parser::{Event, Parser, ScalarStyle, ScanError};

use super::ConfigError;
use crate::command::Origin;
use crate::command::mistake::nearest;

/// Deepest nesting.
const MAX_DEPTH: usize = 64;
/// Most values of a file.
const MAX_VALUES: usize = 500_000;

/// A value and where it stands.
#[derive(Clone, Debug)]
pub(super) struct Yaml {
    pub(super) origin: Origin,
    pub(super) value: Value,
}

#[derive(Clone, Debug)]
pub(super) enum Value {
    /// Nothing is written, or `null`.
    Nothing,
    Text(String),
    List(Vec<Yaml>),
    Map(Vec<(String, Yaml)>),
}

/// A list or map that is not yet closed.
enum Open {
    List(Vec<Yaml>),
    /// With the key whose value comes next.
    Map(Vec<(String, Yaml)>, Option<String>),
}

/// Reads the text of `file`.
pub(super) fn parse(file: &Arc<PathBuf>, text: &str) -> Result<Yaml, ConfigError> {
    let mut tree = Tree {
        file: Arc::clone(file),
        open: Vec::new(),
        root: None,
        n_values: 0,
    };
    for event in Parser::new_from_str(text) {
        let (event, span) = event.map_err(|error| tree.malformed(&error))?;
        tree.take(event, span.start.line())?;
    }
    let nothing = Yaml {
        origin: tree.origin(1),
        value: Value::Nothing,
    };
    Ok(tree.root.unwrap_or(nothing))
}

struct Tree {
    file: Arc<PathBuf>,
    open: Vec<(Origin, Open)>,
    root: Option<Yaml>,
    n_values: usize,
}

impl Tree {
    fn origin(&self, line: usize) -> Origin {
        Origin {
            file: Arc::clone(&self.file),
            line,
        }
    }

    fn malformed(&self, error: &ScanError) -> ConfigError {
        self.wrong(error.marker().line(), error.info())
    }

    fn wrong(&self, line: usize, message: &str) -> ConfigError {
        ConfigError::Syntax {
            origin: self.origin(line),
            message: message.to_owned(),
        }
    }

    fn take(&mut self, event: Event, line: usize) -> Result<(), ConfigError> {
        const ANCHORS: &str = "anchors and aliases are not read; write the value out";
        let origin = self.origin(line);
        self.n_values += 1;
        if self.n_values > MAX_VALUES {
            let message = format!("the file has more than {MAX_VALUES} values; split it");
            return Err(self.wrong(line, &message));
        }
        match event {
            Event::Alias(_)
            | Event::Scalar(_, _, 1.., _)
            | Event::SequenceStart(1.., _)
            | Event::MappingStart(1.., _) => Err(self.wrong(line, ANCHORS)),
            Event::Scalar(text, style, ..) => {
                let is_nothing = style == ScalarStyle::Plain
                    && matches!(&*text, "" | "~" | "null" | "Null" | "NULL");
                let value = match is_nothing {
                    true => Value::Nothing,
                    false => Value::Text(text.into_owned()),
                };
                self.add(Yaml { origin, value })
            }
            Event::SequenceStart(..) => self.open(origin, Open::List(Vec::new())),
            Event::MappingStart(..) => self.open(origin, Open::Map(Vec::new(), None)),
            Event::SequenceEnd | Event::MappingEnd => self.close(),
            Event::DocumentStart(_) if self.root.is_some() => {
                Err(self.wrong(line, "only one document is read from a file; split it"))
            }
            _ => Ok(()),
        }
    }

    fn open(&mut self, origin: Origin, open: Open) -> Result<(), ConfigError> {
        if self.open.len() >= MAX_DEPTH {
            let message = format!("values are nested more than {MAX_DEPTH} deep");
            return Err(self.wrong(origin.line, &message));
        }
        self.open.push((origin, open));
        Ok(())
    }

    fn close(&mut self) -> Result<(), ConfigError> {
        let Some((origin, open)) = self.open.pop() else {
            return Ok(());
        };
        let value = match open {
            Open::List(all) => Value::List(all),
            Open::Map(all, _) => Value::Map(all),
        };
        self.add(Yaml { origin, value })
    }

    /// Adds a finished value to what is open.
    fn add(&mut self, yaml: Yaml) -> Result<(), ConfigError> {
        let mistake = match self.open.last_mut() {
            None => {
                self.root = Some(yaml);
                return Ok(());
            }
            Some((_, Open::List(all))) => {
                all.push(yaml);
                return Ok(());
            }
            Some((_, Open::Map(all, key))) => match (key.take(), yaml.value) {
                (Some(key), value) => {
                    let origin = yaml.origin;
                    all.push((key, Yaml { origin, value }));
                    return Ok(());
                }
                (None, Value::Text(text)) if all.iter().any(|(known, _)| *known == text) => {
                    format!("`{text}` is there twice")
                }
                (None, Value::Text(text)) => {
                    *key = Some(text);
                    return Ok(());
                }
                (None, _) => "a key must be a text".to_owned(),
            },
        };
        Err(self.wrong(yaml.origin.line, &mistake))
    }
}

impl Yaml {
    /// An error about the value of `key`.
    pub(super) fn invalid(&self, key: &str, expected: &str) -> ConfigError {
        let found = match &self.value {
            Value::Nothing => "nothing".to_owned(),
            Value::Text(text) => format!("\"{}\"", text.chars().take(40).collect::<String>()),
            Value::List(_) => "a list".to_owned(),
            Value::Map(_) => "a map".to_owned(),
        };
        ConfigError::Value {
            origin: self.origin.clone(),
            key: key.to_owned(),
            found,
            expected: expected.to_owned(),
        }
    }

    pub(super) fn text(&self, key: &str) -> Result<&str, ConfigError> {
        match &self.value {
            Value::Text(text) => Ok(text),
            _ => Err(self.invalid(key, "a text")),
        }
    }

    /// The elements of a list; a single value is a list of one, nothing is an empty one.
    pub(super) fn elements(&self) -> &[Yaml] {
        match &self.value {
            Value::List(all) => all,
            Value::Nothing => &[],
            _ => std::slice::from_ref(self),
        }
    }

    /// All texts of a list, or the only one.
    pub(super) fn texts(&self, key: &str) -> Result<Vec<String>, ConfigError> {
        let all = self.elements().iter();
        all.map(|element| element.text(key).map(str::to_owned))
            .collect()
    }

    pub(super) fn flag(&self, key: &str) -> Result<bool, ConfigError> {
        match &self.value {
            Value::Text(text) if text == "true" => Ok(true),
            Value::Text(text) if text == "false" => Ok(false),
            _ => Err(self.invalid(key, "true or false")),
        }
    }

    /// The entries of a map; nothing is an empty one.
    pub(super) fn entries(&self, key: &str) -> Result<&[(String, Yaml)], ConfigError> {
        match &self.value {
            Value::Map(all) => Ok(all),
            Value::Nothing => Ok(&[]),
            _ => Err(self.invalid(key, "a map of keys and values")),
        }
    }

    /// A map whose keys are taken out one by one.
    pub(super) fn fields(&self, key: &str) -> Result<Fields<'_>, ConfigError> {
        Ok(Fields {
            left: self.entries(key)?.iter().collect(),
            known: Vec::new(),
        })
    }
}

/// A map whose keys are taken out one by one.
pub(super) struct Fields<'y> {
    left: Vec<&'y (String, Yaml)>,
    known: Vec<&'static str>,
}

impl<'y> Fields<'y> {
    /// Takes the value of `key`, if there is one.
    pub(super) fn take(&mut self, key: &'static str) -> Option<&'y Yaml> {
        self.known.push(key);
        let at = self.left.iter().position(|(name, _)| name == key)?;
        Some(&self.left.remove(at).1)
    }

    /// Fails if keys are left that nobody asked for.
    pub(super) fn finish(self) -> Result<(), ConfigError> {
        let Some((name, yaml)) = self.left.first() else {
            return Ok(());
        };
        Err(ConfigError::UnknownKey {
            origin: yaml.origin.clone(),
            key: name.clone(),
            nearest: nearest(name, self.known.iter().copied()),
            known: self.known.join(", "),
        })
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn read(text: &str) -> Result<Yaml, ConfigError> {
        parse(&Arc::new(PathBuf::from("x.yaml")), text)
    }

    fn mistake(text: &str) -> String {
        read(text).unwrap_err().to_string()
    }

    #[test]
    fn values_have_their_lines() {
        let root = read("# x\na: 1\nb:\n  - 'on'\n  - ~\n  - {c: [d]}\n").unwrap();
        let mut fields = root.fields("").unwrap();
        assert_eq!(fields.take("a").unwrap().text("a").unwrap(), "1");
        let list = fields.take("b").unwrap().elements();
        fields.finish().unwrap();
        assert_eq!(list[0].text("").unwrap(), "on");
        assert_eq!(list[0].origin.to_string(), "x.yaml:4");
        assert!(matches!(list[1].value, Value::Nothing));
        assert_eq!(list[2].entries("").unwrap()[0].0, "c");
    }

    #[test]
    fn mistakes_say_where_and_what() {
        assert!(mistake("a: [1\nb: 2").starts_with("x.yaml:"));
        assert!(mistake("a: &x 1\nb: *x").starts_with("x.yaml:1: anchors"));
        assert_eq!(mistake("a: 1\na: 2"), "x.yaml:2: `a` is there twice");
        assert_eq!(
            mistake("a: 1\n? [b]\n: 2"),
            "x.yaml:2: a key must be a text"
        );
        assert!(mistake("a: 1\n---\nb: 2").starts_with("x.yaml:2: only one document"));
        assert!(mistake(&"[".repeat(200)).contains("nested more than 64"));
        let root = read("sentence: x").unwrap();
        let mut fields = root.fields("").unwrap();
        assert!(fields.take("sentences").is_none());
        let unknown = fields.finish().unwrap_err().to_string();
        assert!(unknown.contains("did you mean `sentences`?"), "{unknown}");
    }

    #[test]
    fn aliases_that_multiply_are_refused() {
        let bomb = "a: &a [x,x,x,x,x,x,x,x,x]\nb: &b [*a,*a,*a,*a,*a,*a,*a,*a]\n";
        assert!(mistake(bomb).contains("anchors"));
        let many = format!("[{}]", "a,".repeat(MAX_VALUES + 10));
        assert!(mistake(&many).contains("more than"));
    }

    proptest! {
        #[test]
        fn any_text_gives_a_tree_or_an_error(text in "[-a-z:\\[\\]{}&*!|>'\"#%@,? \\n\\t0-9]{0,200}") {
            let _ = read(&text);
        }

        #[test]
        fn any_characters_give_a_tree_or_an_error(text in any::<String>()) {
            let _ = read(&text);
        }
    }
}
