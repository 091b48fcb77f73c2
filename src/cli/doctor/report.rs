//! What was found, one line each, and what to do about it.

use serde::Serialize;
use serde_json::json;

use crate::cli::output::{self, Out, json};
use crate::cli::{Failure, Globals};
use crate::error::Kind;

/// How bad it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub(super) enum State {
    /// Nothing to do.
    Ok,
    /// Something does not work as well as it could.
    Warn,
    /// Something does not work.
    Fail,
}

/// What one check has found.
#[derive(Clone, Debug, Serialize)]
pub(super) struct Check {
    pub(super) name: &'static str,
    pub(super) state: State,
    pub(super) found: String,
    pub(super) advice: Option<String>,
    /// Of a failure: which exit code it calls for.
    #[serde(skip)]
    kind: Kind,
}

impl Check {
    pub(super) fn ok(name: &'static str, found: impl Into<String>) -> Check {
        Check {
            name,
            state: State::Ok,
            found: found.into(),
            advice: None,
            kind: Kind::Bug,
        }
    }

    pub(super) fn warn(
        name: &'static str,
        found: impl Into<String>,
        advice: impl Into<String>,
    ) -> Check {
        Check {
            state: State::Warn,
            advice: Some(advice.into()),
            ..Check::ok(name, found)
        }
    }

    pub(super) fn fail(
        name: &'static str,
        kind: Kind,
        found: impl Into<String>,
        advice: impl Into<String>,
    ) -> Check {
        Check {
            state: State::Fail,
            kind,
            ..Check::warn(name, found, advice)
        }
    }

    /// A failure that says itself what went wrong.
    pub(super) fn failed(
        name: &'static str,
        failure: &Failure,
        advice: impl Into<String>,
    ) -> Check {
        let kind = failure.kind().unwrap_or(Kind::Bug);
        Check::fail(name, kind, failure.to_string(), advice)
    }
}

/// The checks so far, and where they are shown.
pub(super) struct Report {
    out: Out,
    is_json: bool,
    is_coloured: bool,
    checks: Vec<Check>,
}

impl Report {
    pub(super) fn new(out: Out, globals: &Globals) -> Self {
        Report {
            out,
            is_json: globals.json,
            is_coloured: output::stdout_is_screen() && !output::no_color(),
            checks: Vec::new(),
        }
    }

    /// Shows a check at once: the next one may take a while.
    pub(super) fn add(&mut self, check: Check) -> Result<(), Failure> {
        if !self.is_json {
            self.out.line(&line(&check, self.is_coloured))?;
        }
        self.checks.push(check);
        Ok(())
    }

    pub(super) fn all(&mut self, checks: impl IntoIterator<Item = Check>) -> Result<(), Failure> {
        checks.into_iter().try_for_each(|check| self.add(check))
    }

    /// Says what to do, and gives the first failure.
    pub(super) fn finish(mut self) -> Result<(), Failure> {
        let advice = advice(&self.checks);
        if self.is_json {
            let text = json::pretty(&json!({
                "ok": advice.is_empty(),
                "checks": self.checks,
                "advice": advice,
            }));
            self.out.line(&text)?;
        } else if advice.is_empty() {
            self.out.line("\nEverything is fine.")?;
        } else {
            self.out.line("\nWhat to do, most important first:")?;
            for (number, text) in advice.iter().enumerate() {
                self.out.line(&format!("{:>2}. {text}", number + 1))?;
            }
        }
        let first = self.checks.iter().find(|check| check.state == State::Fail);
        first.map_or(Ok(()), |check| Err(Failure::reported(check.kind)))
    }
}

/// Failures before warnings, each in the order of the checks, none twice.
fn advice(checks: &[Check]) -> Vec<String> {
    let mut advice: Vec<String> = Vec::new();
    for state in [State::Fail, State::Warn] {
        let of_state = checks.iter().filter(|check| check.state == state);
        for text in of_state.filter_map(|check| check.advice.as_ref()) {
            if !advice.contains(text) {
                advice.push(text.clone());
            }
        }
    }
    advice
}

fn line(check: &Check, is_coloured: bool) -> String {
    let (mark, colour) = match check.state {
        State::Ok => ("ok", 32),
        State::Warn => ("warn", 33),
        State::Fail => ("FAIL", 31),
    };
    let mark = match is_coloured {
        true => format!("\x1b[{colour}m{mark:<4}\x1b[0m"),
        false => format!("{mark:<4}"),
    };
    let found = output::printable(&check.found).replace('\n', " ");
    format!("{mark}  {:<13}  {found}", check.name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn failures_come_first_and_nothing_twice() {
        let checks = [
            Check::ok("a", "x"),
            Check::warn("b", "x", "later"),
            Check::fail("c", Kind::Model, "x", "first"),
            Check::fail("d", Kind::Device, "x", "second"),
            Check::warn("e", "x", "first"),
        ];
        assert_eq!(advice(&checks), ["first", "second", "later"]);
    }

    #[test]
    fn a_check_is_a_line() {
        let check = Check::fail("model", Kind::Model, "not\n\x1b[31mhere", "pull it");
        assert_eq!(line(&check, false), "FAIL  model          not [31mhere");
        assert!(line(&check, true).starts_with("\x1b[31mFAIL\x1b[0m  model"));
    }
}
