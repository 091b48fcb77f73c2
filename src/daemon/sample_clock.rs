//! The present on the clock of the samples: that of the device, which runs a little faster or slower
//! than the machine's. Over weeks the difference is minutes, so the two are never compared.
//!
//! The front notes what it has read; every thread asks.

use std::sync::Mutex;
use std::time::{Duration, Instant};

use crate::dsp::SAMPLE_RATE_HZ;

/// What comes faster than the machine's clock by more is a recording that is piped in, and what waits
/// of it is not late.
const FASTEST: f64 = 1.001;

/// See the module.
#[derive(Debug)]
pub(super) struct SampleClock {
    /// Whether a device gives the pace: what it has is never ahead of time.
    is_live: bool,
    noted: Mutex<Option<Noted>>,
}

#[derive(Clone, Copy, Debug)]
struct Noted {
    /// When the first sample of all was spoken.
    began: Instant,
    /// When the latest was.
    at: Instant,
    n_samples: u64,
}

impl SampleClock {
    /// A clock before the first sample.
    pub(super) fn new(is_live: bool) -> Self {
        SampleClock {
            is_live,
            noted: Mutex::default(),
        }
    }

    /// Of all `n_samples` so far the last one was spoken at `at`.
    pub(super) fn note(&self, n_samples: u64, at: Instant) {
        let mut noted = self.noted.lock().unwrap_or_else(|e| e.into_inner());
        let spoken = Duration::from_secs_f64(seconds(n_samples));
        let began = noted.map_or_else(|| at.checked_sub(spoken).unwrap_or(at), |n| n.began);
        *noted = Some(Noted {
            began,
            at,
            n_samples,
        });
    }

    /// Seconds of audio that had been spoken at `at`; none before the first sample was noted.
    pub(super) fn at(&self, at: Instant) -> Option<f64> {
        let noted = *self.noted.lock().unwrap_or_else(|e| e.into_inner());
        let since = |begin: Instant| {
            let after = at.saturating_duration_since(begin).as_secs_f64();
            after - begin.saturating_duration_since(at).as_secs_f64()
        };
        noted.map(|n| {
            let spoken = seconds(n.n_samples) + since(n.at);
            let most = match self.is_live {
                true => spoken,
                false => since(n.began) * FASTEST,
            };
            spoken.min(most).max(0.0)
        })
    }
}

fn seconds(n_samples: u64) -> f64 {
    n_samples as f64 / f64::from(SAMPLE_RATE_HZ)
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    fn after(begin: Instant, s: f64) -> Instant {
        begin + Duration::from_secs_f64(s)
    }

    #[test]
    fn a_device_is_followed_however_its_clock_drifts() {
        let begin = Instant::now();
        for speed in [0.9995, 1.0, 1.0005] {
            let clock = SampleClock::new(speed > 1.0);
            assert_eq!(clock.at(begin), None);
            for hour in 0..100 {
                let s = f64::from(hour) * 3600.0 + 1.0;
                clock.note((s * speed * 16_000.0) as u64, after(begin, s));
            }
            let s = 99.0 * 3600.0 + 1.0;
            let now = clock.at(after(begin, s + 0.5)).unwrap();
            assert!((now - s * speed - 0.5).abs() < 0.01, "{speed}: {now}");
            let past = clock.at(after(begin, s - 1.0)).unwrap();
            assert!((now - past - 1.5).abs() < 0.01, "{speed}: {past}");
        }
    }

    #[test]
    fn what_is_piped_in_at_once_is_not_late() {
        let (begin, clock) = (Instant::now(), SampleClock::new(false));
        clock.note(1_600, begin);
        clock.note(60 * 16_000, after(begin, 0.1));
        assert!(clock.at(after(begin, 1.0)).unwrap() < 1.2);
    }

    #[test]
    fn what_a_device_has_at_the_beginning_is_late() {
        let (begin, clock) = (Instant::now(), SampleClock::new(true));
        clock.note(1_600, begin);
        clock.note(2 * 16_000, after(begin, 0.01));
        assert!(clock.at(after(begin, 0.01)).unwrap() > 1.99);
    }
}
