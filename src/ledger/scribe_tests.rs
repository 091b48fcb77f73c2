use std::path::Path;
use std::sync::Arc;

use super::*;
use crate::config::Config;
use crate::event::{ActionStatus, GapReason, Reading, TimerState};
use crate::pipeline::Commands;

fn about(text: &str) -> About {
    let (config, mistakes) = Config::parse(Path::new("test.toml"), text.to_owned()).unwrap();
    assert!(mistakes.is_empty());
    About::new(Some(&Commands::new(&config.commands, &config.dialogue)))
}

const LIGHTS: &str = r#"
    [[command]]
    name = "lights"
    sentences = ["turn (on|off) [the] [kitchen] lights"]
    [[command]]
    name = "heating"
    sentences = ["turn (on|off) the heating"]
"#;

fn over(id: u64, text: &str) -> Event {
    Event::Final {
        id,
        t0: Seconds(id as f64),
        t1: Seconds(id as f64 + 0.5),
        text: text.to_owned(),
        words: Vec::new(),
        flags: Vec::new(),
        readings: None,
        wake: None,
        trace: None,
    }
}

fn take(scribe: &mut Scribe, events: &[Event]) -> Vec<Entry> {
    let mut entries = Vec::new();
    for event in events {
        assert!(concerns(event));
        scribe.take(1, event, &mut entries);
    }
    entries
}

/// The utterances and kinds of what followed.
fn followed(entries: &[Entry]) -> Vec<(u64, &str)> {
    let kind = |entry: &Entry| match &entry.what {
        What::Heard(_) => (entry.event_id, "heard"),
        What::Followed(followed, _) => match followed.kind.as_str() {
            "answer" => (entry.event_id, "answer"),
            "confirm" => (entry.event_id, "confirm"),
            "gap" => (entry.event_id, "gap"),
            "mute" => (entry.event_id, "mute"),
            other => panic!("{other}"),
        },
    };
    entries.iter().map(kind).collect()
}

fn heard(entry: &Entry) -> &Heard {
    match &entry.what {
        What::Heard(heard) => heard,
        What::Followed(..) => panic!("{entry:?}"),
    }
}

#[test]
fn a_text_is_written_with_what_else_it_could_have_meant() {
    let mut scribe = Scribe::new(about(LIGHTS), true);
    let mut event = over(1, "turn on the garden lights");
    if let Event::Final {
        readings, trace, ..
    } = &mut event
    {
        let reading = |text: &str, logprob| Reading {
            text: text.to_owned(),
            logprob,
            n_tokens: 6,
        };
        *readings = Some(Readings {
            free_logprob: -2.0,
            readings: vec![
                reading("Turn on the kitchen lights.", -5.0),
                reading("turn on the heating", f32::NEG_INFINITY),
            ],
        });
        *trace = Some(Arc::new(Trace {
            model: "tiny.en".to_owned(),
            stage_ms: vec![("encode", 12.25), ("decode", f32::NAN)],
            samples: vec![0.0, 0.5, -1.0],
        }));
    }
    let entries = take(&mut scribe, &[event]);
    let heard = heard(&entries[0]);
    assert_eq!(heard.alternatives[0].name, "lights");
    let readings = heard.readings.as_ref().unwrap();
    assert_eq!(readings.readings[0].command.as_deref(), Some("lights"));
    assert_eq!(readings.readings[0].score, -0.5);
    assert_eq!(readings.readings[1].command.as_deref(), Some("heating"));
    assert!(readings.readings[1].score.is_finite());
    assert!(heard.stages.iter().all(|stage| stage.ms.is_finite()));
    assert_eq!(heard.pcm, [0, 0, 0, 0x40, 0, 0x80]);
    // All of it was compared.
    assert_eq!(heard.compared, None);
}

#[test]
fn behind_a_wake_phrase_the_rest_is_compared() {
    let text = format!("[listen]\nmode = \"wake\"\nwake_phrases = [\"hey hark\"]\n{LIGHTS}");
    let mut scribe = Scribe::new(about(&text), false);
    let called = over(1, "Hey Hark, turn off the heating.");
    let entries = take(&mut scribe, &[called]);
    let heard = heard(&entries[0]);
    assert_eq!(heard.compared.as_deref(), Some("turn off the heating."));
    assert_eq!(heard.alternatives[0].name, "heating");
    assert_eq!(heard.alternatives[0].score, 0.0);
}

#[test]
fn scores_keep_the_decimals_that_decide() {
    let event = Event::Rejected {
        id: 1,
        t: Seconds(1.0),
        best: Some("lights".to_owned()),
        score: Some(-0.253),
        reason: "below_threshold",
    };
    let entries = take(&mut Scribe::new(About::new(None), false), &[event]);
    let What::Followed(followed, None) = &entries[0].what else {
        panic!("{entries:?}");
    };
    assert_eq!(followed.score, Some(-0.253));
    assert_eq!(followed.kind, "rejected");
    assert_eq!(followed.reason.as_deref(), Some("below_threshold"));
}

#[test]
fn an_answer_is_of_the_utterance_that_gives_it() {
    let mut scribe = Scribe::new(About::new(None), false);
    let confirm = |t: f64, state| Event::Confirm {
        id: 1,
        t: Seconds(t),
        name: "door".to_owned(),
        slots: Default::default(),
        state,
    };
    let events = [
        over(1, "open the door"),
        confirm(1.5, ConfirmState::Asked),
        over(2, "yes"),
        confirm(2.5, ConfirmState::Yes),
    ];
    let entries = take(&mut scribe, &events);
    let expected = [
        (1, "heard"),
        (1, "confirm"),
        (2, "heard"),
        (1, "confirm"),
        (2, "answer"),
    ];
    assert_eq!(followed(&entries), expected);
    assert!(matches!(entries[4].what, What::Followed(_, Some(1))));
}

#[test]
fn lost_audio_is_of_the_utterance_around_it() {
    let mut scribe = Scribe::new(About::new(None), false);
    let gap = |t0: f64, t1: f64| Event::Gap {
        t0: Seconds(t0),
        t1: Seconds(t1),
        reason: GapReason::Overrun,
    };
    let mut events = vec![gap(0.1, 0.2), gap(2.9, 3.1), gap(3.2, 3.3)];
    events.push(over(3, "what"));
    assert_eq!(
        followed(&take(&mut scribe, &events)),
        [(3, "heard"), (3, "gap"), (3, "gap")]
    );
    let many: Vec<Event> = (0..1_000)
        .map(|i| gap(f64::from(i), f64::from(i)))
        .collect();
    assert!(take(&mut scribe, &many).is_empty());
    assert_eq!(scribe.gaps.len(), MAX_GAPS);
}

#[test]
fn silence_is_of_the_utterance_that_began_last() {
    let mut scribe = Scribe::new(About::new(None), false);
    let mute = Event::Mute {
        t: Seconds(4.2),
        what: Muted::Speech,
        on: true,
    };
    assert!(take(&mut scribe, std::slice::from_ref(&mute)).is_empty());
    let began = Event::SpeechStart {
        t: Seconds(4.0),
        id: 4,
    };
    assert_eq!(followed(&take(&mut scribe, &[began, mute])), [(4, "mute")]);
}

#[test]
fn what_is_nobodys_is_not_written() {
    let ring = Event::Timer {
        id: None,
        t: Seconds(1.0),
        number: 1,
        name: None,
        state: TimerState::Ringing,
        left_s: 0,
    };
    let bell = Event::Action {
        id: 0,
        name: "ring".to_owned(),
        status: ActionStatus::Ok,
        error: None,
        output: None,
        ms: None,
    };
    let partial = Event::Partial {
        id: 1,
        t: Seconds(1.0),
        stable: String::new(),
        volatile: String::new(),
        lag_ms: None,
    };
    for event in [ring, bell, partial] {
        assert!(!concerns(&event), "{event:?}");
    }
}
