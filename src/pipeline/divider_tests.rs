//! The edges of utterances that depend on what is said, with a listener that knows it at once.

use super::*;
use crate::command::Patience;
use crate::vad::{SegmenterConfig, WINDOW_SAMPLES};

/// Says one word in every pause, and how far it has come; some pauses are given up.
#[derive(Clone, Copy, Default)]
struct Told {
    progress: Progress,
    gives_up: bool,
}

impl Ear for Told {
    fn begin(&mut self) {}

    fn hear(&mut self, _samples: &[f32]) {}

    fn is_full(&self) -> bool {
        false
    }

    fn step(&mut self) -> Step {
        Step::default()
    }

    fn conclude(&mut self, purpose: Purpose) -> Conclusion {
        let word = Word {
            text: " lights".to_owned(),
            t0: Seconds(0.0),
            t1: Seconds(0.1),
            p: 1.0,
        };
        Conclusion {
            words: vec![word],
            aborted: self.gives_up && purpose == Purpose::Pause,
            ..Conclusion::default()
        }
    }

    fn wait(&mut self, _rest: &[Word]) -> usize {
        0
    }

    fn weigh(&mut self, _text: &str, _purpose: Purpose) -> Weighed {
        Weighed {
            progress: self.progress,
            ..Weighed::default()
        }
    }
}

const PRE_ROLL: u64 = 5 * WINDOW_SAMPLES as u64;

fn config() -> SegmenterConfig {
    let mut config = SegmenterConfig {
        pause_ms: 200,
        ..SegmenterConfig::default()
    };
    config.endpoint.pre_roll_ms = 160;
    config
}

/// What a front with the settings for commands says of windows of speech (`#`) and silence (`.`);
/// the utterance begins with the first, after its pre-roll.
fn messages(windows: &str) -> Vec<Speech> {
    let (_, front) = Divider::new(config(), Patience::default());
    let longest = u64::from(front.endpoint.min_silence_ms);
    assert_eq!(longest, 1_500);
    let audio = |probability| Speech::Audio {
        samples: [0.1; WINDOW_SAMPLES],
        n_valid: WINDOW_SAMPLES,
        probability,
    };
    let mut all = vec![Speech::Start {
        start_sample: PRE_ROLL,
        first_sample: 0,
    }];
    all.extend((0..5).map(|_| audio(None)));
    let mut n_silent = 0_u64;
    for (i, window) in windows.chars().enumerate() {
        let is_speech = window == '#';
        all.push(audio(Some(if is_speech { 0.9 } else { 0.1 })));
        n_silent = if is_speech { 0 } else { n_silent + 1 };
        if n_silent * 32 >= longest {
            let end_sample = PRE_ROLL + (i as u64 + 1 - n_silent) * WINDOW_SAMPLES as u64;
            let ending = Ending::Complete;
            all.push(Speech::End { end_sample, ending });
        }
    }
    all
}

/// Events of an ear that hears them, and the number of messages after which each came.
fn events(ear: Told, windows: &str) -> Vec<(usize, Event)> {
    let mut recogniser = Recogniser::new(Box::new(ear), Partials::Off);
    recogniser.set_divider(Divider::new(config(), Patience::default()).0);
    let mut events = Vec::new();
    for (i, message) in messages(windows).iter().enumerate() {
        recogniser.take(message, &mut |event| events.push((i, event)));
    }
    events
}

/// Start, end and silence heard before the end was known, of each utterance, in windows.
fn utterances(ear: Told, windows: &str) -> Vec<(u64, u64, u64)> {
    let window = |t: Seconds| (t.0 * 16_000.0) as u64 / WINDOW_SAMPLES as u64;
    let utterance = |(i, event): (usize, Event)| match event {
        Event::Final { t0, t1, .. } => {
            // The first message was the start.
            Some((window(t0), window(t1), i as u64 - window(t1)))
        }
        _ => None,
    };
    events(ear, windows)
        .into_iter()
        .filter_map(utterance)
        .collect()
}

fn told(progress: Progress) -> Told {
    Told {
        progress,
        gives_up: false,
    }
}

fn silence(n: usize) -> String {
    ".".repeat(n)
}

#[test]
fn the_words_say_how_long_a_silence_ends_them() {
    let windows = "####".to_owned() + &silence(60);
    assert_eq!(utterances(told(Progress::Complete), &windows), [(5, 9, 10)]);
    assert_eq!(utterances(told(Progress::Open), &windows), [(5, 9, 22)]);
    assert_eq!(utterances(told(Progress::Unknown), &windows), [(5, 9, 22)]);
    assert_eq!(utterances(told(Progress::Begun), &windows), [(5, 9, 47)]);
}

#[test]
fn a_shorter_pause_ends_nothing() {
    let windows = "####".to_owned() + &silence(9) + "###" + &silence(60);
    assert_eq!(
        utterances(told(Progress::Complete), &windows),
        [(5, 21, 10)]
    );
    let windows = "####".to_owned() + &silence(46) + "###" + &silence(60);
    assert_eq!(utterances(told(Progress::Begun), &windows), [(5, 58, 47)]);
}

#[test]
fn what_comes_after_the_end_is_another_utterance() {
    let windows = "####".to_owned() + &silence(12) + "###" + &silence(60);
    let found = utterances(told(Progress::Complete), &windows);
    assert_eq!(found, [(5, 9, 10), (21, 24, 10)]);
    let events = events(told(Progress::Complete), &windows);
    let ids = events.iter().filter_map(|(_, event)| match event {
        Event::SpeechStart { id, t } => Some((*id, t.0)),
        _ => None,
    });
    let window_s = WINDOW_SAMPLES as f64 / 16_000.0;
    assert_eq!(
        ids.collect::<Vec<_>>(),
        [(1, 5.0 * window_s), (2, 21.0 * window_s)]
    );
    // A click is none.
    let windows = "####".to_owned() + &silence(12) + "#" + &silence(60);
    assert_eq!(utterances(told(Progress::Complete), &windows), [(5, 9, 10)]);
}

#[test]
fn what_was_given_up_is_found_out_before_it_counts() {
    let mut ear = told(Progress::Complete);
    let windows = "####".to_owned() + &silence(12) + "###" + &silence(60);
    let patient = events(ear, &windows);
    ear.gives_up = true;
    assert_eq!(
        utterances(ear, &windows),
        utterances(told(Progress::Complete), &windows)
    );
    let finals = |all: &[(usize, Event)]| {
        let is_final = |(_, event): &&(usize, Event)| matches!(event, Event::Final { .. });
        all.iter().filter(is_final).cloned().collect::<Vec<_>>()
    };
    assert_eq!(finals(&events(ear, &windows)), finals(&patient));
}

#[test]
fn speech_without_pauses_is_cut_here() {
    let mut short = config();
    short.endpoint.max_speech_ms = 3_000;
    short.endpoint.cut_speech_ms = 3_000;
    let (divider, front) = Divider::new(short, Patience::default());
    assert_eq!(front.endpoint.cut_speech_ms, u32::MAX);
    let mut recogniser = Recogniser::new(Box::new(told(Progress::Unknown)), Partials::Off);
    recogniser.set_divider(divider);
    let mut n_interrupted = 0;
    for message in messages(&"#".repeat(300)) {
        recogniser.take(&message, &mut |event| {
            if let Event::Final { flags, t0, t1, .. } = event {
                n_interrupted += usize::from(flags.iter().any(|flag| flag == INTERRUPTED));
                assert!(t1.0 - t0.0 <= 3.1, "{} {}", t0.0, t1.0);
            }
        });
    }
    assert_eq!(n_interrupted, 3);
}
