//! Whether a device still delivers.

use std::time::{Duration, Instant};

use super::AudioError;
use super::ring::CaptureCounters;

/// A device that has just been opened may take so long to begin; Bluetooth takes seconds.
const FIRST_SOUND: Duration = Duration::from_secs(5);

/// What to do about a device that delivers nothing but zeros.
pub const ZEROS_ADVICE: &str = if cfg!(target_os = "macos") {
    "it is muted, or this program may not use the microphone: System Settings, Privacy & Security, \
     Microphone"
} else {
    "it is muted or switched off: look at the sound settings, or at alsamixer (F4, then space)"
};

/// Watches the deliveries of a device that was just opened.
pub(super) struct Stall {
    allowed: Duration,
    opened: Instant,
    last_sound: Option<Instant>,
}

impl Stall {
    /// A device that may deliver nothing for so long once it has begun.
    pub(super) fn new(stall_ms: u64) -> Self {
        Stall {
            allowed: Duration::from_millis(stall_ms),
            opened: Instant::now(),
            last_sound: None,
        }
    }

    /// It has delivered something.
    pub(super) fn delivered(&mut self) {
        self.last_sound = Some(Instant::now());
    }

    /// The error for a device that delivers no more, if so.
    pub(super) fn lost(&self, name: &str, counters: &CaptureCounters) -> Option<AudioError> {
        let (since, allowed) = match self.last_sound {
            Some(last_sound) => (last_sound, self.allowed),
            None => (self.opened, self.allowed.max(FIRST_SOUND)),
        };
        let detail = match counters.fault() {
            Some(fault) => fault.describe().to_owned(),
            None if since.elapsed() > allowed => {
                format!("it has delivered nothing for {} ms", allowed.as_millis())
            }
            None => return None,
        };
        Some(AudioError::DeviceLost {
            name: name.to_owned(),
            detail,
        })
    }
}
