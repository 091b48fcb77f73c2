//! The request to stop, and its deadlines.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use crossbeam_channel::{Receiver, Sender, bounded};

use super::spawn;

/// From the stop to the end.
pub(super) const STOP_DEADLINE: Duration = Duration::from_millis(950);
/// From the stop until a source that does not answer is left alone.
pub(super) const SOURCE_DEADLINE: Duration = Duration::from_millis(200);
/// From the stop until a final that is being worked on is cut short.
pub(super) const FINAL_DEADLINE: Duration = Duration::from_millis(750);

/// A request to stop, made on one thread and seen on all. Clones are the same request.
#[derive(Clone)]
pub struct Stop {
    requested: Arc<AtomicBool>,
    receiver: Receiver<()>,
}

/// The other end of a [`Stop`]: requests it, by being dropped, too.
pub struct StopHandle {
    requested: Arc<AtomicBool>,
    sender: Option<Sender<()>>,
}

impl Stop {
    /// A request not made yet, and the means to make it.
    pub fn new() -> (Stop, StopHandle) {
        let (sender, receiver) = bounded(0);
        let requested = Arc::new(AtomicBool::new(false));
        let stop = Stop {
            requested: requested.clone(),
            receiver,
        };
        (
            stop,
            StopHandle {
                requested,
                sender: Some(sender),
            },
        )
    }

    /// Whether it was made.
    pub fn is_requested(&self) -> bool {
        self.requested.load(Ordering::Acquire)
    }

    /// The flag itself, for work that looks at it now and then.
    pub fn flag(&self) -> Arc<AtomicBool> {
        self.requested.clone()
    }

    /// Ends when the request is made; nothing is ever sent.
    pub(crate) fn requests(&self) -> &Receiver<()> {
        &self.receiver
    }

    /// A flag that is set when, after the request, what is being worked on must be cut short.
    pub(crate) fn deadline(&self) -> Arc<AtomicBool> {
        let flag = Arc::new(AtomicBool::new(false));
        let (requests, overdue) = (self.receiver.clone(), flag.clone());
        let watch = spawn("deadline", move || {
            let _ = requests.recv();
            thread::sleep(FINAL_DEADLINE);
            overdue.store(true, Ordering::Release);
        });
        // Without the thread, work is cut short at the request itself.
        watch.handle.map_or_else(|| self.flag(), |_| flag)
    }

    /// Waits until `deadline` or the request.
    pub(super) fn wait_until(&self, deadline: Instant) {
        // Nothing is ever sent: this ends by time or by the sender's end.
        let _ = self.receiver.recv_deadline(deadline);
    }
}

impl StopHandle {
    /// Makes the request.
    pub fn request(&mut self) {
        self.requested.store(true, Ordering::Release);
        self.sender = None;
    }
}

impl Drop for StopHandle {
    fn drop(&mut self) {
        self.request();
    }
}
