//! JSON: one object a file, pretty (`json`) or a line (`jsonl`), and events as lines.

use std::time::Duration;

use serde::Serialize;

use crate::event::{Event, Seconds, Word};

/// Everything known of one transcribed file.
#[derive(Debug, Default, Serialize)]
pub(crate) struct Transcript {
    /// The file as it was named; `-` for stdin.
    pub(crate) file: String,
    /// Its length.
    pub(crate) duration_s: Seconds,
    /// The language spoken, a code like `en`; `null` when nothing was said.
    pub(crate) language: Option<String>,
    /// The whole text.
    pub(crate) text: String,
    /// Its parts.
    pub(crate) segments: Vec<Line>,
    /// The model's name.
    pub(crate) model: String,
    /// How the text was searched for.
    pub(crate) decoding: String,
    /// What the model computes with.
    pub(crate) compute: &'static str,
    /// Why it ends early, if it does.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) error: Option<String>,
}

/// One segment of a transcript.
#[derive(Debug, Serialize)]
pub(crate) struct Line {
    /// Start.
    pub(crate) t0: Seconds,
    /// End.
    pub(crate) t1: Seconds,
    /// Text without space around.
    pub(crate) text: String,
    /// Words, when asked for.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) words: Option<Vec<Word>>,
}

#[derive(Serialize)]
struct OfFile<'a> {
    file: &'a str,
    #[serde(flatten)]
    event: &'a Event,
}

/// An event of one file of several as one line of JSON, in audio time alone.
pub(crate) fn event_of(file: &str, event: &Event) -> String {
    line(&OfFile { file, event })
}

#[derive(Serialize)]
struct Live<'a> {
    #[serde(flatten)]
    event: &'a Event,
    wall_ms: u64,
}

/// An event as one line of JSON, without the line's end. Audio time alone: the same audio gives the
/// same bytes.
pub(crate) fn event(event: &Event) -> String {
    line(event)
}

/// An event as one line of JSON, with the time since the program's start.
pub(crate) fn live_event(event: &Event, since_start: Duration) -> String {
    line(&Live {
        event,
        wall_ms: since_start.as_millis() as u64,
    })
}

/// Any value as one line of JSON.
pub(crate) fn line(value: &impl Serialize) -> String {
    // Our own types hold nothing that JSON cannot: string keys only, numbers that are finite or
    // become null.
    serde_json::to_string(value).unwrap_or_default()
}

/// Any value as JSON for people.
pub(crate) fn pretty(value: &impl Serialize) -> String {
    serde_json::to_string_pretty(value).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn live_events_carry_the_wall_clock() {
        let start = Event::SpeechStart {
            t: Seconds(1.2164),
            id: 3,
        };
        assert_eq!(event(&start), r#"{"type":"speech_start","t":1.216,"id":3}"#);
        assert_eq!(
            live_event(&start, Duration::from_millis(1500)),
            r#"{"type":"speech_start","t":1.216,"id":3,"wall_ms":1500}"#
        );
    }
}
