//! Grammars that constrain what a language model may write.
//!
//! In: a grammar ([`Grammar`], of llama.cpp's notation or of a JSON schema), a vocabulary ([`Tokens`]), and the
//! tokens of a text as they are chosen. Out: the tokens that may come next, and whether the text may end
//! ([`Constraint`]). Runs on the caller's thread; starts none, reads no files, never panics on a grammar, and holds
//! bounded memory: what is too large or too ambiguous is an error.
//!
//! ```text
//! text ── gbnf ──┐
//!                ├──▶ draft (rules of elements) ──▶ compile (points and edges over bytes) ──▶ Grammar
//! JSON ── schema ┘                                                                              │
//! vocabulary ──▶ Tokens (tree of bytes) ──────────────────▶ Constraint ◀── state (where one is) ┘
//! ```
//!
//! ```
//! use std::sync::Arc;
//! use hark::llama::{Constraint, Grammar, Tokens};
//!
//! let grammar = Grammar::from_gbnf(r#"root ::= "on" | "off""#)?;
//! let tokens = Tokens::new((0..).zip(["o", "n", "f", "on", "off"]));
//! let mut constraint = Constraint::new(Arc::new(grammar), Arc::new(tokens))?;
//! assert_eq!(constraint.allowed()?.tokens(), [0, 3, 4]);
//! assert!(constraint.accept(0)?);
//! assert_eq!(constraint.allowed()?.tokens(), [1, 2]);
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

mod compile;
mod constraint;
mod draft;
mod gbnf;
mod numbers;
#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod random_tests;
mod schema;
#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod schema_tests;
mod state;
#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests;
mod tokens;
mod utf8;
mod write;

pub use constraint::{Allowed, Constraint, Position};
pub use draft::Place;
pub use gbnf::quoted;
pub use state::ConstraintError;
pub use tokens::Tokens;

use crate::error::{Classify, Kind};
use compile::Points;
use draft::Excess;

/// What a text must be.
#[derive(Debug)]
pub struct Grammar {
    points: Points,
}

impl Grammar {
    /// The grammar of a text in llama.cpp's notation.
    ///
    /// # Errors
    /// If it is not of this notation, a rule is missing, begins with itself or never ends, or it is too large.
    pub fn from_gbnf(text: &str) -> Result<Self, GrammarError> {
        let (draft, root) = gbnf::parse(text)?;
        let points = compile::compile(&draft, root)?;
        Ok(Grammar { points })
    }

    /// The grammar of the JSON values that fulfil a JSON schema.
    ///
    /// Values are written without line breaks, with at most a blank behind `:` and `,`. Properties come in the order
    /// in which `serde_json` holds them, which is that of the alphabet unless its feature `preserve_order` is on. Not
    /// everything that fulfils the schema can be written: integers have at most 18 digits, other numbers at most 16
    /// before and behind the point and an exponent of two, and keys that no property names are written without
    /// escapes. Without `type` the keywords tell the types. `additionalProperties` is `false` unless the schema says
    /// otherwise; of `oneOf`, one or more hold, as of `anyOf`; `format` is not looked at.
    ///
    /// # Errors
    /// If it is not a schema, no value fulfils it, it is too large, or it has a keyword that is not supported here
    /// and might matter.
    pub fn from_schema(schema: &serde_json::Value) -> Result<Self, GrammarError> {
        let (draft, root) = schema::draft(schema)?;
        let points = compile::compile(&draft, root)?;
        Ok(Grammar { points })
    }

    /// Memory held.
    pub fn bytes(&self) -> usize {
        self.points.bytes()
    }
}

/// Why there is no grammar.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum GrammarError {
    /// The text is not of the notation.
    #[error("{place}: expected {expected}, found {found}")]
    Syntax {
        /// Where.
        place: Place,
        /// What should be there.
        expected: &'static str,
        /// What is there.
        found: String,
    },
    /// A rule is named that is not there.
    #[error("{place}: there is no rule `{name}`; add `{name} ::= …`")]
    UndefinedRule {
        /// Where it is named first.
        place: Place,
        /// The rule.
        name: String,
    },
    /// A rule is there twice.
    #[error("{place}: rule `{name}` is defined for the second time; name one of the two otherwise")]
    RuleTwice {
        /// The second one.
        place: Place,
        /// Its name.
        name: String,
    },
    /// Nothing to begin with.
    #[error("there is no rule `root`; call the rule so that is the whole text")]
    NoRoot,
    /// A rule whose first element is the rule again.
    #[error("{place}: `{name}` begins with itself; put before it what is to be read first")]
    LeftRecursion {
        /// The rule.
        place: Place,
        /// Its name.
        name: String,
    },
    /// A rule that needs itself in all of its alternatives.
    #[error("{place}: `{name}` never comes to an end; add an alternative without itself")]
    Endless {
        /// The rule.
        place: Place,
        /// Its name.
        name: String,
    },
    /// Beyond what is held.
    #[error("{place}: more than {limit} {what}; make the grammar smaller")]
    TooLarge {
        /// Where the bound is crossed.
        place: Place,
        /// What there is too much of.
        what: &'static str,
        /// How much is allowed.
        limit: usize,
    },
    /// A keyword of JSON Schema that would have to be obeyed.
    #[error("{place}: `{keyword}` is not supported here; leave it out")]
    Keyword {
        /// The schema that has it.
        place: Place,
        /// The keyword.
        keyword: String,
    },
    /// Something in a schema is not what it has to be.
    #[error("{place}: expected {expected}")]
    Schema {
        /// Where.
        place: Place,
        /// What should be there.
        expected: &'static str,
    },
    /// A reference that leads nowhere.
    #[error("{place}: there is no `{target}` in the schema, and others are not read")]
    Reference {
        /// The schema that has it.
        place: Place,
        /// What it refers to.
        target: String,
    },
    /// A schema that nothing fulfils.
    #[error("{place}: no value can fulfil this; correct its bounds")]
    NoValue {
        /// The schema.
        place: Place,
    },
}

impl GrammarError {
    fn too_large(place: Place, excess: Excess) -> Self {
        let Excess { what, limit } = excess;
        GrammarError::TooLarge { place, what, limit }
    }
}

impl Classify for GrammarError {
    fn kind(&self) -> Kind {
        Kind::Usage
    }
}
