//! The daemon as a service manager and an administrator meet it: ready, alive, told to read its
//! configuration again, asked over its socket, without a microphone, ended.
//!
//! Sound comes over standard input, so that no sound system is needed. Needs the model tiny.en; where
//! that is missing the reason is printed and nothing is tested, unless `HARK_REQUIRE_MODEL` is set:
//! then it fails.

#![allow(clippy::unwrap_used)]

mod support;

use std::fs;
use std::io::{BufRead, BufReader, Write};
use std::os::unix::net::UnixDatagram;
use std::path::PathBuf;
use std::process::{Child, ChildStdin, Command, Stdio};
use std::sync::mpsc::{Receiver, channel};
use std::thread::spawn;
use std::time::{Duration, Instant};

use serde_json::Value;
use support::model;
use support::program::{arg, command, recording};

/// Longest time that anything here may take.
const PATIENCE: Duration = Duration::from_secs(60);

fn order_as(name: &str) -> String {
    format!(
        r#"
[[command]]
name = "{name}"
sentences = ["[(can|may) i] (have|get|want) [a] [{{shots}} shot] {{drink}} [with a bit of milk]"]

[lists]
shots = ["single", "double", "triple"]
drink = ["mocha", "americano", "cappuccino", "coffee"]
"#
    )
}

/// What the daemon is surrounded by.
struct House {
    folder: tempfile::TempDir,
    /// What the service manager was told and nobody has asked for yet.
    notified: Receiver<String>,
}

impl House {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let socket = UnixDatagram::bind(folder.path().join("notify")).unwrap();
        let (sender, notified) = channel();
        // Whoever tells must not have to wait.
        spawn(move || {
            let mut bytes = [0; 4_096];
            while let Ok(n) = socket.recv(&mut bytes) {
                let text = String::from_utf8_lossy(&bytes[..n]).into_owned();
                if sender.send(text).is_err() {
                    return;
                }
            }
        });
        let house = House { folder, notified };
        house.configure(&order_as("coffee"));
        house
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    fn configure(&self, text: &str) {
        fs::write(self.path("config.toml"), text).unwrap();
    }

    fn program(&self, args: &[&str]) -> Command {
        let mut program = command(args);
        program
            .args(["--config", arg(&self.path("config.toml"))])
            .env("XDG_RUNTIME_DIR", self.folder.path())
            .env("XDG_STATE_HOME", self.folder.path())
            // No sound system answers.
            .env("PULSE_SERVER", "unix:/dev/null/pulse")
            .env("PIPEWIRE_RUNTIME_DIR", "/dev/null/none");
        program
    }

    fn ctl(&self, args: &[&str]) -> (Option<i32>, String, String) {
        let output = self.program(&["ctl"]).args(args).output().unwrap();
        let text = |bytes: Vec<u8>| String::from_utf8(bytes).unwrap();
        (
            output.status.code(),
            text(output.stdout),
            text(output.stderr),
        )
    }

    /// What the service manager is told next.
    fn told(&self) -> String {
        let told = self.notified.recv_timeout(PATIENCE);
        told.expect("nothing more is told")
    }

    /// What it is told up to and with something that contains `wanted`.
    fn told_until(&self, wanted: &str) -> Vec<String> {
        let mut all = Vec::new();
        loop {
            let told = self.told();
            let is_it = told.contains(wanted);
            all.push(told);
            if is_it {
                return all;
            }
            assert!(all.len() < 1_000, "no {wanted}: {all:?}");
        }
    }

    /// The daemon; its standard input is sound.
    fn daemon(&self, args: &[&str]) -> Daemon {
        let mut child = self
            .program(&["run", "--json"])
            .args(args)
            .env("NOTIFY_SOCKET", self.path("notify"))
            .env("WATCHDOG_USEC", "3000000")
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let stdin = child.stdin.take();
        let stdout = BufReader::new(child.stdout.take().unwrap());
        let (sender, events) = channel();
        spawn(move || {
            for line in stdout.lines().map_while(Result::ok) {
                let _ = sender.send(serde_json::from_str(&line).unwrap());
            }
        });
        Daemon {
            child,
            stdin,
            events,
        }
    }
}

struct Daemon {
    child: Child,
    stdin: Option<ChildStdin>,
    events: Receiver<Value>,
}

impl Daemon {
    /// Says a recording, and then nothing for a while.
    fn hear(&mut self, name: &str) {
        let samples = hark::audio::decode_file(recording(name)).unwrap();
        let silence = vec![0.0; 32_000];
        let samples = [samples, silence].concat();
        let bytes = samples
            .iter()
            .flat_map(|x| ((x * 32_767.0) as i16).to_le_bytes());
        let bytes: Vec<u8> = bytes.collect();
        self.stdin.as_mut().unwrap().write_all(&bytes).unwrap();
    }

    /// The next event of a type.
    fn next(&self, kind: &str) -> Value {
        let deadline = Instant::now() + PATIENCE;
        loop {
            let left = deadline.saturating_duration_since(Instant::now());
            let event = self.events.recv_timeout(left);
            let event = event.unwrap_or_else(|_| panic!("no {kind}"));
            if event["type"] == kind {
                return event;
            }
        }
    }

    fn signal(&self, name: &str) {
        let pid = self.child.id().to_string();
        assert!(
            Command::new("kill")
                .args([name, &pid])
                .status()
                .unwrap()
                .success()
        );
    }

    /// Ends its standard input and waits for its end; the exit code.
    fn finish(mut self) -> Option<i32> {
        self.stdin = None;
        let code = self.child.wait().unwrap().code();
        // All that it said is read.
        let _ = self.events.iter().count();
        code
    }
}

impl Drop for Daemon {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

const STDIN: [&str; 4] = ["--source", "-", "--raw", "s16le,16000,1"];

#[test]
fn the_service_manager_is_told_how_it_goes() {
    if model("tiny.en").is_none() {
        return;
    }
    let house = House::new();
    let mut daemon = house.daemon(&STDIN);
    daemon.hear("command/command_en_0003.flac");
    let ready = house.told_until("READY=1");
    assert!(
        ready.last().unwrap().contains("STATUS=listening"),
        "{ready:?}"
    );
    daemon.next("command");
    // While nothing at all is heard, it is alive.
    for _ in 0..3 {
        house.told_until("WATCHDOG=1");
    }
    daemon.signal("-HUP");
    let reloading = house.told_until("RELOADING=1");
    assert!(
        reloading.last().unwrap().contains("MONOTONIC_USEC="),
        "{reloading:?}"
    );
    // It takes effect with the next sound.
    daemon.hear("command/command_en_0003.flac");
    house.told_until("READY=1");
    daemon.signal("-TERM");
    house.told_until("STOPPING=1");
    assert_eq!(daemon.finish(), Some(0));
}

#[test]
fn a_configuration_is_read_again_and_a_wrong_one_is_not_used() {
    if model("tiny.en").is_none() {
        return;
    }
    let house = House::new();
    let mut daemon = house.daemon(&STDIN);
    daemon.hear("command/command_en_0003.flac");
    assert_eq!(daemon.next("command")["name"], "coffee");

    house.configure("[vad]\nthreshhold = 1\n");
    let (code, stdout, stderr) = house.ctl(&["reload"]);
    assert_eq!((code, stdout.as_str()), (Some(2), ""));
    assert!(
        stderr.contains("config.toml:2: unknown key `vad.threshhold`"),
        "{stderr}"
    );
    let reload = daemon.next("reload");
    assert_eq!(reload["ok"], false);
    daemon.hear("command/command_en_0003.flac");
    assert_eq!(daemon.next("command")["name"], "coffee");

    house.configure(&order_as("drink"));
    let (code, _, stderr) = house.ctl(&["reload"]);
    assert_eq!((code, stderr.as_str()), (Some(0), ""));
    daemon.hear("command/command_en_0003.flac");
    assert_eq!(daemon.next("reload")["ok"], true);
    assert_eq!(daemon.next("command")["name"], "drink");
    assert_eq!(daemon.finish(), Some(0));
}

#[test]
fn it_is_asked_and_told_over_its_socket() {
    if model("tiny.en").is_none() {
        return;
    }
    let house = House::new();
    let (code, _, stderr) = house.ctl(&["status"]);
    assert_eq!(code, Some(2));
    assert!(
        stderr.contains("no hark answers") && stderr.contains("`hark run`"),
        "{stderr}"
    );

    let mut daemon = house.daemon(&STDIN);
    daemon.hear("command/command_en_0003.flac");
    daemon.next("command");
    let mut listener = house
        .program(&["ctl", "events"])
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut lines = BufReader::new(listener.stdout.take().unwrap()).lines();
    let (code, stdout, _) = house.ctl(&["status", "--json"]);
    let status: Value = serde_json::from_str(&stdout).unwrap();
    assert_eq!(
        (code, &status["numbers"]["commands_total"]),
        (Some(0), &Value::from(1))
    );
    let (code, stdout, _) = house.ctl(&["status"]);
    assert_eq!(code, Some(0));
    assert!(
        stdout.contains("1 commands") && stdout.contains("tiny.en"),
        "{stdout}"
    );
    let (_, stdout, _) = house.ctl(&["metrics"]);
    assert!(stdout.contains("\nhark_commands_total 1\n"), "{stdout}");

    assert_eq!(house.ctl(&["mute"]).0, Some(0));
    daemon.hear("command/command_en_0003.flac");
    assert_eq!(daemon.next("mute")["on"], true);
    let line = lines.next().unwrap().unwrap();
    let event: Value = serde_json::from_str(&line).unwrap();
    assert_eq!(
        (&event["type"], &event["on"]),
        (&"mute".into(), &true.into())
    );
    assert!(event["wall_ms"].is_u64(), "{line}");
    assert_eq!(house.ctl(&["unmute"]).0, Some(0));
    daemon.hear("command/command_en_0003.flac");
    // Nothing was heard in between.
    assert_eq!(daemon.next("speech_start")["id"], 2);

    assert_eq!(house.ctl(&["stop"]).0, Some(0));
    assert_eq!(daemon.finish(), Some(0));
    assert!(lines.map_while(Result::ok).count() > 0);
    assert!(listener.wait().unwrap().success());
    assert!(!house.path("hark.sock").exists());
}

#[test]
fn without_a_microphone_it_is_ready_and_says_so() {
    if model("tiny.en").is_none() {
        return;
    }
    let house = House::new();
    let daemon = house.daemon(&["--log", "error", "--source", "mic:no such thing"]);
    let ready = house.told_until("READY=1");
    assert!(
        ready.last().unwrap().contains("STATUS=no microphone"),
        "{ready:?}"
    );
    let device = daemon.next("device");
    assert_eq!(device["state"], "lost");
    house.told_until("WATCHDOG=1");
    let (_, stdout, _) = house.ctl(&["status"]);
    assert!(stdout.contains("no microphone"), "{stdout}");
    daemon.signal("-TERM");
    assert_eq!(daemon.finish(), Some(0));
}

#[test]
fn killed_at_any_moment_it_starts_again() {
    if model("tiny.en").is_none() {
        return;
    }
    let house = House::new();
    for n in 0..3 {
        let mut daemon = house.daemon(&STDIN);
        daemon.hear("command/command_en_0003.flac");
        match n {
            0 => drop(daemon.next("speech_start")),
            _ => drop(daemon.next("command")),
        }
        // It takes its dead predecessor's place.
        assert_eq!(house.ctl(&["status"]).0, Some(0));
        daemon.signal("-KILL");
        assert_eq!(daemon.finish(), None);
        assert!(house.path("hark.sock").exists());
    }
    let text = fs::read_to_string(house.path("config.toml")).unwrap();
    assert_eq!(text, order_as("coffee"));
    // A file in the socket's place is left alone, and it listens all the same.
    fs::remove_file(house.path("hark.sock")).unwrap();
    fs::write(house.path("hark.sock"), "precious").unwrap();
    let mut daemon = house.daemon(&STDIN);
    daemon.hear("command/command_en_0003.flac");
    daemon.next("command");
    assert_eq!(daemon.finish(), Some(0));
    assert_eq!(
        fs::read_to_string(house.path("hark.sock")).unwrap(),
        "precious"
    );
}

/// A path that is too long to be a socket, and a folder that is not there, are said.
#[test]
fn a_socket_that_cannot_be_is_said_and_does_no_harm() {
    if model("tiny.en").is_none() {
        return;
    }
    let house = House::new();
    let long = "a".repeat(200);
    house.configure(&format!("[control]\nsocket = \"{long}\"\n"));
    let mut program = house.program(&["run"]);
    let output = program
        .arg("--source")
        .arg(recording("command/command_en_0003.flac"))
        .output()
        .unwrap();
    let stderr = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(0), "{stderr}");
    assert!(
        stderr.contains("`hark ctl` will not reach this hark"),
        "{stderr}"
    );
}
