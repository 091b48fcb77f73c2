//! Audio in: files, standard input and microphones, as one kind of stream; and out ([`Player`]).
//!
//! In: a [`SourceSpec`]. Out: mono samples at 16 kHz in −1…1, in pieces ([`AudioSource::read`]).
//! A source runs on the thread that reads it; only a microphone has a second thread, the sound
//! system's callback, which writes to a ring and counts; that of an output device reads one. Memory is
//! bounded: nothing here holds a whole recording except [`decode_file`], which was asked to.

mod capture;
#[cfg(feature = "mic")]
mod cards;
mod converter;
mod earcon;
mod error;
mod file;
mod front;
mod meter;
mod mic;
mod microphone;
mod mono;
#[cfg(feature = "mic")]
mod outputs;
mod packets;
mod pcm;
mod playback;
mod playback_ring;
#[cfg(all(feature = "mic", target_os = "linux"))]
mod pulse;
mod resample;
mod ring;
mod stall;
mod stdin;
mod wav;

use std::io::Cursor;
use std::path::{Path, PathBuf};

use crate::event::{DeviceState, GapReason};
use crate::stats::Stats;

pub use capture::{
    Capture, CaptureConfig, CaptureFormat, CaptureStream, DeviceInfo, list_devices, sound_server,
    sound_server_secrets,
};
pub use earcon::{Clip, Tone};
pub use error::AudioError;
pub use file::FileSource;
pub use front::{Front, FrontOptions};
pub use meter::{Loudness, Meter, Reading};
pub use mic::MicSource;
pub use microphone::{Host, Microphone, System};
pub use mono::{ChannelChoice, to_mono};
pub(crate) use pcm::PcmReader;
pub use pcm::{PcmFormat, PcmSource, PcmSpec};
pub use playback::{PlaybackConfig, Played, Player, list_outputs, output_device};
pub use resample::Resampler;
pub use ring::{CaptureCounters, CaptureStats, Fault, RingReader, RingWriter, capture_ring};
pub use stall::ZEROS_ADVICE;
pub use stdin::{StdinFormat, open_stdin};
pub use wav::{wav_bytes, write_wav};

/// The lowest sample rate that is believed.
pub const MIN_RATE_HZ: u32 = 1_000;
/// The highest sample rate that is believed.
pub const MAX_RATE_HZ: u32 = 384_000;
/// The highest number of channels that is believed.
pub const MAX_CHANNELS: usize = 64;

/// Most samples that one [`AudioSource::read`] appends: 100 ms.
pub(crate) const READ_SAMPLES: usize = 1_600;

/// Where audio comes from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum SourceSpec {
    /// A recording.
    File(PathBuf),
    /// Standard input.
    Stdin(StdinFormat),
    /// A microphone, by its name or a part of it, or `default`.
    Mic(String),
}

impl SourceSpec {
    /// What is named on the command line: `-`, `mic`, `mic:NAME` or a file. `raw` describes the
    /// samples on standard input if they have no header.
    pub fn from_argument(argument: &str, raw: Option<PcmSpec>) -> Self {
        match argument {
            "-" => SourceSpec::Stdin(raw.map_or(StdinFormat::Wav, StdinFormat::Raw)),
            "mic" => SourceSpec::Mic("default".into()),
            other => match other.strip_prefix("mic:") {
                Some(name) => SourceSpec::Mic(name.into()),
                None => SourceSpec::File(other.into()),
            },
        }
    }
}

/// What comes next in a stream.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Heard {
    /// Samples were appended: at least one, at most 100 ms of them.
    Samples,
    /// Nothing yet; only a microphone says so, and only after it has waited a while.
    Nothing,
    /// So many samples (at 16 kHz) are missing here.
    Gap {
        /// How many.
        n_samples: u64,
        /// Why.
        reason: GapReason,
    },
    /// The device went away, or another one or the same is there.
    Device {
        /// What happened.
        state: DeviceState,
        /// Name of the device.
        name: String,
    },
    /// The end; it stays the end.
    End,
}

/// A stream of mono samples at 16 kHz.
pub trait AudioSource: Send {
    /// Appends samples to `out`, or says what else comes next. A live source gives what is there,
    /// and waits only when nothing is.
    fn read(&mut self, out: &mut Vec<f32>) -> Result<Heard, AudioError>;

    /// Length of the whole stream, where it is known beforehand. It may be a little wrong.
    fn duration_s(&self) -> Option<f64>;

    /// Name of the device that is heard, if it is one.
    fn device(&self) -> Option<&str> {
        None
    }

    /// Listens in another way from now on; recordings do not.
    fn reconfigure(&mut self, _config: &CaptureConfig) {}
}

/// Opens a source; a microphone in the usual way.
pub fn open(spec: &SourceSpec) -> Result<Box<dyn AudioSource>, AudioError> {
    match spec {
        SourceSpec::File(path) => Ok(Box::new(FileSource::open(path)?)),
        SourceSpec::Stdin(format) => open_stdin(*format),
        SourceSpec::Mic(name) => {
            let config = CaptureConfig::of_device(name);
            Ok(Box::new(Microphone::open(&config, &Stats::default())?))
        }
    }
}

/// A whole recording as mono samples at 16 kHz.
pub fn decode_file(path: impl AsRef<Path>) -> Result<Vec<f32>, AudioError> {
    read_to_end(FileSource::open(path.as_ref())?)
}

/// The same of a coded recording in memory; `origin` is its name in messages.
pub fn decode_bytes(bytes: &'static [u8], origin: &str) -> Result<Vec<f32>, AudioError> {
    read_to_end(packets::CodedSource::open(Cursor::new(bytes), origin)?)
}

fn read_to_end(mut source: impl AudioSource) -> Result<Vec<f32>, AudioError> {
    let mut samples = Vec::new();
    while source.read(&mut samples)? != Heard::End {}
    Ok(samples)
}
