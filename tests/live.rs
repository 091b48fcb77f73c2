//! The daemon with a microphone: speech played into a virtual one comes out as captions and as a
//! command with its action, and a stop ends within a second.
//!
//! Needs Linux with PulseAudio (`scripts/virtual-mic.sh` says what to install) and the model
//! tiny.en. Where that is missing the reason is printed and nothing is tested, unless
//! `HARK_REQUIRE_MIC` or `HARK_REQUIRE_MODEL` is set: then it fails.

#![cfg(feature = "mic")]
#![allow(clippy::unwrap_used)]

mod support;

use std::fs;
use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::Mutex;
use std::sync::mpsc::{Receiver, channel};
use std::thread::spawn;
use std::time::{Duration, Instant};

use serde_json::Value;
use support::mic::VirtualMic;
use support::program::{arg, command, recording};
use support::{keeps_up, model};

/// Two virtual microphones at once only make each other late.
static ONE_AT_A_TIME: Mutex<()> = Mutex::new(());

const COMMANDS: &str = r#"
[[command]]
name = "coffee"
sentences = [
    "[(can|may) i] (have|get|want) [a] [{shots} shot] {drink} [with a bit of milk]",
]
action = { program = "touch", args = ["{drink}.ordered"], cwd = "FOLDER" }

[lists]
shots = ["single", "double", "triple"]
drink = ["mocha", "americano", "cappuccino", "coffee"]
"#;

/// A shipped recording, spoken into the microphone; it is being spoken when this returns.
fn speak(mic: &VirtualMic, name: &str) -> Child {
    let wav = mic.folder.path().join("speech.wav");
    let samples = hark::audio::decode_file(recording(name)).unwrap();
    hark::audio::write_wav(&wav, 16_000, &samples).unwrap();
    mic.script(&["play", arg(&wav)]).spawn().unwrap()
}

/// The daemon, listening.
struct Daemon {
    child: Child,
    lines: Receiver<Value>,
}

impl Daemon {
    fn listen(mic: &VirtualMic, config: &Path) -> Daemon {
        let mut child = command(&["run", "--json", "--log", "info", "--config", arg(config)])
            .envs(mic.environment.iter().cloned())
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let (sender, lines) = channel();
        let stdout = BufReader::new(child.stdout.take().unwrap());
        spawn(move || {
            for line in stdout.lines() {
                let event = serde_json::from_str(&line.unwrap()).unwrap();
                if sender.send(event).is_err() {
                    return;
                }
            }
        });
        let (ready, is_ready) = channel();
        let stderr = BufReader::new(child.stderr.take().unwrap());
        spawn(move || {
            for line in stderr.lines() {
                let line = line.unwrap();
                eprintln!("{line}");
                if line.contains("listening") {
                    let _ = ready.send(());
                }
            }
        });
        is_ready
            .recv_timeout(Duration::from_secs(60))
            .expect("it does not listen");
        Daemon { child, lines }
    }

    /// The events up to and with the first of type `wanted`.
    fn until(&self, wanted: &str) -> Vec<Value> {
        let deadline = Instant::now() + Duration::from_secs(60);
        let mut seen = Vec::new();
        while let Ok(event) = self.lines.recv_timeout(deadline - Instant::now()) {
            let found = event["type"] == wanted;
            seen.push(event);
            if found {
                return seen;
            }
        }
        panic!("no {wanted} in {seen:?}");
    }

    /// Sends SIGTERM; what came after it, and how long the end took.
    fn stop(mut self) -> (Vec<Value>, Duration) {
        let began = Instant::now();
        let pid = self.child.id().to_string();
        assert!(
            Command::new("kill")
                .args(["-TERM", &pid])
                .status()
                .unwrap()
                .success()
        );
        let status = self.child.wait().unwrap();
        let took = began.elapsed();
        assert_eq!(status.code(), Some(0));
        (self.lines.iter().collect(), took)
    }
}

#[test]
fn a_spoken_command_is_captioned_and_carried_out() {
    let _alone = ONE_AT_A_TIME
        .lock()
        .unwrap_or_else(|poison| poison.into_inner());
    if !keeps_up() {
        return;
    }
    let (Some(_), Some(mic)) = (model("tiny.en"), VirtualMic::start()) else {
        return;
    };
    let folder = tempfile::tempdir().unwrap();
    let config = folder.path().join("config.toml");
    fs::write(&config, COMMANDS.replace("FOLDER", arg(folder.path()))).unwrap();
    let daemon = Daemon::listen(&mic, &config);

    let mut speech = speak(&mic, "command/command_en_0003.flac");
    let events = daemon.until("action");
    assert!(speech.wait().unwrap().success());
    let of_type = |wanted: &'static str| events.iter().filter(move |event| event["type"] == wanted);
    let one = |wanted: &'static str| {
        of_type(wanted)
            .next()
            .unwrap_or_else(|| panic!("{events:?}"))
    };
    let text = one("final")["text"].as_str().unwrap().to_lowercase();
    assert!(text.contains("triple shot mocha"), "{text}");
    assert_eq!(one("command")["slots"]["drink"], "mocha");
    assert_eq!(one("action")["status"], "ok");
    assert!(folder.path().join("mocha.ordered").exists());
    assert!(of_type("gap").next().is_none(), "{events:?}");
    for event in &events {
        assert!(event["wall_ms"].is_u64(), "{event}");
    }

    // The stop comes in the middle of a sentence; what was heard of it is delivered.
    let mut speech = speak(&mic, "dictation/dictation_en_0005.flac");
    daemon.until("speech_start");
    std::thread::sleep(Duration::from_millis(2_000));
    let (rest, took) = daemon.stop();
    let _ = speech.kill();
    let _ = speech.wait();
    assert!(took < Duration::from_millis(1_200), "{took:?}");
    let last = rest.iter().rfind(|event| event["type"] == "final");
    let text = last.unwrap_or_else(|| panic!("{rest:?}"))["text"]
        .as_str()
        .unwrap();
    assert!(text.to_lowercase().contains("statement"), "{text}");
}

#[test]
fn an_unknown_microphone_is_code_4() {
    let _alone = ONE_AT_A_TIME
        .lock()
        .unwrap_or_else(|poison| poison.into_inner());
    let (Some(_), Some(mic)) = (model("tiny.en"), VirtualMic::start()) else {
        return;
    };
    let output = command(&["caption", "--source", "mic:no such thing"])
        .envs(mic.environment.iter().cloned())
        .output()
        .unwrap();
    let stderr = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(4), "{stderr}");
    assert!(stderr.contains("no such thing"), "{stderr}");
    assert!(stderr.contains("hark devices"), "{stderr}");
}
