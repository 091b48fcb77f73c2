//! The level meter, on a virtual microphone (`scripts/virtual-mic.sh`). Where there is none the reason
//! is printed and nothing is tested, unless `HARK_REQUIRE_MIC` is set: then it fails.

#![cfg(feature = "mic")]
#![allow(clippy::unwrap_used)]

mod support;

use std::f32::consts::TAU;
use std::io::{BufRead, BufReader, Read};
use std::process::{Child, Stdio};
use std::sync::Mutex;

use hark::audio::write_wav;
use serde_json::Value;
use support::mic::VirtualMic;
use support::program::{arg, command, hark};

/// Two virtual microphones at once only make each other late.
static ONE_AT_A_TIME: Mutex<()> = Mutex::new(());

/// Starts `hark devices --watch --json`, with `config` as its configuration.
fn watch(mic: &VirtualMic, seconds: &str, config: &str) -> Child {
    let path = mic.folder.path().join("config.toml");
    std::fs::write(&path, config).unwrap();
    let args = [
        "devices",
        "--watch",
        "--seconds",
        seconds,
        "--json",
        "--config",
        arg(&path),
    ];
    command(&args)
        .envs(mic.environment.iter().cloned())
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap()
}

/// The seconds that a meter showed while a tone of `height` was played, and its first line.
fn of_tone(mic: &VirtualMic, height: f32, config: &str) -> (Value, Vec<Value>) {
    let tone: Vec<f32> = (0..4 * 48_000)
        .map(|i| height * (TAU * 440.0 * i as f32 / 48_000.0).sin())
        .collect();
    let played = mic.folder.path().join("tone.wav");
    write_wav(&played, 48_000, &tone).unwrap();
    let mut child = watch(mic, "4", config);
    let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
    let first = serde_json::from_str(&lines.next().unwrap().unwrap()).unwrap();
    mic.run(&["play", arg(&played)]);
    let seconds = lines
        .map(|line| serde_json::from_str(&line.unwrap()).unwrap())
        .collect();
    assert!(child.wait().unwrap().success());
    (first, seconds)
}

fn loudest(seconds: &[Value], key: &str) -> f64 {
    let levels = seconds.iter().filter_map(|second| second[key].as_f64());
    levels.fold(f64::NEG_INFINITY, f64::max)
}

#[test]
fn a_tone_shows_at_its_level() {
    let _alone = ONE_AT_A_TIME.lock();
    let Some(mic) = VirtualMic::start() else {
        return;
    };
    // A sine of a tenth of full scale: -20 dB at its peak, -23.01 dB RMS; and 12 dB more of it.
    for (config, wanted) in [("", -20.0), ("audio = { gain_db = 12 }", -8.0)] {
        let (first, seconds) = of_tone(&mic, 0.1, config);
        assert!(first["rate_hz"].as_u64().unwrap() >= 8_000, "{first}");
        assert_eq!(seconds.len(), 4, "{seconds:?}");
        let (rms, peak) = (loudest(&seconds, "rms_db"), loudest(&seconds, "peak_db"));
        assert!((peak - wanted).abs() < 1.0, "{config}: {seconds:?}");
        assert!((rms - wanted + 3.01).abs() < 1.0, "{config}: {seconds:?}");
        assert_eq!(loudest(&seconds, "clipped_by_gain"), 0.0);
    }
    // 30 dB more is beyond full scale.
    let (_, seconds) = of_tone(&mic, 0.1, "audio = { gain_db = 30 }");
    assert!(
        loudest(&seconds, "clipped_by_gain") > 1_000.0,
        "{seconds:?}"
    );
    assert_eq!(loudest(&seconds, "peak_db"), 0.0);
    // And 440 Hz lie under a high-pass at 1000 Hz: -14.4 dB.
    let (_, seconds) = of_tone(&mic, 0.1, "audio = { high_pass_hz = 1000 }");
    assert!(
        (loudest(&seconds, "rms_db") + 23.0 + 14.4).abs() < 1.0,
        "{seconds:?}"
    );
}

#[test]
fn zeros_are_told_and_a_signal_ends_it() {
    let _alone = ONE_AT_A_TIME.lock();
    let Some(mic) = VirtualMic::start() else {
        return;
    };
    let mut child = watch(&mic, "60", "");
    let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
    // The device, and four seconds of nothing.
    let last = lines.by_ref().take(5).last().unwrap().unwrap();
    let second: Value = serde_json::from_str(&last).unwrap();
    assert_eq!(
        (&second["zeros"], &second["rms_db"]),
        (&true.into(), &Value::Null)
    );
    let pid = rustix::process::Pid::from_child(&child);
    rustix::process::kill_process(pid, rustix::process::Signal::INT).unwrap();
    assert!(child.wait().unwrap().success());
    let mut said = String::new();
    child
        .stderr
        .take()
        .unwrap()
        .read_to_string(&mut said)
        .unwrap();
    assert!(
        said.starts_with("hark: nothing but zeros for 3 s"),
        "{said}"
    );
}

#[test]
fn a_device_that_is_not_there_is_an_error() {
    let ran = hark(&["devices", "--watch", "frobnicate"]).expect(4);
    assert!(ran.complaint().contains("frobnicate") || ran.complaint().contains("audio"));
    hark(&["devices", "--seconds", "3"]).expect(2);
}
