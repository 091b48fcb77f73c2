//! The time, for timers: it goes on while the machine sleeps, and nobody sets it.

use std::time::{SystemTime, UNIX_EPOCH};

use rustix::time::{ClockId, clock_gettime};

#[cfg(any(target_os = "linux", target_os = "android"))]
const CLOCK: ClockId = ClockId::Boottime;
/// On a Mac this one counts sleep, too.
#[cfg(not(any(target_os = "linux", target_os = "android")))]
const CLOCK: ClockId = ClockId::Monotonic;

/// The same moment on both clocks, in seconds: what was written down by the calendar in an earlier
/// run is translated by it.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Moment {
    /// Since some time before this run, sleep included.
    pub(super) clock_s: f64,
    /// Since 1970, as the calendar has it.
    pub(super) unix_s: f64,
}

/// The present.
pub(super) fn now() -> Moment {
    let since_1970 = SystemTime::now().duration_since(UNIX_EPOCH);
    Moment {
        clock_s: clock_s(),
        unix_s: since_1970.map_or(0.0, |since| since.as_secs_f64()),
    }
}

/// The present on the clock of the timers alone.
pub(super) fn clock_s() -> f64 {
    let time = clock_gettime(CLOCK);
    time.tv_sec as f64 + time.tv_nsec as f64 / 1e9
}
