//! Whether the threads get on.
//!
//! The front says so at every piece of sound, or, while there is none, several times a second; the
//! recogniser when it begins to work on something and when it has done so, for it may rightly wait for
//! speech all day. Whoever feeds a watchdog asks before.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use crate::clock;
use crate::event::Stage;

/// It waits, or has ended: nothing is expected of it.
const IDLE: u64 = 0;

/// When each thread was last seen to get on. Time asleep does not count.
#[derive(Debug)]
pub(super) struct Health {
    front_ms: AtomicU64,
    recogniser_ms: AtomicU64,
    /// Whether there was sound, or it was found that there is none to be had.
    has_begun: std::sync::atomic::AtomicBool,
}

impl Default for Health {
    fn default() -> Self {
        Health {
            front_ms: AtomicU64::new(IDLE),
            recogniser_ms: AtomicU64::new(IDLE),
            has_begun: false.into(),
        }
    }
}

impl Health {
    /// The front gets on.
    pub(super) fn front_lives(&self) {
        self.front_ms.store(now_ms(), Ordering::Relaxed);
    }

    /// The front has ended.
    pub(super) fn front_ends(&self) {
        self.front_ms.store(IDLE, Ordering::Relaxed);
        self.begin();
    }

    /// The first sound is there, or there is no device.
    pub(super) fn begin(&self) {
        self.has_begun.store(true, Ordering::Relaxed);
    }

    /// Whether [`Health::begin`] was called.
    pub(super) fn has_begun(&self) -> bool {
        self.has_begun.load(Ordering::Relaxed)
    }

    /// The recogniser begins with something.
    pub(super) fn recogniser_works(&self) {
        self.recogniser_ms.store(now_ms(), Ordering::Relaxed);
    }

    /// It waits for something.
    pub(super) fn recogniser_waits(&self) {
        self.recogniser_ms.store(IDLE, Ordering::Relaxed);
    }

    /// Whether the recogniser has something to do.
    pub(super) fn recogniser_is_at_work(&self) -> bool {
        self.recogniser_ms.load(Ordering::Relaxed) != IDLE
    }

    /// A thread that has not got on for so long.
    pub(super) fn hung(&self, limit: Duration) -> Option<Stage> {
        let now = now_ms();
        let is_hung = |since: &AtomicU64| {
            let since = since.load(Ordering::Relaxed);
            since != IDLE && now.saturating_sub(since) > limit.as_millis() as u64
        };
        if is_hung(&self.recogniser_ms) {
            return Some(Stage::Recogniser);
        }
        is_hung(&self.front_ms).then_some(Stage::Front)
    }
}

/// Milliseconds of this run; never [`IDLE`].
fn now_ms() -> u64 {
    (clock::awake_s() * 1000.0) as u64 + 1
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn whoever_works_too_long_is_hung() {
        let health = Health::default();
        let limit = Duration::from_millis(20);
        let wait = || std::thread::sleep(Duration::from_millis(40));
        wait();
        assert_eq!(health.hung(limit), None);
        health.front_lives();
        health.recogniser_works();
        assert_eq!(health.hung(limit), None);
        wait();
        assert_eq!(health.hung(limit), Some(Stage::Recogniser));
        health.recogniser_waits();
        assert_eq!(health.hung(limit), Some(Stage::Front));
        health.front_ends();
        assert_eq!(health.hung(limit), None);
    }
}
