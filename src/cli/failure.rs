//! How a command ends badly: what to print and which exit code.

use std::borrow::Cow;
use std::error::Error;
use std::fmt;
use std::io::{self, Write};
use std::process::ExitCode;

use super::output::terminal::Stderr;
use super::signals::INTERRUPTED;
use crate::error::{Classify, Kind};
use crate::guard::{self, Reaction};

/// The end of a command that did not go well.
#[derive(Debug)]
pub(crate) struct Failure {
    end: End,
    message: String,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum End {
    Kind(Kind),
    /// The reader of our output went away: nothing is wrong and nothing is said.
    ClosedPipe,
    /// Everything has been said already.
    Reported(Kind),
    /// Ended by Ctrl-C or SIGTERM before the work was done.
    Interrupted,
}

impl Failure {
    /// A failure with its message: what, where, what to do; one line.
    pub(crate) fn new(kind: Kind, message: impl Into<String>) -> Self {
        Failure {
            end: End::Kind(kind),
            message: message.into(),
        }
    }

    /// A failure whose messages have been printed already.
    pub(crate) fn reported(kind: Kind) -> Self {
        Failure {
            end: End::Reported(kind),
            message: String::new(),
        }
    }

    /// The work was cut short by a signal; what was done so far has been delivered.
    pub(crate) fn interrupted() -> Self {
        Failure {
            end: End::Interrupted,
            message: String::new(),
        }
    }

    /// Writing a result failed; `to` names where. A closed pipe ends the program quietly.
    pub(crate) fn output(to: &str, error: &io::Error) -> Self {
        if error.kind() == io::ErrorKind::BrokenPipe {
            return Failure {
                end: End::ClosedPipe,
                message: String::new(),
            };
        }
        Failure::new(Kind::Usage, format!("cannot write to {to}: {error}"))
    }

    /// Adds what the user can do about it.
    pub(crate) fn hint(mut self, hint: impl AsRef<str>) -> Self {
        if !self.message.is_empty() {
            self.message.push_str("; ");
            self.message.push_str(hint.as_ref());
        }
        self
    }

    /// What this failure calls for.
    pub(crate) fn kind(&self) -> Option<Kind> {
        match self.end {
            End::Kind(kind) | End::Reported(kind) => Some(kind),
            End::ClosedPipe | End::Interrupted => None,
        }
    }

    /// Prints the one line, if there is one.
    pub(crate) fn print(&self) {
        if !self.message.is_empty() {
            say(&self.message);
        }
    }

    /// Prints the line and gives the exit code.
    pub(crate) fn report(self) -> ExitCode {
        self.print();
        match self.end {
            End::Kind(kind) | End::Reported(kind) => ExitCode::from(kind.exit_code()),
            End::ClosedPipe => ExitCode::SUCCESS,
            End::Interrupted => ExitCode::from(INTERRUPTED),
        }
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

impl<E: Classify + 'static> From<E> for Failure {
    fn from(error: E) -> Self {
        Failure::new(error.kind(), chain(&error))
    }
}

/// One line for the user on stderr.
pub(crate) fn say(message: &str) {
    // stderr may be closed; there is nobody left to tell then.
    let line = format!("hark: {}\n", flat(message));
    let _ = Stderr.write_all(line.as_bytes());
}

/// The error and its sources, each said once.
fn chain(error: &dyn Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(error) = source {
        let more = error.to_string();
        if !text.contains(&more) {
            text.push_str(": ");
            text.push_str(&more);
        }
        source = error.source();
    }
    text
}

/// `text` without line breaks and control characters: file names may hold anything.
fn flat(text: &str) -> Cow<'_, str> {
    if !text.chars().any(char::is_control) {
        return Cow::Borrowed(text);
    }
    let line = text
        .lines()
        .map(str::trim)
        .filter(|line| !line.is_empty())
        .collect::<Vec<_>>();
    Cow::Owned(line.join(" ").chars().filter(|c| !c.is_control()).collect())
}

/// A panic on any thread is a bug: one line, exit code 70. Except for one that is caught, and for a
/// print to a closed pipe, which ends the program quietly.
pub(crate) fn install_panic_hook() {
    // Somebody is looking for the bug: the standard report, then the same exit code.
    let is_sought = std::env::var_os("RUST_BACKTRACE").is_some_and(|value| value != "0");
    let standard = std::panic::take_hook();
    std::panic::set_hook(Box::new(move |panic| {
        let reaction = guard::reaction();
        if reaction == Reaction::Ignore {
            return;
        }
        let message = guard::message(panic.payload());
        if is_sought {
            standard(panic);
        } else if message.starts_with("failed printing to std") {
            std::process::exit(0);
        } else {
            report_panic(message, panic.location());
        }
        if reaction == Reaction::End {
            std::process::exit(i32::from(Kind::Bug.exit_code()));
        }
    }));
}

fn report_panic(message: &str, location: Option<&std::panic::Location<'_>>) {
    let place = location.map(|place| format!("{}:{}", place.file(), place.line()));
    // Straight to stderr: the panic may have come while the terminal was locked.
    let _ = writeln!(
        io::stderr().lock(),
        "hark: this is a bug in hark: {} ({}); please report it with the command line and the \
         output of RUST_BACKTRACE=1",
        flat(message),
        place.unwrap_or_default()
    );
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Debug, thiserror::Error)]
    #[error("cannot read the configuration")]
    struct Outer(#[source] io::Error);

    impl Classify for Outer {
        fn kind(&self) -> Kind {
            Kind::Usage
        }
    }

    #[test]
    fn the_chain_is_said_once() {
        let failure = Failure::from(Outer(io::Error::other("disk on fire")));
        assert_eq!(
            failure.message,
            "cannot read the configuration: disk on fire"
        );
        assert_eq!(failure.kind(), Some(Kind::Usage));
    }

    #[test]
    fn messages_stay_on_one_line() {
        assert_eq!(flat("a\n  b\x1b[31m c\n"), "a b[31m c");
    }

    #[test]
    fn a_closed_pipe_is_no_failure() {
        let broken = io::Error::from(io::ErrorKind::BrokenPipe);
        assert_eq!(Failure::output("stdout", &broken).end, End::ClosedPipe);
        let full = io::Error::from(io::ErrorKind::StorageFull);
        assert_eq!(Failure::output("stdout", &full).end, End::Kind(Kind::Usage));
    }
}
