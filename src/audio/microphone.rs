//! The microphone that comes back: whichever device is there, as one stream without an end.
//!
//! In: the device that is wanted, and a [`Host`] that opens devices. Out: samples, and between them
//! what was lost and why. Runs on the thread that reads it. A device that vanishes, falls silent or
//! changes is closed and looked for again: the wanted one first, then the default. What is missing
//! meanwhile is measured by the clock that goes on while the machine sleeps, so that the time of
//! every later sample is right. Opening can take long, or for ever where a sound server hangs: it
//! happens on threads of its own, and reading never waits for it.

use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;
use std::time::Duration;

use crossbeam_channel::{Receiver, bounded};
use log::{debug, info, warn};

use super::capture::{CaptureConfig, default_device, n_closing};
use super::ring::CaptureStats;
use super::{AudioError, AudioSource, Heard, MicSource};
use crate::clock;
use crate::dsp::SAMPLE_RATE_HZ;
use crate::event::{DeviceState, GapReason};
use crate::guard::supervised;
use crate::stats::Stats;

/// From one try to open a device to the next: at first, and at most.
const FIRST_RETRY_S: f64 = 0.1;
const LAST_RETRY_S: f64 = 0.5;
/// A try that takes longer is left to itself, and another one begun.
const SLOW_OPEN_S: f64 = 5.0;
/// Threads that hang because they open or close a device; with so many no further one is begun, and after
/// a while the sound system cannot be used by this process any more.
const MAX_HANGING: usize = 12;
/// Devices that were left behind because they do not close, likewise: each keeps some memory.
const MAX_LEFT: usize = 64;
const STUCK_S: f64 = 300.0;
/// How often it is looked whether the default device is another one.
const DEFAULT_EVERY_S: f64 = 2.0;
/// How often the wanted device is looked for while another one listens.
const WANTED_EVERY_S: f64 = 15.0;
/// How long a reader without a device waits before it says so.
const NO_DEVICE: Duration = Duration::from_millis(50);
/// More time asleep than this is a gap.
const SLEPT_S: f64 = 0.5;
/// Less missing sound than this at a change of devices is none.
const MIN_GAP_S: f64 = 0.005;

/// What opens devices.
pub trait Host: Send + Sync {
    /// Opens the device that `config` names.
    fn open(&self, config: &CaptureConfig) -> Result<MicSource, AudioError>;

    /// Which device is the default one now, if that can be told.
    fn default_device(&self) -> Option<String>;

    /// The present, in seconds: sleep included, and without it.
    fn now(&self) -> (f64, f64) {
        (clock::clock_s(), clock::awake_s())
    }
}

/// The sound system of this machine.
pub struct System;

impl Host for System {
    fn open(&self, config: &CaptureConfig) -> Result<MicSource, AudioError> {
        MicSource::open(config)
    }

    fn default_device(&self) -> Option<String> {
        default_device()
    }
}

/// See the module.
pub struct Microphone {
    config: CaptureConfig,
    host: Arc<dyn Host>,
    stats: Stats,
    device: Option<Device>,
    /// What the last device counted that is in `stats`.
    counted: CaptureStats,
    openings: Vec<Opening>,
    /// Threads that open or close a device.
    n_busy: Arc<AtomicUsize>,
    /// Since when too many of them hang.
    stuck_since_s: Option<f64>,
    /// The wanted device could be opened and gave no sound: the default one is next.
    was_silent: bool,
    /// The device that listens is not as it is configured now.
    is_outdated: bool,
    next_try_s: f64,
    retry_s: f64,
    /// When the last sample that was handed out had been spoken, or when all began.
    heard_until_s: f64,
    /// Whether the present device has given a sample.
    has_sound: bool,
    /// Whether the next sample is the first one of a device.
    is_new: bool,
    /// Whether it was said that there is no device.
    is_lost: bool,
    /// Name of the last device.
    name: String,
    /// Time that the machine had slept.
    slept_s: f64,
    /// When it is looked again whether there is a better device.
    next_look_s: f64,
    told: VecDeque<Heard>,
    samples: Vec<f32>,
}

/// A device that is open.
struct Device {
    source: MicSource,
    /// Whether it is the default one in place of one that was wanted.
    is_substitute: bool,
    /// The default device when it was opened.
    default: Option<String>,
}

/// A device that is being opened.
struct Opening {
    began_s: f64,
    result: Receiver<Result<Device, AudioError>>,
}

impl Microphone {
    /// Opens the device, which must be there.
    ///
    /// # Errors
    /// If it is not, or cannot be used.
    pub fn open(config: &CaptureConfig, stats: &Stats) -> Result<Self, AudioError> {
        let host = Arc::new(System);
        let device = open_only(&*host, config)?;
        let mut microphone = Microphone::with_host(config, host, stats);
        microphone.begin(device);
        Ok(microphone)
    }

    /// Opens the device, or looks for it until it is there. Why it was not there at once is said in
    /// the log.
    pub fn wait_for(config: &CaptureConfig, stats: &Stats) -> Self {
        Microphone::with_host(config, Arc::new(System), stats)
    }

    /// The same with another sound system.
    pub fn with_host(config: &CaptureConfig, host: Arc<dyn Host>, stats: &Stats) -> Self {
        let (now_s, awake_s) = host.now();
        Microphone {
            config: config.clone(),
            host,
            stats: stats.clone(),
            device: None,
            counted: CaptureStats::default(),
            openings: Vec::new(),
            n_busy: Arc::default(),
            stuck_since_s: None,
            was_silent: false,
            is_outdated: false,
            next_try_s: now_s,
            retry_s: FIRST_RETRY_S,
            heard_until_s: now_s,
            has_sound: false,
            is_new: false,
            is_lost: false,
            name: config.device.clone(),
            slept_s: now_s - awake_s,
            next_look_s: now_s,
            told: VecDeque::new(),
            samples: Vec::new(),
        }
    }

    /// From now on this device is listened to.
    fn begin(&mut self, device: Device) {
        self.name = device.source.name().to_owned();
        if device.is_substitute {
            let wanted = &self.config.device;
            warn!(
                "audio device `{wanted}` is not there: listening to `{}`",
                self.name
            );
        }
        self.close();
        self.device = Some(device);
        self.retry_s = FIRST_RETRY_S;
        self.is_outdated = false;
        self.has_sound = false;
        self.openings.clear();
    }

    fn close(&mut self) {
        self.count();
        self.counted = CaptureStats::default();
        // To close a device whose server is gone can take long.
        if let Some(device) = self.device.take() {
            self.spawn("close-audio", move || {
                // Foreign code; what is left of the device is nobody's.
                let _ = supervised(|| drop(device));
            });
        }
    }

    /// A thread that may hang.
    fn spawn(&self, name: &str, work: impl FnOnce() + Send + 'static) {
        let n_busy = self.n_busy.clone();
        n_busy.fetch_add(1, Ordering::Relaxed);
        let done = n_busy.clone();
        let thread = thread::Builder::new().name(name.into()).spawn(move || {
            work();
            done.fetch_sub(1, Ordering::Relaxed);
        });
        if let Err(error) = thread {
            n_busy.fetch_sub(1, Ordering::Relaxed);
            warn!("no thread for the audio device: {error}");
        }
    }

    /// There is no device from now on.
    fn lose(&mut self, error: &AudioError) {
        if let Some(device) = &self.device {
            self.was_silent = !self.has_sound && !device.is_substitute;
        }
        self.close();
        self.is_new = true;
        let (now_s, _) = self.host.now();
        // The device may still be closing.
        self.next_try_s = now_s + FIRST_RETRY_S;
        if self.is_lost {
            debug!("{error}");
            return;
        }
        warn!("{error}; looking for it");
        self.is_lost = true;
        self.stats.audio.devices_lost.count();
        self.told.push_back(Heard::Device {
            state: DeviceState::Lost,
            name: self.name.clone(),
        });
    }

    /// Tries to open a device, without waiting for it.
    fn look(&mut self, now_s: f64) {
        let is_slow = |opening: &Opening| now_s - opening.began_s > SLOW_OPEN_S;
        let all_hang = self.openings.iter().all(is_slow);
        if all_hang && !self.openings.is_empty() && !self.is_lost {
            self.lose(&AudioError::DeviceUnusable {
                name: self.config.device.clone(),
                detail: format!("it does not open within {SLOW_OPEN_S} s"),
            });
        }
        if now_s >= self.next_try_s && all_hang && self.stuck_since_s.is_none() {
            let wanted = match std::mem::take(&mut self.was_silent) {
                true => Wanted::Default,
                false => Wanted::OrDefault,
            };
            self.next_try_s = now_s + SLOW_OPEN_S;
            self.start_opening(now_s, wanted);
        }
        match self.opened() {
            Some(Ok(device)) => self.begin(device),
            Some(Err(error)) => {
                self.lose(&error);
                self.next_try_s = now_s + self.retry_s;
                self.retry_s = (2.0 * self.retry_s).min(LAST_RETRY_S);
            }
            None => {}
        }
    }

    /// Looks now and then whether a better device is there than the one that listens.
    fn look_for_better(&mut self, now_s: f64) {
        match self.opened() {
            Some(Ok(device)) => {
                info!("listening to `{}` from now on", device.source.name());
                self.begin(device);
                self.is_new = true;
            }
            Some(Err(error)) if self.is_outdated => {
                // Some devices can be open only once.
                info!("{error}; closing the present device first");
                self.close();
                self.is_new = true;
                self.is_outdated = false;
                self.next_try_s = now_s + FIRST_RETRY_S;
            }
            Some(Err(error)) => debug!("no better device: {error}"),
            None => {}
        }
        let Some(device) = &self.device else {
            return;
        };
        if now_s < self.next_look_s || !self.openings.is_empty() {
            return;
        }
        if device.is_substitute || self.is_outdated {
            self.next_look_s = now_s + WANTED_EVERY_S;
            self.start_opening(now_s, Wanted::Only);
        } else if self.config.wants_default() {
            self.next_look_s = now_s + DEFAULT_EVERY_S;
            if self.host.default_device() != device.default {
                self.start_opening(now_s, Wanted::Only);
            }
        }
    }

    fn start_opening(&mut self, now_s: f64, wanted: Wanted) {
        let (sender, result) = bounded(1);
        let (host, config) = (self.host.clone(), self.config.clone());
        let open = move || {
            let open = || match wanted {
                Wanted::OrDefault => open_wanted(&*host, &config),
                Wanted::Only => open_only(&*host, &config),
                Wanted::Default => open_default(&*host, &config),
            };
            let opened = supervised(open).unwrap_or_else(|detail| {
                Err(AudioError::DeviceUnusable {
                    name: config.device.clone(),
                    detail,
                })
            });
            // Whoever asked may have found another one.
            let _ = sender.send(opened);
        };
        self.spawn("open-audio", open);
        self.openings.push(Opening {
            began_s: now_s,
            result,
        });
    }

    /// Whether the sound system can no longer be used.
    fn is_stuck(&mut self, now_s: f64) -> bool {
        if n_closing() > MAX_LEFT {
            return true;
        }
        if self.n_busy.load(Ordering::Relaxed) < MAX_HANGING {
            self.stuck_since_s = None;
            return false;
        }
        now_s - *self.stuck_since_s.get_or_insert(now_s) > STUCK_S
    }

    /// What became of the tries to open a device.
    fn opened(&mut self) -> Option<Result<Device, AudioError>> {
        let mut outcome = None;
        self.openings
            .retain(|opening| match opening.result.try_recv() {
                Ok(Err(error)) => {
                    outcome.get_or_insert(Err(error));
                    false
                }
                Ok(device) => {
                    outcome = Some(device);
                    false
                }
                Err(error) => error.is_empty(),
            });
        outcome
    }

    /// What the device that is open gives next.
    fn listen(&mut self) {
        let Some(device) = &mut self.device else {
            return;
        };
        self.samples.clear();
        let samples = &mut self.samples;
        // The state of a device that panicked is thrown away.
        let next = supervised(|| device.source.read(samples));
        self.count();
        let (now_s, awake_s) = self.host.now();
        match next {
            Ok(Ok(Heard::Samples)) => self.note_samples(now_s, awake_s),
            Ok(Ok(Heard::End)) => self.told.push_back(Heard::End),
            Ok(Ok(next)) => self.told.push_back(next),
            Ok(Err(error)) => self.lose(&error),
            Err(detail) => {
                let name = self.name.clone();
                self.lose(&AudioError::DeviceLost { name, detail });
            }
        }
    }

    /// The samples that were just read are to be handed out, after what is missing before them.
    fn note_samples(&mut self, now_s: f64, awake_s: f64) {
        let length_s = self.samples.len() as f64 / f64::from(SAMPLE_RATE_HZ);
        // A device may deliver much at once: what still waits was spoken later.
        let waiting_s = self
            .device
            .as_ref()
            .map_or(0.0, |device| device.source.waiting_s());
        let spoken_s = now_s - waiting_s;
        let (missing_s, least_s, reason) = if self.is_new {
            let missing_s = spoken_s - length_s - self.heard_until_s;
            (missing_s, MIN_GAP_S, GapReason::DeviceLost)
        } else {
            let slept_s = now_s - awake_s - self.slept_s;
            (slept_s, SLEPT_S, GapReason::Suspended)
        };
        if missing_s >= least_s {
            self.told.push_back(Heard::Gap {
                n_samples: (missing_s * f64::from(SAMPLE_RATE_HZ)).round() as u64,
                reason,
            });
        }
        if self.is_new {
            if self.is_lost {
                info!("audio device `{}` is heard again", self.name);
                self.stats.audio.devices_recovered.count();
            }
            self.told.push_back(Heard::Device {
                state: DeviceState::Recovered,
                name: self.name.clone(),
            });
        }
        (self.is_new, self.is_lost, self.has_sound) = (false, false, true);
        (self.heard_until_s, self.slept_s) = (spoken_s, now_s - awake_s);
        self.told.push_back(Heard::Samples);
    }

    /// Brings the common counters up to date.
    fn count(&mut self) {
        let Some(device) = &self.device else {
            return;
        };
        let now = device.source.counters().snapshot();
        let (audio, before) = (&self.stats.audio, self.counted);
        audio.deliveries.add(now.n_callbacks - before.n_callbacks);
        audio.frames.add(now.n_frames - before.n_frames);
        let n_lost = now.n_lost_frames - before.n_lost_frames;
        audio.lost_frames.add(n_lost);
        audio.overruns.add(now.n_xruns - before.n_xruns);
        audio.errors.add(now.n_errors - before.n_errors);
        self.counted = now;
    }
}

impl AudioSource for Microphone {
    fn read(&mut self, out: &mut Vec<f32>) -> Result<Heard, AudioError> {
        if self.told.is_empty() {
            let (now_s, _) = self.host.now();
            if self.device.is_some() {
                self.look_for_better(now_s);
                self.listen();
            } else if self.is_stuck(now_s) {
                return Err(AudioError::Host {
                    detail: "it hangs whenever a device is opened or closed".into(),
                });
            } else {
                self.look(now_s);
            }
        }
        match self.told.pop_front() {
            Some(Heard::Samples) => {
                out.append(&mut self.samples);
                Ok(Heard::Samples)
            }
            Some(next) => Ok(next),
            None => {
                if self.device.is_none() {
                    thread::sleep(NO_DEVICE);
                }
                Ok(Heard::Nothing)
            }
        }
    }

    fn duration_s(&self) -> Option<f64> {
        None
    }

    fn device(&self) -> Option<&str> {
        Some(&self.name)
    }

    fn reconfigure(&mut self, config: &CaptureConfig) {
        if *config == self.config {
            return;
        }
        info!("the audio device is opened anew, as configured");
        self.config = config.clone();
        self.openings.clear();
        let (now_s, _) = self.host.now();
        // The old device is heard until the new one is open.
        self.is_outdated = true;
        self.next_look_s = now_s;
        self.next_try_s = now_s;
    }
}

/// Which devices may be opened.
#[derive(Clone, Copy, Debug)]
enum Wanted {
    /// The one that is configured.
    Only,
    /// Where that is not there, the default one.
    OrDefault,
    /// The default one in place of the one that is configured.
    Default,
}

fn open_wanted(host: &dyn Host, config: &CaptureConfig) -> Result<Device, AudioError> {
    match open_only(host, config) {
        Err(error) if !config.wants_default() => {
            debug!("{error}");
            // What is wrong with the wanted one is what matters.
            open_default(host, config).map_err(|_| error)
        }
        outcome => outcome,
    }
}

fn open_default(host: &dyn Host, config: &CaptureConfig) -> Result<Device, AudioError> {
    let default = CaptureConfig {
        device: "default".into(),
        ..config.clone()
    };
    Ok(Device {
        is_substitute: !config.wants_default(),
        ..open_only(host, &default)?
    })
}

fn open_only(host: &dyn Host, config: &CaptureConfig) -> Result<Device, AudioError> {
    let default = host.default_device();
    Ok(Device {
        source: host.open(config)?,
        is_substitute: false,
        default,
    })
}

#[cfg(test)]
#[path = "microphone_tests.rs"]
#[allow(clippy::unwrap_used)]
mod tests;
