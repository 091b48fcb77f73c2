//! Spoken commands: what can be said, what was meant, what is done.
//!
//! ```text
//! templates ──▶ template ──▶ graph (Grammar)
//!                               │
//! text ──▶ words ──▶ lattice ──▶ matcher ──▶ Match ──▶ action (Runner) ──▶ program, network, speech
//! ```
//!
//! Matching is pure and takes microseconds to a few milliseconds on the caller's thread; actions
//! are carried out on the runner's own threads and never hold anybody up.

pub mod action;
pub mod advice;
mod alternatives;
mod builtin;
pub mod calibrate;
mod compile;
mod context;
pub mod gbnf;
pub mod graph;
mod heard;
mod lattice;
pub mod lint;
pub mod matcher;
pub mod mistake;
mod numbers;
mod precedence;
mod progress;
pub mod sample;
mod search;
mod several;
pub mod spec;
mod spelling;
pub(crate) mod spoken;
pub mod template;
pub mod traits;
pub mod words;

pub use action::{Action, Completion, Job, Means, Runner, RunnerOptions, Voice};
pub use alternatives::Alternative;
pub use graph::Grammar;
pub use matcher::{Match, MatchOptions, Matcher, Reason};
pub use mistake::{GrammarCause, GrammarError};
pub use progress::{Patience, Progress};
pub use spec::{
    CommandSpec, Context, Fractions, GrammarSpec, ListSpec, ListValue, NumberRange, Origin,
    Requirement, Scope, Sentence,
};
pub use traits::{BuiltIn, Care, Traits, Undo};

#[cfg(test)]
mod test_grammar;
#[cfg(test)]
mod tests;
