//! What happens, in the order it happens: the one type that travels between threads and leaves as
//! JSON lines.
//!
//! Times named `t…` are seconds of audio since the start of the stream, written with three
//! decimals. `wall_ms` (milliseconds since the start of the program) is added by live commands
//! only, so that replayed audio gives identical bytes.

use std::collections::BTreeMap;
use std::sync::Arc;

use serde::{Serialize, Serializer};

/// Seconds of audio; written with millisecond precision.
#[derive(Clone, Copy, Debug, Default, PartialEq, PartialOrd)]
pub struct Seconds(pub f64);

impl Seconds {
    /// The time of a sample of the 16 kHz stream.
    pub fn of_sample(index: u64) -> Self {
        Seconds(index as f64 / 16_000.0)
    }
}

impl Serialize for Seconds {
    fn serialize<S: Serializer>(&self, s: S) -> Result<S::Ok, S::Error> {
        s.serialize_f64(round_to(self.0, 1000.0))
    }
}

/// `value` rounded to a multiple of `1 / scale`.
pub(crate) fn round_to(value: f64, scale: f64) -> f64 {
    (value * scale).round() / scale
}

fn two_decimals<S: Serializer>(value: &f32, s: S) -> Result<S::Ok, S::Error> {
    s.serialize_f64(round_to(f64::from(*value), 100.0))
}

fn two_decimals_if_any<S: Serializer>(value: &Option<f32>, s: S) -> Result<S::Ok, S::Error> {
    match value {
        Some(value) => two_decimals(value, s),
        None => s.serialize_none(),
    }
}

/// One recognised word.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Word {
    /// The word as it joins its neighbours: with its leading space, if any.
    pub text: String,
    /// Start.
    pub t0: Seconds,
    /// End.
    pub t1: Seconds,
    /// Mean probability of its tokens, 0 to 1.
    #[serde(serialize_with = "two_decimals")]
    pub p: f32,
}

/// What became of an action.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum ActionStatus {
    /// Carried out.
    Ok,
    /// Tried and failed.
    Failed,
    /// Ended because it took too long.
    TimedOut,
    /// Reported, not carried out (replay without `--act`).
    Skipped,
}

/// Why a stretch of audio is missing.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum GapReason {
    /// Audio came faster than it was taken.
    Overrun,
    /// The device went away.
    DeviceLost,
    /// The machine slept.
    Suspended,
}

/// What gives way when the machine cannot keep up.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Relief {
    /// Nothing: it keeps up.
    #[default]
    None,
    /// Partial captions come half as often.
    Spaced,
    /// They come a quarter as often.
    Rare,
    /// There are none.
    FinalsOnly,
    /// And the smaller model listens.
    SmallerModel,
}

/// What an audio device did.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum DeviceState {
    /// It went away, fell silent or changed; nothing is heard until one is there again.
    Lost,
    /// One is there again, and heard.
    Recovered,
}

/// What became of a command that waits for a yes or a no.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum ConfirmState {
    /// It was understood, and waits.
    Asked,
    /// Yes: it is carried out.
    Yes,
    /// No: it is dropped.
    No,
    /// Nobody said either in time, or something else was wanted: it is dropped.
    Expired,
}

/// What an undo came to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum UndoState {
    /// The action is taken back.
    Done,
    /// No action was carried out lately that can be taken back.
    Nothing,
    /// The command was carried out early, its sentence turned out to be another one, and it has
    /// no inverse.
    NoInverse,
}

/// What happened to a timer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum TimerState {
    /// It was set.
    Set,
    /// Its time is over.
    Ringing,
    /// It was cancelled, or stopped while it rang.
    Cancelled,
    /// Somebody asked how long is left.
    Left,
    /// It stands still.
    Paused,
    /// It goes on.
    Resumed,
}

/// A part of hark that runs on its own.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Stage {
    /// Finds speech.
    Front,
    /// Turns it into text.
    Recogniser,
    /// Decides what to do.
    Control,
}

/// What can be muted.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Muted {
    /// Whether what is said is listened to.
    Microphone,
    /// What is being spoken and rung.
    Speech,
}

/// A sentence that the commands allow, as heard.
#[derive(Clone, Debug, PartialEq)]
pub struct Reading {
    /// As the model would write it.
    pub text: String,
    /// Log-probability in nats, the end included.
    pub logprob: f32,
    /// Its tokens and the end.
    pub n_tokens: usize,
}

/// What was heard of the commands' sentences in an utterance.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Readings {
    /// Log-probability of the free transcription, in nats, the end included.
    pub free_logprob: f32,
    /// The likeliest first; none where all are far less likely than the free transcription.
    pub readings: Vec<Reading>,
}

/// The wake phrase at the beginning of an utterance.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct WakeHeard {
    /// The phrase, as configured.
    pub phrase: String,
    /// The logarithm of the probability that the utterance begins with it; 0 where it is written so.
    pub score: f32,
    /// What was said after it, as text; empty when nothing was, or when it is too unlikely.
    pub rest: String,
}

/// How an utterance came to its text.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Trace {
    /// The model that listened.
    pub model: String,
    /// Milliseconds of work, by stage, in the order of the work.
    pub stage_ms: Vec<(&'static str, f32)>,
    /// Its audio, 16 kHz; empty unless somebody keeps it.
    pub samples: Vec<f32>,
}

/// Everything hark reports.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(tag = "type", rename_all = "snake_case")]
pub enum Event {
    /// Somebody began to speak.
    SpeechStart {
        /// When.
        t: Seconds,
        /// Number of the utterance, from 1.
        id: u64,
    },
    /// The caption as it stands: `stable` never changes, `volatile` may.
    Partial {
        /// Utterance.
        id: u64,
        /// Audio heard so far.
        t: Seconds,
        /// Committed text.
        stable: String,
        /// Text that may still change.
        volatile: String,
        /// Age of the newest sample when this was ready; live only.
        #[serde(skip_serializing_if = "Option::is_none")]
        lag_ms: Option<u64>,
    },
    /// Words that will not change any more.
    Commit {
        /// Utterance.
        id: u64,
        /// Audio heard so far.
        t: Seconds,
        /// The words.
        words: Vec<Word>,
    },
    /// The utterance is over.
    Final {
        /// Utterance.
        id: u64,
        /// Start of the utterance.
        t0: Seconds,
        /// End of the utterance.
        t1: Seconds,
        /// Its text.
        text: String,
        /// Its words.
        words: Vec<Word>,
        /// What is to be said about it: `low_confidence`.
        flags: Vec<String>,
        /// Which commands are in its audio; for the control stage, and not written.
        #[serde(skip)]
        readings: Option<Readings>,
        /// The wake phrase it begins with, if one is configured; for the control stage, and not
        /// written.
        #[serde(skip)]
        wake: Option<WakeHeard>,
        /// How it came to its text; live only, for the ledger, and not written.
        #[serde(skip)]
        trace: Option<Arc<Trace>>,
    },
    /// The speaker pauses, and this may be all of it; where there is a responder, which begins to answer.
    Pause {
        /// Utterance.
        id: u64,
        /// Audio heard so far.
        t: Seconds,
        /// What would be its text.
        text: String,
        /// As in a final.
        #[serde(skip)]
        readings: Option<Readings>,
        /// As in a final.
        #[serde(skip)]
        wake: Option<WakeHeard>,
    },
    /// An utterance that is no command is a question to the responder.
    Question {
        /// Utterance.
        id: u64,
        /// When it was decided, in audio time.
        t: Seconds,
        /// What is asked.
        text: String,
    },
    /// An utterance begins with a wake phrase.
    Wake {
        /// Utterance.
        id: u64,
        /// When it was understood, in audio time.
        t: Seconds,
        /// The phrase, as configured.
        phrase: String,
        /// The logarithm of the probability that the utterance begins with it; 0 where it is
        /// written so.
        #[serde(serialize_with = "two_decimals")]
        score: f32,
    },
    /// A command was understood.
    Command {
        /// Utterance.
        id: u64,
        /// When it was understood, in audio time.
        t: Seconds,
        /// Name of the command.
        name: String,
        /// Values of its slots.
        slots: BTreeMap<String, String>,
        /// Quality of the match; 0 is perfect.
        #[serde(serialize_with = "two_decimals")]
        score: f32,
        /// Distance to the best different command; absent when there is none.
        #[serde(
            skip_serializing_if = "Option::is_none",
            serialize_with = "two_decimals_if_any"
        )]
        margin: Option<f32>,
    },
    /// Speech that is no command.
    Rejected {
        /// Utterance.
        id: u64,
        /// When it was decided, in audio time.
        t: Seconds,
        /// The nearest command, if any came near.
        #[serde(skip_serializing_if = "Option::is_none")]
        best: Option<String>,
        /// Its quality.
        #[serde(
            skip_serializing_if = "Option::is_none",
            serialize_with = "two_decimals_if_any"
        )]
        score: Option<f32>,
        /// Why: `no_match`, `below_threshold`, `ambiguous`, `interrupted` (it broke off),
        /// `not_addressed` (no wake phrase, or nobody held the button), `never_mind`,
        /// `nothing_to_repeat`, `no_timer`, `which_timer`, `too_many_timers`, `own_voice` (what hark said
        /// itself) or `no_answer` (the responder has failed).
        reason: &'static str,
    },
    /// An action was carried out, or not.
    Action {
        /// Utterance.
        id: u64,
        /// Name of the command.
        name: String,
        /// How it ended.
        status: ActionStatus,
        /// What went wrong.
        #[serde(skip_serializing_if = "Option::is_none")]
        error: Option<String>,
        /// The beginning of what it wrote, if it wrote anything.
        #[serde(skip_serializing_if = "Option::is_none")]
        output: Option<String>,
        /// How long it took; live only.
        #[serde(skip_serializing_if = "Option::is_none")]
        ms: Option<u64>,
    },
    /// A command that must be confirmed, and what became of it.
    Confirm {
        /// Utterance of the command.
        id: u64,
        /// When, in audio time.
        t: Seconds,
        /// Name of the command.
        name: String,
        /// Values of its slots.
        slots: BTreeMap<String, String>,
        /// What became of it.
        state: ConfirmState,
    },
    /// An action is taken back, or cannot be.
    Undo {
        /// Utterance that asked for it.
        id: u64,
        /// When, in audio time.
        t: Seconds,
        /// Name of the command whose action it is.
        #[serde(skip_serializing_if = "Option::is_none")]
        name: Option<String>,
        /// Values of its slots.
        #[serde(skip_serializing_if = "BTreeMap::is_empty")]
        slots: BTreeMap<String, String>,
        /// What it came to.
        state: UndoState,
    },
    /// Something happened to a timer.
    Timer {
        /// Utterance that asked for it; none when it rings.
        #[serde(skip_serializing_if = "Option::is_none")]
        id: Option<u64>,
        /// When, in audio time.
        t: Seconds,
        /// Number of the timer.
        number: u64,
        /// Its name, if it has one.
        #[serde(skip_serializing_if = "Option::is_none")]
        name: Option<String>,
        /// What happened.
        state: TimerState,
        /// Whole seconds left, a begun one counted.
        left_s: u64,
    },
    /// What hark says.
    Reply {
        /// Utterance that it answers; none when nobody asked.
        #[serde(skip_serializing_if = "Option::is_none")]
        id: Option<u64>,
        /// The text, or its next piece.
        text: String,
        /// Whether that is all.
        done: bool,
    },
    /// Listening or speaking was muted, or is no longer.
    Mute {
        /// When, in audio time.
        t: Seconds,
        /// What is muted.
        what: Muted,
        /// Whether it is from now on; speech is muted for what is being said only.
        on: bool,
    },
    /// Audio that was lost.
    Gap {
        /// Start.
        t0: Seconds,
        /// End.
        t1: Seconds,
        /// Why.
        reason: GapReason,
    },
    /// The machine cannot keep up, or can again.
    Degraded {
        /// When, in audio time.
        t: Seconds,
        /// What gives way.
        state: Relief,
        /// Age of the newest sample heard; live only.
        #[serde(skip_serializing_if = "Option::is_none")]
        lag_ms: Option<u64>,
    },
    /// A device changed its state.
    Device {
        /// What happened.
        state: DeviceState,
        /// Its name.
        name: String,
    },
    /// The configuration was read again.
    Reload {
        /// When, in audio time.
        t: Seconds,
        /// Whether it holds from now on; otherwise the old one does.
        ok: bool,
        /// Why not.
        #[serde(skip_serializing_if = "Option::is_none")]
        error: Option<String>,
    },
    /// A bug stopped a stage, which was replaced; what was being said may be lost.
    Restart {
        /// When, in audio time.
        t: Seconds,
        /// Which.
        stage: Stage,
        /// What the bug said.
        error: String,
    },
}
