//! The state of a conversation: who is spoken to, what waits for an answer, what can be taken back,
//! which timers run.
//!
//! Enters: what was heard, with the time on the sample clock, and the time on the clock of the
//! timers. Leaves: [`Effect`]s for the stage that owns the conversation. Pure: no clock, no file and
//! no thread; the same calls give the same effects.

use crate::command::Job;
use crate::event::{Event, Seconds};
use crate::respond::Question;

pub mod builtin;
mod early;
mod echo;
mod listen;
mod phrases;
mod questions;
mod settings;
mod timers;
mod undo;
pub(crate) mod wording;

pub use phrases::Phrases;
pub use settings::{ListenMode, ListenSettings, Settings, TalkSettings, TimerSettings};
pub use timers::{SavedState, SavedTimer};

pub(crate) use early::Early;
pub(crate) use echo::{OwnVoice, Sifted};
pub(crate) use listen::{Address, Listen, after_phrase};
pub(crate) use questions::{Answer, Questions, Unconfirmed};
pub(crate) use timers::{Refusal, TimerView, Timers};
pub(crate) use undo::{Done, Inverse, Undoable};
pub(crate) use wording::question as question_text;

/// The present, on both clocks of a conversation.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(crate) struct Now {
    /// Audio heard so far.
    pub(crate) heard: Seconds,
    /// Seconds on the clock of the timers: in replay the same, live a clock that goes on while the
    /// machine sleeps.
    pub(crate) clock_s: f64,
    /// Whether something is being spoken.
    pub(crate) speaks: bool,
}

/// What is to be done next, in order.
#[derive(Clone, Debug)]
pub(crate) enum Effect {
    /// Say that it happened.
    Report(Event),
    /// Do it.
    CarryOut(Job),
    /// Be silent: whatever is being spoken ends.
    Hush,
    /// This will probably be asked: begin to answer, and say nothing yet.
    Foresee(Question),
    /// Answer it.
    Ask(Question),
    /// No answer is wanted any more.
    StopAnswer,
    /// Keep these timers over a restart.
    Keep(Vec<SavedTimer>),
}
