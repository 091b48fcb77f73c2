//! Running the program itself.

use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

/// What the program left behind.
pub struct Ran {
    /// Exit code; none when a signal ended it.
    pub code: Option<i32>,
    /// Standard output.
    pub stdout: String,
    /// Standard error.
    pub stderr: String,
}

impl Ran {
    /// What a run that is over left behind.
    pub fn of(output: Output) -> Ran {
        Ran {
            code: output.status.code(),
            stdout: String::from_utf8(output.stdout).unwrap(),
            stderr: String::from_utf8(output.stderr).unwrap(),
        }
    }

    /// It ended with `code`, or the test ends here.
    pub fn expect(self, code: i32) -> Ran {
        let Ran { stdout, stderr, .. } = &self;
        assert_eq!(self.code, Some(code), "stdout: {stdout}\nstderr: {stderr}");
        self
    }

    /// The one line on standard error, said by the program and free of debris.
    pub fn complaint(&self) -> &str {
        let line = self.stderr.trim_end_matches('\n');
        assert!(line.starts_with("hark: "), "{line:?}");
        assert!(!line.contains('\n'), "more than one line: {line:?}");
        for debris in ["panicked", "Error {", "Some(", "RUST_BACKTRACE"] {
            assert!(!line.contains(debris), "{line:?}");
        }
        line
    }

    /// The objects of a JSON lines output.
    pub fn json_lines(&self) -> Vec<serde_json::Value> {
        self.stdout
            .lines()
            .map(|line| serde_json::from_str(line).expect(line))
            .collect()
    }
}

/// The program with nothing of the machine's own configuration.
pub fn command(args: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_hark"));
    command
        .args(args)
        .env("HARK_MODELS", super::root().join("models"));
    command.env_remove("RUST_BACKTRACE").env_remove("RUST_LOG");
    // Nothing is there, and nothing can be made there.
    command.env("XDG_CONFIG_HOME", "/dev/null/config");
    // This machine's sound is none either; libpulse, which ALSA may load, has a voice of its own.
    command.env("ALSA_CONFIG_PATH", "/dev/null/none");
    command.env("PULSE_SERVER", "unix:/dev/null/pulse");
    // No configuration file lies here.
    command.current_dir(super::root().join("tests"));
    command
}

/// Runs the program to its end.
pub fn hark(args: &[&str]) -> Ran {
    Ran::of(command(args).stdin(Stdio::null()).output().unwrap())
}

/// Runs the program with `input` on its standard input, given in pieces of `piece` bytes.
pub fn hark_with_input(args: &[&str], input: &[u8], piece: usize) -> Ran {
    let mut child = command(args)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let mut stdin = child.stdin.take().unwrap();
    let input = input.to_vec();
    let feeder = std::thread::spawn(move || {
        for piece in input.chunks(piece) {
            // The program may end before it has read all.
            if stdin.write_all(piece).is_err() {
                return;
            }
        }
    });
    let output = child.wait_with_output().unwrap();
    feeder.join().unwrap();
    Ran::of(output)
}

/// A shipped recording.
pub fn recording(name: &str) -> PathBuf {
    super::root().join("tests/data/speech").join(name)
}

/// A path as an argument.
pub fn arg(path: &Path) -> &str {
    path.to_str().unwrap()
}
