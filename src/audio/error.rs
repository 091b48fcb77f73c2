//! What can go wrong with audio: one variant a cause, one line that says what, where and
//! what to do.

use std::io;

use crate::error::{Classify, Kind};

/// Why audio cannot be read or played. `origin` is the file's path or `standard input`.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum AudioError {
    /// The file cannot be opened.
    #[error("cannot open {origin}: {source}; check the path and its permissions")]
    Open {
        /// Where the audio was to come from.
        origin: String,
        /// The system's reason.
        source: io::Error,
    },
    /// The path is a folder or a device.
    #[error("{origin} is not a regular file; name a recording")]
    NotAFile {
        /// Where the audio was to come from.
        origin: String,
    },
    /// Reading failed half-way.
    #[error("cannot read {origin}: {source}; check the disk or the connection and try again")]
    Read {
        /// Where the audio came from.
        origin: String,
        /// The system's reason.
        source: io::Error,
    },
    /// Nothing is there: no byte, or a header and no sample.
    #[error("{origin} holds no audio; record it again or name another file")]
    Empty {
        /// Where the audio was to come from.
        origin: String,
    },
    /// The content is no audio that is understood.
    #[error(
        "{origin} is no audio that hark reads (WAV, FLAC, MP3, OGG/Vorbis, M4A/AAC); \
         convert it to WAV or FLAC first"
    )]
    NotAudio {
        /// Where the audio was to come from.
        origin: String,
    },
    /// The container is understood, what is inside is not.
    #[error(
        "the {codec} audio in {origin} is not supported; convert it to WAV, FLAC, MP3 or \
         OGG/Vorbis first"
    )]
    Codec {
        /// Where the audio came from.
        origin: String,
        /// What it is coded with.
        codec: String,
    },
    /// The header contradicts itself or nothing could be decoded.
    #[error("{origin} is damaged ({detail}); fetch or record it again")]
    Damaged {
        /// Where the audio came from.
        origin: String,
        /// What was found.
        detail: String,
    },
    /// A sample rate that no recording has.
    #[error(
        "{origin} claims a sample rate of {rate_hz} Hz, outside {min} to {max} Hz; its header is \
         wrong: fetch or record it again",
        min = super::MIN_RATE_HZ,
        max = super::MAX_RATE_HZ
    )]
    Rate {
        /// Where the audio came from.
        origin: String,
        /// The claimed rate.
        rate_hz: u32,
    },
    /// No channel, or more than any recording has.
    #[error(
        "{origin} claims {n_channels} channels, outside 1 to {max}; its header is wrong: fetch or \
         record it again",
        max = super::MAX_CHANNELS
    )]
    Channels {
        /// Where the audio came from.
        origin: String,
        /// The claimed number.
        n_channels: usize,
    },
    /// Standard input does not begin as a WAV stream does.
    #[error(
        "standard input is not a WAV stream; pipe a WAV, or name the format of raw samples with \
         --raw, for example --raw s16le,16000,1"
    )]
    StdinNotWav,
    /// The description of raw samples is wrong.
    #[error(
        "raw format `{spec}`: {problem}; write FORMAT,RATE,CHANNELS with FORMAT one of u8 s16le \
         s24le s32le f32le f64le, for example s16le,16000,1"
    )]
    RawFormat {
        /// As typed.
        spec: String,
        /// What is wrong with it.
        problem: &'static str,
    },
    /// This build has no microphone support.
    #[error("this build has no microphone support; build it with the feature `mic`")]
    NoMicSupport,
    /// This build has no sound devices to play on.
    #[error("this build has no sound devices to play on; build it with the feature `mic`")]
    NoOutputSupport,
    /// No output device at all.
    #[error("there is no audio output device; plug one in, and see `hark devices`")]
    NoOutput,
    /// No output device of that name.
    #[error("no audio output device matches `{name}`; `hark devices` lists those that exist")]
    UnknownOutput {
        /// As asked for.
        name: String,
    },
    /// What should be played is no WAV, or one that cannot be played.
    #[error("cannot play {origin}: {detail}; it must be a WAV of uncompressed samples")]
    NotPlayable {
        /// Where it came from.
        origin: String,
        /// What was found.
        detail: String,
    },
    /// No input device at all.
    #[error("there is no audio input device; plug one in, and see `hark devices`")]
    NoDevice,
    /// No input device of that name.
    #[error("no audio input device matches `{name}`; `hark devices` lists those that exist")]
    UnknownDevice {
        /// As asked for.
        name: String,
    },
    /// The device exists and cannot be used.
    #[error(
        "cannot use audio device `{name}`: {detail}; close what else uses it or choose another"
    )]
    DeviceUnusable {
        /// Name of the device.
        name: String,
        /// The sound system's reason.
        detail: String,
    },
    /// The device went away or delivers nothing any more.
    #[error("audio device `{name}` was lost: {detail}")]
    DeviceLost {
        /// Name of the device.
        name: String,
        /// How it showed.
        detail: String,
    },
    /// The sound server does not answer.
    #[error(
        "the sound server at {path} does not serve: {detail}; start it again (systemctl --user restart \
         pipewire-pulse, or pulseaudio), or remove that file if there is none any more"
    )]
    Server {
        /// Its socket.
        path: String,
        /// What was found.
        detail: String,
    },
    /// The sound system does not answer.
    #[error("cannot list audio devices: {detail}; check that the sound system runs")]
    Host {
        /// The sound system's reason.
        detail: String,
    },
}

impl Classify for AudioError {
    fn kind(&self) -> Kind {
        match self {
            AudioError::RawFormat { .. } => Kind::Usage,
            AudioError::NoMicSupport
            | AudioError::NoOutputSupport
            | AudioError::NoOutput
            | AudioError::UnknownOutput { .. }
            | AudioError::NoDevice
            | AudioError::UnknownDevice { .. }
            | AudioError::DeviceUnusable { .. }
            | AudioError::DeviceLost { .. }
            | AudioError::Server { .. }
            | AudioError::Host { .. } => Kind::Device,
            _ => Kind::Input,
        }
    }
}
