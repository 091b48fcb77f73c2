//! What can be wrong with the commands in a configuration.

use thiserror::Error;

use super::compile::{MAX_NODES, MAX_PERMUTED, MAX_RULE_DEPTH, MAX_SPELLINGS, MAX_SPOKEN};
use super::spec::Origin;
use super::template::TemplateError;
use crate::error::{Classify, Kind};

/// What is wrong with a grammar, and where.
#[derive(Clone, Debug, PartialEq, Error)]
#[error("{origin}: {cause}")]
pub struct GrammarError {
    /// The place.
    pub origin: Origin,
    /// The mistake.
    pub cause: GrammarCause,
}

impl Classify for GrammarError {
    fn kind(&self) -> Kind {
        Kind::Usage
    }
}

/// The mistakes a grammar can contain.
#[derive(Clone, Debug, PartialEq, Error)]
pub enum GrammarCause {
    /// A template that cannot be read.
    #[error("sentence `{template}`: {error}")]
    Template {
        /// The template.
        template: String,
        /// What is wrong with it.
        error: TemplateError,
    },
    /// A list that does not exist.
    #[error(
        "sentence `{template}`, column {column}: there is no list `{list}`{}",
        hint(nearest, "{}")
    )]
    UnknownList {
        /// The template.
        template: String,
        /// Place in it, in characters from 1.
        column: usize,
        /// The list.
        list: String,
        /// A list that does exist and has a similar name.
        nearest: Option<String>,
    },
    /// A rule that does not exist.
    #[error(
        "sentence `{template}`, column {column}: there is no rule `{rule}`{}",
        hint(nearest, "<>")
    )]
    UnknownRule {
        /// The template.
        template: String,
        /// Place in it, in characters from 1.
        column: usize,
        /// The rule.
        rule: String,
        /// A rule that does exist and has a similar name.
        nearest: Option<String>,
    },
    /// A rule that contains itself.
    #[error("rule `{rule}` contains itself; write its alternatives out")]
    RecursiveRule {
        /// The rule.
        rule: String,
    },
    /// Rules nested too deeply.
    #[error(
        "rule `{rule}`: rules are nested more than {MAX_RULE_DEPTH} deep; write some of them out"
    )]
    RulesTooDeep {
        /// The innermost rule.
        rule: String,
    },
    /// A list inside the values of a list.
    #[error("`{template}`, column {column}: a value of a list contains a list; use (a|b) there")]
    NestedList {
        /// The template.
        template: String,
        /// Place in it, in characters from 1.
        column: usize,
    },
    /// A sentence or value that may be no words at all.
    #[error("`{template}` matches when nothing is said; make one word of it mandatory")]
    Empty {
        /// The template.
        template: String,
    },
    /// Brackets inside a word with too many spellings.
    #[error(
        "`{template}`: brackets inside one word give more than {MAX_SPELLINGS} spellings; put spaces between words"
    )]
    TooManySpellings {
        /// The template.
        template: String,
    },
    /// A permutation of too many parts.
    #[error("`{template}`: a permutation has more than {MAX_PERMUTED} parts; split the sentence")]
    TooManyPermuted {
        /// The template.
        template: String,
    },
    /// A value without `out` that cannot stand for itself.
    #[error(
        "`{template}` contains rules or has more than {MAX_SPOKEN} forms; write {{ in = …, out = … }}"
    )]
    NeedsOut {
        /// The template.
        template: String,
    },
    /// A command without sentences.
    #[error("command `{command}` has no sentences; nothing can call it")]
    NoSentences {
        /// The command.
        command: String,
    },
    /// An action that mentions a slot which no sentence fills.
    #[error(
        "command `{command}`: no sentence fills `{{{slot}}}` of its action{}; write {{{{{slot}}}}} for the text itself",
        hint(nearest, "{}")
    )]
    UnknownSlot {
        /// The command.
        command: String,
        /// The slot.
        slot: String,
        /// A slot that is filled and has a similar name.
        nearest: Option<String>,
    },
    /// The grammar as a whole is too large.
    #[error(
        "the commands need more than {MAX_NODES} nodes; use lists in place of repeated alternatives"
    )]
    TooLarge,
}

fn hint(nearest: &Option<String>, brackets: &str) -> String {
    match nearest {
        Some(name) => format!("; did you mean {}{name}{}?", &brackets[..1], &brackets[1..]),
        None => String::new(),
    }
}

/// The name among `known` that `name` was probably meant to be.
pub(crate) fn nearest<'a>(name: &str, known: impl Iterator<Item = &'a str>) -> Option<String> {
    known
        .map(|candidate| (strsim::osa_distance(name, candidate), candidate))
        .filter(|(distance, candidate)| *distance * 2 <= candidate.chars().count().max(2))
        .min()
        .map(|(_, candidate)| candidate.to_owned())
}
