//! Sound devices through cpal: ALSA's on Linux, CoreAudio's on macOS.
//!
//! The callback runs on a thread of the sound system: it converts numbers, writes the ring and counts; it
//! never locks, logs, allocates or waits. Everything else happens on the caller's thread. Besides
//! [`super::outputs`] this is the only file that names cpal.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, mpsc};
use std::thread;
use std::time::Duration;

use cpal::traits::{DeviceTrait, HostTrait, StreamTrait};
use cpal::{
    BufferSize, Device, ErrorKind, FromSample, InputCallbackInfo, SampleFormat, SizedSample,
    StreamConfig, StreamInstant, SupportedBufferSize, SupportedStreamConfig,
    SupportedStreamConfigRange,
};
use log::{debug, info, warn};

use super::AudioError;
use super::capture::{
    Capture, CaptureConfig, CaptureFormat, CaptureStream, DeviceInfo, find_named, frames_of_ms,
    is_default,
};
use super::ring::{CaptureCounters, Fault, RingWriter, capture_ring};

/// How often the sound system's thread looks after a device that says nothing.
pub(super) const DEVICE_POLL: Duration = Duration::from_millis(500);
/// The longest gap believed of timestamps.
const MAX_GAP_S: f64 = 10.0;
/// ALSA's devices that are no microphones, or the same ones once more under another name.
const NO_MICROPHONES: [&str; 14] = [
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
    "iec958",
    "hdmi",
    "front",
];

/// How long a device that is being closed is waited for.
const CLOSING: Duration = Duration::from_millis(500);

/// Devices that are being closed, those that never finish included.
static N_CLOSING: AtomicUsize = AtomicUsize::new(0);

/// The number of them.
pub(super) fn n_closing() -> usize {
    N_CLOSING.load(Ordering::Relaxed)
}

/// A device that is in use; dropping it closes the device.
pub(super) struct OpenStream {
    stream: Option<cpal::Stream>,
}

impl OpenStream {
    pub(super) fn of(stream: cpal::Stream) -> Self {
        OpenStream {
            stream: Some(stream),
        }
    }
}

impl Drop for OpenStream {
    /// Closing can hang for ever: libpulse deadlocks at times when its server ended. So it
    /// is left to a thread of its own, which is given up where that happens.
    fn drop(&mut self) {
        let stream = self.stream.take();
        let (closed, is_closed) = mpsc::channel();
        let closing = thread::Builder::new()
            .name("close-audio".into())
            .spawn(move || {
                N_CLOSING.fetch_add(1, Ordering::Relaxed);
                drop(stream);
                N_CLOSING.fetch_sub(1, Ordering::Relaxed);
                let _ = closed.send(());
            });
        if closing.is_ok() && is_closed.recv_timeout(CLOSING).is_err() {
            warn!("an audio device does not close; it is left behind");
        }
    }
}

/// Opens the device that `config` names, in its own format, and starts it.
pub(super) fn open(config: &CaptureConfig) -> Result<Capture, AudioError> {
    let _quiet = Quiet::new();
    let device = find_device(&config.device)?;
    let name = device_name(&device);
    let supported = device
        .default_input_config()
        .map_err(|error| open_error(&config.device, &name, &error))?;
    let mut format = check_format(&name, &supported)?;
    let counters = Arc::new(CaptureCounters::default());
    let n_ring_frames = frames_of_ms(format.rate_hz, config.ring_ms).max(1);
    let stream = |buffer| {
        let (writer, reader) = capture_ring(n_ring_frames, format.n_channels, counters.clone());
        let stream = start(&device, &supported, buffer, writer, counters.clone())?;
        Ok::<_, cpal::Error>((stream, reader))
    };
    let wanted = buffer_size(&supported, frames_of_ms(format.rate_hz, config.buffer_ms));
    let (stream, reader) = with_buffer(&name, wanted, stream)?;
    format.buffer_frames = stream.buffer_size().ok();
    info!(
        "listening to `{name}`: {format}, {} frames at once",
        format.buffer_frames.map_or("?".into(), |n| n.to_string())
    );
    Ok(Capture {
        name,
        format,
        reader,
        counters,
        stream: CaptureStream::new(OpenStream::of(stream)),
    })
}

/// The input devices of this machine, the default one first.
pub(super) fn list() -> Result<Vec<DeviceInfo>, AudioError> {
    let _quiet = Quiet::new();
    let host = host()?;
    let default = host.default_input_device();
    let mut listed: Vec<DeviceInfo> = Vec::new();
    for device in default.iter().cloned().chain(input_devices(&host)?) {
        let id = device_id(&device);
        if listed.iter().any(|known| known.id == id) {
            continue;
        }
        // A device that cannot be asked cannot be listened to either.
        let Ok(supported) = device.default_input_config() else {
            debug!("audio device {id} cannot be opened for input");
            continue;
        };
        let name = device_name(&device);
        listed.push(DeviceInfo {
            is_default: default.as_ref() == Some(&device),
            default_format: check_format(&name, &supported).ok(),
            formats: (device.supported_input_configs()).map_or_else(|_| Vec::new(), format_lines),
            name,
            id,
        });
    }
    Ok(listed)
}

/// Name of the default input device in the sound system. On Linux that is always ALSA's
/// `default`, behind which a sound server moves streams from device to device by itself.
pub(super) fn default_device() -> Option<String> {
    let _quiet = Quiet::new();
    let device = host().ok()?.default_input_device()?;
    Some(device_id(&device))
}

/// While it lives, what ALSA's library would write to standard error on this thread goes to
/// the log instead: it tells of every device that it tried in vain.
pub(super) struct Quiet {
    #[cfg(target_os = "linux")]
    output: Option<std::rc::Rc<std::cell::RefCell<alsa::Output>>>,
}

impl Quiet {
    pub(super) fn new() -> Self {
        Quiet {
            #[cfg(target_os = "linux")]
            output: alsa::Output::local_error_handler().ok(),
        }
    }
}

impl Drop for Quiet {
    fn drop(&mut self) {
        #[cfg(target_os = "linux")]
        if let Some(output) = &self.output {
            for line in output.borrow().to_string().lines() {
                debug!("{line}");
            }
        }
    }
}

pub(super) fn host() -> Result<cpal::Host, AudioError> {
    // Not the default host, which panics where the sound system is missing.
    let mut last = "this machine has no sound system".to_owned();
    for id in cpal::available_hosts() {
        match cpal::host_from_id(id) {
            Ok(host) => return Ok(host),
            Err(error) => last = error.to_string(),
        }
    }
    Err(AudioError::Host { detail: last })
}

/// The host's input devices without ALSA's plug-ins that are no devices.
fn input_devices(host: &cpal::Host) -> Result<Vec<Device>, AudioError> {
    let devices = host.input_devices().map_err(|error| AudioError::Host {
        detail: error.to_string(),
    })?;
    Ok(without(&NO_MICROPHONES, devices))
}

/// The devices but ALSA's of those kinds.
pub(super) fn without(kinds: &[&str], devices: impl Iterator<Item = Device>) -> Vec<Device> {
    let is_device = |device: &Device| {
        let id = device_id(device);
        let kind = id.split(':').next().unwrap_or_default();
        !kinds.iter().any(|name| kind.starts_with(name))
    };
    devices.filter(is_device).collect()
}

/// What `open` makes with a buffer of that size, or, where the device refuses it, of its own choice.
pub(super) fn with_buffer<T>(
    name: &str,
    wanted: BufferSize,
    open: impl Fn(BufferSize) -> Result<T, cpal::Error>,
) -> Result<T, AudioError> {
    let opened = open(wanted).or_else(|error| {
        debug!("{name}: no buffer of {wanted:?}: {error}");
        open(BufferSize::Default)
    });
    opened.map_err(|error| device_error(name, &error))
}

pub(super) fn device_name(device: &Device) -> String {
    device
        .description()
        .map_or_else(|_| "unnamed".into(), |d| d.name().to_owned())
}

pub(super) fn device_id(device: &Device) -> String {
    device
        .id()
        .map_or_else(|_| device_name(device), |id| id.id().to_owned())
}

/// The device of that name: exactly, or else the first that contains it, in any case.
fn find_device(wanted: &str) -> Result<Device, AudioError> {
    let host = host()?;
    if is_default(wanted) {
        return host.default_input_device().ok_or(AudioError::NoDevice);
    }
    let devices = input_devices(&host)?;
    find_named(&devices, wanted, |d| [device_id(d), device_name(d)])
        .cloned()
        .ok_or_else(|| AudioError::UnknownDevice {
            name: wanted.into(),
        })
}

pub(super) fn check_format(
    name: &str,
    supported: &SupportedStreamConfig,
) -> Result<CaptureFormat, AudioError> {
    CaptureFormat::believed(
        name,
        supported.sample_rate(),
        usize::from(supported.channels()),
        supported.sample_format().to_string(),
    )
}

/// One line for each range of rates: the channels and sample formats that go with it.
pub(super) fn format_lines(
    ranges: impl Iterator<Item = SupportedStreamConfigRange>,
) -> Vec<String> {
    let mut lines: BTreeMap<(u32, u32), (BTreeSet<u16>, BTreeSet<String>)> = BTreeMap::new();
    for range in ranges {
        let rates = (range.min_sample_rate(), range.max_sample_rate());
        let (channels, formats) = lines.entry(rates).or_default();
        channels.insert(range.channels());
        formats.insert(range.sample_format().to_string());
    }
    let line = |((min, max), (channels, formats)): (_, (BTreeSet<u16>, BTreeSet<String>))| {
        let rates = if min == max {
            format!("{min} Hz")
        } else {
            format!("{min}-{max} Hz")
        };
        let formats: Vec<String> = formats.into_iter().collect();
        format!(
            "{rates}, {}, {}",
            channel_text(&channels),
            formats.join(" ")
        )
    };
    lines.into_iter().map(line).collect()
}

/// Channel counts for people: `1-8 channels`, `1, 2, 6 channels`.
fn channel_text(channels: &BTreeSet<u16>) -> String {
    let (Some(&first), Some(&last)) = (channels.first(), channels.last()) else {
        return String::new();
    };
    if last == 1 {
        return "1 channel".into();
    }
    if channels.len() > 2 && usize::from(last - first) + 1 == channels.len() {
        return format!("{first}-{last} channels");
    }
    let counts: Vec<String> = channels.iter().map(u16::to_string).collect();
    format!("{} channels", counts.join(", "))
}

/// The wanted buffer, as near as the device says it can.
pub(super) fn buffer_size(supported: &SupportedStreamConfig, n_frames: usize) -> BufferSize {
    let n_frames = u32::try_from(n_frames).unwrap_or(u32::MAX).max(1);
    match *supported.buffer_size() {
        SupportedBufferSize::Range { min, max } if min <= max => {
            BufferSize::Fixed(n_frames.clamp(min, max))
        }
        _ => BufferSize::Fixed(n_frames),
    }
}

/// Builds the stream for the device's sample format and starts it.
fn start(
    device: &Device,
    supported: &SupportedStreamConfig,
    buffer_size: BufferSize,
    writer: RingWriter,
    counters: Arc<CaptureCounters>,
) -> Result<cpal::Stream, cpal::Error> {
    let config = StreamConfig {
        buffer_size,
        ..supported.config()
    };
    let callback = Callback {
        writer,
        counters,
        rate_hz: config.sample_rate,
        n_channels: usize::from(config.channels),
        end_of_last: None,
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
    T: SizedSample,
    f32: FromSample<T>,
{
    let counters = callback.counters.clone();
    device.build_input_stream(
        config,
        move |frames: &[T], about: &InputCallbackInfo| callback.data(frames, about),
        move |error: cpal::Error| note_error(&counters, &error),
        Some(DEVICE_POLL),
    )
}

/// What runs on the sound system's thread.
struct Callback {
    writer: RingWriter,
    counters: Arc<CaptureCounters>,
    rate_hz: u32,
    n_channels: usize,
    /// When the sound after the last delivery began, on the stream's clock.
    end_of_last: Option<StreamInstant>,
}

impl Callback {
    fn data<T>(&mut self, frames: &[T], about: &InputCallbackInfo)
    where
        T: SizedSample,
        f32: FromSample<T>,
    {
        let begin = about.timestamp().capture;
        if self.counters.take_xrun() {
            self.note_gap(begin);
        }
        self.writer
            .write(frames, |sample| f32::from_sample_(sample));
        let n_frames = (frames.len() / self.n_channels) as u64;
        let length = Duration::from_nanos(n_frames * 1_000_000_000 / u64::from(self.rate_hz));
        self.end_of_last = begin.checked_add(length);
    }

    /// After an overrun: the time between two deliveries tells what is missing.
    fn note_gap(&mut self, begin: StreamInstant) {
        let Some(end) = self.end_of_last else {
            return;
        };
        let gap_s = begin
            .saturating_duration_since(end)
            .as_secs_f64()
            .min(MAX_GAP_S);
        let n_frames = (gap_s * f64::from(self.rate_hz)) as u64;
        self.writer.note_lost(n_frames);
    }
}

/// Sorts an error of a running stream; on the sound system's thread, so it only counts.
fn note_error(counters: &CaptureCounters, error: &cpal::Error) {
    match (error.kind(), fault_of(error)) {
        (ErrorKind::Xrun, _) => counters.note_xrun(),
        // The stream goes on, elsewhere or less promptly.
        (ErrorKind::DeviceChanged | ErrorKind::RealtimeDenied, _) => {}
        (_, Some(fault)) => counters.set_fault(fault),
        (_, None) => counters.note_error(),
    }
}

/// Why a stream is at its end, where an error means that.
pub(super) fn fault_of(error: &cpal::Error) -> Option<Fault> {
    match error.kind() {
        ErrorKind::DeviceNotAvailable | ErrorKind::HostUnavailable => Some(Fault::Gone),
        ErrorKind::StreamInvalidated | ErrorKind::UnsupportedConfig => Some(Fault::Changed),
        ErrorKind::PermissionDenied => Some(Fault::Denied),
        _ => None,
    }
}

/// Some hosts name a default device even where there is none at all.
fn open_error(wanted: &str, name: &str, error: &cpal::Error) -> AudioError {
    match error.kind() {
        ErrorKind::DeviceNotAvailable if is_default(wanted) => AudioError::NoDevice,
        _ => device_error(name, error),
    }
}

pub(super) fn device_error(name: &str, error: &cpal::Error) -> AudioError {
    AudioError::DeviceUnusable {
        name: name.into(),
        detail: error.to_string().trim_end_matches('.').to_owned(),
    }
}
