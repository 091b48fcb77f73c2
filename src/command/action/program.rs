//! Runs a program: `{ program = "…", args = […] }`.
//!
//! The value of a slot is always a part of one argument, whatever characters it has.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::process::Command;

use super::job::{Attempt, Ended, Job};
use super::slots::{SlotError, Slots, fill, mention};
use super::{ActionError, Deed};
use crate::process::{self, Run, RunError};

/// How `program` is to be read.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Shell {
    /// As the name of a program.
    #[default]
    No,
    /// As a line for `/bin/sh -c`, with the arguments as `$1`, `$2`, …
    Yes,
}

/// A program to run.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Program {
    /// Name or path of the program, or a shell line; slots are not substituted here.
    pub program: String,
    /// Its arguments, with slots.
    pub args: Vec<String>,
    /// Whether `program` is a shell line.
    pub shell: Shell,
    /// Environment variables in addition to hark's own.
    pub env: BTreeMap<String, String>,
    /// Folder to run in; hark's own when absent.
    pub cwd: Option<PathBuf>,
}

impl Deed for Program {
    fn mention(&self, to: &mut Vec<String>) {
        self.args.iter().for_each(|arg| mention(arg, to));
    }

    fn line(&self, slots: Option<&Slots>) -> Result<Vec<String>, SlotError> {
        let args = self.args.iter();
        let args = args.map(|arg| slots.map_or_else(|| arg.clone(), |slots| fill(arg, slots)));
        Ok(std::iter::once(self.program.clone()).chain(args).collect())
    }

    fn run(&self, job: &Job, attempt: &Attempt<'_>) -> Ended {
        let how = Run {
            input: Vec::new(),
            deadline: attempt.deadline,
            stop: &|| attempt.is_stopped(),
            grace: process::GRACE,
        };
        match process::run(&mut self.command(job), how) {
            Ok(output) => Ended::well(output),
            Err(RunError::TimedOut { output }) => Ended::badly(ActionError::TimedOut, output),
            Err(RunError::Stopped { output }) => Ended::badly(ActionError::Stopped, output),
            Err(error) => {
                let reason = format!("{}: {error}", self.program);
                Ended::badly(ActionError::Program(reason), error.into_output())
            }
        }
    }

    fn lacks(&self) -> Vec<String> {
        let mut missing = Vec::new();
        if self.shell == Shell::No && !process::can_run(&self.program) {
            missing.push(match self.program.contains('/') {
                true => format!("there is no program {}", self.program),
                false => format!("the program `{}` is not found in PATH", self.program),
            });
        }
        if let Some(cwd) = self.cwd.as_deref().filter(|cwd| !cwd.is_dir()) {
            missing.push(format!("there is no folder {} to run in", cwd.display()));
        }
        missing
    }
}

impl Program {
    /// The program with its arguments and environment.
    fn command(&self, job: &Job) -> Command {
        let mut command = match self.shell {
            Shell::No => Command::new(&self.program),
            Shell::Yes => {
                let mut command = Command::new("/bin/sh");
                // What follows the line is $0, $1, …
                command.args(["-c", &self.program, "hark"]);
                command
            }
        };
        command.args(self.args.iter().map(|arg| fill(arg, &job.slots)));
        self.set_environment(&mut command, job);
        if let Some(cwd) = &self.cwd {
            command.current_dir(cwd);
        }
        command
    }

    /// hark's own environment with that of the action. Slots that an outer hark has filled would be
    /// taken for ours.
    fn set_environment(&self, command: &mut Command, job: &Job) {
        for (name, _) in std::env::vars_os() {
            if name.to_string_lossy().starts_with(SLOT_PREFIX) {
                command.env_remove(name);
            }
        }
        command
            .envs(&self.env)
            .env("HARK_COMMAND", &job.name)
            .env("HARK_TEXT", &job.text);
        for slot in job.known_slots.iter() {
            command.env(slot_variable(slot), "");
        }
        for (slot, value) in &job.slots {
            command.env(slot_variable(slot), value);
        }
    }
}

/// What the environment variables of slots begin with.
const SLOT_PREFIX: &str = "HARK_SLOT_";

/// The environment variable of a slot: `room` is `HARK_SLOT_ROOM`.
pub fn slot_variable(slot: &str) -> String {
    let name: String = slot
        .chars()
        .map(|c| {
            if c.is_ascii_alphanumeric() {
                c.to_ascii_uppercase()
            } else {
                '_'
            }
        })
        .collect();
    format!("{SLOT_PREFIX}{name}")
}
