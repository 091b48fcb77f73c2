//! The service files as systemd and launchd would read them. Where `systemd-analyze` or Python is
//! missing the reason is printed and nothing is tested, unless `HARK_REQUIRE_SYSTEMD` is set: then it
//! fails.

#![allow(clippy::unwrap_used)]

mod support;

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use support::program::arg;
use support::root;

/// Exposure that the system unit may have at most, in tenths (systemd's scale goes to 100).
const MAX_EXPOSURE: u32 = 20;

fn unit(name: &str) -> String {
    fs::read_to_string(root().join("systemd").join(name)).unwrap()
}

/// The values of a setting, in order.
fn values<'a>(unit: &'a str, key: &str) -> Vec<&'a str> {
    let lines = unit.lines().filter_map(|line| line.split_once('='));
    lines
        .filter(|(found, _)| *found == key)
        .map(|(_, value)| value)
        .collect()
}

/// The unit under the name it is installed by, started from where the program under test lies.
fn installed(name: &str, folder: &Path) -> PathBuf {
    let text = unit(name);
    let start = values(&text, "ExecStart")[0];
    let here = format!("{} run", env!("CARGO_BIN_EXE_hark"));
    let path = folder.join("hark.service");
    fs::write(&path, text.replace(start, &here)).unwrap();
    path
}

/// A program with nothing of the machine's own session, or `None` where it is missing.
fn tool(name: &str, runtime: &Path) -> Option<Command> {
    let mut command = Command::new(name);
    command.env("XDG_RUNTIME_DIR", runtime);
    if Command::new(name).arg("--version").output().is_ok() {
        return Some(command);
    }
    let reason = format!("{name} is missing");
    let required = std::env::var_os("HARK_REQUIRE_SYSTEMD").is_some();
    assert!(!required, "{reason}");
    eprintln!("skipped: {reason}");
    None
}

fn verify(name: &str, manager: &str) {
    let folder = tempfile::tempdir().unwrap();
    let Some(mut analyze) = tool("systemd-analyze", folder.path()) else {
        return;
    };
    let unit = installed(name, folder.path());
    let args = [manager, "--man=no", "verify", arg(&unit)];
    let output = analyze.args(args).output().unwrap();
    let said = String::from_utf8_lossy(&output.stderr);
    // Of the machine's own units it may say what it likes.
    let faults: Vec<_> = said.lines().filter(|l| l.contains("hark")).collect();
    assert!(output.status.success() && faults.is_empty(), "{said}");
}

#[test]
fn systemd_finds_nothing_wrong_with_the_user_unit() {
    verify("hark.service", "--user");
}

#[test]
fn systemd_finds_nothing_wrong_with_the_system_unit() {
    verify("hark-system.service", "--system");
}

#[test]
fn the_system_unit_is_exposed_no_further_than_it_must() {
    let folder = tempfile::tempdir().unwrap();
    let Some(mut analyze) = tool("systemd-analyze", folder.path()) else {
        return;
    };
    let unit = installed("hark-system.service", folder.path());
    let threshold = format!("--threshold={MAX_EXPOSURE}");
    let args = [
        "security",
        "--offline=true",
        "--no-pager",
        &threshold,
        arg(&unit),
    ];
    let output = analyze.args(args).output().unwrap();
    let said = String::from_utf8_lossy(&output.stdout);
    let overall = said.lines().find(|line| line.contains("exposure level"));
    println!("{}", overall.unwrap_or("no verdict"));
    assert!(output.status.success() && overall.is_some(), "{said}");
}

#[test]
fn both_units_agree_on_how_the_program_behaves() {
    let units = [unit("hark.service"), unit("hark-system.service")];
    for text in &units {
        assert_eq!(values(text, "Type"), ["notify"]);
        // Configuration and model: starting again mends neither.
        assert_eq!(values(text, "RestartPreventExitStatus"), ["2 3"]);
        assert_eq!(values(text, "StandardOutput"), ["null"]);
        assert!(values(text, "ExecStart")[0].ends_with("/hark run"));
    }
    for key in [
        "WatchdogSec",
        "TimeoutStartSec",
        "TimeoutStopSec",
        "Restart",
        "ExecReload",
    ] {
        assert_eq!(values(&units[0], key).len(), 1, "{key}");
        assert_eq!(values(&units[0], key), values(&units[1], key), "{key}");
    }
}

#[test]
fn launchd_can_read_the_agent() {
    let folder = tempfile::tempdir().unwrap();
    let Some(mut python) = tool("python3", folder.path()) else {
        return;
    };
    let script =
        "import json, plistlib, sys; print(json.dumps(plistlib.load(open(sys.argv[1], 'rb'))))";
    let plist = root().join("launchd/local.hark.plist");
    let output = python.args(["-c", script, arg(&plist)]).output().unwrap();
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{said}");
    let agent: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
    // launchctl expects the file to be named after the label.
    assert_eq!(agent["Label"], "local.hark");
    assert_eq!(agent["ProgramArguments"][1], "run");
    assert_eq!(agent["RunAtLoad"], true);
    assert_eq!(agent["KeepAlive"]["SuccessfulExit"], false);
}
