//! The assistant from voice to voice, on a virtual microphone and loudspeaker: a spoken question is answered aloud,
//! a stop word silences it, and it does not obey itself when the loudspeaker is heard in the microphone.
//!
//! Needs Linux with PulseAudio (`scripts/virtual-mic.sh` says what to install), espeak-ng and the models tiny.en and
//! smollm2. Where something is missing the reason is printed and nothing is tested, unless `HARK_REQUIRE_MIC` is set:
//! then it fails. Delays are printed (`--nocapture`), for the benchmarks; what is bounded here is bounded widely.

#![cfg(feature = "mic")]
#![allow(clippy::unwrap_used)]

mod support;

use std::io::{BufRead, BufReader, Read};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::{Receiver, channel};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use serde_json::Value;
use support::mic::VirtualMic;
use support::program::{arg, command};
use support::{keeps_up, model};

/// Nothing takes longer.
const LONGEST: Duration = Duration::from_secs(30);
/// Samples whose loudness is looked at together: 10 ms.
const WINDOW_BYTES: usize = 2 * 160;
/// A sample of sound is larger than this.
const AUDIBLE: i16 = 300;
/// Silence for so long is the end of a text, and not a pause in it.
const QUIET: Duration = Duration::from_millis(600);

/// Sound servers and models side by side only make each other late.
static ONE_AT_A_TIME: Mutex<()> = Mutex::new(());

const SETTINGS: &str = r#"
[listen]
stop_words = ["stop"]

[responder]
enabled = true
calls = "never"
max_tokens = 48
prefix_file = ""

[speech]
program = "espeak-ng"
args = ["-s", "150", "-a", "40", "--stdout", "--stdin"]
output = "wav"

[[command]]
name = "lights"
sentences = ["turn off [all] the lights"]
action = { program = "true" }

[[command]]
name = "help"
sentences = ["what can i say [to you]"]
action = { speak = "You can always say, turn off all the lights. Then I will turn off all the lights in this house. Apart from that there is very little that you can say to me, and I go on talking about it for a while." }
"#;

/// A daemon that listens to a virtual microphone.
struct Assistant {
    mic: VirtualMic,
    child: Child,
    events: Receiver<(Instant, Value)>,
    /// What the loudspeaker plays: when sound began, and when it ended.
    sounds: Receiver<(Instant, bool)>,
    recorder: Child,
    _alone: MutexGuard<'static, ()>,
}

impl Drop for Assistant {
    fn drop(&mut self) {
        for child in [&mut self.child, &mut self.recorder] {
            let _ = child.kill();
            let _ = child.wait();
        }
    }
}

impl Assistant {
    /// Starts one whose loudspeaker is that sink.
    fn start(sink: &str) -> Option<Assistant> {
        let has_models = model("tiny.en").is_some() && model("smollm2").is_some();
        if !has_models || !keeps_up() || !has_voice() {
            return None;
        }
        let alone = ONE_AT_A_TIME.lock().unwrap_or_else(PoisonError::into_inner);
        let mic = VirtualMic::start()?;
        let config = mic.folder.path().join("assistant.toml");
        std::fs::write(&config, SETTINGS).unwrap();
        let speech = std::env::var("HARK_TEST_MODEL").unwrap_or_else(|_| "tiny.en".to_owned());
        let args = [
            "--json",
            "--log",
            "info",
            "--config",
            arg(&config),
            "--model",
            &speech,
            "run",
        ];
        let mut child = match std::env::var_os("HARK_PROGRAM") {
            Some(program) => {
                let mut command = Command::new(program);
                command
                    .args(args)
                    .env("HARK_MODELS", support::root().join("models"));
                command
            }
            None => command(&args),
        };
        let environment = mic.environment.iter().cloned();
        let mut child = child
            .envs(environment.clone())
            .env("PULSE_SINK", sink)
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        // The models are loaded, and the microphone is open.
        let log = BufReader::new(child.stderr.take().unwrap()).lines();
        let mut log = log.map_while(Result::ok);
        let is_open = log.any(|line| line.contains("listening to"));
        assert!(is_open, "it does not listen");
        std::thread::spawn(move || log.for_each(|line| eprintln!("{line}")));
        let monitor = format!("--device={sink}.monitor");
        let raw = [
            "--raw",
            "--rate=16000",
            "--channels=1",
            "--format=s16le",
            "--latency-msec=10",
        ];
        let mut recorder = Command::new("parec")
            .args(raw)
            .arg(monitor)
            .envs(environment)
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let events = read_events(child.stdout.take().unwrap());
        let sounds = read_sounds(recorder.stdout.take().unwrap());
        let assistant = Assistant {
            mic,
            child,
            events,
            sounds,
            recorder,
            _alone: alone,
        };
        Some(assistant)
    }

    /// Says it; returns when the last sample was played.
    fn say(&self, text: &str) -> Instant {
        let path = self.voice(text);
        self.mic.run(&["play", arg(&path)]);
        Instant::now()
    }

    /// Says it until hark falls silent, as people do; when it had been said, and when it was understood.
    fn interrupt(&self, stop: &Path) -> (Instant, Instant) {
        for _ in 0..4 {
            std::thread::sleep(Duration::from_secs(2));
            self.mic.run(&["play", arg(stop)]);
            let spoken = Instant::now();
            let deadline = spoken + Duration::from_secs(1);
            let left = || deadline.saturating_duration_since(Instant::now());
            while let Ok((at, event)) = self.events.recv_timeout(left()) {
                if event["type"] == "mute" {
                    return (spoken, at);
                }
            }
        }
        panic!("it does not hear the stop word");
    }

    fn voice(&self, text: &str) -> PathBuf {
        let name: String = text.chars().filter(|c| c.is_alphanumeric()).collect();
        let path = self.mic.folder.path().join(name + ".wav");
        speak_to(&path, text);
        path
    }

    /// The next event of that kind, and when it came.
    fn wait_for(&self, is_it: impl Fn(&Value) -> bool) -> (Instant, Value) {
        let deadline = Instant::now() + LONGEST;
        loop {
            let left = deadline.saturating_duration_since(Instant::now());
            let (at, event) = self.events.recv_timeout(left).expect("the event comes");
            if is_it(&event) {
                return (at, event);
            }
        }
    }

    /// When the loudspeaker next begins to sound, or falls silent.
    fn sound(&self, sounds: bool) -> Instant {
        let deadline = Instant::now() + LONGEST;
        loop {
            let left = deadline.saturating_duration_since(Instant::now());
            let (at, is_sound) = self.sounds.recv_timeout(left).expect("the sound changes");
            if is_sound == sounds {
                return at;
            }
        }
    }

    /// The events of a stretch of time.
    fn events_for(&self, time: Duration) -> Vec<Value> {
        let deadline = Instant::now() + time;
        let mut all = Vec::new();
        while let Ok((_, event)) =
            (self.events).recv_timeout(deadline.saturating_duration_since(Instant::now()))
        {
            all.push(event);
        }
        all
    }
}

fn has_voice() -> bool {
    let found = Command::new("espeak-ng").arg("--version").output().is_ok();
    assert!(
        found || std::env::var_os("HARK_REQUIRE_MIC").is_none(),
        "espeak-ng is missing"
    );
    if !found {
        eprintln!("skipped: espeak-ng is missing");
    }
    found
}

fn speak_to(path: &Path, text: &str) {
    let status = Command::new("espeak-ng")
        .args(["-v", "en-us", "-s", "150", "-w", arg(path), text])
        .status()
        .unwrap();
    assert!(status.success());
}

fn read_events(from: impl Read + Send + 'static) -> Receiver<(Instant, Value)> {
    let (sender, events) = channel();
    std::thread::spawn(move || {
        for line in BufReader::new(from).lines().map_while(Result::ok) {
            let event = serde_json::from_str(&line).expect(&line);
            if sender.send((Instant::now(), event)).is_err() {
                break;
            }
        }
    });
    events
}

/// When sound begins, and when it is over: then the time is that of its last sample.
fn read_sounds(mut from: impl Read + Send + 'static) -> Receiver<(Instant, bool)> {
    let (sender, sounds) = channel();
    std::thread::spawn(move || {
        let (mut last, mut is_sound) = (Instant::now(), false);
        let mut window = [0; WINDOW_BYTES];
        while from.read_exact(&mut window).is_ok() {
            let samples = window
                .as_chunks::<2>()
                .0
                .iter()
                .map(|pair| i16::from_le_bytes(*pair));
            if samples
                .into_iter()
                .any(|x| x.unsigned_abs() > AUDIBLE.unsigned_abs())
            {
                last = Instant::now();
                if !is_sound {
                    is_sound = true;
                    if sender.send((last, true)).is_err() {
                        return;
                    }
                }
            } else if is_sound && last.elapsed() > QUIET {
                is_sound = false;
                if sender.send((last, false)).is_err() {
                    return;
                }
            }
        }
    });
    sounds
}

#[test]
fn a_spoken_question_is_answered_aloud() {
    let Some(assistant) = Assistant::start("vspeaker") else {
        return;
    };
    let mut delays = Vec::new();
    for question in [
        "What is the capital of France?",
        "Please tell me something about the moon.",
        "Why is the sky blue in the morning?",
    ] {
        let spoken = assistant.say(question);
        let (decided, _) = assistant.wait_for(|event| event["type"] == "final");
        let (_, asked) = assistant.wait_for(|event| event["type"] == "question");
        let id = asked["id"].clone();
        let (first, _) = assistant.wait_for(|event| event["type"] == "reply" && event["id"] == id);
        let heard = assistant.sound(true);
        assistant.wait_for(|event| event["type"] == "reply" && event["done"] == true);
        assistant.sound(false);
        delays.push((decided - spoken, first - decided, heard - decided));
    }
    for (endpoint, word, sound) in delays {
        println!(
            "end of speech to final {} ms; final to first word {} ms, to first sound {} ms",
            endpoint.as_millis(),
            word.as_millis(),
            sound.as_millis()
        );
        assert!(sound < Duration::from_secs(10));
    }
}

#[test]
fn a_stop_word_silences_it() {
    let Some(assistant) = Assistant::start("vspeaker") else {
        return;
    };
    let stop = assistant.voice("stop");
    for _ in 0..2 {
        assistant.say("What can I say to you?");
        assistant.sound(true);
        let (spoken, muted) = assistant.interrupt(&stop);
        let silent = assistant.sound(false);
        println!(
            "stop word played to silence {} ms; understood to silence {} ms",
            silent.saturating_duration_since(spoken).as_millis(),
            silent.saturating_duration_since(muted).as_millis()
        );
        // A tenth of this on an idle machine; the text would have gone on for far longer.
        assert!(silent.saturating_duration_since(muted) < Duration::from_secs(2));
    }
}

#[test]
fn it_does_not_obey_itself() {
    // The loudspeaker is what the microphone hears.
    let Some(assistant) = Assistant::start("vmic") else {
        return;
    };
    assistant.say("What can I say to you?");
    assistant.wait_for(|event| event["type"] == "command" && event["name"] == "help");
    let events = assistant.events_for(Duration::from_secs(20));
    let of = |kind: &str| events.iter().filter(|event| event["type"] == kind).count();
    let rejected = events.iter().filter(|event| event["reason"] == "own_voice");
    assert!(rejected.count() >= 1, "it hears itself: {events:?}");
    assert_eq!((of("command"), of("question")), (0, 0), "{events:?}");
    // It still listens.
    assistant.say("Turn off the lights.");
    assistant.wait_for(|event| event["type"] == "command" && event["name"] == "lights");
}
