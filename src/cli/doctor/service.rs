//! Whether hark runs already, and as what.

use std::io::{BufRead, BufReader, ErrorKind, Read, Write};
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::process::Command;
use std::time::{Duration, Instant};

use serde_json::Value;

use super::report::Check;
use super::within;
use crate::config::Config;
use crate::place::Place;
use crate::process::{self, Run};

/// How long a daemon may take for its answer.
const ANSWER: Duration = Duration::from_secs(1);
/// Longest answer, in bytes.
const MAX_ANSWER_BYTES: u64 = 64 * 1024;

/// What the control socket says.
pub(super) struct Daemon {
    pub(super) check: Check,
    pub(super) is_running: bool,
}

/// Asks a running daemon.
pub(super) fn daemon(config: &Config) -> Daemon {
    const NAME: &str = "daemon";
    let socket = &config.control.socket;
    let Some(path) = socket.runtime_file("hark.sock") else {
        let found = match socket {
            Place::Nowhere => "no control socket is configured",
            _ => "no control socket: $XDG_RUNTIME_DIR is not set",
        };
        return Daemon {
            check: Check::ok(NAME, found),
            is_running: false,
        };
    };
    let place = path.display().to_string();
    // Within a limit of its own, too: connecting blocks when many wait already.
    let answer = within(2 * ANSWER, move || ask(&path));
    let (check, is_running) = match answer.unwrap_or(Answer::None) {
        Answer::Well => (Check::ok(NAME, format!("one answers at {place}")), true),
        Answer::Nobody => (Check::ok(NAME, format!("none is running ({place})")), false),
        Answer::None => {
            let found = format!("one holds {place} and does not answer within a second");
            (
                Check::warn(NAME, found, "restart hark: it runs and does not answer"),
                true,
            )
        }
        Answer::Strange(detail) => {
            let found = format!("{place}: {detail}");
            let advice =
                format!("look at what listens at {place}, or choose another control.socket");
            (Check::warn(NAME, found, advice), false)
        }
    };
    Daemon { check, is_running }
}

enum Answer {
    /// As a daemon should.
    Well,
    /// There is no socket, or nobody at it.
    Nobody,
    /// Not in time.
    None,
    /// Something else.
    Strange(String),
}

/// One line of JSON each way.
fn ask(path: &Path) -> Answer {
    let stream = match UnixStream::connect(path) {
        Ok(stream) => stream,
        Err(error) => {
            return match error.kind() {
                ErrorKind::NotFound | ErrorKind::ConnectionRefused => Answer::Nobody,
                _ => Answer::Strange(error.to_string()),
            };
        }
    };
    let mut line = String::new();
    let mut exchange = || {
        stream.set_read_timeout(Some(ANSWER))?;
        stream.set_write_timeout(Some(ANSWER))?;
        (&stream).write_all(b"{\"do\":\"status\"}\n")?;
        BufReader::new((&stream).take(MAX_ANSWER_BYTES)).read_line(&mut line)
    };
    match exchange() {
        Ok(_) => {}
        Err(error) if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut) => {
            return Answer::None;
        }
        Err(error) => return Answer::Strange(error.to_string()),
    }
    let answer: Option<Value> = serde_json::from_str(&line).ok();
    match answer.and_then(|answer| answer["ok"].as_bool()) {
        Some(true) => Answer::Well,
        _ => Answer::Strange("what answers there is no hark".to_owned()),
    }
}

/// The units of systemd, as far as there are any.
pub(super) fn units() -> Vec<Check> {
    if !process::can_run("systemctl") {
        return Vec::new();
    }
    let states = [Unit::asked("user", &["--user"]), Unit::asked("system", &[])];
    let units: Vec<Unit> = states.into_iter().flatten().collect();
    let mut checks: Vec<Check> = units.iter().map(Unit::check).collect();
    if units.iter().filter(|unit| unit.active == "active").count() > 1 {
        checks.push(Check::warn(
            Unit::NAME,
            "both the user's and the system's unit run",
            "stop one of the two units, or every command is carried out twice",
        ));
    }
    checks
}

/// A unit that is installed.
struct Unit {
    scope: &'static str,
    options: &'static str,
    active: String,
    enabled: String,
}

impl Unit {
    const NAME: &str = "service";

    fn asked(scope: &'static str, options: &[&str]) -> Option<Unit> {
        let mut command = Command::new("systemctl");
        command.args(options).args([
            "show",
            "hark.service",
            "--property=LoadState,ActiveState,UnitFileState",
        ]);
        let how = Run {
            input: Vec::new(),
            deadline: Instant::now() + ANSWER,
            stop: &|| false,
            grace: Duration::ZERO,
        };
        // Without systemd, or without a session, there is nothing to say.
        let output = process::run(&mut command, how).ok()?;
        Unit::read(scope, &output)
    }

    /// What `systemctl show` writes; none when there is no such unit.
    fn read(scope: &'static str, output: &str) -> Option<Unit> {
        let value = |key: &str| {
            let lines = output.lines().filter_map(|line| line.split_once('='));
            let mut values = lines.filter(|(name, _)| *name == key);
            values.next().map(|(_, value)| value.to_owned())
        };
        let is_loaded = value("LoadState")? != "not-found";
        is_loaded.then_some(Unit {
            scope,
            options: if scope == "user" { "--user " } else { "" },
            active: value("ActiveState")?,
            enabled: value("UnitFileState").unwrap_or_default(),
        })
    }

    fn check(&self) -> Check {
        let Unit {
            scope,
            options,
            active,
            enabled,
        } = self;
        let found = format!("{scope} unit: {active}, {enabled}");
        match (active.as_str(), enabled.as_str()) {
            ("failed", _) => Check::warn(
                Unit::NAME,
                found,
                format!("read why the service failed: journalctl {options}-u hark -n 30"),
            ),
            ("active", "disabled") => Check::warn(
                Unit::NAME,
                found,
                format!("have the service started every time: systemctl {options}enable hark"),
            ),
            _ => Check::ok(Unit::NAME, found),
        }
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use std::os::unix::net::UnixListener;

    use super::super::report::State;
    use super::*;

    /// What is found when somebody listens who answers `answer`.
    fn asked(answer: Option<&'static str>) -> Daemon {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("hark.sock");
        let listener = UnixListener::bind(&path).unwrap();
        let served = std::thread::spawn(move || {
            let (stream, _) = listener.accept().unwrap();
            let mut asked = String::new();
            BufReader::new(&stream).read_line(&mut asked).unwrap();
            assert_eq!(asked, "{\"do\":\"status\"}\n");
            if let Some(answer) = answer {
                (&stream).write_all(answer.as_bytes()).unwrap();
            } else {
                // Until the other side has given up.
                let _ = (&stream).read(&mut [0]);
            }
        });
        let mut config = Config::default();
        config.control.socket = Place::At(path);
        let daemon = daemon(&config);
        served.join().unwrap();
        daemon
    }

    #[test]
    fn a_daemon_is_asked() {
        let well = asked(Some("{\"ok\":true,\"state\":\"listening\"}\n"));
        assert!(well.is_running && well.check.state == State::Ok);
        let strange = asked(Some("220 mail.example ESMTP\n"));
        assert!(!strange.is_running && strange.check.state == State::Warn);
        let mute = asked(None);
        assert!(mute.is_running && mute.check.state == State::Warn);
    }

    #[test]
    fn without_a_daemon_nothing_is_wrong() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("hark.sock");
        let mut config = Config::default();
        config.control.socket = Place::At(path.clone());
        assert_eq!(daemon(&config).check.state, State::Ok);
        drop(UnixListener::bind(&path).unwrap());
        let stale = daemon(&config);
        assert!(!stale.is_running && stale.check.state == State::Ok);
        config.control.socket = Place::Nowhere;
        assert_eq!(daemon(&config).check.state, State::Ok);
    }

    #[test]
    fn units_are_read() {
        let show = |load, active, enabled| {
            format!("LoadState={load}\nActiveState={active}\nUnitFileState={enabled}\n")
        };
        assert!(Unit::read("user", &show("not-found", "inactive", "")).is_none());
        assert!(Unit::read("user", "").is_none());
        let failed = Unit::read("user", &show("loaded", "failed", "enabled"))
            .unwrap()
            .check();
        assert!(failed.advice.unwrap().contains("journalctl --user -u hark"));
        let well = Unit::read("system", &show("loaded", "active", "enabled"))
            .unwrap()
            .check();
        assert_eq!(
            (well.state, &well.found[..]),
            (State::Ok, "system unit: active, enabled")
        );
    }
}
