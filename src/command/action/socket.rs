//! Writes to a socket: `{ socket = "unix:/run/player.sock", payload = "pause", newline = true }`.

use std::fmt;
use std::io::{Read, Write};
use std::os::unix::net::UnixStream;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use super::job::{Attempt, Ended, Job};
use super::net::{self, MAX_ANSWER_BYTES, Patient, Timed};
use super::payload::Payload;
use super::slots::{SlotError, Slots};
use super::{ActionError, Deed};

/// Where a socket is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Address {
    /// In the file system.
    Unix(PathBuf),
    /// On a host.
    Tcp {
        /// Its name or number.
        host: String,
        /// Its port.
        port: u16,
    },
}

impl Address {
    /// The address that `unix:PATH` or `tcp:HOST:PORT` names.
    pub fn parse(text: &str) -> Option<Address> {
        if let Some(path) = text.strip_prefix("unix:") {
            let is_path = !path.is_empty() && !path.contains('\0');
            return is_path.then(|| Address::Unix(PathBuf::from(path)));
        }
        let rest = text.strip_prefix("tcp:")?;
        let (host, port) = net::host_and_port(rest.trim_start_matches("//"), None)?;
        Some(Address::Tcp { host, port })
    }
}

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Address::Unix(path) => write!(f, "unix:{}", path.display()),
            Address::Tcp { host, port } if host.contains(':') => write!(f, "tcp:[{host}]:{port}"),
            Address::Tcp { host, port } => write!(f, "tcp:{host}:{port}"),
        }
    }
}

/// Something to write to a socket.
#[derive(Clone, Debug, PartialEq)]
pub struct SocketMessage {
    /// Where.
    pub address: Address,
    /// What.
    pub payload: Payload,
    /// Whether it is one line: a line break ends it, and those in values of slots become spaces.
    pub newline: bool,
    /// How long an answer is listened to, in milliseconds.
    pub reply_ms: u64,
}

/// How long an answer is listened to by default, in milliseconds.
pub const REPLY_MS: u64 = 200;

impl Deed for SocketMessage {
    fn mention(&self, to: &mut Vec<String>) {
        self.payload.mention(to);
    }

    fn line(&self, slots: Option<&Slots>) -> Result<Vec<String>, SlotError> {
        let payload = match slots {
            Some(slots) => self.filled(slots)?,
            None => self.payload.template(),
        };
        Ok(vec![
            "socket".to_owned(),
            self.address.to_string(),
            payload.trim_end_matches('\n').to_owned(),
        ])
    }

    fn run(&self, job: &Job, attempt: &Attempt<'_>) -> Ended {
        let payload = match self.filled(&job.slots) {
            Ok(payload) => payload,
            Err(error) => return Ended::badly(error.into(), String::new()),
        };
        let (address, deadline) = (self.address.clone(), attempt.deadline);
        let patience = Duration::from_millis(self.reply_ms);
        let work = move || exchange(&address, payload.as_bytes(), patience, deadline);
        net::apart(attempt, work).into()
    }

    fn lacks(&self) -> Vec<String> {
        match &self.address {
            Address::Unix(path) if !path.exists() => {
                vec![format!("there is no socket {}", path.display())]
            }
            Address::Tcp { host, .. } if !net::is_near(host) => {
                vec![format!("what is sent to {host} can be read on the way")]
            }
            _ => Vec::new(),
        }
    }
}

impl SocketMessage {
    /// What is written.
    fn filled(&self, slots: &Slots) -> Result<String, SlotError> {
        if !self.newline {
            return self.payload.fill(slots);
        }
        // A value with a line break would be read as the next order.
        let on_a_line = |(name, value): (&String, &String)| {
            (name.clone(), value.replace(char::is_control, " "))
        };
        let slots = match &self.payload {
            Payload::Text(_) => slots.iter().map(on_a_line).collect(),
            // JSON writes line breaks as characters.
            Payload::Json(_) => slots.clone(),
        };
        Ok(self.payload.fill(&slots)? + "\n")
    }
}

/// Writes `payload` and listens to what comes back.
fn exchange(
    address: &Address,
    payload: &[u8],
    patience: Duration,
    deadline: Instant,
) -> Result<String, ActionError> {
    let target = address.to_string();
    let failed = |error| net::io_error(&target, &error);
    match address {
        Address::Unix(path) => {
            let stream = UnixStream::connect(path).map_err(failed)?;
            converse(Timed { stream, deadline }, payload, patience).map_err(failed)
        }
        #[cfg(feature = "tcp")]
        Address::Tcp { host, port } => {
            let stream = net::connect((host, *port), deadline).map_err(failed)?;
            converse(stream, payload, patience).map_err(failed)
        }
        #[cfg(not(feature = "tcp"))]
        Address::Tcp { .. } => Err(ActionError::NoFeature("tcp")),
    }
}

fn converse<S: Patient>(
    mut stream: Timed<S>,
    payload: &[u8],
    patience: Duration,
) -> std::io::Result<String> {
    stream.write_all(payload)?;
    stream.flush()?;
    // Whoever reads to the end has it now. An error means that the other side is gone already,
    // with all it wanted.
    let _ = stream.stream.finish();
    // Closing a socket before its answer is read may take back what was written. An answer that
    // does not come is no failure: many give none.
    stream.deadline = stream.deadline.min(Instant::now() + patience);
    let mut answer = Vec::new();
    let _ = stream.take(MAX_ANSWER_BYTES).read_to_end(&mut answer);
    Ok(String::from_utf8_lossy(&answer).into_owned())
}
