#![allow(clippy::unwrap_used)]

use std::sync::{Arc, Mutex};

use super::*;
use crate::pipeline::front::Speech;
use crate::vad::WINDOW_SAMPLES;
use crate::whisper::stream::Trip;

/// Hears a word every 0.4 s, and commits it 0.4 s after its end.
#[derive(Clone, Default)]
struct Script {
    words: Vec<&'static str>,
    aborts_steps: bool,
    doubts_steps: bool,
    aborts: Option<Purpose>,
    doubts: Option<Purpose>,
    settles_in_pauses: bool,
    n_samples: usize,
    n_committed: usize,
    calls: Arc<Mutex<Vec<Call>>>,
}

#[derive(Clone, Copy, Debug, PartialEq)]
enum Call {
    Step,
    Conclude(Purpose),
}

const WORD_SAMPLES: usize = 6_400;

impl Script {
    /// Words from the first that is not committed up to word `n`; the last is wrong while it is
    /// half spoken.
    fn words_to(&self, n: usize) -> Vec<Word> {
        let n = n.min(self.words.len());
        let is_cut = |i: usize| self.n_samples < (i + 1) * WORD_SAMPLES;
        let word = |i: usize| Word {
            text: format!(" {}", if is_cut(i) { "uh" } else { self.words[i] }),
            t0: Seconds(i as f64 * 0.4),
            t1: Seconds(i as f64 * 0.4 + 0.4),
            p: 1.0,
        };
        (self.n_committed..n).map(word).collect()
    }
}

impl Ear for Script {
    fn begin(&mut self) {
        (self.n_samples, self.n_committed) = (0, 0);
    }

    fn hear(&mut self, samples: &[f32]) {
        self.n_samples += samples.len();
    }

    fn is_full(&self) -> bool {
        false
    }

    fn step(&mut self) -> Step {
        self.calls.lock().unwrap().push(Call::Step);
        if self.aborts_steps {
            let outcome = Outcome::Aborted;
            return Step {
                outcome,
                ..Step::default()
            };
        }
        if self.doubts_steps {
            let outcome = Outcome::Doubted(Trip::Repeats);
            return Step {
                outcome,
                ..Step::default()
            };
        }
        let words = self.words_to((self.n_samples / WORD_SAMPLES).saturating_sub(1));
        self.n_committed += words.len();
        Step {
            words,
            volatile: self.words_to(self.n_samples.div_ceil(WORD_SAMPLES)),
            outcome: Outcome::Done,
        }
    }

    fn conclude(&mut self, purpose: Purpose) -> Conclusion {
        self.calls.lock().unwrap().push(Call::Conclude(purpose));
        let aborted = self.aborts == Some(purpose);
        Conclusion {
            words: match aborted {
                true => Vec::new(),
                false => self.words_to(self.n_samples.div_ceil(WORD_SAMPLES)),
            },
            n_settled: 0,
            doubtful: self.doubts == Some(purpose),
            aborted,
        }
    }

    fn weigh(&mut self, _text: &str, _purpose: Purpose) -> Weighed {
        Weighed::default()
    }

    fn wait(&mut self, rest: &[Word]) -> usize {
        let n = usize::from(self.settles_in_pauses).min(rest.len());
        self.n_committed += n;
        n
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
    let mut recogniser = Recogniser::new(Box::new(ear), partials);
    let mut events = Vec::new();
    let mut sink = |event| events.push(event);
    let (start_sample, first_sample) = (20_000, 16_000);
    recogniser.take(
        &Speech::Start {
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
                probability: None,
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
            id: 1
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
fn of_doubtful_and_aborted_steps_nothing_is_shown() {
    let doubts = Script {
        doubts_steps: true,
        ..script()
    };
    let aborts = Script {
        aborts_steps: true,
        ..script()
    };
    for ear in [doubts, aborts] {
        let events = utterance(ear, 63, HALF_A_SECOND);
        for event in &events {
            if let Event::Partial {
                stable, volatile, ..
            } = event
            {
                assert_eq!((stable.as_str(), volatile.as_str()), ("", ""));
            }
        }
        assert_eq!(last(&events).0, "turn on the kitchen lights.");
        assert!(last(&events).1.is_empty());
    }
}

/// What is asked of the ear, and the events, when speech of `n_windows` is followed by `after`.
fn with_pause(ear: Script, after: &[Speech]) -> (Vec<Call>, Vec<Event>) {
    let calls = ear.calls.clone();
    let mut recogniser = Recogniser::new(Box::new(ear), HALF_A_SECOND);
    let mut events = Vec::new();
    let mut take = |speech: &Speech| {
        recogniser.take(speech, &mut |event| events.push(event));
        if recogniser.step_is_due() {
            recogniser.step(&mut |event| events.push(event));
        }
    };
    take(&Speech::Start {
        start_sample: 0,
        first_sample: 0,
    });
    for _ in 0..63 {
        take(&window());
    }
    for speech in after {
        take(speech);
    }
    let calls = calls.lock().unwrap().clone();
    (calls, events)
}

fn window() -> Speech {
    Speech::Audio {
        samples: [0.1; WINDOW_SAMPLES],
        n_valid: WINDOW_SAMPLES,
        probability: None,
    }
}

const END: Speech = Speech::End {
    end_sample: 32_000,
    ending: Ending::Complete,
};

#[test]
fn the_final_is_ready_when_a_pause_turns_out_to_be_the_end() {
    let mut after = vec![Speech::Pause];
    after.extend((0..40).map(|_| window()));
    after.push(END);
    let (calls, events) = with_pause(script(), &after);
    let concluded = |call: &&Call| matches!(call, Call::Conclude(_));
    let concluded: Vec<_> = calls.iter().filter(concluded).collect();
    assert_eq!(concluded, [&Call::Conclude(Purpose::Pause)]);
    assert_eq!(*calls.last().unwrap(), Call::Conclude(Purpose::Pause));
    assert_eq!(last(&events).0, "turn on the kitchen lights.");
    let shown = events.iter().rev().find_map(|event| match event {
        Event::Partial {
            stable, volatile, ..
        } => Some(format!("{stable}{volatile}")),
        _ => None,
    });
    assert_eq!(shown.unwrap(), "turn on the kitchen lights.");
}

#[test]
fn speech_after_a_pause_has_the_rest_worked_out_anew() {
    let after = [Speech::Pause, window(), Speech::Resume, window(), END];
    let (calls, events) = with_pause(script(), &after);
    assert_eq!(*calls.last().unwrap(), Call::Conclude(Purpose::Final));
    assert_eq!(last(&events).0, "turn on the kitchen lights.");
    // Given up because of more speech, it is not the final either.
    let aborts = Script {
        aborts: Some(Purpose::Pause),
        ..script()
    };
    let (calls, events) = with_pause(aborts, &[Speech::Pause, END]);
    assert_eq!(*calls.last().unwrap(), Call::Conclude(Purpose::Final));
    assert!(last(&events).1.is_empty());
}

#[test]
fn a_doubtful_text_in_a_pause_is_not_the_final() {
    let doubts = Script {
        doubts: Some(Purpose::Pause),
        ..script()
    };
    let (calls, events) = with_pause(doubts, &[Speech::Pause, window(), END]);
    assert_eq!(*calls.last().unwrap(), Call::Conclude(Purpose::Final));
    assert_eq!(last(&events).0, "turn on the kitchen lights.");
    assert!(last(&events).1.is_empty());
}

#[test]
fn words_are_committed_while_a_pause_lasts() {
    let ear = Script {
        settles_in_pauses: true,
        ..script()
    };
    let pause = [Speech::Pause, window(), window(), window()];
    let (_, events) = with_pause(ear.clone(), &pause);
    assert_eq!(committed(&events), " turn on the kitchen lights.");
    // Whether it was the end or not, nothing is said twice.
    for rest in [vec![END], vec![Speech::Resume, window(), END]] {
        let after = [&pause[..], &rest].concat();
        let (_, events) = with_pause(ear.clone(), &after);
        assert_eq!(committed(&events), " turn on the kitchen lights.");
        assert_eq!(last(&events).0, "turn on the kitchen lights.");
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
    let mut recogniser = Recogniser::new(Box::new(script()), Partials::Off);
    let mut n_events = 0;
    recogniser.flush(&mut |_| n_events += 1);
    assert_eq!(n_events, 0);
    let start = Speech::Start {
        start_sample: 0,
        first_sample: 0,
    };
    let samples = [0.1; WINDOW_SAMPLES];
    recogniser.take(&start, &mut |_| {});
    recogniser.take(
        &Speech::Audio {
            samples,
            n_valid: 500,
            probability: None,
        },
        &mut |_| {},
    );
    let mut events = Vec::new();
    recogniser.flush(&mut |event| events.push(event));
    assert_eq!(last(&events).3, 500.0 / 16_000.0);
}
