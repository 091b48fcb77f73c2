//! Commands as their author wrote them, before they are compiled.
//!
//! Filled from configuration files; every part keeps its [`Origin`], so that whatever is found
//! wrong with it later can be reported by file and line.

use std::collections::BTreeMap;
use std::fmt;
use std::path::PathBuf;
use std::sync::Arc;

use super::action::Action;

/// A place in a file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Origin {
    /// The file.
    pub file: Arc<PathBuf>,
    /// Line, from 1; 0 when the text came from no file.
    pub line: usize,
}

impl Default for Origin {
    fn default() -> Self {
        Origin {
            file: Arc::new(PathBuf::from("-")),
            line: 0,
        }
    }
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.file.display(), self.line)
    }
}

/// A template and where it was written.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Sentence {
    /// The template.
    pub template: String,
    /// Its place.
    pub origin: Origin,
}

/// One value of a list.
#[derive(Clone, Debug, PartialEq)]
pub struct ListValue {
    /// How it is spoken: a template without lists.
    pub spoken: Sentence,
    /// What the slot receives; as it was spoken when absent.
    pub value: Option<String>,
}

/// What a list may stand for.
#[derive(Clone, Debug, PartialEq)]
pub enum ListSpec {
    /// Given values.
    Values(Vec<ListValue>),
    /// Whole numbers.
    Range {
        /// Smallest.
        from: i64,
        /// Largest.
        to: i64,
        /// Distance between allowed numbers, at least 1, counted from `from`.
        step: i64,
    },
}

/// One command.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct CommandSpec {
    /// Name, as it appears in events.
    pub name: String,
    /// Ways to say it.
    pub sentences: Vec<Sentence>,
    /// Lists that only this command knows; they go before common ones of the same name.
    pub lists: BTreeMap<String, ListSpec>,
    /// Values of slots that no sentence fills.
    pub slots: BTreeMap<String, String>,
    /// What it does; nothing beyond its event when absent.
    pub action: Option<Arc<Action>>,
    /// Its place.
    pub origin: Origin,
}

/// Everything that can be said.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct GrammarSpec {
    /// The commands, in order of precedence.
    pub commands: Vec<CommandSpec>,
    /// Lists that every command may use.
    pub lists: BTreeMap<String, ListSpec>,
    /// Parts of sentences that have a name.
    pub rules: BTreeMap<String, Sentence>,
}
