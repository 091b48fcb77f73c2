#![allow(clippy::unwrap_used)]

use std::sync::{Arc, Mutex};

use super::*;
use crate::pipeline::front::Speech;

/// Hears a word every 0.4 s, and the last one wrong while it is half spoken.
#[derive(Clone, Default)]
struct Script {
    words: Vec<&'static str>,
    /// Gives up or doubts what it hears for this purpose.
    aborts: Option<Purpose>,
    doubts: Option<Purpose>,
    calls: Arc<Mutex<Vec<(Purpose, usize)>>>,
}

const WORD_SAMPLES: usize = 6_400;

impl Ear for Script {
    fn hear(&mut self, samples: &[f32], purpose: Purpose) -> Hypothesis {
        self.calls.lock().unwrap().push((purpose, samples.len()));
        let n = samples.len().div_ceil(WORD_SAMPLES).min(self.words.len());
        let is_cut = samples.len() < n * WORD_SAMPLES;
        let word = |(i, text): (usize, &&'static str)| Word {
            text: format!(" {}", if is_cut && i + 1 == n { "uh" } else { text }),
            t0: Seconds(i as f64 * 0.4),
            t1: Seconds(i as f64 * 0.4 + 0.4),
            p: 1.0,
        };
        let aborted = self.aborts == Some(purpose);
        Hypothesis {
            words: match aborted {
                true => Vec::new(),
                false => self.words[..n].iter().enumerate().map(word).collect(),
            },
            doubtful: self.doubts == Some(purpose),
            ended: if aborted {
                Ended::Aborted
            } else {
                Ended::Complete
            },
        }
    }
}

fn script() -> Script {
    Script {
        words: vec!["turn", "on", "the", "kitchen", "lights."],
        ..Script::default()
    }
}

/// The events of one utterance of `n_windows`, partials as they become due.
fn utterance(ear: Script, n_windows: usize, partials: Partials) -> Vec<Event> {
    let mut recogniser = Recogniser::new(Box::new(ear), partials, 100 * WINDOW_SAMPLES);
    let mut events = Vec::new();
    let mut sink = |event| events.push(event);
    let (id, start_sample, first_sample) = (7, 20_000, 16_000);
    recogniser.take(
        &Speech::Start {
            id,
            start_sample,
            first_sample,
        },
        &mut sink,
    );
    for _ in 0..n_windows {
        let samples = [0.1; WINDOW_SAMPLES];
        recogniser.take(
            &Speech::Audio {
                samples,
                n_valid: WINDOW_SAMPLES,
            },
            &mut sink,
        );
        if recogniser.step_is_due() {
            recogniser.step(&mut sink);
        }
    }
    recogniser.take(
        &Speech::End {
            end_sample: 50_000,
            ending: Ending::Complete,
        },
        &mut sink,
    );
    events
}

const HALF_A_SECOND: Partials = Partials::Every {
    step_samples: 8_000,
};

fn committed(events: &[Event]) -> String {
    let words = |event: &Event| match event {
        Event::Commit { words, .. } => words.iter().map(|word| word.text.clone()).collect(),
        _ => String::new(),
    };
    events.iter().map(words).collect()
}

fn last(events: &[Event]) -> (&str, &[String], f64, f64) {
    match events.last() {
        Some(Event::Final {
            text,
            flags,
            t0,
            t1,
            ..
        }) => (text, flags, t0.0, t1.0),
        other => panic!("the last event is {other:?}"),
    }
}

#[test]
fn captions_grow_and_end_with_the_final() {
    let events = utterance(script(), 63, HALF_A_SECOND);
    assert_eq!(
        events[0],
        Event::SpeechStart {
            t: Seconds(1.25),
            id: 7
        }
    );
    assert_eq!(
        last(&events),
        ("turn on the kitchen lights.", &[][..], 1.25, 3.125)
    );
    assert_eq!(committed(&events), " turn on the kitchen lights.");
    let mut stable_before = String::new();
    let mut n_partials = 0;
    for event in &events {
        if let Event::Partial { stable, .. } = event {
            assert!(
                stable.starts_with(&stable_before),
                "{stable} after {stable_before}"
            );
            assert!(!stable.contains("uh"));
            stable_before.clone_from(stable);
            n_partials += 1;
        }
    }
    assert_eq!(n_partials, 3);
    assert!(!stable_before.is_empty());
}

#[test]
fn without_partials_there_is_only_the_final() {
    let ear = script();
    let events = utterance(ear.clone(), 63, Partials::Off);
    assert_eq!(last(&events).0, "turn on the kitchen lights.");
    assert!(
        !events
            .iter()
            .any(|event| matches!(event, Event::Partial { .. }))
    );
    assert_eq!(ear.calls.lock().unwrap().len(), 1);
}

#[test]
fn word_times_are_those_of_the_stream() {
    let events = utterance(script(), 63, HALF_A_SECOND);
    let Some(Event::Final { words, .. }) = events.last() else {
        panic!("{events:?}")
    };
    assert_eq!(words[0].t0, Seconds(1.0));
}

#[test]
fn doubtful_and_aborted_partials_are_not_shown() {
    for ear in [
        Script {
            doubts: Some(Purpose::Partial),
            ..script()
        },
        Script {
            aborts: Some(Purpose::Partial),
            ..script()
        },
    ] {
        let events = utterance(ear, 63, HALF_A_SECOND);
        assert!(
            !events
                .iter()
                .any(|event| matches!(event, Event::Partial { .. }))
        );
        assert_eq!(last(&events).0, "turn on the kitchen lights.");
        assert!(last(&events).1.is_empty());
    }
}

#[test]
fn a_final_cut_short_keeps_what_was_shown() {
    let ear = Script {
        aborts: Some(Purpose::Final),
        ..script()
    };
    let events = utterance(ear, 63, HALF_A_SECOND);
    let (text, flags, ..) = last(&events);
    assert!(text.starts_with("turn on the kitchen"), "{text}");
    assert_eq!(flags, ["cut_short"]);
    assert_eq!(committed(&events).trim(), text);
}

#[test]
fn doubt_and_silence_are_flagged() {
    let events = utterance(
        Script {
            doubts: Some(Purpose::Final),
            ..script()
        },
        63,
        Partials::Off,
    );
    assert_eq!(last(&events).1, ["low_confidence"]);
    let events = utterance(Script::default(), 63, HALF_A_SECOND);
    assert_eq!(
        (last(&events).0, last(&events).1),
        ("", &["no_speech".to_owned()][..])
    );
}

#[test]
fn flush_ends_what_is_open_and_nothing_else() {
    let mut recogniser = Recogniser::new(Box::new(script()), Partials::Off, WINDOW_SAMPLES);
    let mut n_events = 0;
    recogniser.flush(&mut |_| n_events += 1);
    assert_eq!(n_events, 0);
    let start = Speech::Start {
        id: 1,
        start_sample: 0,
        first_sample: 0,
    };
    let samples = [0.1; WINDOW_SAMPLES];
    recogniser.take(&start, &mut |_| {});
    recogniser.take(
        &Speech::Audio {
            samples,
            n_valid: 500,
        },
        &mut |_| {},
    );
    let mut events = Vec::new();
    recogniser.flush(&mut |event| events.push(event));
    assert_eq!(last(&events).3, 500.0 / 16_000.0);
}
