//! A virtual microphone (`scripts/virtual-mic.sh`).

use std::process::Command;

/// A virtual microphone in a folder of its own; ended when dropped.
pub struct VirtualMic {
    /// Where its files lie, and room for the test's.
    pub folder: tempfile::TempDir,
    /// What makes a program hear it.
    pub environment: Vec<(String, String)>,
}

impl VirtualMic {
    /// Starts one. Where this machine cannot, the reason is printed and the test has nothing to do,
    /// unless `HARK_REQUIRE_MIC` is set: then it fails.
    pub fn start() -> Option<Self> {
        let folder = tempfile::tempdir().unwrap();
        let mut mic = VirtualMic {
            folder,
            environment: Vec::new(),
        };
        let output = mic.script(&["start"]).output().unwrap();
        if !output.status.success() {
            let reason = String::from_utf8_lossy(&output.stderr);
            let reason = reason.trim();
            assert!(std::env::var_os("HARK_REQUIRE_MIC").is_none(), "{reason}");
            eprintln!("skipped: {reason}");
            return None;
        }
        for line in String::from_utf8(output.stdout).unwrap().lines() {
            let (name, value) = line["export ".len()..].split_once('=').unwrap();
            mic.environment.push((name.into(), value.into()));
        }
        Some(mic)
    }

    /// The script, about to do something with this microphone.
    pub fn script(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(super::root().join("scripts/virtual-mic.sh"));
        command
            .args(arguments)
            .env("HARK_VIRTUAL_MIC", self.folder.path().join("mic"));
        command
    }

    /// Runs the script to its end.
    pub fn run(&self, arguments: &[&str]) {
        assert!(self.script(arguments).status().unwrap().success());
    }
}

impl Drop for VirtualMic {
    fn drop(&mut self) {
        let _ = self.script(&["stop"]).status();
    }
}
