//! The time that goes on while the machine sleeps and that nobody sets, and the one that stands still
//! then.

use std::sync::OnceLock;
use std::time::{Instant, SystemTime, UNIX_EPOCH};

use rustix::time::{ClockId, clock_gettime};

#[cfg(any(target_os = "linux", target_os = "android"))]
const CLOCK: ClockId = ClockId::Boottime;
/// On a Mac this one counts sleep, too.
#[cfg(not(any(target_os = "linux", target_os = "android")))]
const CLOCK: ClockId = ClockId::Monotonic;

/// The same moment on both clocks, in seconds: what was written down by the calendar in an earlier
/// run is translated by it.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Moment {
    /// Since some time before this run, sleep included.
    pub(crate) clock_s: f64,
    /// Since 1970, as the calendar has it.
    pub(crate) unix_s: f64,
}

/// The present.
pub(crate) fn now() -> Moment {
    let since_1970 = SystemTime::now().duration_since(UNIX_EPOCH);
    Moment {
        clock_s: clock_s(),
        unix_s: since_1970.map_or(0.0, |since| since.as_secs_f64()),
    }
}

/// The present in seconds since some time before this run, sleep included.
pub(crate) fn clock_s() -> f64 {
    let time = clock_gettime(CLOCK);
    time.tv_sec as f64 + time.tv_nsec as f64 / 1e9
}

/// Seconds since some time in this run, less the time that the machine slept.
pub(crate) fn awake_s() -> f64 {
    static BEGIN: OnceLock<Instant> = OnceLock::new();
    BEGIN.get_or_init(Instant::now).elapsed().as_secs_f64()
}
