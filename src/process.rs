//! Running one program to its end, or to a deadline.
//!
//! Enters: a `Command` and what it reads. Leaves: the beginning of its output ([`run`]), or all of it as
//! it comes ([`Piped`]). Blocks the calling thread; short-lived threads feed the program and drain its output, so that it never blocks on a
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

/// Pieces of output, and bytes of one, that wait for whoever reads them; then the program waits.
const MAX_PIECES: usize = 4;
const PIECE_BYTES: usize = 16 * 1024;
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
    let mut child = spawn(command, how.input)?;
    let (done, drained) = bounded(0);
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

/// A program whose output is read as it comes. Dropping it leaves the program to end by itself: what
/// must be over is ended by [`Piped::finish`].
pub(crate) struct Piped<'a> {
    child: Child,
    how: Run<'a>,
    pieces: Receiver<Vec<u8>>,
    /// What is left of the last piece, from this byte on.
    piece: Vec<u8>,
    at: usize,
    is_drained: bool,
    complaint: Kept,
    drained: Receiver<()>,
}

impl<'a> Piped<'a> {
    /// Starts `command` in a process group of its own.
    pub(crate) fn start(command: &mut Command, mut how: Run<'a>) -> Result<Self, RunError> {
        let input = std::mem::take(&mut how.input);
        let mut child = spawn(command, input)?;
        let (done, drained) = bounded(0);
        let pieces = hand_out(child.stdout.take(), done.clone());
        let complaint = drain(child.stderr.take(), done);
        Ok(Piped {
            child,
            how,
            pieces,
            piece: Vec::new(),
            at: 0,
            is_drained: false,
            complaint,
            drained,
        })
    }

    fn is_over(&self) -> bool {
        (self.how.stop)() || Instant::now() >= self.how.deadline
    }

    /// Whether all of the output was read.
    pub(crate) fn is_drained(&self) -> bool {
        self.is_drained
    }

    /// Waits for the program's end; what it still writes is dropped. Its whole group is ended when its
    /// time is over or it is stopped.
    pub(crate) fn finish(self) -> Result<(), RunError> {
        let Piped {
            mut child,
            how,
            pieces,
            complaint,
            drained,
            ..
        } = self;
        drop(pieces);
        let ended = await_end(&mut child, how.deadline, how.stop, &drained);
        if !matches!(ended, Ok(End::Status(_))) {
            end_group(&mut child, how.grace);
        }
        let _ = drained.recv_timeout(DRAIN);
        let output = String::new();
        match ended.map_err(RunError::Wait)? {
            End::Status(status) if status.success() => Ok(()),
            End::Status(status) => Err(RunError::Status {
                status,
                output,
                complaint: complaint.text(),
            }),
            End::TimedOut => Err(RunError::TimedOut { output }),
            End::Stopped => Err(RunError::Stopped { output }),
        }
    }

    /// Ends the program's whole group now.
    pub(crate) fn end(mut self) {
        end_group(&mut self.child, self.how.grace);
    }
}

impl Read for Piped<'_> {
    /// What the program has written, as soon as there is something; nothing after its end, its deadline
    /// or the stop.
    fn read(&mut self, out: &mut [u8]) -> std::io::Result<usize> {
        while self.at == self.piece.len() {
            if self.is_over() {
                return Ok(0);
            }
            match self.pieces.recv_timeout(POLL) {
                Ok(piece) => (self.piece, self.at) = (piece, 0),
                Err(RecvTimeoutError::Timeout) => {}
                Err(RecvTimeoutError::Disconnected) => {
                    self.is_drained = true;
                    return Ok(0);
                }
            }
        }
        let n = out.len().min(self.piece.len() - self.at);
        out[..n].copy_from_slice(&self.piece[self.at..self.at + n]);
        self.at += n;
        Ok(n)
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

/// Starts `command`, which finds `input` on its standard input.
fn spawn(command: &mut Command, input: Vec<u8>) -> Result<Child, RunError> {
    let stdin = match input.is_empty() {
        true => Stdio::null(),
        false => Stdio::piped(),
    };
    command
        .process_group(0)
        .stdin(stdin)
        .stdout(Stdio::piped())
        .stderr(Stdio::piped());
    let mut child = command.spawn().map_err(RunError::Start)?;
    feed(child.stdin.take(), input);
    Ok(child)
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

/// Hands out what `pipe` delivers on a thread of its own, which drops `_done` at its end. The program
/// waits for whoever reads the pieces; when nobody does any more, the rest is read and dropped.
fn hand_out(pipe: Option<impl Read + Send + 'static>, _done: Sender<()>) -> Receiver<Vec<u8>> {
    let (sender, pieces) = bounded(MAX_PIECES);
    let Some(mut pipe) = pipe else { return pieces };
    let read = move || {
        let _done = _done;
        let mut buffer = vec![0u8; PIECE_BYTES];
        while let Ok(n @ 1..) = pipe.read(&mut buffer) {
            // An error means that nobody reads it.
            let _ = sender.send(buffer[..n].to_vec());
        }
    };
    if let Err(error) = std::thread::Builder::new()
        .name("program-output".to_owned())
        .spawn(read)
    {
        log::warn!("the output of a program is lost: {error}");
    }
    pieces
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    fn shell(line: &str) -> Command {
        let mut command = Command::new("sh");
        command.args(["-c", line]);
        command
    }

    fn how(stop: &dyn Fn() -> bool) -> Run<'_> {
        Run {
            input: b"given\n".to_vec(),
            deadline: Instant::now() + Duration::from_secs(20),
            stop,
            grace: Duration::from_millis(50),
        }
    }

    #[test]
    fn output_comes_while_the_program_still_runs() {
        let folder = tempfile::tempdir().unwrap();
        let go_on = folder.path().join("go-on");
        let line = format!(
            "cat; until [ -e {} ]; do sleep 0.01; done; echo rest",
            go_on.display()
        );
        let mut piped = Piped::start(&mut shell(&line), how(&|| false)).unwrap();
        let mut out = [0; 100];
        // In two reads: the first asks for less than there is.
        assert_eq!(piped.read(&mut out[..2]).unwrap(), 2);
        assert_eq!(piped.read(&mut out[2..]).unwrap(), 4);
        assert_eq!(&out[..6], b"given\n");
        std::fs::write(go_on, "").unwrap();
        let mut rest = String::new();
        piped.read_to_string(&mut rest).unwrap();
        assert_eq!(rest, "rest\n");
        assert!(piped.is_drained());
        piped.finish().unwrap();
    }

    #[test]
    fn output_that_nobody_reads_is_bounded_and_keeps_nobody() {
        let mut piped = Piped::start(&mut shell("yes | head -c 4000000"), how(&|| false)).unwrap();
        let mut out = [0; 10];
        assert_eq!(piped.read(&mut out).unwrap(), 10);
        assert!(!piped.is_drained());
        piped.finish().unwrap();
        let failing = Piped::start(&mut shell("echo no >&2; exit 3"), how(&|| false)).unwrap();
        let error = failing.finish().unwrap_err().to_string();
        assert_eq!(error, "exit status: 3: no");
    }

    #[test]
    fn a_stop_ends_reading_and_the_program() {
        let begun = Instant::now();
        let stop = || begun.elapsed() > Duration::from_millis(50);
        let line = "trap '' TERM; sleep 30; sleep 30";
        let mut piped = Piped::start(&mut shell(line), how(&stop)).unwrap();
        assert_eq!(piped.read(&mut [0; 10]).unwrap(), 0);
        assert!(!piped.is_drained());
        assert!(matches!(piped.finish(), Err(RunError::Stopped { .. })));
        assert!(begun.elapsed() < Duration::from_secs(5));
    }
}
