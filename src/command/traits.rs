//! What sets a command apart from being carried out once it is understood.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::action::Action;
use super::spec::Origin;

/// How a command is treated; the default is to carry it out when its sentence is over.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Traits {
    /// When it is carried out.
    pub care: Care,
    /// What takes its action back.
    pub undo: Option<Undo>,
    /// What hark itself does for it.
    pub built_in: Option<BuiltIn>,
}

/// When a command is carried out.
#[derive(Clone, Debug, Default, PartialEq)]
pub enum Care {
    /// When its sentence is over.
    #[default]
    Usual,
    /// As soon as its words can mean nothing else: it does no harm.
    Safe,
    /// When somebody has said yes to it.
    Confirm {
        /// What is asked, with `{slot}` for its value; a question about what was heard when absent.
        question: Option<String>,
    },
}

/// What takes an action back; it gets the slots of the command.
#[derive(Clone, Debug, PartialEq)]
pub enum Undo {
    /// An action of its own.
    Action(Arc<Action>),
    /// The action of another command.
    Command {
        /// Its name.
        name: String,
        /// Where that is written.
        origin: Origin,
    },
}

/// What hark does itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BuiltIn {
    /// Sets a timer.
    SetTimer,
    /// Cancels one.
    CancelTimer,
    /// Cancels all.
    CancelTimers,
    /// Says how long is left.
    TimeLeft,
    /// Lets one stand still.
    PauseTimer,
    /// Lets it go on.
    ResumeTimer,
}

/// `text` with each `{slot}` replaced by its value; other braces stay as they are.
pub fn fill(text: &str, slots: &BTreeMap<String, String>) -> String {
    super::action::fill(text, slots)
}
