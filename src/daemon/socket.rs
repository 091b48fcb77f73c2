//! The control socket: other programs of the same user ask, switch and listen in.
//!
//! In: a line of JSON for each request, `{"do":"status"}`. Out: a line of JSON for each answer,
//! `{"ok":true,…}` or `{"ok":false,"error":"…"}`; after `{"do":"events"}` every event from then on.
//! Each connection has a thread; their number, the length of a line and the time for an answer to be
//! taken are bounded. Nothing here waits on the threads that listen to speech: a request is put into a
//! queue of theirs or refused, and `status` reads what they have noted.

use std::io::{self, BufRead, BufReader, Read, Write};
use std::os::unix::fs::FileTypeExt;
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use crossbeam_channel::{RecvTimeoutError, Sender, bounded};
use rustix::fs::Mode;
use serde::Deserialize;
use serde_json::{Value, json};
use thiserror::Error;

use super::{Hub, Request, Situation, prometheus};

/// Longest line of a request.
const MAX_LINE_BYTES: u64 = 4 * 1024;
/// Programs that are connected at the same time.
const MAX_CLIENTS: usize = 32;
/// Time for an answer or an event to be taken.
const WRITE_TIMEOUT: Duration = Duration::from_secs(2);
/// Time for another configuration to be read and its models to be loaded.
const RELOAD_TIMEOUT: Duration = Duration::from_secs(120);
/// Time for subscribers to take what happened last.
const FAREWELL: Duration = Duration::from_millis(100);
/// How often a subscriber is looked at while there are no events.
const ALIVE_EVERY: Duration = Duration::from_secs(5);

/// Why there is no control socket.
#[derive(Debug, Error)]
pub enum SocketError {
    /// Another program listens there.
    #[error("another hark listens on {}; give this one another control.socket", .0.display())]
    InUse(PathBuf),
    /// Something else is in its place.
    #[error("{} is no socket and is left alone; set control.socket to another path", .0.display())]
    NoSocket(PathBuf),
    /// The system refuses it.
    #[error("cannot listen on {}: {source}", path.display())]
    Bind {
        /// The socket.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
}

/// What a request may reach.
pub struct Controls {
    /// How things are.
    pub situation: Arc<Situation>,
    /// Requests to the daemon.
    pub requests: Sender<Request>,
    /// Wishes to read the configuration again; each is answered.
    pub reloads: Sender<Sender<Result<(), String>>>,
    /// The events.
    pub hub: Hub,
    /// Stops the daemon.
    pub stop: Box<dyn Fn() + Send + Sync>,
}

/// What can be asked for.
#[derive(Debug, Deserialize)]
#[serde(tag = "do", rename_all = "snake_case", deny_unknown_fields)]
enum Ask {
    Status,
    Metrics,
    Mute,
    Unmute,
    Listen {
        /// Push-to-talk on, off, or over when it is not said.
        on: Option<bool>,
    },
    Reload,
    Stop,
    Events,
}

/// A listening socket; dropped, it is gone.
pub struct ControlSocket {
    path: PathBuf,
    is_closed: Arc<AtomicBool>,
    hub: Hub,
    n_subscribers: Arc<AtomicUsize>,
}

impl ControlSocket {
    /// Listens at `path`, for its owner alone.
    ///
    /// # Errors
    /// If another program does, or something else is there, or the system refuses it.
    pub fn start(path: &Path, controls: Controls) -> Result<Self, SocketError> {
        clear(path)?;
        let failed = |source| SocketError::Bind {
            path: path.to_owned(),
            source,
        };
        // The socket must not be open to others even for a moment.
        let before = rustix::process::umask(Mode::XUSR | Mode::RWXG | Mode::RWXO);
        let bound = UnixListener::bind(path);
        rustix::process::umask(before);
        let listener = bound.map_err(failed)?;
        let is_closed = Arc::<AtomicBool>::default();
        let (hub, n_subscribers) = (controls.hub.clone(), Arc::<AtomicUsize>::default());
        let server = Server {
            controls: Arc::new(controls),
            n_clients: Arc::default(),
            n_subscribers: n_subscribers.clone(),
            is_closed: is_closed.clone(),
        };
        let thread = thread::Builder::new().name("control".to_owned());
        thread
            .spawn(move || server.accept(&listener))
            .map_err(failed)?;
        log::info!("control socket {}", path.display());
        Ok(ControlSocket {
            path: path.to_owned(),
            is_closed,
            hub,
            n_subscribers,
        })
    }
}

impl Drop for ControlSocket {
    fn drop(&mut self) {
        self.is_closed.store(true, Ordering::Release);
        // Wakes the thread that accepts.
        let _ = UnixStream::connect(&self.path);
        let _ = std::fs::remove_file(&self.path);
        // Subscribers get what happened last.
        self.hub.close();
        let deadline = Instant::now() + FAREWELL;
        while self.n_subscribers.load(Ordering::Acquire) > 0 && Instant::now() < deadline {
            thread::sleep(Duration::from_millis(2));
        }
    }
}

/// Removes the socket of a program that ended without doing so.
fn clear(path: &Path) -> Result<(), SocketError> {
    let Ok(metadata) = std::fs::symlink_metadata(path) else {
        return Ok(());
    };
    if !metadata.file_type().is_socket() {
        return Err(SocketError::NoSocket(path.to_owned()));
    }
    if UnixStream::connect(path).is_ok() {
        return Err(SocketError::InUse(path.to_owned()));
    }
    std::fs::remove_file(path).map_err(|source| SocketError::Bind {
        path: path.to_owned(),
        source,
    })
}

struct Server {
    controls: Arc<Controls>,
    n_clients: Arc<AtomicUsize>,
    n_subscribers: Arc<AtomicUsize>,
    is_closed: Arc<AtomicBool>,
}

/// A connected program; the count of them goes down with it.
struct Client {
    stream: UnixStream,
    controls: Arc<Controls>,
    n_clients: Arc<AtomicUsize>,
    n_subscribers: Arc<AtomicUsize>,
}

impl Server {
    fn accept(&self, listener: &UnixListener) {
        for stream in listener.incoming() {
            if self.is_closed.load(Ordering::Acquire) {
                return;
            }
            match stream {
                Ok(stream) => self.admit(stream),
                Err(error) => {
                    // Too many open files, perhaps; that passes.
                    log::debug!("control socket: {error}");
                    thread::sleep(Duration::from_millis(100));
                }
            }
        }
    }

    fn admit(&self, mut stream: UnixStream) {
        let _ = stream.set_write_timeout(Some(WRITE_TIMEOUT));
        if self.n_clients.load(Ordering::Relaxed) >= MAX_CLIENTS {
            let _ = answer(&mut stream, &refusal("too many programs are connected"));
            return;
        }
        let n = self.n_clients.fetch_add(1, Ordering::Relaxed) + 1;
        self.controls.situation.stats.threads.clients.set(n as u64);
        let client = Client {
            stream,
            controls: self.controls.clone(),
            n_clients: self.n_clients.clone(),
            n_subscribers: self.n_subscribers.clone(),
        };
        let thread = thread::Builder::new().name("client".to_owned());
        if let Err(error) = thread.spawn(move || client.serve()) {
            log::warn!("control socket: no thread: {error}");
        }
    }
}

impl Drop for Client {
    fn drop(&mut self) {
        let n = self.n_clients.fetch_sub(1, Ordering::Relaxed) - 1;
        self.controls.situation.stats.threads.clients.set(n as u64);
    }
}

impl Client {
    fn serve(mut self) {
        let Ok(input) = self.stream.try_clone() else {
            return;
        };
        let mut input = BufReader::new(input);
        let mut line = Vec::new();
        loop {
            line.clear();
            let read = (&mut input)
                .take(MAX_LINE_BYTES + 1)
                .read_until(b'\n', &mut line);
            if !matches!(read, Ok(1..)) {
                return;
            }
            let reply = match self.handle(&line) {
                Handled::Answer(reply) => reply,
                Handled::Subscribe => {
                    let n_subscribers = self.n_subscribers.clone();
                    n_subscribers.fetch_add(1, Ordering::AcqRel);
                    self.pass_on_events();
                    n_subscribers.fetch_sub(1, Ordering::AcqRel);
                    return;
                }
            };
            // Of a line that is too long nobody knows where it ends.
            let is_over = line.len() as u64 > MAX_LINE_BYTES;
            if answer(&mut self.stream, &reply).is_err() || is_over {
                return;
            }
        }
    }

    fn handle(&self, line: &[u8]) -> Handled {
        let numbers = &self.controls.situation.stats.threads;
        numbers.requests.count();
        let understood = match line.len() as u64 > MAX_LINE_BYTES {
            true => Err(format!("a line has more than {MAX_LINE_BYTES} bytes")),
            false => serde_json::from_slice::<Ask>(line)
                .map_err(|error| format!("not understood: {error}")),
        };
        match understood {
            Ok(Ask::Events) => Handled::Subscribe,
            Ok(ask) => Handled::Answer(self.obey(ask).unwrap_or_else(|error| refusal(&error))),
            Err(error) => {
                numbers.bad_requests.count();
                Handled::Answer(refusal(&error))
            }
        }
    }

    fn obey(&self, ask: Ask) -> Result<Value, String> {
        let controls = &self.controls;
        match ask {
            Ask::Status => {
                return Ok(json!({ "ok": true, "status": controls.situation.as_json() }));
            }
            Ask::Metrics => {
                let text = prometheus(&controls.situation.stats);
                return Ok(json!({ "ok": true, "metrics": text }));
            }
            Ask::Mute => self.request(Request::Mute(true))?,
            Ask::Unmute => self.request(Request::Mute(false))?,
            Ask::Listen { on } => self.request(Request::Push(on))?,
            Ask::Reload => self.reload()?,
            Ask::Stop => (controls.stop)(),
            // Handled before.
            Ask::Events => {}
        }
        Ok(json!({ "ok": true }))
    }

    fn request(&self, request: Request) -> Result<(), String> {
        let sent = self.controls.requests.try_send(request);
        sent.map_err(|_| "too much is asked for at once; try again".to_owned())
    }

    fn reload(&self) -> Result<(), String> {
        let (sender, outcome) = bounded(1);
        let sent = self.controls.reloads.try_send(sender);
        sent.map_err(|_| "a configuration is being read already".to_owned())?;
        let outcome = outcome.recv_timeout(RELOAD_TIMEOUT);
        outcome.unwrap_or_else(|_| Err("the configuration takes long to read".to_owned()))
    }

    fn pass_on_events(mut self) {
        let subscription = self.controls.hub.subscribe();
        if answer(&mut self.stream, &json!({ "ok": true })).is_err() {
            return;
        }
        loop {
            let n_missed = subscription.take_missed();
            let missed = json!({ "type": "missed", "events": n_missed });
            if n_missed > 0 && answer(&mut self.stream, &missed).is_err() {
                return;
            }
            match subscription.lines.recv_timeout(ALIVE_EVERY) {
                Ok(line) => {
                    if write_line(&mut self.stream, &line).is_err() {
                        return;
                    }
                }
                Err(RecvTimeoutError::Timeout) if self.is_there() => {}
                Err(_) => return,
            }
        }
    }

    /// Whether the other side is still connected. What it says now is not read.
    fn is_there(&mut self) -> bool {
        let waits = self.stream.set_read_timeout(Some(Duration::from_millis(1)));
        match waits.and_then(|()| self.stream.read(&mut [0; 256])) {
            Ok(n) => n > 0,
            Err(error) => matches!(
                error.kind(),
                io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut
            ),
        }
    }
}

enum Handled {
    Answer(Value),
    Subscribe,
}

fn refusal(error: &str) -> Value {
    json!({ "ok": false, "error": error })
}

fn answer(to: &mut UnixStream, value: &Value) -> io::Result<()> {
    write_line(to, &value.to_string())
}

fn write_line(to: &mut UnixStream, line: &str) -> io::Result<()> {
    to.write_all(format!("{line}\n").as_bytes())
}

#[cfg(test)]
#[path = "socket_tests.rs"]
#[allow(clippy::unwrap_used)]
mod tests;
