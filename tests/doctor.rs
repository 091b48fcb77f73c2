//! `hark doctor`: what is said of a machine that lacks everything, and of one that lacks nothing.

#![allow(clippy::unwrap_used)]

mod support;

use std::path::Path;
use std::time::{Duration, Instant};

use serde_json::Value;
use support::program::{Ran, arg, command};

/// Runs it with a folder of its own for everything that lies about, and without a microphone.
fn doctor(folder: &Path, args: &[&str], variables: &[(&str, &str)]) -> Ran {
    let began = Instant::now();
    let mut command = command(&[&["doctor"], args].concat());
    command
        .env("XDG_RUNTIME_DIR", folder)
        .env("XDG_STATE_HOME", folder.join("state"))
        .env("ALSA_CONFIG_PATH", "/nonexistent")
        .env("HOME", folder)
        .envs(variables.iter().copied());
    let ran = Ran::of(command.output().unwrap());
    let took = began.elapsed();
    // A third of that, where nobody else uses the machine.
    assert!(took < Duration::from_secs(40), "it took {took:?}");
    ran
}

fn check<'a>(report: &'a Value, name: &str) -> &'a Value {
    let checks = report["checks"].as_array().unwrap();
    let found = checks.iter().find(|check| check["name"] == name);
    found.unwrap_or_else(|| panic!("{name} is missing in {report:#}"))
}

#[test]
fn without_anything_it_says_what_to_do() {
    let folder = tempfile::tempdir().unwrap();
    let config = folder.path().join("broken.toml");
    std::fs::write(&config, "[audio]\ndevcie = \"default\"\n").unwrap();
    let models = [("HARK_MODELS", arg(folder.path()))];
    let ran = doctor(folder.path(), &["--config", arg(&config)], &models).expect(2);
    assert!(ran.stderr.is_empty(), "{}", ran.stderr);
    let mut lines = ran.stdout.lines();
    let first = lines.next().unwrap();
    assert!(first.starts_with("FAIL  configuration"), "{first}");
    assert!(first.contains("broken.toml:2") && first.contains("did you mean `audio.device`?"));
    assert!(!ran.stdout.contains('\x1b'), "colours in a pipe");
    let advice: Vec<&str> = lines
        .skip_while(|line| !line.starts_with("What to do"))
        .collect();
    assert!(
        advice[1].starts_with(" 1. correct the configuration"),
        "{advice:?}"
    );
    let pull = advice
        .iter()
        .any(|line| line.ends_with("hark models pull tiny.en"));
    assert!(pull, "{advice:?}");
}

#[test]
fn the_exit_code_is_of_the_first_failure() {
    let folder = tempfile::tempdir().unwrap();
    let models = [("HARK_MODELS", arg(folder.path()))];
    let ran = doctor(folder.path(), &["--json"], &models);
    let report: Value = serde_json::from_str(&ran.stdout).unwrap();
    assert_eq!(report["ok"], false);
    assert_eq!(check(&report, "configuration")["state"], "warn");
    assert_eq!(check(&report, "model")["state"], "fail");
    let checks = report["checks"].as_array().unwrap();
    let first = checks
        .iter()
        .find(|check| check["state"] == "fail")
        .unwrap();
    let code = if first["name"] == "model" { 3 } else { 4 };
    ran.expect(code);
}

#[test]
fn a_damaged_model_is_found_out() {
    if support::model("tiny.en").is_none() {
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let copy = folder.path().join("tiny.en");
    std::fs::create_dir(&copy).unwrap();
    for file in std::fs::read_dir(support::root().join("models/tiny.en")).unwrap() {
        let file = file.unwrap();
        std::fs::copy(file.path(), copy.join(file.file_name())).unwrap();
    }
    // One byte in the middle of the weights.
    let path = copy.join("model.bin");
    let mut bytes = std::fs::read(&path).unwrap();
    let middle = bytes.len() / 2;
    bytes[middle] ^= 1;
    std::fs::write(&path, bytes).unwrap();
    let models = [("HARK_MODELS", arg(folder.path()))];
    let ran = doctor(folder.path(), &["--json"], &models);
    let report: Value = serde_json::from_str(&ran.stdout).unwrap();
    let model = check(&report, "model");
    assert_eq!(model["state"], "fail", "{model}");
    assert!(
        model["advice"]
            .as_str()
            .unwrap()
            .ends_with("hark models pull tiny.en"),
        "{model}"
    );
}

#[test]
#[cfg(all(feature = "mic", feature = "ledger"))]
fn with_everything_it_is_fine() {
    if support::model("tiny.en").is_none() || !support::keeps_up() {
        return;
    }
    let Some(mic) = support::mic::VirtualMic::start() else {
        return;
    };
    let folder = tempfile::tempdir().unwrap();
    let config = folder.path().join("config.toml");
    std::fs::write(
        &config,
        "speech = { program = \"\" }\nledger = { enabled = true, max_mb = 1 }\n\
         [[command]]\nname = \"time\"\nsentences = [\"what time is it\"]\naction = { program = \"true\" }\n",
    )
    .unwrap();
    let variables: Vec<(&str, &str)> = mic
        .environment
        .iter()
        .map(|(n, v)| (&n[..], &v[..]))
        .collect();
    let ran = doctor(
        folder.path(),
        &["--json", "--config", arg(&config)],
        &variables,
    );
    let report: Value = serde_json::from_str(&ran.stdout).unwrap();
    for name in [
        "configuration",
        "daemon",
        "processor",
        "memory",
        "commands",
        "ledger",
    ] {
        assert_eq!(check(&report, name)["state"], "ok", "{report:#}");
    }
    // A virtual microphone into which nobody speaks.
    assert_eq!(check(&report, "devices")["state"], "ok", "{report:#}");
    let silent = check(&report, "microphone")["found"].as_str().unwrap();
    assert!(silent.contains("nothing but zeros"), "{silent}");
    // How fast it is depends on who else uses the machine.
    let model = check(&report, "model");
    if model["found"].as_str().unwrap().contains("to load") {
        return eprintln!("skipped: {model}");
    }
    assert_eq!(model["state"], "ok", "{report:#}");
    let speed = check(&report, "speed");
    if speed["state"] != "fail" {
        let heard = speed["found"].as_str().unwrap().to_lowercase();
        assert!(heard.contains("garage door"), "{speed}");
        ran.expect(0);
    }
}
