//! Commands that were carried out before their utterance was over.

use std::collections::BTreeMap;

/// A command that was carried out early, until its utterance is over.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Early {
    /// Utterance.
    pub(crate) id: u64,
    /// Name of the command.
    pub(crate) name: String,
    /// Values of its slots.
    pub(crate) slots: BTreeMap<String, String>,
}
