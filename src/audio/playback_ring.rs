//! The hop from the thread that plays to the sound system's callback: samples and counters, without a
//! lock.
//!
//! In: interleaved frames of the device ([`PlaybackWriter`]). Out: the same frames on the callback's
//! thread ([`PlaybackReader`]), and silence where none are there. Capacity is fixed when the ring is made;
//! the writer takes what fits and says how much that was. The reader never waits, locks, logs or
//! allocates.

// Without sound devices there is no callback.
#![cfg_attr(not(feature = "mic"), allow(dead_code))]

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use ringbuf::traits::{Consumer, Observer, Producer, Split};
use ringbuf::{HeapCons, HeapProd, HeapRb};

use super::ring::CaptureCounters;

/// Sound that is cut short fades over so much of it, so that nothing clicks.
const FADE_MS: u32 = 5;

/// What the callback counts and is told.
#[derive(Debug, Default)]
pub(super) struct PlaybackCounters {
    /// How the device does.
    pub(super) device: CaptureCounters,
    /// Time from the last callback until all of its frames were heard, in microseconds.
    latency_us: AtomicU64,
    /// What waits is to be forgotten.
    cut: AtomicBool,
}

impl PlaybackCounters {
    /// From a callback until its last frame is heard, as far as the device tells.
    pub(super) fn latency(&self) -> Duration {
        Duration::from_micros(self.latency_us.load(Ordering::Relaxed))
    }

    /// Asks the callback to forget what waits.
    pub(super) fn cut(&self) {
        self.cut.store(true, Ordering::Release);
    }

    /// Whether it has not done so yet.
    pub(super) fn is_cutting(&self) -> bool {
        self.cut.load(Ordering::Acquire)
    }
}

/// The player's end.
pub(super) struct PlaybackWriter {
    samples: HeapProd<f32>,
    n_channels: usize,
}

/// The callback's end.
pub(super) struct PlaybackReader {
    samples: HeapCons<f32>,
    counters: Arc<PlaybackCounters>,
    n_channels: usize,
    n_fade_samples: usize,
}

/// A ring for `n_frames` frames of `n_channels` samples at `rate_hz`.
pub(super) fn playback_ring(
    n_frames: usize,
    n_channels: usize,
    rate_hz: u32,
    counters: Arc<PlaybackCounters>,
) -> (PlaybackWriter, PlaybackReader) {
    assert!(n_frames > 0 && n_channels > 0, "a ring holds something");
    let (writer, reader) = HeapRb::new(n_frames * n_channels).split();
    let n_fade_frames = (rate_hz * FADE_MS / 1_000).max(1) as usize;
    let writer = PlaybackWriter {
        samples: writer,
        n_channels,
    };
    let reader = PlaybackReader {
        samples: reader,
        counters,
        n_channels,
        n_fade_samples: n_fade_frames * n_channels,
    };
    (writer, reader)
}

impl PlaybackWriter {
    /// Takes as many whole frames of `interleaved` as fit; the number of their samples.
    pub(super) fn write(&mut self, interleaved: &[f32]) -> usize {
        let n_free = self.samples.vacant_len().min(interleaved.len());
        let n_whole = n_free - n_free % self.n_channels;
        self.samples.push_slice(&interleaved[..n_whole])
    }

    /// Whether the callback has taken everything.
    pub(super) fn is_empty(&self) -> bool {
        self.samples.is_empty()
    }
}

impl PlaybackReader {
    /// Fills `out`: with the frames that wait, as `of_f32` writes a sample, then with silence.
    /// `delay` is how long it takes until the first frame of `out` is heard, `length` how long `out` is.
    pub(super) fn read<T>(
        &mut self,
        out: &mut [T],
        (delay, length): (Duration, Duration),
        of_f32: impl Fn(f32) -> T,
    ) {
        let is_cut = self.counters.is_cutting();
        let most = if is_cut {
            self.n_fade_samples
        } else {
            out.len()
        };
        let n = self.samples.occupied_len().min(most).min(out.len());
        let n = n - n % self.n_channels;
        let n_frames = n / self.n_channels;
        let (sound, silence) = out.split_at_mut(n);
        for (i, (slot, sample)) in sound.iter_mut().zip(self.samples.pop_iter()).enumerate() {
            let gain = match is_cut {
                true => 1.0 - (i / self.n_channels) as f32 / n_frames as f32,
                false => 1.0,
            };
            *slot = of_f32(sample * gain);
        }
        silence.fill_with(|| of_f32(0.0));
        if is_cut {
            self.samples.clear();
        }
        let latency_us = u64::try_from((delay + length).as_micros()).unwrap_or(u64::MAX);
        self.counters
            .latency_us
            .store(latency_us, Ordering::Relaxed);
        self.counters.device.note_taken(out.len() / self.n_channels);
        if is_cut {
            self.counters.cut.store(false, Ordering::Release);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ring(n_frames: usize, n_channels: usize) -> (PlaybackWriter, PlaybackReader) {
        playback_ring(n_frames, n_channels, 8_000, Arc::default())
    }

    fn read(reader: &mut PlaybackReader, n: usize) -> Vec<f32> {
        let mut out = vec![f32::NAN; n];
        let times = (Duration::from_millis(30), Duration::from_millis(12));
        reader.read(&mut out, times, |sample| sample);
        out
    }

    #[test]
    fn frames_come_out_in_order_and_then_silence() {
        let (mut writer, mut reader) = ring(4, 2);
        // Nine samples are four frames and a half.
        assert_eq!(
            writer.write(&[0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9]),
            8
        );
        assert_eq!(writer.write(&[0.9, 1.0]), 0);
        assert_eq!(read(&mut reader, 4), [0.1, 0.2, 0.3, 0.4]);
        assert_eq!(read(&mut reader, 6), [0.5, 0.6, 0.7, 0.8, 0.0, 0.0]);
        assert!(writer.is_empty());
        let counters = &reader.counters;
        assert_eq!(counters.latency(), Duration::from_millis(42));
        let stats = counters.device.snapshot();
        assert_eq!((stats.n_callbacks, stats.n_frames), (2, 5));
    }

    #[test]
    fn what_is_cut_fades_and_is_forgotten() {
        let (mut writer, mut reader) = ring(1_000, 1);
        assert_eq!(writer.write(&[1.0; 1_000]), 1_000);
        reader.counters.cut();
        let out = read(&mut reader, 100);
        // 5 ms at 8 kHz.
        assert!(
            out[..40].windows(2).all(|pair| pair[0] > pair[1]),
            "{out:?}"
        );
        assert!(out[40..].iter().all(|&sample| sample == 0.0), "{out:?}");
        assert!(!reader.counters.is_cutting() && writer.is_empty());
        // What comes afterwards is whole.
        writer.write(&[0.5; 3]);
        assert_eq!(read(&mut reader, 4), [0.5, 0.5, 0.5, 0.0]);
    }
}
