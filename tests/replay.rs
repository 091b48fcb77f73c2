//! The whole pipeline on a recording: the same bytes however often and on however many threads.

#![allow(clippy::unwrap_used)]

mod support;

use std::fs;
use std::path::Path;

use serde_json::Value;
use support::model;
use support::program::{Ran, arg, hark, recording};
use support::root;

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

fn replay(extra: &[&str]) -> Ran {
    let clip = recording("command/command_en_0003.flac");
    let mut args = vec!["replay", arg(&clip)];
    args.extend(extra);
    hark(&args).expect(0)
}

#[test]
fn the_same_bytes_three_times_and_at_any_number_of_threads() {
    if model("tiny.en").is_none() {
        return;
    }
    let first = replay(&["--threads", "2"]).stdout;
    assert!(first.contains(r#""type":"final""#), "{first}");
    for threads in ["2", "2", "1", "3"] {
        assert_eq!(
            replay(&["--threads", threads]).stdout,
            first,
            "{threads} threads"
        );
    }
}

#[test]
fn events_come_in_order_and_hold_what_they_promise() {
    if model("tiny.en").is_none() {
        return;
    }
    let demo = root().join("examples/demo/demo.flac");
    let events = hark(&["replay", arg(&demo)]).expect(0).json_lines();
    let mut committed = String::new();
    let mut open = None;
    let mut last_t = 0.0;
    for event in &events {
        for clock in ["wall_ms", "lag_ms", "ms"] {
            assert!(event.get(clock).is_none(), "{event}");
        }
        match event["type"].as_str().unwrap() {
            "speech_start" => {
                assert_eq!(open, None);
                open = Some(event["id"].clone());
                committed.clear();
            }
            "commit" => {
                assert_eq!(open.as_ref(), Some(&event["id"]));
                for word in event["words"].as_array().unwrap() {
                    committed.push_str(word["text"].as_str().unwrap());
                    assert!(word["t0"].as_f64().unwrap() >= last_t - 1e-9, "{event}");
                    last_t = word["t0"].as_f64().unwrap();
                }
            }
            "partial" => {
                assert_eq!(open.as_ref(), Some(&event["id"]));
                assert_eq!(event["stable"], committed.trim());
            }
            "final" => {
                assert_eq!(open.take().as_ref(), Some(&event["id"]));
                assert_eq!(event["text"], committed.trim());
            }
            _ => {}
        }
    }
    assert_eq!(open, None, "the last utterance has no final");
    let types: Vec<&str> = events
        .iter()
        .map(|event| event["type"].as_str().unwrap())
        .collect();
    for needed in ["speech_start", "partial", "commit", "final"] {
        assert!(types.contains(&needed), "no {needed}: {types:?}");
    }
}

#[test]
fn commands_are_carried_out_only_when_asked() {
    if model("tiny.en").is_none() {
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let config = folder.path().join("config.toml");
    fs::write(&config, COMMANDS.replace("FOLDER", arg(folder.path()))).unwrap();
    let status = |extra: &[&str]| {
        let mut args = vec!["--config", arg(&config)];
        args.extend(extra);
        let events = replay(&args).json_lines();
        let one = |kind: &str| {
            let mut found = events.iter().filter(|event| event["type"] == kind);
            let event: Value = found.next().unwrap_or_else(|| panic!("{events:?}")).clone();
            assert!(found.next().is_none(), "two events {kind}");
            event
        };
        let command = one("command");
        assert_eq!(command["name"], "coffee");
        assert_eq!(command["slots"]["drink"], "mocha");
        assert_eq!(command["slots"]["shots"], "triple");
        one("action")["status"].clone()
    };
    assert_eq!(status(&[]), "skipped");
    assert!(!folder.path().join("mocha.ordered").exists());
    assert_eq!(status(&["--act"]), "ok");
    assert!(folder.path().join("mocha.ordered").exists());
}

/// Half a second between two orders ends the first, which is complete; without that rule it does not.
#[test]
fn a_complete_command_ends_sooner() {
    if model("tiny.en").is_none() {
        return;
    }
    let order = hark::audio::decode_file(recording("command/command_en_0003.flac")).unwrap();
    let is_loud = |x: &f32| x.abs() > 0.02;
    let begin = order
        .iter()
        .position(is_loud)
        .unwrap()
        .saturating_sub(1_600);
    let order = &order[begin..order.iter().rposition(is_loud).unwrap()];
    let pause = [0.0; 8_000];
    let samples = [&pause, order, &pause, order, &pause, &pause, &pause, &pause].concat();
    let folder = tempfile::tempdir().unwrap();
    let (config, path) = (
        folder.path().join("config.toml"),
        folder.path().join("two.wav"),
    );
    hark::audio::write_wav(&path, 16_000, &samples).unwrap();
    let heard = |complete_ms: u32, threads: &str| {
        let text = format!("[commands]\ncomplete_ms = {complete_ms}\n{COMMANDS}");
        fs::write(&config, text).unwrap();
        let args = [
            "replay",
            arg(&path),
            "--config",
            arg(&config),
            "--threads",
            threads,
        ];
        hark(&args).expect(0)
    };
    let count = |ran: &Ran, kind: &str| {
        let events = ran.json_lines();
        events.iter().filter(|event| event["type"] == kind).count()
    };
    let sooner = heard(300, "2");
    assert_eq!(count(&sooner, "command"), 2, "{}", sooner.stdout);
    assert_eq!(heard(300, "1").stdout, sooner.stdout);
    assert_eq!(count(&heard(0, "2"), "final"), 1);
}

/// Wake phrase and order in one breath, where the model writes another name than the phrase: it is
/// heard in the audio, and what follows is a command. Without it nothing is carried out, and with the
/// threshold at 0 only what is written counts.
#[test]
fn a_wake_phrase_is_heard_where_another_word_is_written() {
    if model("tiny.en").is_none() {
        return;
    }
    let loud = |name: &str| {
        let clip = hark::audio::decode_file(recording(name)).unwrap();
        let is_loud = |x: &f32| x.abs() > 0.02;
        let begin = clip.iter().position(is_loud).unwrap().saturating_sub(1_600);
        let end = (clip.iter().rposition(is_loud).unwrap() + 800).min(clip.len());
        clip[begin..end].to_vec()
    };
    let (name, order) = (
        loud("wakeword/wakeword_en_0101.flac"),
        loud("command/command_en_0003.flac"),
    );
    let pause = [0.0; 16_000];
    let folder = tempfile::tempdir().unwrap();
    let path = |name: &str| folder.path().join(name);
    let (called, plain) = (path("called.wav"), path("plain.wav"));
    let samples = [&pause, &name[..], &order, &pause].concat();
    hark::audio::write_wav(&called, 16_000, &samples).unwrap();
    let samples = [&pause, &order[..], &pause].concat();
    hark::audio::write_wav(&plain, 16_000, &samples).unwrap();
    let config = path("config.toml");
    let events = |threshold: i32, file: &Path| {
        let listen = format!(
            "[listen]\nmode = \"wake\"\nwake_phrases = [\"jarvis\"]\nwake_threshold = {threshold}\n"
        );
        fs::write(&config, listen + COMMANDS).unwrap();
        let ran = hark(&["replay", arg(file), "--config", arg(&config)]).expect(0);
        ran.json_lines()
    };
    let types = |events: &[Value]| -> Vec<String> {
        let wanted = ["wake", "command", "rejected"];
        let types = events.iter().filter_map(|event| event["type"].as_str());
        let types = types.filter(|kind| wanted.contains(kind));
        types.map(str::to_owned).collect()
    };
    let heard = events(-5, &called);
    assert_eq!(types(&heard), ["wake", "command"], "{heard:?}");
    let of = |kind: &str| heard.iter().find(|e| e["type"] == kind).unwrap();
    assert!(of("wake")["score"].as_f64().unwrap() < 0.0);
    assert_eq!(of("command")["slots"]["drink"], "mocha");
    assert_eq!(types(&events(0, &called)), ["rejected"]);
    assert_eq!(types(&events(-5, &plain)), ["rejected"]);
}

/// Recordings one after the other without a pause between them, and what is said in them.
fn without_pauses() -> (Vec<f32>, String) {
    let folder = root().join("tests/data/speech");
    let manifest = fs::read_to_string(folder.join("manifest.tsv")).unwrap();
    let (mut samples, mut said) = (Vec::new(), String::new());
    let mut lines = manifest.lines();
    let head: Vec<&str> = lines.next().unwrap().split('\t').collect();
    let reference = head.iter().position(|column| *column == "reference");
    for line in lines.filter(|line| line.starts_with("dictation/dictation_en")) {
        let row: Vec<&str> = line.split('\t').collect();
        let clip = hark::audio::decode_file(folder.join(row[0])).unwrap();
        let is_loud = |x: &f32| x.abs() > 0.02;
        let begin = clip.iter().position(is_loud).unwrap().saturating_sub(800);
        let end = (clip.iter().rposition(is_loud).unwrap() + 1600).min(clip.len());
        samples.extend_from_slice(&clip[begin..end]);
        said.push_str(row[reference.unwrap()]);
        said.push(' ');
    }
    (samples, said)
}

/// An utterance much longer than a window of the model, and than the audio that a step keeps: at
/// the cuts nothing is lost and nothing said twice.
#[test]
fn speech_without_end_loses_and_repeats_nothing() {
    if model("tiny.en").is_none() {
        return;
    }
    let (once, said) = without_pauses();
    let samples = [&once[..], &once].concat();
    assert!(samples.len() > 50 * 16_000);
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("long.wav");
    hark::audio::write_wav(&path, 16_000, &samples).unwrap();
    // With steps, and without: then windows are decoded as they fill.
    for (step_ms, most) in [(500, 0.12), (0, 0.12)] {
        let config = folder.path().join("config.toml");
        let text = format!(
            "[vad]\nmin_silence_ms = 5000\nmax_speech_ms = 600000\ncut_speech_ms = 600000\n\
             [stream]\nstep_ms = {step_ms}\nspeculate_ms = 0\n"
        );
        fs::write(&config, text).unwrap();
        let ran = hark(&["replay", arg(&path), "--config", arg(&config)]).expect(0);
        let events = ran.json_lines();
        let finals: Vec<&Value> = (events.iter())
            .filter(|event| event["type"] == "final")
            .collect();
        assert_eq!(finals.len(), 1, "{}", ran.stdout);
        let text = finals[0]["text"].as_str().unwrap();
        let errors = hark::text::WordErrors::between(&format!("{said}{said}"), text);
        assert!(errors.rate() <= most, "{step_ms} ms: {errors:?}: {text}");
    }
}

#[test]
fn silence_and_noise_give_no_text() {
    if model("tiny.en").is_none() {
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("silence.wav");
    hark::audio::write_wav(&path, 16_000, &[0.0; 80_000]).unwrap();
    assert_eq!(hark(&["replay", arg(&path)]).expect(0).stdout, "");
    // White noise at -40 dBFS from a fixed generator.
    let mut state = 1_u32;
    let noise: Vec<f32> = (0..80_000)
        .map(|_| {
            state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            (f64::from(state) / f64::from(u32::MAX) - 0.5) as f32 * 0.02
        })
        .collect();
    hark::audio::write_wav(&path, 16_000, &noise).unwrap();
    let said = hark(&["replay", arg(&path)]).expect(0);
    for event in said.json_lines() {
        assert_ne!(event["type"], "commit", "{}", said.stdout);
    }
}
