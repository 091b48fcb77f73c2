//! Actions: what commands do.
//!
//! Enters: an [`Action`] and the slots of a command, as a [`Job`]. Leaves: a [`Completion`]. Every
//! kind of action has a file; [`run`] carries one out and waits for it, the [`Runner`] does so on
//! threads of its own. Whatever characters the value of a slot has, it reaches its target as part of
//! one argument or one string.
//!
//! ```text
//! Job ─▶ Runner ─▶ run: attempt, attempt again if so configured ─▶ Completion
//!                        └─ program · http · mqtt · speak · socket
//! ```

use std::fmt;

use thiserror::Error;

mod http;
mod job;
mod mqtt;
mod net;
mod payload;
mod program;
mod runner;
mod secret;
mod slots;
mod socket;
mod speak;

pub use http::{HttpRequest, UrlError};
pub(crate) use job::beginning;
pub use job::{Attempt, Completion, Job, Means, run};
pub use mqtt::{Broker, BrokerError, Encryption, Login, Publish, Qos};
pub use payload::Payload;
pub use program::{Program, Shell, slot_variable};
pub use runner::{OnCompletion, Runner, RunnerOptions};
pub use secret::{Secret, SecretError};
pub(super) use slots::fill;
pub use slots::{SlotError, Slots};
pub use socket::{Address, REPLY_MS, SocketMessage};
pub use speak::{Speak, Voice};

use job::Ended;

/// What a command does.
#[derive(Clone, Debug, PartialEq)]
pub struct Action {
    /// The deed.
    pub kind: Kind,
    /// Time one try may take, in milliseconds.
    pub timeout_ms: u64,
    /// Whether a failure is tried again.
    pub retry: Retry,
    /// How many of this action may be under way at the same time; 0 for as many as there are places.
    pub max_running: usize,
    /// What happens to further ones.
    pub when_busy: WhenBusy,
    /// What becomes of what it gives back.
    pub output: Output,
}

/// The kinds of actions.
#[derive(Clone, Debug, PartialEq)]
pub enum Kind {
    /// Runs a program.
    Program(Program),
    /// Sends an HTTP request.
    Http(HttpRequest),
    /// Publishes an MQTT message.
    Mqtt(Publish),
    /// Speaks a sentence.
    Speak(Speak),
    /// Writes to a socket.
    Socket(SocketMessage),
}

/// Whether a failed action is tried again.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Retry {
    /// How often.
    pub times: u32,
    /// Pause before each further try, in milliseconds.
    pub delay_ms: u64,
}

/// What happens when as many of an action are under way as may be.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum WhenBusy {
    /// The new one waits.
    #[default]
    Wait,
    /// The new one is not done.
    Skip,
    /// The oldest is ended, and those that wait are not done.
    Replace,
}

/// What becomes of what an action gives back.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Output {
    /// Its beginning is in the event.
    #[default]
    Event,
    /// That, and it is logged.
    Log,
    /// That, and it is spoken.
    Speak,
    /// It is dropped.
    Nowhere,
}

/// Time a try has by default, in milliseconds.
pub const TIMEOUT_MS: u64 = 10_000;
/// The same for a sentence that is spoken.
pub const SPEAK_TIMEOUT_MS: u64 = 60_000;

impl From<Kind> for Action {
    /// An action of this kind with defaults for everything else.
    fn from(kind: Kind) -> Action {
        let timeout_ms = match kind {
            Kind::Speak(_) => SPEAK_TIMEOUT_MS,
            _ => TIMEOUT_MS,
        };
        Action {
            kind,
            timeout_ms,
            retry: Retry::default(),
            max_running: 0,
            when_busy: WhenBusy::default(),
            output: Output::default(),
        }
    }
}

impl Action {
    /// A program with these arguments, and defaults for everything else.
    pub fn program(program: &str, args: &[&str]) -> Action {
        Action::from(Kind::Program(Program {
            program: program.to_owned(),
            args: args.iter().map(|arg| (*arg).to_owned()).collect(),
            ..Program::default()
        }))
    }

    /// What is done, in words that a terminal line holds: a program and its arguments, or what
    /// is sent and where, as it is written.
    pub fn line(&self) -> Vec<String> {
        // Only values of slots can be refused.
        self.deed().line(None).unwrap_or_default()
    }

    /// The same with these slots filled in.
    ///
    /// # Errors
    /// If the value of a slot does not fit its place.
    pub fn filled_line(&self, slots: &Slots) -> Result<Vec<String>, SlotError> {
        self.deed().line(Some(slots))
    }

    /// Names of the slots that it mentions.
    pub fn mentioned_slots(&self) -> Vec<String> {
        let mut names = Vec::new();
        self.deed().mention(&mut names);
        names
    }

    /// What it needs and this machine does not have, and what is unwise about it.
    pub fn lacks(&self) -> Vec<String> {
        self.deed().lacks()
    }

    /// Whether it makes sound of text.
    pub fn speaks(&self) -> bool {
        matches!(self.kind, Kind::Speak(_)) || self.output == Output::Speak
    }

    fn deed(&self) -> &dyn Deed {
        match &self.kind {
            Kind::Program(program) => program,
            Kind::Http(request) => request,
            Kind::Mqtt(publish) => publish,
            Kind::Speak(speak) => speak,
            Kind::Socket(message) => message,
        }
    }
}

impl fmt::Display for Action {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&quoted(&self.line()))
    }
}

/// Words in one line, those with unusual characters in quotes.
pub fn quoted(line: &[String]) -> String {
    let is_plain = |c: char| c.is_alphanumeric() || "-_./:=+,{}".contains(c);
    let quote = |word: &String| match !word.is_empty() && word.chars().all(is_plain) {
        true => word.clone(),
        false => format!("{word:?}"),
    };
    line.iter().map(quote).collect::<Vec<_>>().join(" ")
}

/// What every kind of action can do.
trait Deed {
    /// Adds the names of the slots that it mentions.
    fn mention(&self, to: &mut Vec<String>);
    /// What is done, in words; without `slots` as it is written.
    fn line(&self, slots: Option<&Slots>) -> Result<Vec<String>, SlotError>;
    /// Does it once, on the calling thread.
    fn run(&self, job: &Job, attempt: &Attempt<'_>) -> Ended;
    /// What it needs and this machine does not have, and what is unwise about it.
    fn lacks(&self) -> Vec<String>;
}

/// Why an action was not done.
#[derive(Debug, Error)]
pub enum ActionError {
    /// A program that could not be run, or complained.
    #[error("{0}")]
    Program(String),
    /// A value that does not fit.
    #[error(transparent)]
    Slot(#[from] SlotError),
    /// A password that is not there.
    #[error(transparent)]
    Secret(#[from] SecretError),
    /// The network, or who is at the other end.
    #[error("{target}: {reason}")]
    Remote {
        /// Whom it was meant for.
        target: String,
        /// What went wrong.
        reason: String,
    },
    /// It cannot be said.
    #[error("{0}")]
    Speech(String),
    /// There is nothing that speaks.
    #[error("nothing here can speak")]
    NoVoice,
    /// A part that was left out when hark was built.
    #[error("this hark was built without the feature `{0}`")]
    NoFeature(&'static str),
    /// It took too long.
    #[error("it took too long")]
    TimedOut,
    /// It was ended early.
    #[error("ended before it was done")]
    Stopped,
}

impl ActionError {
    /// Whether another try may go better.
    fn may_pass(&self) -> bool {
        matches!(
            self,
            ActionError::Program(_)
                | ActionError::Remote { .. }
                | ActionError::Speech(_)
                | ActionError::TimedOut
        )
    }

    /// The error in words.
    fn told(&self, job: &Job) -> String {
        match self {
            ActionError::TimedOut => format!("took longer than {} ms", job.action.timeout_ms),
            other => other.to_string(),
        }
    }
}

#[cfg(test)]
mod tests;
