//! `hark ctl`: asks a running `hark run`, over its control socket.

use std::io::{BufRead, BufReader, Write};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::time::Duration;

use clap::{Args as ClapArgs, Subcommand, ValueEnum};
use serde_json::{Value, json};

use super::output::{Out, json as json_output};
use super::{Failure, Globals};
use crate::config::Config;
use crate::error::Kind;
use crate::place::Place;

const EXAMPLES: &str = "\
Examples:
  hark ctl status
  hark ctl mute                       until `hark ctl unmute`, over restarts, too
  hark ctl listen on                  push-to-talk (listen.mode = \"push\"); without on or off: the other
  hark ctl events | jq -r 'select(.type == \"final\").text'
  hark ctl reload                     read the configuration again; says what is wrong with it

The socket is the configuration's (control.socket), usually $XDG_RUNTIME_DIR/hark.sock. Anything that
can write a line to it can do the same: echo '{\"do\":\"mute\"}' | nc -U SOCKET";

/// Time for an answer, but for those that load a model.
const TIMEOUT: Duration = Duration::from_secs(5);
const RELOAD_TIMEOUT: Duration = Duration::from_secs(125);

/// Ask a running `hark run`: status, mute, reload, events ...
#[derive(Debug, ClapArgs)]
#[command(after_help = EXAMPLES)]
pub(crate) struct Args {
    /// Socket of the daemon [default: the configuration's]
    #[arg(long, value_name = "PATH")]
    socket: Option<PathBuf>,
    #[command(subcommand)]
    ask: Ask,
}

#[derive(Clone, Copy, Debug, Subcommand)]
enum Ask {
    /// How it goes: device, model, what was heard, lost and done
    Status,
    /// Switch the microphone off
    Mute,
    /// Switch it on again
    Unmute,
    /// Push-to-talk on or off; without either, the other way
    Listen {
        /// Which
        state: Option<Switch>,
    },
    /// Read the configuration again; a wrong one changes nothing
    Reload,
    /// End the daemon, with what was heard so far
    Stop,
    /// What happens from now on, as JSON lines
    Events,
    /// All counters, in Prometheus's text format
    Metrics,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Switch {
    On,
    Off,
}

/// Runs the subcommand.
pub(crate) fn run(args: Args, globals: &Globals) -> Result<(), Failure> {
    let path = args.socket.map_or_else(|| configured(globals), Ok)?;
    let mut connection = Connection::open(&path)?;
    let mut out = Out::stdout();
    match args.ask {
        Ask::Status => {
            let status = connection.ask(&json!({ "do": "status" }))?["status"].take();
            match globals.json {
                true => out.line(&json_output::pretty(&status)),
                false => out.write(&words(&status)),
            }
        }
        Ask::Metrics => {
            let answer = connection.ask(&json!({ "do": "metrics" }))?;
            out.write(answer["metrics"].as_str().unwrap_or_default())
        }
        Ask::Mute => connection.done("mute"),
        Ask::Unmute => connection.done("unmute"),
        Ask::Stop => connection.done("stop"),
        Ask::Listen { state } => {
            let on = state.map(|state| state == Switch::On);
            connection
                .ask(&json!({ "do": "listen", "on": on }))
                .map(drop)
        }
        Ask::Reload => {
            connection.wait_for(RELOAD_TIMEOUT)?;
            connection.done("reload")
        }
        Ask::Events => connection.follow(&mut out),
    }?;
    out.flush()
}

/// The socket of the configuration; of the default one where that cannot be read, since it is then
/// that somebody wants to reload it.
fn configured(globals: &Globals) -> Result<PathBuf, Failure> {
    let config = Config::load(globals.config.as_deref());
    let place = config.map_or(Place::Auto, |config| config.control.socket);
    place.runtime_file("hark.sock").ok_or_else(|| {
        let problem = match place {
            Place::Nowhere => "control.socket is \"\": this configuration has no control socket",
            _ => "XDG_RUNTIME_DIR is not set; name the daemon's socket with --socket",
        };
        Failure::new(Kind::Usage, problem)
    })
}

/// A connection to the daemon.
struct Connection {
    path: PathBuf,
    stream: UnixStream,
    input: BufReader<UnixStream>,
}

impl Connection {
    fn open(path: &Path) -> Result<Self, Failure> {
        let stream = UnixStream::connect(path).map_err(|error| {
            let message = format!("no hark answers on {}: {error}", path.display());
            Failure::new(Kind::Usage, message)
                .hint("start one with `hark run`, or name its socket with --socket")
        })?;
        let input = stream.try_clone().map_err(|error| broken(path, &error))?;
        let connection = Connection {
            path: path.to_owned(),
            stream,
            input: BufReader::new(input),
        };
        connection.wait_for(TIMEOUT)?;
        Ok(connection)
    }

    /// Answers may take so long.
    fn wait_for(&self, timeout: Duration) -> Result<(), Failure> {
        let set = self.stream.set_read_timeout(Some(timeout));
        let set = set.and_then(|()| self.stream.set_write_timeout(Some(timeout)));
        set.map_err(|error| broken(&self.path, &error))
    }

    /// The answer to a request.
    fn ask(&mut self, request: &Value) -> Result<Value, Failure> {
        let sent = self.stream.write_all(format!("{request}\n").as_bytes());
        sent.map_err(|error| broken(&self.path, &error))?;
        let mut line = String::new();
        let read = self.input.read_line(&mut line);
        read.map_err(|error| broken(&self.path, &error))?;
        let answer: Value = serde_json::from_str(&line).map_err(|error| {
            let message = format!("{} gives no proper answer: {error}", self.path.display());
            Failure::new(Kind::Usage, message).hint("is that the socket of hark?")
        })?;
        match answer["ok"].as_bool() {
            Some(true) => Ok(answer),
            _ => {
                let error = answer["error"].as_str().unwrap_or("it gives no reason");
                Err(Failure::new(Kind::Usage, format!("not done: {error}")))
            }
        }
    }

    fn done(&mut self, what: &str) -> Result<(), Failure> {
        self.ask(&json!({ "do": what })).map(drop)
    }

    /// Passes events on until one side ends.
    fn follow(&mut self, out: &mut Out) -> Result<(), Failure> {
        self.done("events")?;
        let forever = self.stream.set_read_timeout(None);
        forever.map_err(|error| broken(&self.path, &error))?;
        let mut line = String::new();
        loop {
            line.clear();
            match self.input.read_line(&mut line) {
                Ok(0) => return Ok(()),
                Ok(_) => {
                    out.write(&line)?;
                    out.flush()?;
                }
                Err(error) => return Err(broken(&self.path, &error)),
            }
        }
    }
}

fn broken(path: &Path, error: &std::io::Error) -> Failure {
    let message = format!("hark does not answer on {}: {error}", path.display());
    Failure::new(Kind::Usage, message)
}

/// The status for people.
fn words(status: &Value) -> String {
    let text = |key: &str| status[key].as_str().unwrap_or("none").to_owned();
    let number = |key: &str| status["numbers"][key].as_u64().unwrap_or_default();
    let seconds = |key: &str| number(key) / 16_000;
    let timing = |key: &str| {
        let timing = &status["numbers"][key];
        let ms = |key: &str| timing[key].as_f64().unwrap_or_default();
        format!(
            "{:.0} ms on average, {:.0} ms at most",
            ms("mean_ms"),
            ms("max_ms")
        )
    };
    let restarts = ["front", "recogniser", "control"];
    let restarts: u64 = restarts
        .map(|s| number(&format!("{s}_restarts_total")))
        .iter()
        .sum();
    let mut lines = vec![
        format!(
            "hark {}, process {}, for {}",
            text("version"),
            status["pid"],
            duration(status["uptime_s"].as_u64().unwrap_or_default())
        ),
        text("state"),
        format!("configuration  {}", text("config")),
        format!("model          {}", text("model")),
        format!(
            "heard          {}, {} lost in {} gaps; {} overruns",
            duration(seconds("samples_total")),
            duration(seconds("gap_samples_total")),
            number("gaps_total"),
            number("audio_overruns_total")
        ),
        format!(
            "devices        {} times lost, {} times recovered",
            number("devices_lost_total"),
            number("devices_recovered_total")
        ),
        format!(
            "understood     {} utterances, {} commands, {} rejected",
            number("finals_total"),
            number("commands_total"),
            number("rejected_total")
        ),
        format!(
            "actions        {} done, {} failed",
            number("actions_ok_total"),
            number("actions_failed_total")
        ),
        format!("captions       {}", timing("step_seconds")),
        format!("last words     {}", timing("final_seconds")),
    ];
    if restarts > 0 {
        lines.push(format!(
            "bugs           {restarts} times a stage was replaced"
        ));
    }
    lines.join("\n") + "\n"
}

/// Seconds for people: `3 h 12 min`.
fn duration(s: u64) -> String {
    match s {
        0..60 => format!("{s} s"),
        60..3_600 => format!("{} min {} s", s / 60, s % 60),
        3_600..86_400 => format!("{} h {} min", s / 3_600, s % 3_600 / 60),
        _ => format!("{} d {} h", s / 86_400, s % 86_400 / 3_600),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::daemon::Situation;

    #[test]
    fn durations_are_read_at_a_glance() {
        let all = [5, 65, 3_720, 90_000].map(duration);
        assert_eq!(all, ["5 s", "1 min 5 s", "1 h 2 min", "1 d 1 h"]);
    }

    #[test]
    fn the_status_has_every_number_that_is_shown() {
        let status = Situation::default().as_json();
        let numbers = status["numbers"].as_object().cloned().unwrap_or_default();
        let shown = include_str!("ctl.rs")
            .split("fn duration")
            .next()
            .unwrap_or_default();
        let mut n = 0;
        for name in shown
            .split('"')
            .filter(|word| word.ends_with("_total") || word.ends_with("_seconds"))
        {
            n += 1;
            assert!(name.contains('{') || numbers.contains_key(name), "{name}");
        }
        assert!(n > 10);
        assert!(words(&status).contains("0 commands"));
    }
}
