//! One device as an audio source, for as long as it delivers.
//!
//! In: the ring that the sound system's callback fills. Out: mono samples at 16 kHz, gaps told
//! apart. Runs on the thread that reads it; where nothing is there it sleeps 20 ms at a
//! time. It ends with an error when the device is lost; [`Microphone`](super::Microphone) opens
//! it again.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use log::warn;

use super::capture::{Capture, CaptureConfig, CaptureFormat, CaptureStream};
use super::front::{Front, Ready};
use super::ring::{CaptureCounters, RingReader};
use super::stall::{Stall, ZEROS_ADVICE};
use super::{AudioError, AudioSource, Heard};
use crate::dsp::SAMPLE_RATE_HZ;
use crate::event::GapReason;

/// How long a reader sleeps before it looks again. The detector's windows are 32 ms: shorter makes little
/// prompter, and waking up is most of what listening to silence costs.
const POLL: Duration = Duration::from_millis(20);
/// A reader that found nothing for so long says so.
const NOTHING: Duration = Duration::from_millis(200);
/// A device that is silent to the last bit for so long is muted or refused.
const ZEROS_WARNING_S: u64 = 5;

/// A device that is listened to.
pub struct MicSource {
    name: String,
    format: CaptureFormat,
    counters: Arc<CaptureCounters>,
    reader: RingReader,
    front: Front,
    interleaved: Vec<f32>,
    ready: Ready,
    /// Device frames lost right after the samples in `ready`.
    n_gap_frames: u64,
    /// Frames of nothing but zeros since the start; `None` once a sound was heard or the warning
    /// given.
    n_zero_frames: Option<u64>,
    stall: Stall,
    stop: Arc<AtomicBool>,
    /// Dropping it closes the device.
    _stream: Option<CaptureStream>,
}

impl MicSource {
    /// Opens a device and starts it.
    pub fn open(config: &CaptureConfig) -> Result<Self, AudioError> {
        let capture = Capture::open(config)?;
        let stream = Some(capture.stream);
        let ring = (capture.reader, capture.counters);
        Self::over(config, capture.name, capture.format, ring, stream)
    }

    /// A device whose frames somebody else writes into the ring, until `stream` is dropped.
    ///
    /// # Errors
    /// If the format is none that is believed.
    pub fn over(
        config: &CaptureConfig,
        name: String,
        format: CaptureFormat,
        (reader, counters): (RingReader, Arc<CaptureCounters>),
        stream: Option<CaptureStream>,
    ) -> Result<Self, AudioError> {
        Ok(MicSource {
            front: Front::new(format.rate_hz, format.n_channels, config.front)?,
            name,
            format,
            counters,
            reader,
            interleaved: Vec::new(),
            ready: Ready::default(),
            n_gap_frames: 0,
            n_zero_frames: Some(0),
            stall: Stall::new(config.stall_ms),
            stop: Arc::new(AtomicBool::new(false)),
            _stream: stream,
        })
    }

    /// The device's name.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The device's own format.
    pub fn format(&self) -> &CaptureFormat {
        &self.format
    }

    /// What the callback counts.
    pub fn counters(&self) -> Arc<CaptureCounters> {
        self.counters.clone()
    }

    /// Sound that the device has delivered and nobody has read, in seconds.
    pub fn waiting_s(&self) -> f64 {
        self.reader.n_waiting() as f64 / f64::from(self.format.rate_hz)
    }

    /// Set it (from any thread) and [`AudioSource::read`] ends the stream within a few
    /// milliseconds, with what was heard so far delivered.
    pub fn stop_flag(&self) -> Arc<AtomicBool> {
        self.stop.clone()
    }

    /// Takes what is in the ring, up to 100 ms or the next gap; false if that is nothing.
    fn take(&mut self) -> bool {
        if let Some(n_frames) = self.reader.take_gap() {
            // The two sides of a gap are no neighbours: what the converter still holds belongs
            // before it.
            self.n_gap_frames = n_frames;
            self.front.flush(self.ready.refill());
            return true;
        }
        self.interleaved.clear();
        let max_frames = self.format.rate_hz as usize / 10;
        let n_frames = self.reader.read(max_frames, &mut self.interleaved);
        if n_frames == 0 {
            return false;
        }
        self.stall.delivered();
        self.watch_zeros(n_frames as u64);
        self.front.push(&self.interleaved, self.ready.refill());
        true
    }

    /// The gap that comes next, if one does.
    fn gap(&mut self) -> Option<Heard> {
        let n_frames = std::mem::take(&mut self.n_gap_frames);
        let rate = u64::from(self.format.rate_hz);
        let n_samples = (n_frames * u64::from(SAMPLE_RATE_HZ) + rate / 2) / rate;
        (n_samples > 0).then_some(Heard::Gap {
            n_samples,
            reason: GapReason::Overrun,
        })
    }

    fn watch_zeros(&mut self, n_frames: u64) {
        let Some(n_zero_frames) = &mut self.n_zero_frames else {
            return;
        };
        *n_zero_frames += n_frames;
        if self.interleaved.iter().any(|&sample| sample != 0.0) {
            self.n_zero_frames = None;
        } else if *n_zero_frames >= ZEROS_WARNING_S * u64::from(self.format.rate_hz) {
            self.n_zero_frames = None;
            warn!(
                "audio device `{}` has delivered nothing but zeros for {ZEROS_WARNING_S} s: \
                 {ZEROS_ADVICE}",
                self.name
            );
        }
    }
}

impl AudioSource for MicSource {
    fn read(&mut self, out: &mut Vec<f32>) -> Result<Heard, AudioError> {
        let began = Instant::now();
        while self.ready.is_empty() {
            if let Some(gap) = self.gap() {
                return Ok(gap);
            }
            if self.take() {
                continue;
            }
            if self.stop.load(Ordering::Relaxed) {
                self.front.flush(self.ready.refill());
                break;
            }
            if let Some(error) = self.stall.lost(&self.name, &self.counters) {
                return Err(error);
            }
            if began.elapsed() >= NOTHING {
                return Ok(Heard::Nothing);
            }
            thread::sleep(POLL);
        }
        Ok(self.ready.hand_out(out))
    }

    fn duration_s(&self) -> Option<f64> {
        None
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::super::ring::{Fault, RingWriter, capture_ring};
    use super::*;

    fn mic(rate_hz: u32, stall_ms: u64) -> (MicSource, RingWriter) {
        let counters = Arc::new(CaptureCounters::default());
        let (writer, reader) = capture_ring(rate_hz as usize, 2, counters.clone());
        let config = CaptureConfig {
            stall_ms,
            ..CaptureConfig::default()
        };
        let format = CaptureFormat {
            rate_hz,
            n_channels: 2,
            sample_format: "f32".into(),
            buffer_frames: None,
        };
        let ring = (reader, counters);
        let source = MicSource::over(&config, "test".into(), format, ring, None).unwrap();
        (source, writer)
    }

    #[test]
    fn a_gap_keeps_its_place_and_the_clock_right() {
        let (mut source, mut writer) = mic(48_000, 1_000);
        writer.write(&[0.25; 2 * 4_800], |x| x);
        writer.note_lost(9_600);
        writer.write(&[0.5; 2 * 2_400], |x| x);
        source.stop_flag().store(true, Ordering::Relaxed);
        let (mut before, mut after, mut n_lost) = (Vec::new(), Vec::new(), 0);
        let mut piece = Vec::new();
        loop {
            match source.read(&mut piece).unwrap() {
                Heard::Gap { n_samples, reason } => {
                    assert_eq!((reason, n_lost), (GapReason::Overrun, 0));
                    n_lost = n_samples;
                }
                Heard::Samples => {
                    let side = if n_lost == 0 { &mut before } else { &mut after };
                    side.append(&mut piece);
                }
                next => break assert_eq!(next, Heard::End),
            }
        }
        assert_eq!((before.len(), n_lost, after.len()), (1_600, 3_200, 800));
        assert!((before[800] - 0.25).abs() < 1e-3 && (after[400] - 0.5).abs() < 1e-3);
    }

    #[test]
    fn a_lost_device_is_an_error_after_its_last_sound() {
        let (mut source, mut writer) = mic(16_000, 1_000_000);
        writer.write(&[0.25; 20], |x| x);
        source.counters().set_fault(Fault::Gone);
        let mut out = Vec::new();
        assert_eq!(source.read(&mut out).unwrap(), Heard::Samples);
        assert_eq!(out.len(), 10);
        for _ in 0..2 {
            let error = source.read(&mut out).unwrap_err();
            assert!(matches!(error, AudioError::DeviceLost { .. }), "{error}");
        }
    }

    #[test]
    fn a_silent_ring_is_a_stalled_device() {
        let (mut source, mut writer) = mic(16_000, 30);
        writer.write(&[0.25; 20], |x| x);
        let mut out = Vec::new();
        assert_eq!(source.read(&mut out).unwrap(), Heard::Samples);
        assert_eq!(out.len(), 10);
        let error = source.read(&mut out).unwrap_err();
        assert!(error.to_string().contains("30 ms"), "{error}");
    }

    #[test]
    fn stopping_delivers_what_was_heard() {
        let (mut source, mut writer) = mic(48_000, 1_000);
        writer.write(&[0.25; 2 * 100], |x| x);
        source.stop_flag().store(true, Ordering::Relaxed);
        let mut out = Vec::new();
        while source.read(&mut out).unwrap() != Heard::End {}
        assert_eq!(out.len(), 33);
        assert_eq!(source.read(&mut out).unwrap(), Heard::End);
    }
}
