//! One command to be carried out, from its attempts to its completion.

use std::collections::BTreeSet;
use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use super::{Action, ActionError, Output, Slots, Voice};
use crate::event::ActionStatus;

/// How often a wait looks whether it should end.
pub(super) const POLL: Duration = Duration::from_millis(10);
/// Most of an action's output that is spoken, in bytes.
const MAX_SPOKEN_BYTES: usize = 1_000;
/// Time there is to speak an output.
const SPEAKING: Duration = Duration::from_secs(120);

/// A command to be carried out.
#[derive(Clone, Debug)]
pub struct Job {
    /// Utterance.
    pub id: u64,
    /// Name of the command.
    pub name: String,
    /// What was heard.
    pub text: String,
    /// Values of the slots.
    pub slots: Slots,
    /// Names of all slots there are; those without a value are empty for a program.
    pub known_slots: Arc<BTreeSet<String>>,
    /// What to do.
    pub action: Arc<Action>,
}

/// How a job ended.
#[derive(Clone, Debug, PartialEq)]
pub struct Completion {
    /// Utterance.
    pub id: u64,
    /// Name of the command.
    pub name: String,
    /// How it ended.
    pub status: ActionStatus,
    /// What went wrong, and how often.
    pub error: Option<String>,
    /// Beginning of what the action gave back: a program's standard output, a server's answer.
    pub output: String,
    /// Time it took, in milliseconds.
    pub ms: u64,
}

impl Completion {
    pub(super) fn new(job: &Job, status: ActionStatus, error: Option<String>) -> Completion {
        let (id, name) = (job.id, job.name.clone());
        Completion {
            id,
            name,
            status,
            error,
            output: String::new(),
            ms: 0,
        }
    }

    /// The job was reported and not carried out.
    pub fn skipped(job: &Job) -> Completion {
        Completion::new(job, ActionStatus::Skipped, None)
    }
}

/// What actions need besides the machine itself.
#[derive(Clone, Default)]
pub struct Means {
    /// Ends what is being done.
    pub stop: Arc<AtomicBool>,
    /// Speaks; without it, actions that speak fail.
    pub voice: Option<Arc<dyn Voice>>,
}

impl fmt::Debug for Means {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let voice = self.voice.as_ref().map(|_| "Voice");
        f.debug_struct("Means")
            .field("stop", &self.stop)
            .field("voice", &voice)
            .finish()
    }
}

/// One try of an action.
pub struct Attempt<'a> {
    /// When it has taken too long.
    pub deadline: Instant,
    /// Ends it early.
    pub stop: &'a AtomicBool,
    voice: Option<&'a dyn Voice>,
}

impl Attempt<'_> {
    /// Whether it should end now.
    pub fn is_stopped(&self) -> bool {
        self.stop.load(Ordering::Relaxed)
    }

    pub(super) fn say(&self, text: &str) -> Result<(), ActionError> {
        let voice = self.voice.ok_or(ActionError::NoVoice)?;
        voice.say(text, self)
    }
}

/// How an attempt ended.
pub(super) struct Ended {
    pub(super) outcome: Result<(), ActionError>,
    pub(super) output: String,
}

impl Ended {
    pub(super) fn well(output: String) -> Ended {
        Ended {
            outcome: Ok(()),
            output,
        }
    }

    pub(super) fn badly(error: ActionError, output: String) -> Ended {
        Ended {
            outcome: Err(error),
            output,
        }
    }
}

impl From<Result<String, ActionError>> for Ended {
    fn from(outcome: Result<String, ActionError>) -> Ended {
        match outcome {
            Ok(output) => Ended::well(output),
            Err(error) => Ended::badly(error, String::new()),
        }
    }
}

/// Carries out `job` on the calling thread and waits for it, with as many tries as it may have.
pub fn run(job: &Job, means: &Means) -> Completion {
    let started = Instant::now();
    let (mut ended, n_tries, earlier) = tries(job, means);
    if ended.outcome.is_ok() {
        ended.outcome = pass_on(job, &ended.output, means);
    }
    let (status, error) = match &ended.outcome {
        Ok(()) => (ActionStatus::Ok, earlier.map(|e| e.told(job))),
        Err(error @ ActionError::TimedOut) => (ActionStatus::TimedOut, Some(error.told(job))),
        Err(error) => (ActionStatus::Failed, Some(error.told(job))),
    };
    let error = error.map(|error| match (n_tries, status) {
        (1, _) => error,
        (n, ActionStatus::Ok) => format!("done at try {n}; before that: {error}"),
        (n, _) => format!("{error} (tried {n} times)"),
    });
    let output = match job.action.output {
        Output::Nowhere => String::new(),
        _ => ended.output,
    };
    Completion {
        output,
        ms: u64::try_from(started.elapsed().as_millis()).unwrap_or(u64::MAX),
        ..Completion::new(job, status, error)
    }
}

/// Tries until it succeeds or may not be tried again: how it ended, at which try, and what went
/// wrong before.
fn tries(job: &Job, means: &Means) -> (Ended, u32, Option<ActionError>) {
    let action = &job.action;
    let (mut n_tries, mut earlier) = (0, None);
    loop {
        n_tries += 1;
        let attempt = Attempt {
            deadline: Instant::now() + Duration::from_millis(action.timeout_ms),
            stop: &means.stop,
            voice: means.voice.as_deref(),
        };
        let ended = action.deed().run(job, &attempt);
        match &ended.outcome {
            Err(error) if n_tries <= action.retry.times && error.may_pass() => {
                log::info!("{}: {}; trying again", job.name, error.told(job));
            }
            _ => return (ended, n_tries, earlier),
        }
        earlier = ended.outcome.err();
        if !pause(action.retry.delay_ms, &means.stop) {
            let stopped = Ended::badly(ActionError::Stopped, ended.output);
            return (stopped, n_tries, earlier);
        }
    }
}

/// Waits; false when it was stopped meanwhile.
fn pause(ms: u64, stop: &AtomicBool) -> bool {
    let end = Instant::now() + Duration::from_millis(ms);
    loop {
        let left = end.saturating_duration_since(Instant::now());
        if stop.load(Ordering::Relaxed) {
            return false;
        }
        if left.is_zero() {
            return true;
        }
        std::thread::sleep(left.min(POLL));
    }
}

/// Logs or speaks what the action gave back, if that is asked for.
fn pass_on(job: &Job, output: &str, means: &Means) -> Result<(), ActionError> {
    let output = output.trim();
    match job.action.output {
        Output::Event | Output::Nowhere => Ok(()),
        Output::Log => {
            log::info!("{}: {output}", job.name);
            Ok(())
        }
        Output::Speak if output.is_empty() => Ok(()),
        Output::Speak => {
            let attempt = Attempt {
                deadline: Instant::now() + SPEAKING,
                stop: &means.stop,
                voice: means.voice.as_deref(),
            };
            attempt.say(beginning(output, MAX_SPOKEN_BYTES))
        }
    }
}

/// As much of `text` as fits into `n_bytes`, in whole characters.
pub(crate) fn beginning(text: &str, n_bytes: usize) -> &str {
    let mut end = text.len().min(n_bytes);
    while !text.is_char_boundary(end) {
        end -= 1;
    }
    &text[..end]
}
