//! Output devices through cpal: which there are, and playing on one in its own format.
//!
//! In: the name of a device. Out: a running stream whose callback reads the ring. The callback runs on a
//! thread of the sound system: it reads the ring, converts numbers and counts; it never locks, logs,
//! allocates or waits. Everything else happens on the caller's thread.

use std::sync::Arc;
use std::time::Duration;

use cpal::traits::{DeviceTrait, HostTrait, StreamTrait};
use cpal::{
    BufferSize, Device, ErrorKind, FromSample, OutputCallbackInfo, SampleFormat, SizedSample,
    StreamConfig, SupportedStreamConfig,
};
use log::{debug, info};

use super::AudioError;
use super::capture::{DeviceInfo, find_named, frames_of_ms, is_default};
use super::cards::{
    DEVICE_POLL, OpenStream, Quiet, buffer_size, check_format, device_error, device_id,
    device_name, fault_of, format_lines, host, with_buffer, without,
};
use super::playback::{OutputStream, PlaybackConfig, RING_MS};
use super::playback_ring::{PlaybackCounters, PlaybackReader, playback_ring};

/// Sound that the device takes at once. Two of these wait in it at most, which nothing can take back:
/// short, so that it is soon silent.
const BUFFER_MS: u32 = 20;
/// ALSA's devices that play nothing, or the same ones once more under another name.
const NO_OUTPUTS: [&str; 12] = [
    "null",
    "lavrate",
    "samplerate",
    "speexrate",
    "speex",
    "upmix",
    "vdownmix",
    "oss",
    "jack",
    "dmix",
    "surround",
    "front",
];

/// Opens the device that `config` names, in its own format, and starts it.
pub(super) fn open(config: &PlaybackConfig) -> Result<OutputStream, AudioError> {
    let _quiet = Quiet::new();
    let device = find_device(&config.device)?;
    let name = device_name(&device);
    let supported = default_config(&device, &config.device)?;
    let mut format = check_format(&name, &supported)?;
    let counters = Arc::new(PlaybackCounters::default());
    let n_ring_frames = frames_of_ms(format.rate_hz, RING_MS).max(1);
    let stream = |buffer| {
        let (writer, reader) = playback_ring(
            n_ring_frames,
            format.n_channels,
            format.rate_hz,
            counters.clone(),
        );
        let stream = start(&device, &supported, buffer, (reader, counters.clone()))?;
        Ok::<_, cpal::Error>((stream, writer))
    };
    let wanted = buffer_size(&supported, frames_of_ms(format.rate_hz, BUFFER_MS));
    let (stream, writer) = with_buffer(&name, wanted, stream)?;
    format.buffer_frames = stream.buffer_size().ok();
    info!(
        "playing on `{name}`: {format}, {} frames at once",
        format.buffer_frames.map_or("?".into(), |n| n.to_string())
    );
    Ok(OutputStream {
        name,
        format,
        writer,
        counters,
        _stream: Box::new(OpenStream::of(stream)),
    })
}

/// The output devices of this machine, the default one first.
pub(super) fn list() -> Result<Vec<DeviceInfo>, AudioError> {
    let _quiet = Quiet::new();
    let host = host()?;
    let default = host.default_output_device();
    let mut listed: Vec<DeviceInfo> = Vec::new();
    for device in default.iter().cloned().chain(output_devices(&host)?) {
        let id = device_id(&device);
        if listed.iter().any(|known| known.id == id) {
            continue;
        }
        // A device that cannot be asked cannot be played on either.
        match device.default_output_config() {
            Ok(supported) => listed.push(info_of(
                &device,
                &supported,
                default.as_ref() == Some(&device),
            )),
            Err(error) => debug!("audio device {id} cannot be opened for output: {error}"),
        }
    }
    Ok(listed)
}

/// The device that `config` names, which is opened and closed again.
pub(super) fn describe(config: &PlaybackConfig) -> Result<DeviceInfo, AudioError> {
    let _quiet = Quiet::new();
    let device = find_device(&config.device)?;
    let supported = default_config(&device, &config.device)?;
    check_format(&device_name(&device), &supported)?;
    Ok(info_of(&device, &supported, is_default(&config.device)))
}

fn info_of(device: &Device, supported: &SupportedStreamConfig, is_default: bool) -> DeviceInfo {
    let name = device_name(device);
    let ranges = device.supported_output_configs();
    DeviceInfo {
        is_default,
        default_format: check_format(&name, supported).ok(),
        formats: ranges.map_or_else(|_| Vec::new(), format_lines),
        id: device_id(device),
        name,
    }
}

/// The host's output devices without ALSA's plug-ins that are no devices.
fn output_devices(host: &cpal::Host) -> Result<Vec<Device>, AudioError> {
    let devices = host.output_devices().map_err(|error| AudioError::Host {
        detail: error.to_string(),
    })?;
    Ok(without(&NO_OUTPUTS, devices))
}

/// The device of that name: exactly, or else the first that contains it, in any case.
fn find_device(wanted: &str) -> Result<Device, AudioError> {
    let host = host()?;
    if is_default(wanted) {
        return host.default_output_device().ok_or(AudioError::NoOutput);
    }
    let devices = output_devices(&host)?;
    find_named(&devices, wanted, |d| [device_id(d), device_name(d)])
        .cloned()
        .ok_or_else(|| AudioError::UnknownOutput {
            name: wanted.into(),
        })
}

/// Some hosts name a default device even where there is none at all.
fn default_config(device: &Device, wanted: &str) -> Result<SupportedStreamConfig, AudioError> {
    let config = device.default_output_config();
    config.map_err(|error| match error.kind() {
        ErrorKind::DeviceNotAvailable if is_default(wanted) => AudioError::NoOutput,
        _ => device_error(&device_name(device), &error),
    })
}

/// Builds the stream for the device's sample format and starts it.
fn start(
    device: &Device,
    supported: &SupportedStreamConfig,
    buffer_size: BufferSize,
    (reader, counters): (PlaybackReader, Arc<PlaybackCounters>),
) -> Result<cpal::Stream, cpal::Error> {
    let config = StreamConfig {
        buffer_size,
        ..supported.config()
    };
    let callback = Callback {
        reader,
        counters,
        rate_hz: config.sample_rate,
        n_channels: usize::from(config.channels),
    };
    let stream = match supported.sample_format() {
        SampleFormat::I8 => build::<i8>(device, config, callback),
        SampleFormat::I16 => build::<i16>(device, config, callback),
        SampleFormat::I24 => build::<cpal::I24>(device, config, callback),
        SampleFormat::I32 => build::<i32>(device, config, callback),
        SampleFormat::I64 => build::<i64>(device, config, callback),
        SampleFormat::U8 => build::<u8>(device, config, callback),
        SampleFormat::U16 => build::<u16>(device, config, callback),
        SampleFormat::U24 => build::<cpal::U24>(device, config, callback),
        SampleFormat::U32 => build::<u32>(device, config, callback),
        SampleFormat::U64 => build::<u64>(device, config, callback),
        SampleFormat::F32 => build::<f32>(device, config, callback),
        SampleFormat::F64 => build::<f64>(device, config, callback),
        _ => Err(cpal::Error::new(ErrorKind::UnsupportedConfig)),
    }?;
    stream.play()?;
    Ok(stream)
}

fn build<T>(
    device: &Device,
    config: StreamConfig,
    mut callback: Callback,
) -> Result<cpal::Stream, cpal::Error>
where
    T: SizedSample + FromSample<f32>,
{
    let counters = callback.counters.clone();
    device.build_output_stream(
        config,
        move |frames: &mut [T], about: &OutputCallbackInfo| callback.data(frames, about),
        move |error: cpal::Error| {
            // Others say little: ALSA's plug-in for sound servers reports many while it waits for its server
            // to begin. Whether the device goes on tells.
            if let Some(fault) = fault_of(&error) {
                counters.device.set_fault(fault);
            }
        },
        Some(DEVICE_POLL),
    )
}

/// What runs on the sound system's thread.
struct Callback {
    reader: PlaybackReader,
    counters: Arc<PlaybackCounters>,
    rate_hz: u32,
    n_channels: usize,
}

impl Callback {
    fn data<T>(&mut self, frames: &mut [T], about: &OutputCallbackInfo)
    where
        T: SizedSample + FromSample<f32>,
    {
        let times = about.timestamp();
        let delay = times.playback.saturating_duration_since(times.callback);
        let n_frames = (frames.len() / self.n_channels) as u64;
        let length = Duration::from_nanos(n_frames * 1_000_000_000 / u64::from(self.rate_hz));
        self.reader
            .read(frames, (delay, length), |sample| T::from_sample_(sample));
    }
}
