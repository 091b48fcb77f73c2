//! Playing sound: a WAV that somebody is still writing, or a short sound in memory.
//!
//! In: bytes or a [`Clip`]. Out: sound of an output device ([`super::outputs`]), through a ring to the
//! sound system's callback ([`super::playback_ring`]). The thread that calls reads, converts, waits for
//! room in the ring, and returns when the end was heard. One sound at a time; the device is opened for the
//! first and closed when nothing was played for a while. No call hangs in a sound system that does: what
//! does not open or goes no further is given up.

use std::io::Read;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, TryLockError, Weak};
use std::thread;
use std::time::{Duration, Instant};

use crossbeam_channel::{RecvTimeoutError, bounded};

use super::capture::{CaptureFormat, DeviceInfo};
use super::converter::{Converter, Layout};
use super::playback_ring::{PlaybackCounters, PlaybackWriter};
use super::wav::WavHeader;
use super::{AudioError, Clip, PcmReader};
use crate::error::{Classify, Kind};

/// Sound between this program and the device.
#[cfg(feature = "mic")]
pub(super) const RING_MS: u32 = 400;
/// How often whoever waits looks again.
const POLL: Duration = Duration::from_millis(5);
/// A device that nothing was played on for so long is closed.
const IDLE: Duration = Duration::from_secs(3);
/// How long a device may take to open, and then to take the first sound; Bluetooth takes seconds.
const OPENING: Duration = Duration::from_secs(5);
const FIRST_SOUND: Duration = Duration::from_secs(5);
/// Afterwards a device that takes nothing for so long is lost.
const STALL: Duration = Duration::from_secs(1);
/// And one that took no silence for so long, before it is played on again.
const BREATH: Duration = Duration::from_millis(300);
/// And one that does not fall silent within this time.
const CUTTING: Duration = Duration::from_millis(500);
/// The longest way from the callback to the ear that is believed.
const MAX_LATENCY: Duration = Duration::from_secs(2);

/// What is played on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PlaybackConfig {
    /// `default`, or the name or id of an output device, or a part of it.
    pub device: String,
}

impl Default for PlaybackConfig {
    fn default() -> Self {
        PlaybackConfig {
            device: "default".into(),
        }
    }
}

/// How a sound ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Played {
    /// Its end was heard.
    Whole,
    /// It was cut short.
    Cut,
    /// Something else was being played.
    Dropped,
}

/// A device that plays what is written into its ring.
pub(super) struct OutputStream {
    pub(super) name: String,
    pub(super) format: CaptureFormat,
    pub(super) writer: PlaybackWriter,
    pub(super) counters: Arc<PlaybackCounters>,
    /// Keeps the device open.
    pub(super) _stream: Box<dyn Send>,
}

impl OutputStream {
    fn layout(&self) -> Layout {
        Layout {
            rate_hz: self.format.rate_hz,
            n_channels: self.format.n_channels,
        }
    }

    fn lost(&self, detail: impl Into<String>) -> AudioError {
        AudioError::DeviceLost {
            name: self.name.clone(),
            detail: detail.into(),
        }
    }
}

type Open = dyn Fn(&PlaybackConfig) -> Result<OutputStream, AudioError> + Send + Sync;

/// Plays one sound after the other. Opens nothing until there is something to play.
pub struct Player {
    shared: Arc<Shared>,
}

struct Shared {
    config: PlaybackConfig,
    open: Box<Open>,
    /// Some thread is about to open the device.
    is_opening: Arc<AtomicBool>,
    idle: Duration,
    desk: Mutex<Desk>,
}

/// What belongs to whoever plays.
struct Desk {
    output: Option<OutputStream>,
    last_used: Instant,
    /// Times that the device had taken something by then.
    n_callbacks: u64,
    /// A thread will close the device.
    has_closer: bool,
}

impl Desk {
    /// Whether the device was lost while nobody played: it takes silence all the time.
    fn is_lost(&self) -> bool {
        let Some(output) = &self.output else {
            return false;
        };
        let device = &output.counters.device;
        let n_callbacks = device.snapshot().n_callbacks;
        let stands = n_callbacks == self.n_callbacks && self.last_used.elapsed() > BREATH;
        stands || device.fault().is_some()
    }
}

impl Player {
    /// A player on the device that `config` names.
    pub fn new(config: PlaybackConfig) -> Player {
        Player::on(config, Box::new(outputs::open), IDLE)
    }

    fn on(config: PlaybackConfig, open: Box<Open>, idle: Duration) -> Player {
        let desk = Desk {
            output: None,
            last_used: Instant::now(),
            n_callbacks: 0,
            has_closer: false,
        };
        Player {
            shared: Arc::new(Shared {
                config,
                open,
                is_opening: Arc::default(),
                idle,
                desk: Mutex::new(desk),
            }),
        }
    }

    /// Plays the WAV that `input` gives, from its first samples on, until its end was heard or `stop` is
    /// true, which is asked every few milliseconds: then it is silent within 50 ms. `input` must end
    /// when `stop` is true. `origin` is its name in messages. Waits while another sound is played.
    ///
    /// # Errors
    /// If it is no WAV, or the device is not there or is lost; the next sound tries again.
    pub fn play(
        &self,
        mut input: &mut dyn Read,
        origin: &str,
        stop: &dyn Fn() -> bool,
    ) -> Result<Played, AudioError> {
        let mut reader = open_wav(&mut input, origin)?;
        let Some(desk) = self.shared.wait(stop) else {
            return Ok(Played::Cut);
        };
        let spec = reader.spec();
        let layout = Layout {
            rate_hz: spec.rate_hz,
            n_channels: spec.n_channels,
        };
        let next = &mut |interleaved: &mut Vec<f32>| Ok(reader.read(interleaved)? > 0);
        self.shared.play(desk, layout, next, stop)
    }

    /// Plays `clip` if nothing else is being played, until its end was heard or `stop` is true.
    ///
    /// # Errors
    /// If the device is not there or is lost; the next sound tries again.
    pub fn play_now(&self, clip: &Clip, stop: &dyn Fn() -> bool) -> Result<Played, AudioError> {
        let Some(desk) = self.shared.try_desk() else {
            return Ok(Played::Dropped);
        };
        let mut rest = Some(&clip.interleaved);
        let next = &mut |interleaved: &mut Vec<f32>| {
            interleaved.clear();
            let piece = rest.take();
            interleaved.extend(piece.into_iter().flatten());
            Ok(piece.is_some())
        };
        self.shared.play(desk, clip.layout, next, stop)
    }

    /// Whether the device is open.
    #[cfg(test)]
    fn is_open(&self) -> bool {
        self.shared
            .try_desk()
            .is_none_or(|desk| desk.output.is_some())
    }
}

/// Reads the header of a WAV.
pub(super) fn open_wav<R: Read>(mut input: R, origin: &str) -> Result<PcmReader<R>, AudioError> {
    let unfit = |detail: String| AudioError::NotPlayable {
        origin: origin.to_owned(),
        detail,
    };
    match WavHeader::read(&mut input, origin) {
        Ok(header) => Ok(PcmReader::new(
            origin,
            input,
            header.spec,
            header.n_data_bytes,
        )),
        Err(error) => Err(match error {
            AudioError::Empty { .. } => unfit("it is empty".into()),
            AudioError::StdinNotWav => unfit("it does not begin as a WAV does".into()),
            AudioError::Damaged { detail, .. } => unfit(detail),
            AudioError::Rate { rate_hz, .. } => unfit(format!("it claims {rate_hz} Hz")),
            AudioError::Channels { n_channels, .. } => {
                unfit(format!("it claims {n_channels} channels"))
            }
            AudioError::Codec { codec, .. } => unfit(format!("{codec} is not supported")),
            other => other,
        }),
    }
}

/// Gives the next frames in place of what is in the vector; false at the end.
type Next<'a> = dyn FnMut(&mut Vec<f32>) -> Result<bool, AudioError> + 'a;

impl Shared {
    /// The desk, if nobody plays.
    fn try_desk(&self) -> Option<MutexGuard<'_, Desk>> {
        match self.desk.try_lock() {
            Ok(desk) => Some(desk),
            Err(TryLockError::Poisoned(desk)) => Some(desk.into_inner()),
            Err(TryLockError::WouldBlock) => None,
        }
    }

    /// The desk, as soon as nobody plays; none when `stop` is true before.
    fn wait(&self, stop: &dyn Fn() -> bool) -> Option<MutexGuard<'_, Desk>> {
        while !stop() {
            if let Some(desk) = self.try_desk() {
                return Some(desk);
            }
            thread::sleep(POLL);
        }
        None
    }

    fn play(
        self: &Arc<Self>,
        mut desk: MutexGuard<'_, Desk>,
        layout: Layout,
        next: &mut Next<'_>,
        stop: &dyn Fn() -> bool,
    ) -> Result<Played, AudioError> {
        if desk.is_lost() {
            desk.output = None;
        }
        if desk.output.is_none() {
            desk.output = self.open_within(stop)?;
        }
        let Some(output) = &mut desk.output else {
            return Ok(Played::Cut);
        };
        let played = Playing::new(output, stop).all(layout, next);
        let is_lost = matches!(&played, Err(error) if error.kind() == Kind::Device);
        desk.n_callbacks = output.counters.device.snapshot().n_callbacks;
        desk.last_used = Instant::now();
        if !desk.has_closer && !is_lost {
            desk.has_closer = close_when_idle(Arc::downgrade(self), self.idle);
        }
        if !desk.has_closer || is_lost {
            desk.output = None;
        }
        played
    }

    /// Opens the device on a thread of its own, which is left behind where that hangs; none when `stop`
    /// is true before.
    fn open_within(
        self: &Arc<Self>,
        stop: &dyn Fn() -> bool,
    ) -> Result<Option<OutputStream>, AudioError> {
        let hangs = || AudioError::DeviceUnusable {
            name: self.config.device.clone(),
            detail: "the sound system does not answer".into(),
        };
        if self.is_opening.swap(true, Ordering::AcqRel) {
            return Err(hangs());
        }
        let (sender, opened) = bounded(1);
        let shared = self.clone();
        let opening = thread::Builder::new().name("open-audio".into());
        let opening = opening.spawn(move || {
            let output = (shared.open)(&shared.config);
            shared.is_opening.store(false, Ordering::Release);
            // What nobody waits for any more is closed here.
            let _ = sender.send(output);
        });
        if opening.is_err() {
            self.is_opening.store(false, Ordering::Release);
            return Err(hangs());
        }
        let begun = Instant::now();
        loop {
            match opened.recv_timeout(POLL) {
                Ok(output) => return output.map(Some),
                Err(RecvTimeoutError::Timeout) if stop() => return Ok(None),
                Err(RecvTimeoutError::Timeout) if begun.elapsed() < OPENING => {}
                Err(_) => return Err(hangs()),
            }
        }
    }
}

/// Closes the device once nothing was played for so long, from a thread of its own; whether there is
/// one.
fn close_when_idle(shared: Weak<Shared>, idle: Duration) -> bool {
    let close = move || {
        let mut wait = idle;
        loop {
            thread::sleep(wait);
            // Without a player there is no device either.
            let Some(shared) = shared.upgrade() else {
                return;
            };
            let Some(mut desk) = shared.try_desk() else {
                wait = idle;
                continue;
            };
            let unused = desk.last_used.elapsed();
            if unused >= idle || desk.output.is_none() {
                let output = desk.output.take();
                desk.has_closer = false;
                drop(desk);
                // Outside of the lock: closing may take its time.
                drop(output);
                return;
            }
            wait = idle - unused;
        }
    };
    let thread = thread::Builder::new().name("close-idle-audio".into());
    thread.spawn(close).is_ok()
}

/// One sound on its way to the device.
struct Playing<'a> {
    output: &'a mut OutputStream,
    stop: &'a dyn Fn() -> bool,
    /// Callbacks seen, and when there was a new one.
    n_seen: u64,
    last_seen: Instant,
}

impl<'a> Playing<'a> {
    fn new(output: &'a mut OutputStream, stop: &'a dyn Fn() -> bool) -> Self {
        Playing {
            n_seen: output.counters.device.snapshot().n_callbacks,
            last_seen: Instant::now(),
            output,
            stop,
        }
    }

    fn all(mut self, layout: Layout, next: &mut Next<'_>) -> Result<Played, AudioError> {
        let mut converter = Converter::new(layout, self.output.layout())?;
        let (mut interleaved, mut ready) = (Vec::new(), Vec::new());
        loop {
            let is_end = !next(&mut interleaved)?;
            ready.clear();
            match is_end {
                true => converter.flush(&mut ready),
                false => converter.push(&interleaved, &mut ready),
            }
            if self.push(&ready)? == Played::Cut {
                return Ok(Played::Cut);
            }
            if is_end {
                return self.drain();
            }
        }
    }

    /// Hands samples to the callback as it makes room.
    fn push(&mut self, mut samples: &[f32]) -> Result<Played, AudioError> {
        loop {
            if (self.stop)() {
                return self.cut();
            }
            let n = self.output.writer.write(samples);
            samples = &samples[n..];
            self.check()?;
            if samples.is_empty() {
                return Ok(Played::Whole);
            }
            thread::sleep(POLL);
        }
    }

    /// Waits until the callback has taken all, and then as long as the device needs to play it.
    fn drain(mut self) -> Result<Played, AudioError> {
        let mut taken = None;
        loop {
            if (self.stop)() {
                return self.cut();
            }
            if taken.is_none() && self.output.writer.is_empty() {
                taken = Some(Instant::now());
            }
            let latency = self.output.counters.latency().min(MAX_LATENCY);
            if taken.is_some_and(|taken| taken.elapsed() >= latency) {
                return Ok(Played::Whole);
            }
            self.check()?;
            thread::sleep(POLL);
        }
    }

    /// Makes the device silent.
    fn cut(&mut self) -> Result<Played, AudioError> {
        let counters = &self.output.counters;
        counters.cut();
        let asked = Instant::now();
        while counters.is_cutting() {
            if asked.elapsed() > CUTTING || counters.device.fault().is_some() {
                return Err(self.output.lost("it does not fall silent"));
            }
            thread::sleep(POLL);
        }
        Ok(Played::Cut)
    }

    /// Whether the device still plays.
    fn check(&mut self) -> Result<(), AudioError> {
        let device = &self.output.counters.device;
        if let Some(fault) = device.fault() {
            return Err(self.output.lost(fault.describe()));
        }
        let n_callbacks = device.snapshot().n_callbacks;
        if n_callbacks != self.n_seen {
            (self.n_seen, self.last_seen) = (n_callbacks, Instant::now());
            return Ok(());
        }
        let allowed = if n_callbacks == 0 { FIRST_SOUND } else { STALL };
        if self.last_seen.elapsed() > allowed {
            let detail = format!("it has played nothing for {} ms", allowed.as_millis());
            return Err(self.output.lost(detail));
        }
        Ok(())
    }
}

/// The output devices of this machine, the default one first.
///
/// # Errors
/// If the sound system does not answer.
pub fn list_outputs() -> Result<Vec<DeviceInfo>, AudioError> {
    outputs::list()
}

/// The output device that `config` names, without a sound.
///
/// # Errors
/// If there is none, or it cannot be used.
pub fn output_device(config: &PlaybackConfig) -> Result<DeviceInfo, AudioError> {
    outputs::describe(config)
}

#[cfg(feature = "mic")]
use super::outputs;

/// Without sound devices.
#[cfg(not(feature = "mic"))]
mod outputs {
    use super::{AudioError, DeviceInfo, OutputStream, PlaybackConfig};

    pub(super) fn open(_config: &PlaybackConfig) -> Result<OutputStream, AudioError> {
        Err(AudioError::NoOutputSupport)
    }

    pub(super) fn list() -> Result<Vec<DeviceInfo>, AudioError> {
        Err(AudioError::NoOutputSupport)
    }

    pub(super) fn describe(_config: &PlaybackConfig) -> Result<DeviceInfo, AudioError> {
        Err(AudioError::NoOutputSupport)
    }
}

#[cfg(test)]
#[path = "playback_tests.rs"]
mod tests;
