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

/// Starts listening to a recording and returns at the first event about a timer.
fn run_until_timer(config: &Path, source: &Path) -> (Child, Value) {
    let mut child = command(&[
        "run",
        "--json",
        "--config",
        arg(config),
        "--source",
        arg(source),
    ])
    .stdin(Stdio::null())
    .stdout(Stdio::piped())
    .stderr(Stdio::inherit())
    .spawn()
    .unwrap();
    let lines = BufReader::new(child.stdout.as_mut().unwrap()).lines();
    let events = lines.map(|line| -> Value { serde_json::from_str(&line.unwrap()).unwrap() });
    let mut seen = Vec::new();
    for event in events {
        if event["type"] == "timer" {
            return (child, event);
        }
        seen.push(event);
    }
    child.wait().unwrap();
    panic!("no timer in {seen:?}");
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

    let (mut first, event) = run_until_timer(&config, &path("asked.wav"));
    let set = Instant::now();
    assert_eq!(event["state"], "set", "{event}");
    assert_eq!(event["left_s"], 30, "{event}");
    // What is reported is on the disk at once, or a moment later.
    std::thread::sleep(Duration::from_millis(500));
    first.kill().unwrap();
    first.wait().unwrap();

    let (mut second, event) = run_until_timer(&config, &path("silence.wav"));
    let after_s = set.elapsed().as_secs_f64();
    assert_eq!(event["state"], "ringing", "{event}");
    assert!((28.0..33.0).contains(&after_s), "it rang after {after_s} s");
    let deadline = Instant::now() + Duration::from_secs(5);
    while !path("rang-1").exists() {
        assert!(Instant::now() < deadline, "nothing was done when it rang");
        std::thread::sleep(Duration::from_millis(20));
    }
    second.kill().unwrap();
    second.wait().unwrap();
}
