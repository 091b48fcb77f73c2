//! From events to what is written.
//!
//! Enters: events, in order, with the time they were noted. Leaves: entries, each for one utterance.
//! Works out what else a text could have meant, so that nobody else has to wait for it. Runs on the
//! ledger's thread; knows no file.

use std::collections::VecDeque;

use serde_json::Value;

use super::About;
use super::kept::{Followed, HeardPhrase, HeardReading, HeardReadings, HeardWord, StageTime};
use crate::audio::PcmFormat;
use crate::command::{Alternative, Match, Matcher};
use crate::dialogue::{Address, Listen};
use crate::event::{ConfirmState, Event, Muted, Readings, Seconds, Trace, WakeHeard, Word};

/// Alternatives that are kept of a text.
const MAX_ALTERNATIVES: usize = 6;
/// Gaps that are remembered until the utterance around them is over.
const MAX_GAPS: usize = 16;
/// The largest number, and minus it what stands for none: JSON knows no infinity.
const FARTHEST: f32 = 1e6;

/// What is written about one utterance.
#[derive(Debug)]
pub(super) struct Entry {
    /// Its number in the events.
    pub(super) event_id: u64,
    /// Milliseconds since 1970.
    pub(super) at_unix_ms: i64,
    /// What is known of it now.
    pub(super) what: What,
}

/// See [`Entry`].
#[derive(Debug)]
pub(super) enum What {
    /// It is over.
    Heard(Box<Heard>),
    /// Something followed from it; with the utterance whose question it answered, if it did.
    Followed(Box<Followed>, Option<u64>),
}

/// An utterance that is over.
#[derive(Debug, Default)]
pub(super) struct Heard {
    pub(super) t0: f64,
    pub(super) t1: f64,
    pub(super) text: String,
    pub(super) words: Vec<HeardWord>,
    pub(super) flags: Vec<String>,
    pub(super) wake: Option<HeardPhrase>,
    pub(super) readings: Option<HeardReadings>,
    pub(super) compared: Option<String>,
    pub(super) alternatives: Vec<Alternative>,
    pub(super) model: Option<String>,
    pub(super) stages: Vec<StageTime>,
    /// 16-bit samples, 16 kHz; none where the audio is not kept.
    pub(super) pcm: Vec<u8>,
}

/// See the module.
pub(super) struct Scribe {
    about: About,
    keeps_audio: bool,
    /// The utterance that began last.
    latest: Option<u64>,
    /// The one that ended last, and when.
    ended: Option<(u64, Seconds)>,
    /// The answer that is being given, as far as it got.
    reply: (Option<u64>, String),
    gaps: VecDeque<Event>,
}

/// Whether the ledger has anything to write about such an event.
pub(super) fn concerns(event: &Event) -> bool {
    match event {
        Event::SpeechStart { .. }
        | Event::Final { .. }
        | Event::Wake { .. }
        | Event::Command { .. }
        | Event::Question { .. }
        | Event::Rejected { .. }
        | Event::Confirm { .. }
        | Event::Undo { .. }
        | Event::Gap { .. } => true,
        // What a timer does when it rings is nobody's utterance.
        Event::Action { id, .. } => *id > 0,
        Event::Timer { id, .. } | Event::Reply { id, .. } => id.is_some(),
        Event::Mute { what, .. } => *what == Muted::Speech,
        Event::Partial { .. }
        | Event::Pause { .. }
        | Event::Commit { .. }
        | Event::Degraded { .. }
        | Event::Device { .. }
        | Event::Reload { .. }
        | Event::Restart { .. } => false,
    }
}

impl Scribe {
    pub(super) fn new(about: About, keeps_audio: bool) -> Self {
        Scribe {
            about,
            keeps_audio,
            latest: None,
            ended: None,
            reply: (None, String::new()),
            gaps: VecDeque::new(),
        }
    }

    /// From now on this is in force.
    pub(super) fn change(&mut self, about: About) {
        self.about = about;
    }

    /// What is to be written about the event.
    pub(super) fn take(&mut self, at_unix_ms: i64, event: &Event, out: &mut Vec<Entry>) {
        let mut add = |event_id: u64, what: What| {
            out.push(Entry {
                event_id,
                at_unix_ms,
                what,
            });
        };
        match event {
            Event::SpeechStart { id, .. } => self.latest = Some(*id),
            Event::Gap { .. } => {
                self.gaps.truncate(MAX_GAPS - 1);
                self.gaps.push_front(event.clone());
            }
            Event::Final { id, t1, .. } => {
                self.latest = Some(*id);
                self.ended = Some((*id, *t1));
                if let Some(heard) = self.heard(event) {
                    add(*id, What::Heard(Box::new(heard)));
                }
                for gap in self.gaps_within(event) {
                    add(*id, followed(&gap));
                }
            }
            Event::Mute { .. } => {
                if let Some(id) = self.latest {
                    add(id, followed(event));
                }
            }
            Event::Confirm { id, t, state, .. } => {
                add(*id, followed(event));
                let is_answer = matches!(state, ConfirmState::Yes | ConfirmState::No);
                if let Some((answer, ended)) = self.ended.filter(|_| is_answer)
                    && answer != *id
                    && ended == *t
                {
                    add(answer, answered(event, *id));
                }
            }
            Event::Reply {
                id: Some(id),
                text,
                done,
            } => {
                if let Some(whole) = whole_reply(&mut self.reply, (*id, text), *done) {
                    add(*id, followed(&whole));
                }
            }
            Event::Wake { id, .. }
            | Event::Question { id, .. }
            | Event::Command { id, .. }
            | Event::Rejected { id, .. }
            | Event::Action { id, .. }
            | Event::Undo { id, .. }
            | Event::Timer { id: Some(id), .. } => add(*id, followed(event)),
            _ => {}
        }
    }

    fn heard(&self, event: &Event) -> Option<Heard> {
        let Event::Final {
            t0,
            t1,
            text,
            words,
            flags,
            readings,
            wake,
            trace,
            ..
        } = event
        else {
            return None;
        };
        let matcher = self.about.matcher.as_ref();
        let compared = matcher.map(|_| self.addressed(*t0, text, wake.as_ref()));
        let alternatives = match (matcher, &compared) {
            (Some(matcher), Some(text)) => alternatives(matcher, text),
            _ => Vec::new(),
        };
        let trace = trace.as_deref();
        Some(Heard {
            t0: t0.0,
            t1: t1.0,
            text: text.clone(),
            words: words.iter().map(word).collect(),
            flags: flags.clone(),
            wake: wake.as_ref().map(phrase),
            readings: readings.as_ref().map(|all| heard_readings(all, matcher)),
            compared: compared.filter(|compared| compared != text),
            alternatives,
            model: trace.map(|trace| trace.model.clone()),
            stages: trace.map(stages).unwrap_or_default(),
            pcm: trace.map(|trace| self.pcm(trace)).unwrap_or_default(),
        })
    }

    fn pcm(&self, trace: &Trace) -> Vec<u8> {
        let mut pcm = Vec::new();
        if self.keeps_audio {
            pcm.reserve_exact(trace.samples.len() * PcmFormat::S16Le.sample_bytes());
            PcmFormat::S16Le.encode(&trace.samples, &mut pcm);
        }
        pcm
    }

    /// What of an utterance is compared with the commands.
    fn addressed(&self, t0: Seconds, text: &str, wake: Option<&WakeHeard>) -> String {
        match Listen::new(self.about.listen.clone()).address(t0, text, wake) {
            Address::Called(called) => called.rest,
            Address::Plain | Address::No => text.to_owned(),
        }
    }

    /// The audio that is missing in an utterance.
    fn gaps_within(&self, utterance: &Event) -> Vec<Event> {
        let Event::Final { t0, t1, .. } = utterance else {
            return Vec::new();
        };
        let is_within = |gap: &&Event| match gap {
            Event::Gap {
                t0: from, t1: to, ..
            } => to > t0 && from < t1,
            _ => false,
        };
        let within = self.gaps.iter().rev().filter(is_within);
        within.cloned().collect()
    }
}

fn alternatives(matcher: &Matcher, text: &str) -> Vec<Alternative> {
    let mut all = matcher.alternatives(text, MAX_ALTERNATIVES);
    for one in &mut all {
        (one.score, one.cost) = (number(one.score), number(one.cost));
    }
    all
}

fn word(word: &Word) -> HeardWord {
    HeardWord {
        text: word.text.clone(),
        t0: word.t0.0,
        t1: word.t1.0,
        p: number(word.p),
    }
}

fn phrase(wake: &WakeHeard) -> HeardPhrase {
    HeardPhrase {
        phrase: wake.phrase.clone(),
        score: number(wake.score),
        rest: wake.rest.clone(),
    }
}

fn stages(trace: &Trace) -> Vec<StageTime> {
    let stage = |(name, ms): &(&'static str, f32)| StageTime {
        name: (*name).to_owned(),
        ms: number(*ms),
    };
    trace.stage_ms.iter().map(stage).collect()
}

fn heard_readings(all: &Readings, matcher: Option<&Matcher>) -> HeardReadings {
    let readings = all.readings.iter().map(|reading| {
        let behind = (reading.logprob - all.free_logprob).min(0.0);
        HeardReading {
            text: reading.text.clone(),
            logprob: number(reading.logprob),
            n_tokens: reading.n_tokens,
            score: number(behind / reading.n_tokens.max(1) as f32),
            command: matcher.and_then(|matcher| command_of(matcher, &reading.text)),
        }
    });
    HeardReadings {
        free_logprob: number(all.free_logprob),
        readings: readings.collect(),
    }
}

fn command_of(matcher: &Matcher, text: &str) -> Option<String> {
    match matcher.match_text(text) {
        Match::Accepted { name, .. } => Some(name),
        Match::Rejected { .. } => None,
    }
}

/// The reply that is whole with this piece, if it is: an answer comes in many.
fn whole_reply(
    open: &mut (Option<u64>, String),
    (id, piece): (u64, &str),
    is_done: bool,
) -> Option<Event> {
    if open.0 != Some(id) {
        *open = (Some(id), String::new());
    }
    open.1.push_str(piece);
    is_done.then(|| Event::Reply {
        id: open.0.take(),
        text: std::mem::take(&mut open.1),
        done: true,
    })
}

/// An event as something that followed.
fn followed(event: &Event) -> What {
    What::Followed(Box::new(fields(event)), None)
}

/// The answer to the question of an utterance.
fn answered(event: &Event, of: u64) -> What {
    let followed = Followed {
        kind: "answer".to_owned(),
        ..fields(event)
    };
    What::Followed(Box::new(followed), Some(of))
}

/// The fields of the event, as it is written elsewhere, with scores that are not rounded to two
/// decimals: what missed a threshold by little should not look as if it had met it.
fn fields(event: &Event) -> Followed {
    let value = serde_json::to_value(event).unwrap_or(Value::Null);
    let mut followed: Followed = serde_json::from_value(value).unwrap_or_default();
    match event {
        Event::Command { score, margin, .. } => {
            followed.score = Some(number(*score));
            followed.margin = margin.map(number);
        }
        Event::Rejected { score, .. } => followed.score = score.map(number),
        Event::Wake { score, .. } => followed.score = Some(number(*score)),
        _ => {}
    }
    followed
}

/// To four decimals, and finite.
fn number(value: f32) -> f32 {
    if value.is_nan() {
        return -FARTHEST;
    }
    (value.clamp(-FARTHEST, FARTHEST) * 1e4).round() / 1e4
}

#[cfg(test)]
#[path = "scribe_tests.rs"]
#[allow(clippy::unwrap_used)]
mod tests;
