//! What is kept of an utterance. The same types go to the file, as JSON in its columns, and come back
//! from it.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::command::Alternative;

/// An utterance, and all that followed from it.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct Utterance {
    /// Its number, of no other utterance in this file.
    pub id: i64,
    /// When its text was known, UTC, as in RFC 3339.
    pub at: String,
    /// The same in local time, for people.
    #[serde(skip)]
    pub at_local: String,
    /// The same in milliseconds since 1970.
    pub at_unix_ms: i64,
    /// When the program was started, UTC.
    pub run_began: String,
    /// The program's version.
    pub version: String,
    /// What was in force.
    pub settings: Settings,
    /// Its number in the events of that run.
    pub event_id: u64,
    /// Start, in seconds of audio since the run began; none while it is not over.
    pub t0: Option<f64>,
    /// End.
    pub t1: Option<f64>,
    /// Its text; none when the program ended before the utterance did.
    pub text: Option<String>,
    /// Its words.
    pub words: Vec<HeardWord>,
    /// What is to be said about it, as in its event.
    pub flags: Vec<String>,
    /// The wake phrase in its audio.
    pub wake: Option<HeardPhrase>,
    /// The commands in its audio, where they were compared.
    pub readings: Option<HeardReadings>,
    /// What of the text was compared with the commands: all of it, or what comes after a wake phrase.
    pub compared: Option<String>,
    /// The commands nearest to that text, the best first.
    pub alternatives: Vec<Alternative>,
    /// The model that listened.
    pub model: Option<String>,
    /// The work it took, stage by stage.
    pub stages: Vec<StageTime>,
    /// What followed, in order.
    pub followed: Vec<Followed>,
    /// Samples of its audio that are kept, 16 kHz.
    pub n_samples: u64,
}

/// What is in force while utterances are heard; see the keys of the configuration.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Settings {
    /// Whether there are commands at all.
    pub has_commands: bool,
    /// `listen.mode`.
    pub listen_mode: String,
    /// `listen.wake_threshold`.
    pub wake_threshold: f32,
    /// `commands.threshold`.
    pub threshold: f32,
    /// `commands.margin`.
    pub margin: f32,
    /// `commands.heard_threshold`.
    pub heard_threshold: f32,
    /// `commands.heard_margin`.
    pub heard_margin: f32,
}

/// A recognised word.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct HeardWord {
    /// With its leading space, if any.
    pub text: String,
    /// Start, seconds of audio.
    pub t0: f64,
    /// End.
    pub t1: f64,
    /// Mean probability of its tokens, 0 to 1.
    pub p: f32,
}

/// A wake phrase in the audio.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct HeardPhrase {
    /// As configured.
    pub phrase: String,
    /// The logarithm of the probability that the utterance begins with it.
    pub score: f32,
    /// What was said after it.
    pub rest: String,
}

/// The commands in the audio of an utterance.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct HeardReadings {
    /// Log-probability of the free transcription, in nats, the end included.
    pub free_logprob: f32,
    /// The likeliest first.
    pub readings: Vec<HeardReading>,
}

/// A sentence of the commands, as heard.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct HeardReading {
    /// As the model would write it.
    pub text: String,
    /// Log-probability in nats, the end included.
    pub logprob: f32,
    /// Its tokens and the end.
    pub n_tokens: usize,
    /// By how much it is less likely than the free transcription, nats for each token, at most 0.
    pub score: f32,
    /// The command that it is; none where several have it.
    pub command: Option<String>,
}

/// The time that a stage took.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct StageTime {
    /// Its name.
    pub name: String,
    /// Milliseconds of work.
    pub ms: f32,
}

/// Something that followed from an utterance: the fields of its event that there are.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Followed {
    /// When, in milliseconds since 1970.
    #[serde(skip_deserializing)]
    pub at_unix_ms: i64,
    /// The event's type; or `answer`: the utterance was the yes or no to a question.
    #[serde(rename = "type")]
    pub kind: String,
    /// When, in seconds of audio.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub t: Option<f64>,
    /// Name of the command or timer.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// Values of the command's slots.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub slots: BTreeMap<String, String>,
    /// Quality of the match, to four decimals.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub score: Option<f32>,
    /// Distance to the best different command, to four decimals.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub margin: Option<f32>,
    /// The nearest command of a rejection.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub best: Option<String>,
    /// Why it was rejected, or why audio is missing.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    /// How an action ended.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub status: Option<String>,
    /// What went wrong with it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub error: Option<String>,
    /// What it gave back.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub output: Option<String>,
    /// How long it took.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ms: Option<u64>,
    /// What became of a question, an undo or a timer.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub state: Option<String>,
    /// Number of the timer.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub number: Option<u64>,
    /// Seconds that it has left.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub left_s: Option<u64>,
    /// The wake phrase.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub phrase: Option<String>,
    /// What hark said.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub text: Option<String>,
    /// Start of lost audio.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub t0: Option<f64>,
    /// Its end.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub t1: Option<f64>,
    /// The utterance whose question was answered.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub of: Option<i64>,
}
