//! A timer that was asked for aloud outlives the process: it is killed without warning while the timer
//! runs, and the next one rings in time.
//!
//! Needs the model tiny.en; takes as long as the timer.

#![allow(clippy::unwrap_used)]

mod support;

use std::fs;
use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Child, Stdio};
use std::time::{Duration, Instant};

use serde_json::Value;
use support::program::{arg, command, recording};
use support::{keeps_up, model};

const CONFIG: &str = r#"
[timers]
enabled = true
state_file = "timers.json"
rings = 1
ring = { program = "touch", args = ["rang-{number}"], cwd = "FOLDER" }
"#;

/// A process that ends, without warning, when it is let go.
struct Running(Child);

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// Starts listening to a recording and returns at the first event about a timer.
fn run_until_timer(config: &Path, source: &Path) -> (Running, Value) {
    let mut running = Running(
        command(&[
            "run",
            "--json",
            "--config",
            arg(config),
            "--source",
            arg(source),
        ])
        // What speaks may keep something there.
        .env("XDG_CONFIG_HOME", config.parent().unwrap())
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::inherit())
        .spawn()
        .unwrap(),
    );
    let lines = BufReader::new(running.0.stdout.as_mut().unwrap()).lines();
    let events = lines.map(|line| -> Value { serde_json::from_str(&line.unwrap()).unwrap() });
    let mut seen = Vec::new();
    for event in events {
        if event["type"] == "timer" {
            return (running, event);
        }
        seen.push(event);
    }
    panic!("no timer in {seen:?}");
}

/// Waits for a file.
fn until(path: &Path) {
    let deadline = Instant::now() + Duration::from_secs(10);
    while !path.exists() {
        assert!(Instant::now() < deadline, "{} is missing", path.display());
        std::thread::sleep(Duration::from_millis(20));
    }
}

#[test]
fn a_timer_outlives_a_process_that_is_killed() {
    if model("tiny.en").is_none() || !keeps_up() {
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let path = |name: &str| folder.path().join(name);
    let config = path("config.toml");
    fs::write(&config, CONFIG.replace("FOLDER", arg(folder.path()))).unwrap();
    // Silence goes on behind the sentence, for longer than the timer runs.
    let silence = vec![0.0_f32; 45 * 16_000];
    let asked = hark::audio::decode_file(recording("command/command_en_0226.flac")).unwrap();
    hark::audio::write_wav(path("asked.wav"), 16_000, &[&asked[..], &silence].concat()).unwrap();
    hark::audio::write_wav(path("silence.wav"), 16_000, &silence).unwrap();

    let (first, event) = run_until_timer(&config, &path("asked.wav"));
    let set = Instant::now();
    assert_eq!(event["state"], "set", "{event}");
    assert_eq!(event["left_s"], 30, "{event}");
    until(&path("timers.json"));
    drop(first);

    let (_second, event) = run_until_timer(&config, &path("silence.wav"));
    let after_s = set.elapsed().as_secs_f64();
    assert_eq!(event["state"], "ringing", "{event}");
    // Late only by what a busy machine takes to start.
    assert!((28.0..40.0).contains(&after_s), "it rang after {after_s} s");
    until(&path("rang-1"));
}
