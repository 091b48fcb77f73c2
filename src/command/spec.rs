//! Commands as their author wrote them, before they are compiled.
//!
//! Filled from configuration files; every part keeps its [`Origin`], so that whatever is found
//! wrong with it later can be reported by file and line.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::path::PathBuf;
use std::sync::Arc;

use super::action::Action;
use super::traits::Traits;

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

/// What a value says about itself, or a command demands of its values, such as `domain = "light"`.
pub type Context = BTreeMap<String, String>;

/// One value of a list.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct ListValue {
    /// How it is spoken: a template without lists.
    pub spoken: Sentence,
    /// What the slot receives; as it was spoken when absent.
    pub value: Option<String>,
    /// What commands may demand of it.
    pub context: Context,
}

/// Which numbers between two whole ones are numbers of a range.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Fractions {
    /// None.
    #[default]
    None,
    /// Halves.
    Halves,
    /// Tenths.
    Tenths,
}

/// The numbers of a list.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct NumberRange {
    /// Smallest.
    pub from: i64,
    /// Largest.
    pub to: i64,
    /// Distance between allowed whole numbers, at least 1, counted from `from`.
    pub step: i64,
    /// What lies between them.
    pub fractions: Fractions,
    /// The slot receives the number times this.
    pub multiplier: f64,
}

impl NumberRange {
    /// Every whole number from `from` to `to`.
    pub fn new(from: i64, to: i64) -> NumberRange {
        NumberRange {
            from,
            to,
            step: 1,
            fractions: Fractions::None,
            multiplier: 1.0,
        }
    }

    /// What the slot receives for a number that is given in tenths, in thousandths.
    pub(super) fn multiplied(&self, tenths: i64) -> i64 {
        ((tenths * 100) as f64 * self.multiplier).round() as i64
    }
}

/// What a list may stand for.
#[derive(Clone, Debug, PartialEq)]
pub enum ListSpec {
    /// Given values.
    Values(Vec<ListValue>),
    /// Numbers.
    Range(NumberRange),
    /// One or more words of any kind.
    Free,
}

/// What a command demands of a key of the contexts.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Requirement {
    /// What the context may be; anything when empty.
    pub values: Vec<String>,
    /// Whether a slot of the same name receives it. A context that is only wanted for this may be
    /// missing.
    pub to_slot: bool,
}

/// Lists and rules that some commands have in common and others do not see.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Scope {
    /// They go before common lists of the same name.
    pub lists: BTreeMap<String, ListSpec>,
    /// They go before common rules of the same name.
    pub rules: BTreeMap<String, Sentence>,
    /// What lists are that are defined nowhere else.
    pub default_lists: BTreeMap<String, ListSpec>,
}

/// One command.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct CommandSpec {
    /// Name, as it appears in events.
    pub name: String,
    /// Whether it is one of several blocks that are one command together, and have its name.
    pub is_block: bool,
    /// Ways to say it.
    pub sentences: Vec<Sentence>,
    /// Lists that only this command knows; they go before all others of the same name.
    pub lists: BTreeMap<String, ListSpec>,
    /// Lists and rules of the files it comes from.
    pub scope: Arc<Scope>,
    /// Values of slots that no sentence fills.
    pub slots: BTreeMap<String, String>,
    /// What the context of its values must be.
    pub requires: BTreeMap<String, Requirement>,
    /// What the context of its values must not be: any of these; nothing at all when empty.
    pub excludes: BTreeMap<String, Vec<String>>,
    /// Words of which one must be said; any will do when empty.
    pub required_keywords: Vec<String>,
    /// What it does; nothing beyond its event when absent.
    pub action: Option<Arc<Action>>,
    /// When and how that is done.
    pub traits: Traits,
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
    /// Words that may be said around and between those of a command.
    pub skip_words: Vec<Sentence>,
    /// The languages that the sentences are in.
    pub languages: Languages,
}

/// The languages of all sentences, if they are known.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Languages {
    codes: BTreeSet<&'static str>,
    is_unknown: bool,
}

impl Languages {
    /// There are sentences in these languages, by their codes; in unknown ones where there is none.
    pub fn add(&mut self, codes: impl IntoIterator<Item = &'static str>) {
        let mut codes = codes.into_iter().peekable();
        self.is_unknown |= codes.peek().is_none();
        self.codes.extend(codes);
    }

    /// The codes, with commas between them; none when some are unknown.
    pub fn known(&self) -> Option<String> {
        let codes: Vec<&str> = self.codes.iter().copied().collect();
        (!self.is_unknown && !codes.is_empty()).then(|| codes.join(","))
    }
}
