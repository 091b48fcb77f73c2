//! Sound devices: which there are, and capturing from one in its own format.
//!
//! In: the name of a device. Out: a running stream that writes interleaved samples to a ring, from a
//! thread of the sound system or of its own. On Linux that is a source of the sound server ([`super::pulse`])
//! where one runs; otherwise, and on other systems, a device of the system's ([`super::cards`]).

use std::fmt;
use std::path::PathBuf;
use std::sync::Arc;

#[cfg(all(feature = "mic", target_os = "linux"))]
use super::pulse as server;
use super::ring::{CaptureCounters, RingReader};
use super::{AudioError, FrontOptions};
#[cfg(feature = "mic")]
use super::{MAX_CHANNELS, MAX_RATE_HZ, MIN_RATE_HZ, cards};

/// What to capture from and how.
#[derive(Clone, Debug, PartialEq)]
pub struct CaptureConfig {
    /// `default`, or the name or id of a device, or a part of it.
    pub device: String,
    /// What becomes of the device's frames on their way to mono.
    pub front: FrontOptions,
    /// Sound the device collects before it delivers. Short is what makes captions prompt; too
    /// short and a busy machine misses some. Devices may choose otherwise.
    pub buffer_ms: u32,
    /// Sound that may wait to be read.
    pub ring_ms: u32,
    /// A device that delivers nothing for so long is lost.
    pub stall_ms: u64,
}

impl Default for CaptureConfig {
    fn default() -> Self {
        CaptureConfig {
            device: "default".into(),
            front: FrontOptions::default(),
            buffer_ms: 20,
            ring_ms: 2_000,
            stall_ms: 800,
        }
    }
}

impl CaptureConfig {
    /// The defaults for a device.
    pub fn of_device(device: &str) -> Self {
        CaptureConfig {
            device: device.into(),
            ..CaptureConfig::default()
        }
    }

    /// Whether the system's default device is wanted, whichever that is.
    pub(super) fn wants_default(&self) -> bool {
        is_default(&self.device)
    }
}

pub(super) fn is_default(device: &str) -> bool {
    device.is_empty() || device.eq_ignore_ascii_case("default")
}

/// The format that a device delivers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CaptureFormat {
    /// Frames a second.
    pub rate_hz: u32,
    /// Samples a frame.
    pub n_channels: usize,
    /// How the device writes a sample, for people: `i16`, `f32`.
    pub sample_format: String,
    /// Frames the device delivers at once, if it tells.
    pub buffer_frames: Option<u32>,
}

impl CaptureFormat {
    /// A format that a device claims.
    ///
    /// # Errors
    /// If no device has it.
    #[cfg(feature = "mic")]
    pub(super) fn believed(
        device: &str,
        rate_hz: u32,
        n_channels: usize,
        sample_format: String,
    ) -> Result<Self, AudioError> {
        if !(MIN_RATE_HZ..=MAX_RATE_HZ).contains(&rate_hz)
            || !(1..=MAX_CHANNELS).contains(&n_channels)
        {
            return Err(AudioError::DeviceUnusable {
                name: device.into(),
                detail: format!("it offers {n_channels} channels at {rate_hz} Hz"),
            });
        }
        Ok(CaptureFormat {
            rate_hz,
            n_channels,
            sample_format,
            buffer_frames: None,
        })
    }
}

impl fmt::Display for CaptureFormat {
    /// `48000 Hz, 2 channels, i16`
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        let channels = match self.n_channels {
            1 => "1 channel".into(),
            n => format!("{n} channels"),
        };
        write!(f, "{} Hz, {channels}, {}", self.rate_hz, self.sample_format)
    }
}

/// A device and what it can do.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DeviceInfo {
    /// Its name, for people.
    pub name: String,
    /// Its name in the sound system; the one to put into a configuration.
    pub id: String,
    /// True for the one that is used when none is named.
    pub is_default: bool,
    /// The format that would be used.
    pub default_format: Option<CaptureFormat>,
    /// All its formats, for people: `44100-48000 Hz, 1-2 channels, i16 i32`.
    pub formats: Vec<String>,
}

/// A running capture.
pub struct Capture {
    /// The device's name.
    pub name: String,
    /// The device's own format.
    pub format: CaptureFormat,
    /// Where the samples are.
    pub reader: RingReader,
    /// What the callback counts.
    pub counters: Arc<CaptureCounters>,
    /// Keeps the device open.
    pub stream: CaptureStream,
}

/// Keeps a device open; dropping it closes the device.
pub struct CaptureStream {
    _stream: Box<dyn Send>,
}

impl CaptureStream {
    #[cfg(feature = "mic")]
    pub(super) fn new(stream: impl Send + 'static) -> Self {
        CaptureStream {
            _stream: Box::new(stream),
        }
    }
}

impl Capture {
    /// Opens the device that `config` names, in its own format, and starts it: a source of the sound
    /// server where there is one, or else a device of the system's.
    ///
    /// # Errors
    /// If it is not there, or cannot be used.
    pub fn open(config: &CaptureConfig) -> Result<Capture, AudioError> {
        // What ALSA alone calls so. Any other name must not take a card that the server is about to use.
        let is_card = config.device.contains(':') || config.device == ALSA_SERVER;
        match server::open(config) {
            Ok(Some(capture)) => Ok(capture),
            Ok(None) if server::was_seen() && !is_card => Err(AudioError::NoDevice),
            Ok(None) => cards::open(config),
            Err(error) if is_card => cards::open(config).map_err(|_| error),
            Err(error) => Err(error),
        }
    }
}

/// The sound server as ALSA sees it.
const ALSA_SERVER: &str = "pulse";

/// The input devices of this machine: those of its sound server first, the default one at the head.
///
/// # Errors
/// If the sound system does not answer.
pub fn list_devices() -> Result<Vec<DeviceInfo>, AudioError> {
    match server::list()? {
        None => cards::list(),
        Some(mut devices) => {
            // ALSA's names for the server lead to the same sources.
            let is_server = |card: &DeviceInfo| {
                ["default", ALSA_SERVER, "pipewire"].contains(&card.id.as_str())
            };
            let cards = cards::list().unwrap_or_default();
            devices.extend(cards.into_iter().filter(|card| !is_server(card)));
            Ok(devices)
        }
    }
}

/// The socket of the sound server that is used, if one runs.
pub fn sound_server() -> Option<PathBuf> {
    server::socket_path()
}

/// Where the secret that lets this user into the sound server may lie.
pub fn sound_server_secrets() -> Vec<PathBuf> {
    server::cookie_paths()
}

/// Devices that are being closed, those that never finish included.
pub(super) fn n_closing() -> usize {
    cards::n_closing()
}

/// Which device is the default one now, where that must be asked: a sound server moves what listens to its
/// default device by itself.
pub(super) fn default_device() -> Option<String> {
    match server::was_seen() || sound_server().is_some() {
        true => None,
        false => cards::default_device(),
    }
}

/// The first that has this name exactly, or else the first that contains it, in any case.
#[cfg(feature = "mic")]
pub(super) fn find_named<'a, T>(
    all: &'a [T],
    wanted: &str,
    names: impl Fn(&T) -> [String; 2],
) -> Option<&'a T> {
    let wanted = wanted.to_lowercase();
    let find = |is_it: &dyn Fn(&str) -> bool| {
        let has_name = |one: &&T| names(one).iter().any(|name| is_it(&name.to_lowercase()));
        all.iter().find(has_name)
    };
    find(&|name| name == wanted).or_else(|| find(&|name| name.contains(&wanted)))
}

#[cfg(feature = "mic")]
pub(super) fn frames_of_ms(rate_hz: u32, ms: u32) -> usize {
    (u64::from(rate_hz) * u64::from(ms) / 1_000) as usize
}

/// Without a sound server.
#[cfg(not(all(feature = "mic", target_os = "linux")))]
mod server {
    use super::{AudioError, Capture, CaptureConfig, DeviceInfo};

    pub(super) fn socket_path() -> Option<std::path::PathBuf> {
        None
    }

    pub(super) fn was_seen() -> bool {
        false
    }

    pub(super) fn cookie_paths() -> Vec<std::path::PathBuf> {
        Vec::new()
    }

    pub(super) fn open(_config: &CaptureConfig) -> Result<Option<Capture>, AudioError> {
        Ok(None)
    }

    pub(super) fn list() -> Result<Option<Vec<DeviceInfo>>, AudioError> {
        Ok(None)
    }
}

/// Without sound devices.
#[cfg(not(feature = "mic"))]
mod cards {
    use super::{AudioError, Capture, CaptureConfig, DeviceInfo};

    pub(super) fn open(_config: &CaptureConfig) -> Result<Capture, AudioError> {
        Err(AudioError::NoMicSupport)
    }

    pub(super) fn list() -> Result<Vec<DeviceInfo>, AudioError> {
        Err(AudioError::NoMicSupport)
    }

    pub(super) fn default_device() -> Option<String> {
        None
    }

    pub(super) fn n_closing() -> usize {
        0
    }
}
