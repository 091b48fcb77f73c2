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
        .env("ALSA_CONFIG_PATH", "/dev/null/none")
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

/// The items of a part of `--privacy`: what, and the key that does it.
fn items(listing: &Value, part: &str) -> Vec<(String, String)> {
    let items = listing[part].as_array().unwrap();
    let text = |item: &Value, key: &str| item[key].as_str().unwrap().to_owned();
    items
        .iter()
        .map(|item| (text(item, "what"), text(item, "key")))
        .collect()
}

#[test]
fn what_answers_is_checked_and_listed() {
    let folder = tempfile::tempdir().unwrap();
    let config = folder.path().join("answers.toml");
    std::fs::write(
        &config,
        "[responder]\nenabled = true\nmodel = \"none.gguf\"\n",
    )
    .unwrap();
    let models = [("HARK_MODELS", arg(folder.path()))];
    let named = ["--json", "--config", arg(&config)];
    let ran = doctor(folder.path(), &named, &models);
    let report: Value = serde_json::from_str(&ran.stdout).unwrap();
    let responder = check(&report, "responder");
    assert_eq!(responder["state"], "fail", "{responder}");
    assert!(
        responder["found"].as_str().unwrap().contains("none.gguf"),
        "{responder}"
    );
    let ran = doctor(
        folder.path(),
        &[&named[..], &["--privacy"]].concat(),
        &models,
    )
    .expect(0);
    let listing: Value = serde_json::from_str(&ran.stdout).unwrap();
    for (part, key) in [
        ("reads", "responder.model"),
        ("reads", "responder.prefix_file"),
        ("writes", "responder.prefix_file"),
    ] {
        let items = items(&listing, part);
        assert!(
            items.iter().any(|(_, of)| of == key),
            "{part} {key}: {items:?}"
        );
    }
}

#[test]
fn by_default_nothing_leaves_the_machine() {
    let folder = tempfile::tempdir().unwrap();
    let ran = doctor(folder.path(), &["--privacy", "--json"], &[]).expect(0);
    let listing: Value = serde_json::from_str(&ran.stdout).unwrap();
    assert_eq!(listing["nothing_leaves"], true);
    assert!(items(&listing, "contacts").is_empty());
    let socket = format!("unix:{}/hark.sock, for this user", folder.path().display());
    assert_eq!(
        items(&listing, "listens"),
        [(socket, "control.socket".to_owned())]
    );
    let shipped = support::root().join("config.toml");
    let ran = doctor(
        folder.path(),
        &["--privacy", "--config", arg(&shipped)],
        &[],
    )
    .expect(0);
    assert!(
        ran.stdout.contains("Contacts:\n  nothing\n"),
        "{}",
        ran.stdout
    );
    assert!(
        ran.stdout.contains("Nothing leaves this machine"),
        "{}",
        ran.stdout
    );
}

/// One of each kind.
#[cfg(all(feature = "http", feature = "mqtt", feature = "tcp"))]
const EVERYTHING: &str = r#"
audio = { device = "usb" }
log = { level = "debug" }
model = { name = "base.en" }
stream = { fallback_model = "own-model.bin" }
speech = { program = "say", args = ["-v", "Anna"] }
timers = { enabled = true, ring = { program = "bell" } }
control = { metrics = "127.0.0.1:9464" }
ledger = { enabled = true, file = "heard.sqlite", audio = true }
commands = { include = ["more.toml"] }

[[command]]
name = "lights"
sentences = ["lights on"]
action = { http = "https://hass.lan/api/webhook/s3cret?key=s3cret", token_file = "token", ca_file = "ca.pem", headers = { X-Key = "s3cret" } }
undo = { http = "http://127.0.0.1/off", token_env = "HASS_TOKEN" }

[[command]]
name = "fan"
sentences = ["fan on"]
action = { mqtt = "mqtts://me:s3cret@broker.lan", topic = "fan", payload = "on" }

[[command]]
name = "heat"
sentences = ["heat on"]
action = { mqtt = "mqtt://me@broker.lan", topic = "heat", password_file = "password" }

[[command]]
name = "player"
sentences = ["stop the music"]
action = { socket = "unix:/run/player.sock", payload = "stop" }

[[command]]
name = "tv"
sentences = ["tv off"]
action = { socket = "tcp:tv.lan:8001", payload = "off" }
"#;

#[cfg(all(feature = "http", feature = "mqtt", feature = "tcp"))]
const INCLUDED: &str = r#"
[[command]]
name = "volume"
sentences = ["louder"]
action = { program = "wpctl | tee log", args = ["5%+"], shell = true }
"#;

#[test]
#[cfg(all(feature = "http", feature = "mqtt", feature = "tcp"))]
fn whatever_is_touched_is_listed() {
    let folder = tempfile::tempdir().unwrap();
    let config = folder.path().join("config.toml");
    std::fs::write(&config, EVERYTHING).unwrap();
    std::fs::write(folder.path().join("more.toml"), INCLUDED).unwrap();
    let args = ["--privacy", "--config", arg(&config)];
    let ran = doctor(folder.path(), &[&args[..], &["--json"]].concat(), &[]).expect(0);
    assert!(!ran.stdout.contains("s3cret"), "{}", ran.stdout);
    let listing: Value = serde_json::from_str(&ran.stdout).unwrap();
    let here = folder.path().display().to_string();
    for (part, what, key) in [
        ("reads", format!("{here}/config.toml"), "--config"),
        ("reads", format!("{here}/more.toml"), "commands.include"),
        ("reads", "base.en".to_owned(), "model.name"),
        ("reads", "own-model.bin".to_owned(), "stream.fallback_model"),
        ("reads", "the microphone `usb`".to_owned(), "audio.device"),
        ("reads", format!("{here}/token (a secret)"), "`lights`"),
        ("reads", format!("{here}/ca.pem"), "`lights`"),
        (
            "reads",
            "$HASS_TOKEN (a secret)".to_owned(),
            "undo of command `lights`",
        ),
        ("reads", format!("{here}/password (a secret)"), "`heat`"),
        (
            "reads",
            format!("{here}/state/hark/timers.json"),
            "timers.state_file",
        ),
        (
            "writes",
            format!("{here}/state/hark/timers.json"),
            "timers.state_file",
        ),
        (
            "writes",
            format!("{here}/heard.sqlite: what was said and its audio"),
            "ledger.audio",
        ),
        (
            "writes",
            "standard error, or the journal: messages with what was said".to_owned(),
            "log.level",
        ),
        ("writes", "unix:/run/player.sock".to_owned(), "`player`"),
        ("runs", "say -v Anna".to_owned(), "speech.program"),
        (
            "runs",
            "/bin/sh -c \"wpctl | tee log\"".to_owned(),
            "`volume`",
        ),
        ("runs", "bell".to_owned(), "timers.ring"),
        (
            "listens",
            format!("unix:{here}/hark.sock"),
            "control.socket",
        ),
        (
            "listens",
            "tcp:127.0.0.1:9464".to_owned(),
            "control.metrics",
        ),
        (
            "contacts",
            "https://hass.lan/… (GET)".to_owned(),
            "`lights`",
        ),
        (
            "contacts",
            "http://127.0.0.1/… (GET)".to_owned(),
            "undo of command `lights`",
        ),
        (
            "contacts",
            "mqtts://broker.lan:8883 (topic fan)".to_owned(),
            "`fan`",
        ),
        (
            "contacts",
            "mqtt://broker.lan:1883 (topic heat)".to_owned(),
            "`heat`",
        ),
        ("contacts", "tcp:tv.lan:8001".to_owned(), "`tv`"),
    ] {
        let items = items(&listing, part);
        let is_there = items
            .iter()
            .any(|(w, k)| w.contains(&what) && k.contains(key));
        assert!(is_there, "{part} {what} ({key}) is not in {items:#?}");
    }
    let n = |part: &str| items(&listing, part).len();
    assert_eq!((n("contacts"), n("runs"), n("listens")), (5, 3, 2));
    let features = listing["network_features"].as_array().unwrap();
    assert!(features.contains(&"http".into()) && features.contains(&"mqtt".into()));
    let ran = doctor(folder.path(), &args, &[]).expect(0);
    assert!(
        ran.stdout
            .contains("sends something to others in 5 actions"),
        "{}",
        ran.stdout
    );
    assert!(!ran.stdout.contains("s3cret") && ran.stdout.contains("hark models pull NAME"));
}
