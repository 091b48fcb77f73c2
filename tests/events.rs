//! The shape of every event as JSON, held to a golden file: scripts rely on it.

#![allow(clippy::unwrap_used)]

use hark::event::{
    ActionStatus, ConfirmState, DeviceState, Event, GapReason, Muted, Relief, Seconds, Stage,
    TimerState, UndoState, Word,
};

/// One event of each type, with and without the fields that may be absent.
fn events() -> Vec<Event> {
    let word = |text: &str, t0: f64| Word {
        text: text.to_owned(),
        t0: Seconds(t0),
        t1: Seconds(t0 + 0.22),
        p: 0.984_321,
    };
    let words = vec![word(" turn", 1.3), word(" on", 1.519_999)];
    let slots = [("room", "kitchen"), ("state", "on")];
    let slots = slots.map(|(slot, value)| (slot.to_owned(), value.to_owned()));
    let action = |status, error: Option<&str>, output: Option<&str>, ms| Event::Action {
        id: 3,
        name: "lights".to_owned(),
        status,
        error: error.map(str::to_owned),
        output: output.map(str::to_owned),
        ms,
    };
    let degraded = |state, lag_ms| Event::Degraded {
        t: Seconds(12.5),
        state,
        lag_ms,
    };
    let partial = |lag_ms| Event::Partial {
        id: 3,
        t: Seconds(2.9),
        stable: "turn on the".to_owned(),
        volatile: " kitchen li".to_owned(),
        lag_ms,
    };
    let mut events = vec![
        Event::SpeechStart {
            t: Seconds(1.216_49),
            id: 3,
        },
        partial(Some(41)),
        partial(None),
        Event::Commit {
            id: 3,
            t: Seconds(2.9),
            words: words.clone(),
        },
        Event::Final {
            id: 3,
            t0: Seconds(1.216),
            t1: Seconds(3.48),
            text: "Turn on the \"kitchen\" lights.".to_owned(),
            words,
            flags: vec!["low_confidence".to_owned()],
            readings: None,
            wake: None,
            trace: None,
        },
        Event::Command {
            id: 3,
            t: Seconds(3.48),
            name: "lights".to_owned(),
            slots: slots.into(),
            score: -0.041,
            margin: Some(2.1),
        },
        Event::Command {
            id: 3,
            t: Seconds(3.48),
            name: "stop".to_owned(),
            slots: Default::default(),
            score: 0.0,
            margin: None,
        },
        Event::Pause {
            id: 3,
            t: Seconds(3.4),
            text: "Turn on the".to_owned(),
            readings: None,
            wake: None,
        },
        Event::Question {
            id: 9,
            t: Seconds(20.0),
            text: "What is the time?".to_owned(),
        },
        Event::Rejected {
            id: 4,
            t: Seconds(9.1),
            best: Some("lights".to_owned()),
            score: Some(-1.9),
            reason: "below_threshold",
        },
        Event::Rejected {
            id: 4,
            t: Seconds(9.1),
            best: None,
            score: None,
            reason: "no_match",
        },
        action(ActionStatus::Ok, None, Some("done"), Some(12)),
        action(ActionStatus::Failed, Some("exit status: 3"), None, Some(12)),
        action(
            ActionStatus::TimedOut,
            Some("took longer than 10 ms"),
            None,
            Some(12),
        ),
        action(ActionStatus::Skipped, None, None, None),
        Event::Gap {
            t0: Seconds(12.0),
            t1: Seconds(12.25),
            reason: GapReason::Overrun,
        },
        Event::Gap {
            t0: Seconds(12.0),
            t1: Seconds(12.25),
            reason: GapReason::DeviceLost,
        },
        Event::Gap {
            t0: Seconds(12.0),
            t1: Seconds(3612.0),
            reason: GapReason::Suspended,
        },
        Event::Device {
            state: DeviceState::Lost,
            name: "pulse".to_owned(),
        },
        Event::Device {
            state: DeviceState::Recovered,
            name: "pulse".to_owned(),
        },
        Event::Reload {
            t: Seconds(13.0),
            ok: true,
            error: None,
        },
        Event::Reload {
            t: Seconds(13.0),
            ok: false,
            error: Some("config.toml:1: wrong".to_owned()),
        },
        Event::Restart {
            t: Seconds(14.5),
            stage: Stage::Recogniser,
            error: "index out of bounds".to_owned(),
        },
        degraded(Relief::None, None),
        degraded(Relief::Spaced, Some(812)),
        degraded(Relief::Rare, None),
        degraded(Relief::FinalsOnly, None),
        degraded(Relief::SmallerModel, None),
    ];
    events.extend(conversation());
    events
}

/// What a conversation is made of.
fn conversation() -> Vec<Event> {
    let slots = || [("door".to_owned(), "garage".to_owned())].into();
    let confirm = |state| Event::Confirm {
        id: 6,
        t: Seconds(21.5),
        name: "open".to_owned(),
        slots: slots(),
        state,
    };
    let undo = |name: Option<&str>, state| Event::Undo {
        id: 7,
        t: Seconds(25.0),
        name: name.map(str::to_owned),
        slots: name.map(|_| slots()).unwrap_or_default(),
        state,
    };
    let timer = |id, name: Option<&str>, state, left_s| Event::Timer {
        id,
        t: Seconds(30.25),
        number: 2,
        name: name.map(str::to_owned),
        state,
        left_s,
    };
    let mute = |what, on| Event::Mute {
        t: Seconds(40.0),
        what,
        on,
    };
    vec![
        Event::Wake {
            id: 6,
            t: Seconds(20.0),
            phrase: "hey hark".to_owned(),
            score: -0.126,
        },
        confirm(ConfirmState::Asked),
        confirm(ConfirmState::Yes),
        confirm(ConfirmState::No),
        confirm(ConfirmState::Expired),
        undo(Some("open"), UndoState::Done),
        undo(None, UndoState::Nothing),
        undo(Some("open"), UndoState::NoInverse),
        timer(Some(8), Some("pizza"), TimerState::Set, 600),
        timer(None, None, TimerState::Ringing, 0),
        timer(Some(8), None, TimerState::Cancelled, 599),
        timer(Some(8), None, TimerState::Left, 599),
        timer(Some(8), None, TimerState::Paused, 599),
        timer(Some(8), None, TimerState::Resumed, 599),
        Event::Reply {
            id: Some(9),
            text: "It is".to_owned(),
            done: false,
        },
        Event::Reply {
            id: None,
            text: "The timer is over.".to_owned(),
            done: true,
        },
        mute(Muted::Microphone, true),
        mute(Muted::Speech, true),
    ]
}

#[test]
fn events_have_the_shape_of_the_golden_file() {
    let golden = include_str!("golden/events.jsonl");
    let written: Vec<String> = events()
        .iter()
        .map(|event| serde_json::to_string(event).unwrap())
        .collect();
    for (written, golden) in written.iter().zip(golden.lines()) {
        assert_eq!(written, golden);
    }
    assert_eq!(written.len(), golden.lines().count());
}
