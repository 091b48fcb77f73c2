//! A microphone over devices that come and go as the test wants.

use std::sync::Mutex;
use std::time::Instant;

use super::super::capture::CaptureFormat;
use super::super::ring::{CaptureCounters, Fault, RingWriter, capture_ring};
use super::*;

/// What the next try to open a device finds.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Find {
    Device,
    Nothing,
    Panic,
}

#[derive(Default)]
struct Fake {
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    /// By name; what is not there is not found.
    found: Vec<(String, Find)>,
    default: String,
    now_s: f64,
    asleep_s: f64,
    writers: Vec<(String, RingWriter, Arc<CaptureCounters>)>,
}

impl Host for Fake {
    fn open(&self, config: &CaptureConfig) -> Result<MicSource, AudioError> {
        let mut state = self.lock();
        let name = match config.wants_default() {
            true => state.default.clone(),
            false => config.device.clone(),
        };
        let found = state.found.iter().find(|(known, _)| *known == name);
        match found.map_or(Find::Nothing, |(_, find)| *find) {
            Find::Nothing => return Err(AudioError::UnknownDevice { name }),
            Find::Panic => panic!("a bug in the sound library"),
            Find::Device => {}
        }
        let counters = Arc::new(CaptureCounters::default());
        let (writer, reader) = capture_ring(16_000, 1, counters.clone());
        let format = CaptureFormat {
            rate_hz: 16_000,
            n_channels: 1,
            sample_format: "f32".into(),
            buffer_frames: None,
        };
        let ring = (reader, counters.clone());
        state.writers.push((name.clone(), writer, counters));
        MicSource::over(config, name, format, ring, None)
    }

    fn default_device(&self) -> Option<String> {
        Some(self.lock().default.clone())
    }

    fn now(&self) -> (f64, f64) {
        let state = self.lock();
        (state.now_s, state.now_s - state.asleep_s)
    }
}

impl Fake {
    fn lock(&self) -> std::sync::MutexGuard<'_, State> {
        // A try to open may have panicked, as told.
        self.state.lock().unwrap_or_else(|e| e.into_inner())
    }

    fn with(found: &[(&str, Find)], default: &str) -> Arc<Self> {
        let fake = Arc::new(Fake::default());
        fake.find(found, default);
        fake
    }

    fn find(&self, found: &[(&str, Find)], default: &str) {
        let mut state = self.lock();
        state.found = found.iter().map(|(n, f)| ((*n).to_owned(), *f)).collect();
        state.default = default.to_owned();
    }

    fn pass(&self, s: f64) {
        self.lock().now_s += s;
    }

    fn sleep(&self, s: f64) {
        let mut state = self.lock();
        (state.now_s, state.asleep_s) = (state.now_s + s, state.asleep_s + s);
    }

    /// The device that was opened last speaks for so long.
    fn speak(&self, s: f64) {
        let mut state = self.lock();
        state.now_s += s;
        let (_, writer, _) = state.writers.last_mut().unwrap();
        writer.write(&vec![0.25; (s * 16_000.0) as usize], |x| x);
    }

    fn break_last(&self) {
        let state = self.lock();
        state.writers.last().unwrap().2.set_fault(Fault::Gone);
    }

    fn n_opened(&self) -> usize {
        self.lock().writers.len()
    }
}

/// A microphone and what it said, with samples as their number.
struct Listener {
    fake: Arc<Fake>,
    microphone: Microphone,
    stats: Stats,
}

#[derive(Debug, PartialEq)]
enum Said {
    Samples(usize),
    Gap(u64, GapReason),
    Lost(String),
    Recovered(String),
}

impl Listener {
    fn new(fake: &Arc<Fake>, device: &str) -> Self {
        let config = CaptureConfig {
            stall_ms: 1_000_000,
            ..CaptureConfig::of_device(device)
        };
        let stats = Stats::default();
        Listener {
            fake: fake.clone(),
            microphone: Microphone::with_host(&config, fake.clone(), &stats),
            stats,
        }
    }

    /// What comes until `is_enough`; the fake's time stands still.
    fn until(&mut self, is_enough: impl Fn(&Self, &[Said]) -> bool) -> Vec<Said> {
        let (began, mut said) = (Instant::now(), Vec::new());
        while !is_enough(self, &said) {
            assert!(began.elapsed() < Duration::from_secs(20), "{said:?}");
            let mut samples = Vec::new();
            match self.microphone.read(&mut samples).unwrap() {
                Heard::Samples => match said.last_mut() {
                    Some(Said::Samples(n)) => *n += samples.len(),
                    _ => said.push(Said::Samples(samples.len())),
                },
                Heard::Gap { n_samples, reason } => said.push(Said::Gap(n_samples, reason)),
                Heard::Device { state, name } => said.push(match state {
                    DeviceState::Lost => Said::Lost(name),
                    DeviceState::Recovered => Said::Recovered(name),
                }),
                Heard::Nothing => {}
                Heard::End => panic!("a microphone has no end"),
            }
        }
        said
    }

    fn until_samples(&mut self, n: usize) -> Vec<Said> {
        self.until(|_, said| said.last() == Some(&Said::Samples(n)))
    }

    fn until_opened(&mut self, n: usize) -> Vec<Said> {
        self.until(|listener, _| {
            listener.fake.n_opened() == n && listener.microphone.openings.is_empty()
        })
    }
}

const THERE: Find = Find::Device;

#[test]
fn a_device_that_goes_and_comes_back_leaves_a_gap_of_the_right_length() {
    let fake = Fake::with(&[("usb", THERE)], "usb");
    let mut listener = Listener::new(&fake, "default");
    listener.until_opened(1);
    fake.speak(0.1);
    assert_eq!(listener.until_samples(1_600), [Said::Samples(1_600)]);
    fake.find(&[], "usb");
    fake.break_last();
    let lost = listener.until(|_, said| !said.is_empty());
    assert_eq!(lost, [Said::Lost("usb".into())]);
    fake.find(&[("usb", THERE)], "usb");
    fake.pass(3.0);
    assert_eq!(listener.until_opened(2), []);
    fake.speak(0.05);
    let again = listener.until_samples(800);
    let gap = Said::Gap(48_000, GapReason::DeviceLost);
    assert_eq!(
        again,
        [gap, Said::Recovered("usb".into()), Said::Samples(800)]
    );
    let audio = &listener.stats.audio;
    assert_eq!(
        (audio.devices_lost.get(), audio.devices_recovered.get()),
        (1, 1)
    );
    assert_eq!((audio.frames.get(), audio.lost_frames.get()), (2_400, 0));
}

#[test]
fn a_device_that_is_not_there_at_the_start_is_waited_for() {
    let fake = Fake::with(&[("bad", Find::Panic)], "bad");
    let mut listener = Listener::new(&fake, "default");
    let lost = listener.until(|_, said| !said.is_empty());
    assert_eq!(lost, [Said::Lost("default".into())]);
    fake.pass(10.0);
    fake.find(&[("built-in", THERE)], "built-in");
    listener.until_opened(1);
    fake.speak(0.1);
    let begun = listener.until_samples(1_600);
    let gap = Said::Gap(160_000, GapReason::DeviceLost);
    let there = Said::Recovered("built-in".into());
    assert_eq!(begun, [gap, there, Said::Samples(1_600)]);
}

#[test]
fn the_default_stands_in_for_the_wanted_device_until_that_is_back() {
    let fake = Fake::with(&[("built-in", THERE)], "built-in");
    let mut listener = Listener::new(&fake, "usb");
    listener.until_opened(1);
    fake.speak(0.1);
    listener.until_samples(1_600);
    assert_eq!(listener.microphone.name, "built-in");
    fake.find(&[("built-in", THERE), ("usb", THERE)], "built-in");
    fake.pass(WANTED_EVERY_S);
    listener.until_opened(2);
    fake.speak(0.1);
    let back = listener.until_samples(1_600);
    assert_eq!(
        back[1..],
        [Said::Recovered("usb".into()), Said::Samples(1_600)]
    );
    assert!(!listener.microphone.device.as_ref().unwrap().is_substitute);
}

#[test]
fn a_new_default_device_is_followed() {
    let fake = Fake::with(&[("a", THERE), ("b", THERE)], "a");
    let mut listener = Listener::new(&fake, "default");
    listener.until_opened(1);
    fake.speak(0.1);
    listener.until_samples(1_600);
    fake.find(&[("a", THERE), ("b", THERE)], "b");
    fake.pass(DEFAULT_EVERY_S);
    listener.until_opened(2);
    assert_eq!(listener.microphone.name, "b");
}

#[test]
fn sleep_is_a_gap() {
    let fake = Fake::with(&[("usb", THERE)], "usb");
    let mut listener = Listener::new(&fake, "default");
    listener.until_opened(1);
    fake.speak(0.1);
    listener.until_samples(1_600);
    fake.sleep(3_600.0);
    fake.speak(0.1);
    let gap = Said::Gap(3_600 * 16_000, GapReason::Suspended);
    assert_eq!(listener.until_samples(1_600), [gap, Said::Samples(1_600)]);
    fake.speak(0.1);
    assert_eq!(listener.until_samples(1_600), [Said::Samples(1_600)]);
}

#[test]
fn another_configuration_opens_the_device_anew() {
    let fake = Fake::with(&[("a", THERE), ("b", THERE)], "a");
    let mut listener = Listener::new(&fake, "default");
    listener.until_opened(1);
    let same = listener.microphone.config.clone();
    listener.microphone.reconfigure(&same);
    listener.until_opened(1);
    listener
        .microphone
        .reconfigure(&CaptureConfig::of_device("b"));
    listener.until_opened(2);
    assert_eq!(listener.microphone.name, "b");
}

#[test]
fn a_wanted_device_that_gives_no_sound_is_not_waited_for() {
    let fake = Fake::with(&[("built-in", THERE), ("usb", THERE)], "built-in");
    let mut listener = Listener::new(&fake, "usb");
    listener.until_opened(1);
    assert_eq!(listener.microphone.name, "usb");
    fake.break_last();
    listener.until(|_, said| !said.is_empty());
    fake.pass(1.0);
    listener.until_opened(2);
    assert_eq!(listener.microphone.name, "built-in");
}

#[test]
fn a_device_that_can_be_open_only_once_is_closed_for_its_new_configuration() {
    let fake = Fake::with(&[("a", THERE)], "a");
    let mut listener = Listener::new(&fake, "default");
    listener.until_opened(1);
    fake.speak(0.1);
    listener.until_samples(1_600);
    // While it is open it cannot be opened again.
    fake.find(&[], "a");
    let mut louder = listener.microphone.config.clone();
    louder.front.gain_db = 6.0;
    listener.microphone.reconfigure(&louder);
    listener.until(|listener, _| listener.microphone.device.is_none());
    fake.find(&[("a", THERE)], "a");
    fake.pass(1.0);
    listener.until_opened(2);
    fake.speak(0.1);
    let again = listener.until_samples(1_600);
    assert_eq!(again.last(), Some(&Said::Samples(1_600)));
}
