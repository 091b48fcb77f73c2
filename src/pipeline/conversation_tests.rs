//! Conversations on the sample clock, without sound: events in, events and jobs out.

use std::path::Path;

use crate::config::Config;
use crate::dialogue::{Effect, Now};
use crate::event::{Event, Seconds, WakeHeard};
use crate::pipeline::control::{Commands, Control, Due};
use crate::respond::Calls;

const COMMANDS: &str = r#"
[[command]]
name = "lights"
sentences = ["[turn the] lights {state}"]
safe = true
action = { program = "lights", args = ["{state}"] }
undo = { program = "lights", args = ["not {state}"] }

[[command]]
name = "open"
sentences = ["open the {door} [door]"]
confirm = "Really open the {door}?"
inverse = "close"
action = { program = "open", args = ["{door}"] }

[[command]]
name = "close"
sentences = ["close the {door} [door]"]
action = { program = "close", args = ["{door}"] }

[[command]]
name = "blink"
sentences = ["blink"]
safe = true

[lists]
state = ["on", "off"]
door = ["garage", "front"]
"#;

/// A conversation, and how far it has come.
struct Talk {
    control: Control,
    id: u64,
    t: f64,
    /// Whether hark speaks.
    speaks: bool,
}

fn commands(settings: &str) -> Commands {
    let text = format!("{settings}\n{COMMANDS}");
    let (config, mistakes) = Config::parse(Path::new("c.toml"), text).unwrap();
    assert!(mistakes.is_empty(), "{mistakes:?}");
    Commands::new(&config.commands, &config.dialogue)
}

impl Talk {
    /// With further settings before the commands.
    fn new(settings: &str) -> Talk {
        Talk {
            control: Control::new(Some(commands(settings))),
            speaks: false,
            id: 0,
            t: 0.0,
        }
    }

    fn now(&self) -> Now {
        Now {
            heard: Seconds(self.t),
            clock_s: self.t,
            speaks: self.speaks,
        }
    }

    /// The same with a responder whose model may call commands.
    fn with_responder(settings: &str, calls: Calls) -> Talk {
        let mut talk = Talk::new(settings);
        let mut commands = commands(settings);
        commands.responder = Some(calls);
        talk.control = Control::new(Some(commands));
        talk
    }

    /// The speaker pauses.
    fn pause(&mut self, text: &str) -> Vec<String> {
        let event = Event::Pause {
            id: self.id,
            t: Seconds(self.t),
            text: text.to_owned(),
            readings: None,
            wake: None,
        };
        shown(self.control.decide(&event, self.now()))
    }

    /// The responder says something.
    fn reply(&mut self, text: &str, done: bool) {
        let id = Some(self.id);
        let text = text.to_owned();
        let event = Event::Reply { id, text, done };
        assert!(self.control.decide(&event, self.now()).is_empty());
    }

    fn call(&mut self, sentence: &str) -> Vec<String> {
        let effects = self.control.call(self.id, sentence, self.now());
        shown(effects)
    }

    /// hark says something aloud, or has done so.
    fn speak(&mut self, text: &str, speaks: bool) {
        self.speaks = speaks;
        let t = Seconds(self.t);
        self.control.overhear(&[text.to_owned()], t);
    }

    /// Somebody begins to speak at `t`.
    fn begin(&mut self, t: f64) {
        self.id += 1;
        self.t = t;
        let t = Seconds(t);
        let effects = self
            .control
            .decide(&Event::SpeechStart { t, id: self.id }, self.now());
        assert!(effects.is_empty());
    }

    fn partial(&mut self, stable: &str, volatile: &str) -> Vec<String> {
        self.t += 0.5;
        let event = Event::Partial {
            id: self.id,
            t: Seconds(self.t),
            stable: stable.to_owned(),
            volatile: volatile.to_owned(),
            lag_ms: None,
        };
        shown(self.control.decide(&event, self.now()))
    }

    fn end(&mut self, text: &str, flags: &[&str], wake: Option<WakeHeard>) -> Vec<String> {
        let t0 = Seconds(self.t);
        self.t += 1.0;
        let event = Event::Final {
            id: self.id,
            t0,
            t1: Seconds(self.t),
            text: text.to_owned(),
            words: Vec::new(),
            flags: flags.iter().map(|flag| (*flag).to_owned()).collect(),
            readings: None,
            wake,
            trace: None,
        };
        shown(self.control.decide(&event, self.now()))
    }

    /// A whole utterance that begins at `t` and takes a second.
    fn say(&mut self, t: f64, text: &str) -> Vec<String> {
        self.begin(t);
        self.end(text, &[], None)
    }

    fn tick(&mut self, t: f64) -> Vec<String> {
        self.t = t;
        shown(self.control.tick(self.now()))
    }
}

/// Effects in short.
fn shown(effects: Vec<Effect>) -> Vec<String> {
    effects.into_iter().filter_map(short).collect()
}

fn short(effect: Effect) -> Option<String> {
    let state = |state: &dyn std::fmt::Debug| format!("{state:?}").to_lowercase();
    Some(match effect {
        Effect::CarryOut(job) => format!("do {} {}", job.name, action_args(&job)),
        Effect::Hush => "hush".to_owned(),
        Effect::Foresee(question) => format!("foresee {}", question.text),
        Effect::Ask(question) => format!("ask {}{}", question.text, question.timers),
        Effect::StopAnswer => "stop".to_owned(),
        Effect::Keep(_) => return None,
        Effect::Report(event) => match event {
            Event::Command { name, id, .. } => format!("command {name} {id}"),
            Event::Rejected { reason, .. } => format!("rejected {reason}"),
            Event::Question { id, .. } => format!("question {id}"),
            Event::Wake { phrase, .. } => format!("wake {phrase}"),
            Event::Confirm { name, state: s, .. } => format!("confirm {name} {}", state(&s)),
            Event::Undo { name, state: s, .. } => {
                format!("undo {} {}", name.unwrap_or_default(), state(&s))
            }
            Event::Timer {
                number,
                state: s,
                left_s,
                ..
            } => format!("timer {number} {} {left_s}", state(&s)),
            Event::Reply { text, .. } => format!("say {text}"),
            Event::Mute { what, on, .. } => format!("mute {} {on}", state(&what)),
            other => format!("{other:?}"),
        },
    })
}

fn action_args(job: &crate::command::Job) -> String {
    job.action.filled_line(&job.slots).unwrap()[1..].join(" ")
}

#[test]
fn several_commands_in_one_sentence_are_all_done() {
    let mut talk = Talk::new("");
    assert_eq!(
        talk.say(1.0, "Turn the lights off and close the garage door."),
        [
            "command lights 1",
            "do lights off",
            "command close 1",
            "do close garage"
        ]
    );
    assert_eq!(
        talk.say(5.0, "Lights off and close the window."),
        ["rejected no_match"]
    );
    let mut talk = Talk::new("[dialogue]\nmax_commands = 1");
    let done = talk.say(1.0, "Turn the lights off and close the garage door.");
    assert!(
        matches!(done.as_slice(), [one] if one.starts_with("rejected")),
        "{done:?}"
    );
}

#[test]
fn nothing_is_done_for_speech_that_broke_off() {
    let mut talk = Talk::new("");
    talk.begin(1.0);
    assert_eq!(
        talk.end("Lights off", &["interrupted"], None),
        ["rejected interrupted"]
    );
}

const WAKE: &str = "[listen]\nmode = 'wake'\nfollow_up_s = 5";

#[test]
fn behind_a_wake_phrase_and_a_while_after_it_counts() {
    let mut talk = Talk::new(WAKE);
    assert_eq!(talk.say(1.0, "Lights off."), ["rejected not_addressed"]);
    assert_eq!(
        talk.say(3.0, "Hey Hark, lights off."),
        ["wake hey hark", "command lights 2", "do lights off"]
    );
    // Until 9: five seconds after the command.
    assert_eq!(
        talk.say(9.0, "Lights on."),
        ["command lights 3", "do lights on"]
    );
    assert_eq!(talk.say(16.0, "Lights on."), ["rejected not_addressed"]);
    assert_eq!(talk.say(20.0, "Hey hark"), ["wake hey hark"]);
    assert_eq!(talk.say(22.0, "what was that"), ["rejected no_match"]);
    assert_eq!(talk.say(24.0, "never mind"), ["rejected never_mind"]);
    assert_eq!(talk.say(25.5, "Lights on."), ["rejected not_addressed"]);
    // The phrase as it was heard in the audio.
    talk.begin(40.0);
    let heard = WakeHeard {
        phrase: "hey hark".to_owned(),
        score: -0.2,
        rest: "lights on".to_owned(),
    };
    assert_eq!(
        talk.end("Hey heart, lights on.", &[], Some(heard)),
        ["wake hey hark", "command lights 9", "do lights on"]
    );
}

#[test]
fn push_to_talk_opens_and_closes() {
    let mut talk = Talk::new("[listen]\nmode = 'push'");
    assert_eq!(talk.say(1.0, "Lights on."), ["rejected not_addressed"]);
    let now = talk.now();
    assert_eq!(
        shown(talk.control.push(None, now)),
        ["mute microphone false"]
    );
    assert!(shown(talk.control.push(Some(true), now)).is_empty());
    assert_eq!(
        talk.say(3.0, "Lights on."),
        ["command lights 2", "do lights on"]
    );
    talk.begin(5.0);
    let now = talk.now();
    assert_eq!(
        shown(talk.control.push(Some(false), now)),
        ["mute microphone true"]
    );
    assert_eq!(
        talk.end("Lights off.", &[], None),
        ["command lights 3", "do lights off"]
    );
    assert_eq!(talk.say(8.0, "Lights on."), ["rejected not_addressed"]);
}

#[test]
fn what_is_safe_is_done_before_the_end_and_once() {
    let mut talk = Talk::new("");
    talk.begin(1.0);
    assert!(talk.partial("Lights", " off").is_empty());
    assert!(talk.partial("Lights off", " please").is_empty());
    let done = ["command lights 1", "do lights off"];
    assert_eq!(talk.partial("Lights off.", ""), done);
    assert!(talk.partial("Lights off.", "").is_empty());
    assert!(talk.end("Lights off.", &[], None).is_empty());
    // With another command behind it, only that one is left to do.
    talk.begin(5.0);
    assert_eq!(talk.partial("Lights on", "").len(), 2);
    assert_eq!(
        talk.end("Lights on and close the front door.", &[], None),
        ["command close 2", "do close front"]
    );
    // What is not marked waits for the end.
    talk.begin(9.0);
    assert!(talk.partial("Close the front door.", "").is_empty());
}

#[test]
fn what_turns_out_to_be_something_else_is_taken_back() {
    let mut talk = Talk::new("");
    talk.begin(1.0);
    assert_eq!(talk.partial("Lights off", "").len(), 2);
    assert_eq!(
        talk.end("Lights off were all the rage.", &[], None),
        ["rejected no_match", "undo lights done", "do lights not off"]
    );
    talk.begin(5.0);
    assert_eq!(talk.partial("Blink", ""), ["command blink 2"]);
    let end = talk.end("Blink and you miss it.", &[], None);
    assert_eq!(end.last().unwrap(), "undo blink noinverse");
    // Broken off, but word for word what was done.
    talk.begin(9.0);
    assert_eq!(talk.partial("Lights off", "").len(), 2);
    assert_eq!(
        talk.end("Lights off", &["interrupted"], None),
        ["rejected interrupted"]
    );
}

#[test]
fn a_command_that_must_be_confirmed_waits_for_its_answer() {
    let mut talk = Talk::new("");
    let asked = ["confirm open asked", "say Really open the garage?"];
    assert_eq!(talk.say(1.0, "Open the garage door."), asked);
    assert_eq!(
        talk.say(4.0, "Yes, please."),
        ["confirm open yes", "command open 1", "do open garage"]
    );
    assert_eq!(
        talk.say(6.0, "Undo that."),
        ["undo open done", "do close garage"]
    );
    assert_eq!(talk.say(8.0, "Undo that."), ["undo  nothing"]);
    assert_eq!(talk.say(11.0, "Open the garage door."), asked);
    assert_eq!(talk.say(13.0, "No!"), ["confirm open no"]);
    assert_eq!(talk.say(15.0, "Yes."), ["rejected no_match"]);
    // Somebody wants something else.
    assert_eq!(talk.say(20.0, "Open the garage door."), asked);
    assert_eq!(
        talk.say(22.0, "Lights on."),
        ["confirm open expired", "command lights 9", "do lights on"]
    );
}

#[test]
fn a_question_expires_on_the_sample_clock() {
    let mut talk = Talk::new("[dialogue]\nconfirm_s = 4");
    talk.say(1.0, "Open the garage door.");
    assert_eq!(talk.control.due().heard, Some(Seconds(6.5)));
    assert!(talk.tick(6.4).is_empty());
    assert_eq!(talk.tick(6.5), ["confirm open expired"]);
    assert_eq!(talk.control.due().heard, None);
    talk.say(11.0, "Open the garage door.");
    // Whoever has begun to answer is heard out.
    talk.begin(15.9);
    assert!(talk.tick(17.0).is_empty());
    talk.t = 15.9;
    assert_eq!(talk.end("Yes", &[], None).len(), 3);
}

#[test]
fn the_answer_needs_no_wake_phrase() {
    let mut talk = Talk::new(WAKE);
    assert_eq!(talk.say(1.0, "Hey hark, open the garage.").len(), 3);
    assert_eq!(talk.say(11.0, "Go ahead.").len(), 3);
}

#[test]
fn two_questions_are_asked_one_after_the_other() {
    let mut talk = Talk::new("");
    assert_eq!(
        talk.say(1.0, "Open the garage and open the front door.")
            .len(),
        2
    );
    let said = talk.say(4.0, "Yes");
    assert_eq!(
        said[3..],
        ["confirm open asked", "say Really open the front?"]
    );
    assert_eq!(talk.say(6.0, "no thanks"), ["confirm open no"]);
}

#[test]
fn the_last_words_are_said_again() {
    let mut talk = Talk::new("");
    assert_eq!(
        talk.say(1.0, "Repeat that."),
        ["rejected nothing_to_repeat"]
    );
    let result = Event::Action {
        id: 1,
        name: "time".to_owned(),
        status: crate::event::ActionStatus::Ok,
        error: None,
        output: Some("It is noon.".to_owned()),
        ms: None,
    };
    let now = talk.now();
    assert!(talk.control.decide(&result, now).is_empty());
    assert_eq!(talk.say(4.0, "Say that again."), ["say It is noon."]);
}

const TIMERS: &str = "[timers]\nenabled = true\nrings = 2\nring_every_s = 5\n\
                      ring = { program = 'bell', args = ['{name}'] }";

#[test]
fn timers_are_set_ring_and_are_silenced() {
    let mut talk = Talk::new(TIMERS);
    assert_eq!(
        talk.say(1.0, "Set a pizza timer for ten seconds."),
        [
            "command timer.set 1",
            "timer 1 set 10",
            "say Pizza timer set for 10 seconds."
        ]
    );
    assert_eq!(
        talk.say(4.0, "How much time is left?"),
        [
            "command timer.left 2",
            "timer 1 left 7",
            "say 7 seconds left on the pizza timer."
        ]
    );
    assert!(talk.tick(11.9).is_empty());
    let ring = [
        "timer 1 ringing 0",
        "do timer.ring pizza",
        "say The pizza timer is over.",
    ];
    assert_eq!(talk.tick(12.0), ring);
    assert!(talk.tick(13.0).is_empty());
    assert_eq!(
        talk.say(13.5, "Stop!"),
        ["hush", "mute speech true", "timer 1 cancelled 0"]
    );
    assert!(talk.tick(60.0).is_empty());
    // Nothing sounds any more.
    assert_eq!(talk.say(61.0, "Stop!"), ["rejected no_match"]);
}

#[test]
fn a_stop_word_counts_before_the_end_of_the_utterance() {
    let mut talk = Talk::new(&format!("{TIMERS}\n{WAKE}"));
    talk.say(1.0, "hey hark timer one minute");
    assert_eq!(talk.tick(62.0).len(), 3);
    talk.begin(62.5);
    assert_eq!(talk.partial("", "Stop.").first().unwrap(), "hush");
    assert!(talk.partial("Stop.", "").is_empty());
    assert!(talk.end("Stop.", &[], None).is_empty());
}

#[test]
fn timers_are_taken_back_and_asked_about_by_name() {
    let mut talk = Talk::new(TIMERS);
    talk.say(1.0, "set a timer for an hour");
    assert_eq!(
        talk.say(3.0, "undo that"),
        ["undo timer.set done", "timer 1 cancelled 3598"]
    );
    assert_eq!(
        talk.say(5.0, "cancel the timer").last().unwrap(),
        "say There is no such timer."
    );
    talk.say(
        7.0,
        "set a tea timer for 3 minutes and set a pizza timer for 10 minutes",
    );
    assert_eq!(
        talk.say(10.0, "cancel the timer")[1..],
        [
            "rejected which_timer",
            "say Which one: the tea timer, the pizza timer?"
        ]
    );
    assert_eq!(
        talk.say(13.0, "pause the tea timer")[1],
        "timer 2 paused 174"
    );
    assert_eq!(talk.say(20.0, "cancel all timers").len(), 4);
}

#[test]
fn commands_of_ones_own_go_before_the_built_in_ones() {
    let own = "[[command]]\nname = 'mine'\nsentences = ['set a timer for {1..10:n} minutes']\n";
    let mut talk = Talk::new(&format!("{TIMERS}\n{own}"));
    assert_eq!(
        talk.say(1.0, "Set a timer for five minutes."),
        ["command mine 1"]
    );
    assert_eq!(
        talk.say(3.0, "set the timer for five minute"),
        ["command mine 2"]
    );
    assert_eq!(
        talk.say(5.0, "Set a timer for twenty minutes.")[0],
        "command timer.set 3"
    );
}

#[test]
fn timers_outlive_a_restart() {
    let mut talk = Talk::new(TIMERS);
    talk.say(1.0, "timer one minute");
    let now = talk.now();
    let effects = talk.control.decide(
        &Event::SpeechStart {
            t: Seconds(2.0),
            id: 2,
        },
        now,
    );
    assert!(effects.is_empty());
    talk.begin(3.0);
    let event = Event::Final {
        id: talk.id,
        t0: Seconds(3.0),
        t1: Seconds(4.0),
        text: "tea timer 2 minutes".to_owned(),
        words: Vec::new(),
        flags: Vec::new(),
        readings: None,
        wake: None,
        trace: None,
    };
    let effects = talk.control.decide(&event, talk.now());
    let kept = effects.into_iter().find_map(|effect| match effect {
        Effect::Keep(timers) => Some(timers),
        _ => None,
    });
    let mut again = Talk::new(TIMERS);
    again.control.restore(kept.unwrap());
    assert_eq!(again.control.due().clock_s, talk.control.due().clock_s);
    assert_eq!(again.tick(62.0).len(), 3);
}

#[test]
fn without_commands_nothing_is_decided() {
    let mut control = Control::new(None);
    let now = Now::default();
    assert!(control.push(None, now).is_empty());
    assert!(control.tick(now).is_empty());
    assert_eq!(control.due(), Due::default());
}

#[path = "asking_tests.rs"]
mod asking;
