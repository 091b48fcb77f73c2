//! Ctrl-C and SIGTERM as a request to stop; a second one ends the program at once. SIGUSR1 as
//! push-to-talk, SIGHUP as a wish to read the configuration again.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use crossbeam_channel::{Sender, bounded};
use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM, SIGUSR1};
use signal_hook::iterator::Signals;

use super::Failure;
use super::reload::Answer;
use crate::daemon::{Request, Stop};
use crate::error::Kind;

/// Exit code of work that a signal has cut short.
pub(crate) const INTERRUPTED: u8 = 130;

/// A stop takes a second at most; after this the program is ended as it is.
const LAST_RESORT: Duration = Duration::from_millis(1_500);

/// A stop that the next Ctrl-C or SIGTERM requests.
pub(crate) struct OnSignal {
    stop: Stop,
    has_work: Arc<AtomicBool>,
}

impl OnSignal {
    /// Watches from now on. Until the work begins there is nothing to deliver, and a signal ends
    /// the program with `idle_code`: a model that is being read is not waited for.
    pub(crate) fn watch(idle_code: u8) -> Result<Self, Failure> {
        let mut signals = Signals::new([SIGINT, SIGTERM]).map_err(|error| {
            Failure::new(
                Kind::Bug,
                format!("cannot watch for Ctrl-C and SIGTERM: {error}"),
            )
        })?;
        let (stop, mut handle) = Stop::new();
        let has_work = Arc::new(AtomicBool::new(false));
        let is_working = has_work.clone();
        let watch = move || {
            let mut n_seen = 0;
            for _ in signals.forever() {
                n_seen += 1;
                if n_seen > 1 {
                    std::process::exit(i32::from(INTERRUPTED));
                }
                if !is_working.load(Ordering::Acquire) {
                    std::process::exit(i32::from(idle_code));
                }
                handle.request();
                // In case even the deadlines of the work are not kept, as when nobody takes what is
                // written.
                let _ = std::thread::Builder::new().spawn(move || {
                    std::thread::sleep(LAST_RESORT);
                    std::process::exit(i32::from(idle_code));
                });
            }
        };
        let thread = std::thread::Builder::new()
            .name("signals".to_owned())
            .spawn(watch);
        thread.map_err(|error| {
            Failure::new(
                Kind::Bug,
                format!("cannot start the thread for signals: {error}"),
            )
        })?;
        Ok(OnSignal { stop, has_work })
    }

    /// The stop itself, for what is made before the work begins.
    pub(crate) fn stop(&self) -> &Stop {
        &self.stop
    }

    /// The work begins: from now on a signal requests the stop.
    pub(crate) fn begin(&self) -> &Stop {
        self.has_work.store(true, Ordering::Release);
        &self.stop
    }
}

/// From now on each SIGUSR1 switches push-to-talk on or off.
pub(crate) fn push_to_talk(requests: Sender<Request>) -> Result<(), Failure> {
    // Whoever presses a button more often than there is room for is not waiting for an answer.
    watch(SIGUSR1, "push-to-talk", move || {
        let _ = requests.try_send(Request::Push(None));
    })
}

/// From now on each SIGHUP has the configuration read again.
pub(crate) fn hangups(reloads: Sender<Answer>) -> Result<(), Failure> {
    watch(SIGHUP, "hangups", move || {
        // Another one that waits reads the same file.
        let _ = reloads.try_send(bounded(1).0);
    })
}

/// Stops this process as SIGTERM does.
pub(crate) fn stop_self() {
    let _ = signal_hook::low_level::raise(SIGTERM);
}

fn watch(signal: i32, name: &str, mut act: impl FnMut() + Send + 'static) -> Result<(), Failure> {
    let fail = |what: &str, error: std::io::Error| {
        Failure::new(Kind::Bug, format!("cannot {what} for {name}: {error}"))
    };
    let mut signals = Signals::new([signal]).map_err(|error| fail("watch a signal", error))?;
    let thread = std::thread::Builder::new().name(name.to_owned());
    let watch = move || signals.forever().for_each(|_| act());
    let thread = thread.spawn(watch);
    thread.map_err(|error| fail("start the thread", error))?;
    Ok(())
}
