//! Running one program to its end, or to a deadline.
//!
//! Enters: a `Command` and what it reads. Leaves: the beginning of its output. Blocks the calling
//! thread; short-lived threads feed the program and drain its output, so that it never blocks on a
//! full pipe. A process that the program leaves behind may keep them a little longer, it does not
//! keep the caller.

use std::io::{Read, Write};
use std::os::unix::fs::PermissionsExt;
use std::os::unix::process::{CommandExt, ExitStatusExt};
use std::path::Path;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use crossbeam_channel::{Receiver, RecvTimeoutError, Sender, bounded};
use rustix::process::{Pid, Signal, kill_process_group};
use thiserror::Error;

/// Most of a program's output that is kept; the rest is read and dropped.
pub(crate) const MAX_OUTPUT_BYTES: usize = 64 * 1024;
/// Time between the request to end and the order, where nobody is in a hurry.
pub(crate) const GRACE: Duration = Duration::from_millis(200);
/// How often the program is looked at while it says nothing.
const POLL: Duration = Duration::from_millis(10);
/// How long output is awaited after the program's end.
const DRAIN: Duration = Duration::from_millis(100);

/// Why a program did not succeed.
#[derive(Debug, Error)]
pub(crate) enum RunError {
    /// It could not be started.
    #[error("cannot start: {0}")]
    Start(#[source] std::io::Error),
    /// It was lost after its start.
    #[error("cannot wait for it: {0}")]
    Wait(#[source] std::io::Error),
    /// It ended with an error.
    #[error("{}", exit_message(*status, complaint))]
    Status {
        status: ExitStatus,
        output: String,
        complaint: String,
    },
    /// It took too long and was ended.
    #[error("took too long")]
    TimedOut { output: String },
    /// It was ended because that was asked for.
    #[error("ended before it was done")]
    Stopped { output: String },
}

/// How a program is run.
pub(crate) struct Run<'a> {
    /// What it finds on its standard input.
    pub(crate) input: Vec<u8>,
    /// When it has taken too long.
    pub(crate) deadline: Instant,
    /// Whether it should end now; asked every few milliseconds.
    pub(crate) stop: &'a dyn Fn() -> bool,
    /// Time it has from the request to end until it is made to.
    pub(crate) grace: Duration,
}

impl RunError {
    /// What the program wrote before.
    pub(crate) fn into_output(self) -> String {
        match self {
            RunError::Start(_) | RunError::Wait(_) => String::new(),
            RunError::Status { output, .. }
            | RunError::TimedOut { output }
            | RunError::Stopped { output } => output,
        }
    }
}

/// The status and the last line of the program's own complaint.
fn exit_message(status: ExitStatus, complaint: &str) -> String {
    let status = match status.signal() {
        Some(signal) => format!("ended by signal {signal}"),
        None => status.to_string(),
    };
    match complaint.lines().rev().find(|line| !line.trim().is_empty()) {
        Some(line) => format!("{status}: {}", line.trim()),
        None => status,
    }
}

/// Runs `command`, in a process group of its own, until it ends, its time is over or it is stopped;
/// in the last two cases its whole group is ended.
pub(crate) fn run(command: &mut Command, how: Run<'_>) -> Result<String, RunError> {
    let input = match how.input.is_empty() {
        true => Stdio::null(),
        false => Stdio::piped(),
    };
    command
        .process_group(0)
        .stdin(input)
        .stdout(Stdio::piped())
        .stderr(Stdio::piped());
    let mut child = command.spawn().map_err(RunError::Start)?;
    let (done, drained) = bounded(0);
    feed(child.stdin.take(), how.input);
    let output = drain(child.stdout.take(), done.clone());
    let complaint = drain(child.stderr.take(), done);
    let ended = await_end(&mut child, how.deadline, how.stop, &drained);
    if ended.is_err() || matches!(ended, Ok(End::TimedOut | End::Stopped)) {
        end_group(&mut child, how.grace);
    }
    // Both senders are gone once both pipes are closed.
    let _ = drained.recv_timeout(DRAIN);
    let output = output.text();
    match ended.map_err(RunError::Wait)? {
        End::Status(status) if status.success() => Ok(output),
        End::Status(status) => Err(RunError::Status {
            status,
            output,
            complaint: complaint.text(),
        }),
        End::TimedOut => Err(RunError::TimedOut { output }),
        End::Stopped => Err(RunError::Stopped { output }),
    }
}

/// Whether there is such a program: a path, or a name in `$PATH`.
pub(crate) fn can_run(program: &str) -> bool {
    let is_program = |path: &Path| {
        let found = path.metadata();
        found.is_ok_and(|found| found.is_file() && found.permissions().mode() & 0o111 != 0)
    };
    if program.contains('/') {
        return is_program(Path::new(program));
    }
    let path = std::env::var_os("PATH").unwrap_or_default();
    std::env::split_paths(&path).any(|folder| is_program(&folder.join(program)))
}

enum End {
    Status(ExitStatus),
    TimedOut,
    Stopped,
}

fn await_end(
    child: &mut Child,
    deadline: Instant,
    stop: &dyn Fn() -> bool,
    drained: &Receiver<()>,
) -> std::io::Result<End> {
    let mut poll = Duration::from_millis(1);
    let mut is_open = true;
    loop {
        if let Some(status) = child.try_wait()? {
            return Ok(End::Status(status));
        }
        if stop() {
            return Ok(End::Stopped);
        }
        let now = Instant::now();
        if now >= deadline {
            return Ok(End::TimedOut);
        }
        let pause = poll.min(deadline - now);
        // The end of the output is usually the end of the program: look again at once.
        if !is_open {
            std::thread::sleep(pause);
        } else if drained.recv_timeout(pause) == Err(RecvTimeoutError::Disconnected) {
            is_open = false;
            poll = Duration::from_millis(1);
            continue;
        }
        poll = (poll * 2).min(POLL);
    }
}

/// Asks the group of `child` to end, then makes it.
fn end_group(child: &mut Child, grace: Duration) {
    // The child is its group's leader; until it is waited for, its number cannot be taken.
    let Some(group) = i32::try_from(child.id()).ok().and_then(Pid::from_raw) else {
        return;
    };
    // Errors mean that the group is gone already, which is what is wanted.
    let _ = kill_process_group(group, Signal::TERM);
    let started = Instant::now();
    while started.elapsed() < grace && is_running(child) {
        std::thread::sleep(Duration::from_millis(5));
    }
    let _ = kill_process_group(group, Signal::KILL);
    let _ = child.wait();
}

/// Whether `child` still runs, without reaping it: `end_group` needs its number a little longer.
fn is_running(child: &Child) -> bool {
    use rustix::process::{WaitId, WaitIdOptions, waitid};
    let Some(pid) = i32::try_from(child.id()).ok().and_then(Pid::from_raw) else {
        return false;
    };
    let options = WaitIdOptions::EXITED | WaitIdOptions::NOHANG | WaitIdOptions::NOWAIT;
    matches!(waitid(WaitId::Pid(pid), options), Ok(None))
}

/// The beginning of what a pipe delivered so far.
#[derive(Clone, Default)]
struct Kept(Arc<Mutex<Vec<u8>>>);

impl Kept {
    fn text(&self) -> String {
        let bytes = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        String::from_utf8_lossy(&bytes).into_owned()
    }

    fn add(&self, bytes: &[u8]) {
        let mut kept = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let room = MAX_OUTPUT_BYTES - kept.len();
        kept.extend_from_slice(&bytes[..bytes.len().min(room)]);
    }
}

/// Writes `input` on a thread of its own: the program may read it late, or never.
fn feed(pipe: Option<impl Write + Send + 'static>, input: Vec<u8>) {
    let Some(mut pipe) = pipe else { return };
    // A program that ends without having read everything is no error.
    let write = move || drop(pipe.write_all(&input));
    if let Err(error) = std::thread::Builder::new()
        .name("program-input".to_owned())
        .spawn(write)
    {
        log::warn!("a program gets no input: {error}");
    }
}

/// Reads `pipe` to its end on a thread of its own, which drops `_done` then.
fn drain(pipe: Option<impl Read + Send + 'static>, _done: Sender<()>) -> Kept {
    let kept = Kept::default();
    let Some(mut pipe) = pipe else { return kept };
    let sink = kept.clone();
    let read = move || {
        let _done = _done;
        let mut buffer = [0u8; 4096];
        while let Ok(n @ 1..) = pipe.read(&mut buffer) {
            sink.add(&buffer[..n]);
        }
    };
    if let Err(error) = std::thread::Builder::new()
        .name("program-output".to_owned())
        .spawn(read)
    {
        log::warn!("the output of a program is lost: {error}");
    }
    kept
}
