//! Ctrl-C and SIGTERM: the end comes within a second, with what was heard so far.

#![allow(clippy::unwrap_used)]

mod support;

use std::io::{BufRead, BufReader, Read, Write};
use std::process::{Child, Command, Stdio};
use std::sync::Mutex;
use std::thread::sleep;
use std::time::{Duration, Instant};

use support::program::{arg, command, recording};
use support::{keeps_up, model};

/// A second, and what a busy machine takes to start and end processes.
const IN_TIME: Duration = Duration::from_millis(1_400);

/// What one test does must not slow down what another measures.
static ONE_AT_A_TIME: Mutex<()> = Mutex::new(());

fn start(args: &[&str]) -> Child {
    command(args)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap()
}

/// Sends the signal; exit code and time to the end. The output is to be read already, or small.
fn signal(child: &mut Child, signal: &str) -> (Option<i32>, Duration) {
    let began = Instant::now();
    let pid = child.id().to_string();
    let sent = Command::new("kill")
        .args([&format!("-{signal}"), pid.as_str()])
        .status();
    assert!(sent.unwrap().success());
    (child.wait().unwrap().code(), began.elapsed())
}

#[test]
fn in_the_middle_of_a_sentence() {
    let _alone = ONE_AT_A_TIME
        .lock()
        .unwrap_or_else(|poison| poison.into_inner());
    if model("tiny.en").is_none() || !keeps_up() {
        return;
    }
    let clip = recording("dictation/dictation_en_0005.flac");
    for name in ["TERM", "INT"] {
        let mut child = start(&["caption", "--source", arg(&clip), "--format", "jsonl"]);
        let mut stdout = BufReader::new(child.stdout.take().unwrap());
        let mut line = String::new();
        while !line.contains("speech_start") {
            line.clear();
            assert!(stdout.read_line(&mut line).unwrap() > 0, "no speech");
        }
        sleep(Duration::from_millis(2_000));
        let (code, took) = signal(&mut child, name);
        assert_eq!(code, Some(0));
        assert!(took < IN_TIME, "{name} took {took:?}");
        let mut rest = String::new();
        stdout.read_to_string(&mut rest).unwrap();
        let last: serde_json::Value = serde_json::from_str(rest.lines().last().unwrap()).unwrap();
        assert_eq!(last["type"], "final", "{rest}");
        let text = last["text"].as_str().unwrap();
        assert!(text.contains("statement"), "{text}");
        assert!(!text.contains("best of all"), "{text}");
    }
}

#[test]
fn with_a_source_that_gives_nothing() {
    let _alone = ONE_AT_A_TIME
        .lock()
        .unwrap_or_else(|poison| poison.into_inner());
    if model("tiny.en").is_none() {
        return;
    }
    let mut child = start(&[
        "caption",
        "--source",
        "-",
        "--raw",
        "s16le,16000,1",
        "--log",
        "info",
    ]);
    let mut stderr = BufReader::new(child.stderr.take().unwrap());
    let mut line = String::new();
    while !line.contains("listening") {
        line.clear();
        assert!(
            stderr.read_line(&mut line).unwrap() > 0,
            "it does not listen"
        );
    }
    sleep(Duration::from_millis(300));
    let stdin = child.stdin.take();
    let (code, took) = signal(&mut child, "TERM");
    drop(stdin);
    assert_eq!(code, Some(0));
    assert!(took < IN_TIME, "{took:?}");
}

/// Waits until the model is there, which is when the work begins.
fn wait_for_the_model(child: &mut Child) {
    let mut stderr = BufReader::new(child.stderr.take().unwrap());
    let mut line = String::new();
    while !line.contains("model ") {
        line.clear();
        assert!(stderr.read_line(&mut line).unwrap() > 0, "no model");
    }
    // Whatever else it says is read too, so that it never waits for us.
    std::thread::spawn(move || std::io::copy(&mut stderr, &mut std::io::sink()));
}

const RAW: &str = "s16le,16000,1";

#[test]
fn with_standard_input_that_falls_silent() {
    let _alone = ONE_AT_A_TIME
        .lock()
        .unwrap_or_else(|poison| poison.into_inner());
    if model("tiny.en").is_none() || !keeps_up() {
        return;
    }
    let samples = hark::audio::decode_file(recording("dictation/dictation_en_0005.flac")).unwrap();
    let bytes: Vec<u8> = (samples.iter())
        .flat_map(|sample| ((sample * 32_768.0) as i16).to_le_bytes())
        .collect();
    for (args, expected) in [
        (vec!["transcribe", "-", "--format", "jsonl"], 130),
        (vec!["replay", "-"], 130),
        (
            vec![
                "caption", "--source", "-", "--speed", "max", "--format", "jsonl",
            ],
            0,
        ),
    ] {
        let mut child = start(&[args.as_slice(), &["--raw", RAW, "--log", "info"]].concat());
        wait_for_the_model(&mut child);
        let mut stdin = child.stdin.take().unwrap();
        stdin.write_all(&bytes).unwrap();
        stdin.flush().unwrap();
        sleep(Duration::from_millis(3_000));
        let (code, took) = signal(&mut child, "INT");
        drop(stdin);
        assert_eq!(code, Some(expected), "{args:?}");
        assert!(took < IN_TIME, "{args:?}: {took:?}");
        let mut stdout = String::new();
        child.stdout.unwrap().read_to_string(&mut stdout).unwrap();
        let last: serde_json::Value = serde_json::from_str(stdout.lines().last().unwrap()).unwrap();
        let text = last["text"].as_str().unwrap();
        assert!(text.contains("shop"), "{args:?}: {text}");
        if args[0] == "transcribe" {
            assert_eq!(last["error"], "interrupted");
        }
    }
}

const STUBBORN: &str = r#"
[[command]]
name = "coffee"
sentences = ["can i get a {drink}", "[(can|may) i] (have|get|want) [a] [{shots} shot] {drink} [with a bit of milk]"]
action = { shell = true, program = "trap '' TERM; sleep 20; sleep 20" }

[lists]
shots = ["single", "double", "triple"]
drink = ["mocha", "americano", "cappuccino", "coffee"]
"#;

#[test]
fn with_an_action_that_does_not_want_to_end() {
    let _alone = ONE_AT_A_TIME
        .lock()
        .unwrap_or_else(|poison| poison.into_inner());
    if model("tiny.en").is_none() || !keeps_up() {
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let config = folder.path().join("config.toml");
    std::fs::write(&config, STUBBORN).unwrap();
    let clip = recording("command/command_en_0003.flac");
    let mut child = start(&[
        "run",
        "--source",
        arg(&clip),
        "--json",
        "--config",
        arg(&config),
    ]);
    let mut stdout = BufReader::new(child.stdout.take().unwrap());
    let mut line = String::new();
    while !line.contains(r#""type":"command""#) {
        line.clear();
        assert!(stdout.read_line(&mut line).unwrap() > 0, "no command");
    }
    sleep(Duration::from_millis(500));
    let (code, took) = signal(&mut child, "TERM");
    assert_eq!(code, Some(0));
    assert!(took < Duration::from_millis(900), "{took:?}");
    let mut rest = String::new();
    stdout.read_to_string(&mut rest).unwrap();
    let last: serde_json::Value = serde_json::from_str(rest.lines().last().unwrap()).unwrap();
    assert_eq!(
        (&last["type"], &last["status"]),
        (&"action".into(), &"failed".into())
    );
    let mut stderr = String::new();
    child.stderr.unwrap().read_to_string(&mut stderr).unwrap();
    assert!(!stderr.contains("deadline"), "{stderr}");
}

#[test]
fn when_nobody_reads_any_more() {
    let _alone = ONE_AT_A_TIME
        .lock()
        .unwrap_or_else(|poison| poison.into_inner());
    if model("tiny.en").is_none() {
        return;
    }
    let clip = recording("command/command_en_0003.flac");
    let mut child = start(&["caption", "--source", arg(&clip), "--format", "jsonl"]);
    let mut stdout = BufReader::new(child.stdout.take().unwrap());
    stdout.read_line(&mut String::new()).unwrap();
    drop(stdout);
    let mut stderr = String::new();
    child
        .stderr
        .take()
        .unwrap()
        .read_to_string(&mut stderr)
        .unwrap();
    assert_eq!(child.wait().unwrap().code(), Some(0), "{stderr}");
    assert_eq!(stderr, "");
}

#[test]
fn while_standard_input_has_not_begun() {
    let _alone = ONE_AT_A_TIME
        .lock()
        .unwrap_or_else(|poison| poison.into_inner());
    if model("tiny.en").is_none() {
        return;
    }
    for name in ["TERM", "INT"] {
        let mut child = start(&["transcribe", "-", "--log", "info"]);
        wait_for_the_model(&mut child);
        let stdin = child.stdin.take();
        sleep(Duration::from_millis(300));
        let (code, took) = signal(&mut child, name);
        drop(stdin);
        assert_eq!(code, Some(130));
        assert!(took < IN_TIME, "{name}: {took:?}");
    }
}

#[test]
fn while_the_model_is_read_and_in_the_middle_of_a_recording() {
    let _alone = ONE_AT_A_TIME
        .lock()
        .unwrap_or_else(|poison| poison.into_inner());
    if model("tiny.en").is_none() {
        return;
    }
    // Minutes of speech, so that neither delay comes too late.
    let folder = tempfile::tempdir().unwrap();
    let long = folder.path().join("long.wav");
    let speech = hark::audio::decode_file(recording("dictation/dictation_en_0005.flac")).unwrap();
    hark::audio::write_wav(&long, 16_000, &speech.repeat(100)).unwrap();
    for delay_ms in [100, 4_000] {
        if delay_ms > 100 && !keeps_up() {
            return;
        }
        let mut child = start(&["transcribe", arg(&long)]);
        sleep(Duration::from_millis(delay_ms));
        let (code, took) = signal(&mut child, "INT");
        assert_eq!(code, Some(130));
        assert!(took < IN_TIME, "after {delay_ms} ms: {took:?}");
    }
}
