#![allow(clippy::unwrap_used)]

use std::io::{self, Cursor};
use std::sync::atomic::AtomicU64;

use super::super::playback_ring::playback_ring;
use super::super::ring::Fault;
use super::super::{PcmFormat, PcmSpec, Tone, wav_bytes};
use super::*;

const RATE_HZ: u32 = 8_000;

/// A device of 8 kHz and two channels that takes 5 ms every millisecond.
#[derive(Default)]
struct Device {
    heard: Mutex<Vec<f32>>,
    n_opened: AtomicU64,
    n_open: AtomicU64,
    /// It takes nothing.
    stands: AtomicBool,
    /// The next opening fails.
    missing: AtomicBool,
    /// The first frames of an opened device are its last.
    fault: Mutex<Option<Fault>>,
}

/// Ends the device's thread.
struct Keep(Arc<AtomicBool>);

impl Drop for Keep {
    fn drop(&mut self) {
        self.0.store(true, Ordering::SeqCst);
    }
}

fn open(device: &Arc<Device>) -> Result<OutputStream, AudioError> {
    if device.missing.swap(false, Ordering::SeqCst) {
        return Err(AudioError::NoOutput);
    }
    let counters = Arc::new(PlaybackCounters::default());
    let (writer, mut reader) = playback_ring(800, 2, RATE_HZ, counters.clone());
    let closed = Arc::new(AtomicBool::new(false));
    device.n_opened.fetch_add(1, Ordering::SeqCst);
    device.n_open.fetch_add(1, Ordering::SeqCst);
    let (of_thread, ends, of_counters) = (device.clone(), closed.clone(), counters.clone());
    thread::spawn(move || {
        while !ends.load(Ordering::SeqCst) {
            thread::sleep(Duration::from_millis(1));
            if of_thread.stands.load(Ordering::SeqCst) {
                continue;
            }
            let mut out = [0.0; 80];
            reader.read(&mut out, Default::default(), |sample| sample);
            of_thread.heard.lock().unwrap().extend(out);
            if let Some(fault) = *of_thread.fault.lock().unwrap() {
                of_counters.device.set_fault(fault);
                break;
            }
        }
        of_thread.n_open.fetch_sub(1, Ordering::SeqCst);
    });
    Ok(OutputStream {
        name: "fake".into(),
        format: CaptureFormat {
            rate_hz: RATE_HZ,
            n_channels: 2,
            sample_format: "f32".into(),
            buffer_frames: None,
        },
        writer,
        counters,
        _stream: Box::new(Keep(closed)),
    })
}

fn player(idle: Duration) -> (Player, Arc<Device>) {
    let device = Arc::<Device>::default();
    let of_player = device.clone();
    let open = move |_: &PlaybackConfig| open(&of_player);
    let player = Player::on(PlaybackConfig::default(), Box::new(open), idle);
    (player, device)
}

const LONG: Duration = Duration::from_secs(60);

fn wav(samples: &[f32]) -> Vec<u8> {
    let spec = PcmSpec {
        format: PcmFormat::F32Le,
        rate_hz: RATE_HZ,
        n_channels: 1,
    };
    wav_bytes(spec, samples)
}

/// What the device played that is no silence, of one channel.
fn heard(device: &Device) -> Vec<f32> {
    let heard = device.heard.lock().unwrap();
    assert!(heard.chunks_exact(2).all(|frame| frame[0] == frame[1]));
    let mono = heard.iter().step_by(2).copied();
    mono.filter(|&sample| sample != 0.0).collect()
}

fn ramp(n: usize) -> Vec<f32> {
    (1..=n).map(|i| i as f32 / n as f32).collect()
}

fn never() -> bool {
    false
}

#[test]
fn all_of_it_is_played_and_the_device_stays_open_for_the_next() {
    let (player, device) = player(LONG);
    for length in [Some(()), None] {
        let samples = ramp(2_000);
        let mut bytes = wav(&samples);
        if length.is_none() {
            bytes[40..44].copy_from_slice(&u32::MAX.to_le_bytes());
        }
        device.heard.lock().unwrap().clear();
        let played = player.play(&mut Cursor::new(bytes), "x", &never);
        assert_eq!(played.unwrap(), Played::Whole);
        assert!(heard(&device) == samples);
    }
    assert_eq!(device.n_opened.load(Ordering::SeqCst), 1);
}

/// Gives a WAV for ever.
struct Endless(Cursor<Vec<u8>>, Arc<AtomicU64>);

impl Read for Endless {
    fn read(&mut self, out: &mut [u8]) -> io::Result<usize> {
        let n = match self.0.read(out)? {
            0 => {
                out.fill(0x3e);
                out.len()
            }
            n => n,
        };
        self.1.fetch_add(n as u64, Ordering::SeqCst);
        Ok(n)
    }
}

fn endless() -> (Endless, Arc<AtomicU64>) {
    let mut bytes = wav(&[]);
    bytes[40..44].copy_from_slice(&u32::MAX.to_le_bytes());
    let n_read = Arc::<AtomicU64>::default();
    (Endless(Cursor::new(bytes), n_read.clone()), n_read)
}

#[test]
fn stop_is_soon_and_takes_back_what_waits() {
    let (player, device) = player(LONG);
    let (mut input, n_read) = endless();
    let stop = || heard(&device).len() > 500;
    let played = player.play(&mut input, "x", &stop).unwrap();
    assert_eq!(played, Played::Cut);
    let n_heard = heard(&device).len() as u64;
    // The ring had more than what was heard after the stop was asked for.
    assert!(n_heard < n_read.load(Ordering::SeqCst) / 4, "{n_heard}");
    // And it reads no further than the ring and a piece.
    assert!(n_read.load(Ordering::SeqCst) < 4 * (n_heard + 800 + 2 * 800) + 100);
    // The next one is not touched by it.
    device.heard.lock().unwrap().clear();
    let mut next = Cursor::new(wav(&ramp(300)));
    assert_eq!(player.play(&mut next, "x", &never).unwrap(), Played::Whole);
    assert!(heard(&device) == ramp(300));
}

#[test]
fn an_idle_device_is_closed() {
    let (player, device) = player(Duration::from_millis(30));
    for n in 1..=2 {
        let mut input = Cursor::new(wav(&ramp(100)));
        player.play(&mut input, "x", &never).unwrap();
        let begun = Instant::now();
        while player.is_open() || device.n_open.load(Ordering::SeqCst) > 0 {
            assert!(begun.elapsed() < Duration::from_secs(20));
            thread::sleep(Duration::from_millis(2));
        }
        assert_eq!(device.n_opened.load(Ordering::SeqCst), n);
    }
}

#[test]
fn a_lost_device_is_an_error_and_the_next_text_tries_again() {
    let (player, device) = player(LONG);
    let play = |n| player.play(&mut Cursor::new(wav(&ramp(n))), "x", &never);
    device.missing.store(true, Ordering::SeqCst);
    assert!(matches!(play(10), Err(AudioError::NoOutput)));
    *device.fault.lock().unwrap() = Some(Fault::Gone);
    let error = play(100_000).unwrap_err().to_string();
    assert!(
        error.contains("`fake` was lost: it was unplugged"),
        "{error}"
    );
    *device.fault.lock().unwrap() = None;
    assert_eq!(play(100).unwrap(), Played::Whole);
    // Lost while nothing is played: the next one does not notice.
    *device.fault.lock().unwrap() = Some(Fault::Changed);
    let begun = Instant::now();
    while device.n_open.load(Ordering::SeqCst) > 0 {
        assert!(begun.elapsed() < Duration::from_secs(20));
        thread::sleep(Duration::from_millis(1));
    }
    *device.fault.lock().unwrap() = None;
    assert_eq!(play(100).unwrap(), Played::Whole);
}

#[test]
fn a_device_that_stands_still_is_lost() {
    let (player, device) = player(LONG);
    player
        .play(&mut Cursor::new(wav(&ramp(10))), "x", &never)
        .unwrap();
    device.stands.store(true, Ordering::SeqCst);
    let begun = Instant::now();
    let error = player.play(&mut endless().0, "x", &never).unwrap_err();
    assert!(error.to_string().contains("played nothing"), "{error}");
    assert!(begun.elapsed() < STALL + Duration::from_secs(2));
    assert!(!player.is_open());
    // Nor does it keep somebody who has had enough.
    let error = player.play(&mut endless().0, "x", &|| {
        begun.elapsed() > STALL + Duration::from_millis(200)
    });
    assert!(error.is_err());
    assert!(begun.elapsed() < STALL + CUTTING + Duration::from_secs(3));
}

#[test]
fn an_opening_that_hangs_is_left_behind() {
    let (release, hang) = bounded::<()>(0);
    let open = move |_: &PlaybackConfig| {
        let _ = hang.recv();
        Err(AudioError::NoOutput)
    };
    let player = Player::on(PlaybackConfig::default(), Box::new(open), LONG);
    let play = |stop: &dyn Fn() -> bool| {
        let mut input = Cursor::new(wav(&ramp(10)));
        player.play(&mut input, "x", stop)
    };
    let begun = Instant::now();
    let stop = || begun.elapsed() > Duration::from_millis(20);
    assert_eq!(play(&stop).unwrap(), Played::Cut);
    // No second thread hangs there.
    let error = play(&never).unwrap_err().to_string();
    assert!(error.contains("does not answer"), "{error}");
    drop(release);
    while player.shared.is_opening.load(Ordering::SeqCst) {
        thread::sleep(Duration::from_millis(1));
    }
    assert!(matches!(play(&never), Err(AudioError::NoOutput)));
}

#[test]
fn a_short_sound_does_not_wait() {
    let (player, device) = player(LONG);
    let clip = Tone::Soft.clip();
    assert_eq!(player.play_now(&clip, &never).unwrap(), Played::Whole);
    let n_heard = heard(&device).len();
    assert!(
        (900..=960).contains(&n_heard),
        "{n_heard} samples of 120 ms"
    );
    let done = AtomicBool::new(false);
    thread::scope(|scope| {
        let speech = scope.spawn(|| {
            let stop = || done.load(Ordering::SeqCst);
            player.play(&mut endless().0, "x", &stop)
        });
        while player.shared.try_desk().is_some() {
            thread::sleep(Duration::from_millis(1));
        }
        assert_eq!(player.play_now(&clip, &never).unwrap(), Played::Dropped);
        done.store(true, Ordering::SeqCst);
        assert_eq!(speech.join().unwrap().unwrap(), Played::Cut);
    });
}

#[test]
fn hostile_bytes_are_errors_and_open_nothing() {
    let (player, device) = player(LONG);
    let good = wav(&ramp(10));
    for n in 0..44 {
        let error = player
            .play(&mut Cursor::new(&good[..n]), "the voice", &never)
            .unwrap_err()
            .to_string();
        assert!(error.starts_with("cannot play the voice: "), "{error}");
    }
    for (at, bytes) in [
        (0, &b"ID3\x04"[..]),
        (20, &[85, 0]),
        (22, &[0, 0]),
        (24, &[0; 4]),
    ] {
        let mut bad = good.clone();
        bad[at..at + bytes.len()].copy_from_slice(bytes);
        let error = player.play(&mut Cursor::new(bad), "x", &never);
        assert!(matches!(error, Err(AudioError::NotPlayable { .. })));
    }
    assert_eq!(device.n_opened.load(Ordering::SeqCst), 0);
    // Samples that are no numbers are silence, and half a frame at the end is nothing.
    let mut bytes = wav(&[f32::NAN, f32::INFINITY, 0.25]);
    bytes.extend([1, 2]);
    bytes[40..44].copy_from_slice(&u32::MAX.to_le_bytes());
    player.play(&mut Cursor::new(bytes), "x", &never).unwrap();
    assert_eq!(heard(&device), [1.0, 0.25]);
}
