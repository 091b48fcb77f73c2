//! The hop from the sound system's callback to the thread that listens: samples, the places where
//! some are missing, and counters, all without a lock.
//!
//! In: interleaved frames, on the callback's thread ([`RingWriter`]). Out: the same frames on the
//! reader's thread ([`RingReader`]). Capacity is fixed when the ring is made. Overflow rule: what
//! does not fit is dropped, newest first and in whole frames, and a mark says where and how much.
//! The writer never waits, locks, logs or allocates.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU8, AtomicU32, AtomicU64, Ordering};

use ringbuf::traits::{Consumer, Observer, Producer, Split};
use ringbuf::{HeapCons, HeapProd, HeapRb};

/// Marks that can wait to be read; each stands for one stretch of lost frames.
const MAX_MARKS: usize = 64;

/// Errors in a row, without a sample between them, after which a device counts as failed.
const MAX_ERRORS_IN_A_ROW: u32 = 16;

/// Frames that are missing at a place in the stream.
#[derive(Clone, Copy, Debug)]
struct GapMark {
    /// Written frames before the gap.
    at_frame: u64,
    n_lost_frames: u64,
}

/// Why a device delivers no more.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    /// It was unplugged or its server went away.
    Gone,
    /// Its format changed; it must be opened again.
    Changed,
    /// The system refuses the device to this program.
    Denied,
    /// It reports errors and no sound.
    Failing,
    /// Nobody listened for so long that some of its sound may be missing.
    Late,
}

impl Fault {
    const ALL: [Fault; 5] = [
        Fault::Gone,
        Fault::Changed,
        Fault::Denied,
        Fault::Failing,
        Fault::Late,
    ];

    /// The fault in words.
    pub fn describe(self) -> &'static str {
        match self {
            Fault::Gone => "it was unplugged or its sound server ended",
            Fault::Changed => "its format changed",
            Fault::Denied => "the system refuses access to it",
            Fault::Failing => "it reports errors instead of sound",
            Fault::Late => "this program stood still for too long",
        }
    }

    fn code(self) -> u8 {
        self as u8 + 1
    }

    fn of_code(code: u8) -> Option<Fault> {
        Fault::ALL.into_iter().find(|fault| fault.code() == code)
    }
}

/// What the callback counts; written by it alone, read by anyone.
#[derive(Debug, Default)]
pub struct CaptureCounters {
    n_callbacks: AtomicU64,
    n_frames: AtomicU64,
    n_lost_frames: AtomicU64,
    n_xruns: AtomicU64,
    n_errors: AtomicU64,
    n_errors_in_a_row: AtomicU32,
    after_xrun: AtomicBool,
    fault: AtomicU8,
}

/// The counters at one moment.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct CaptureStats {
    /// Times the sound system delivered.
    pub n_callbacks: u64,
    /// Frames delivered, those that were then dropped included.
    pub n_frames: u64,
    /// Frames lost: dropped at a full ring, or missed by the sound system as far as it tells.
    pub n_lost_frames: u64,
    /// Overruns that the sound system reported.
    pub n_xruns: u64,
    /// Other errors that it reported.
    pub n_errors: u64,
}

impl CaptureCounters {
    /// The counters now.
    pub fn snapshot(&self) -> CaptureStats {
        CaptureStats {
            n_callbacks: self.n_callbacks.load(Ordering::Relaxed),
            n_frames: self.n_frames.load(Ordering::Relaxed),
            n_lost_frames: self.n_lost_frames.load(Ordering::Relaxed),
            n_xruns: self.n_xruns.load(Ordering::Relaxed),
            n_errors: self.n_errors.load(Ordering::Relaxed),
        }
    }

    /// Why the device delivers no more, if so.
    pub fn fault(&self) -> Option<Fault> {
        Fault::of_code(self.fault.load(Ordering::Acquire))
    }

    /// The device is lost; the first reason stays.
    pub fn set_fault(&self, fault: Fault) {
        let _ = self
            .fault
            .compare_exchange(0, fault.code(), Ordering::AcqRel, Ordering::Relaxed);
    }

    /// A device that plays has taken so many frames.
    pub fn note_taken(&self, n_frames: usize) {
        self.n_callbacks.fetch_add(1, Ordering::Relaxed);
        self.n_frames.fetch_add(n_frames as u64, Ordering::Relaxed);
        self.n_errors_in_a_row.store(0, Ordering::Relaxed);
    }

    /// The sound system lost frames of its own.
    pub fn note_xrun(&self) {
        self.n_xruns.fetch_add(1, Ordering::Relaxed);
        self.after_xrun.store(true, Ordering::Relaxed);
    }

    /// True once after every [`Self::note_xrun`].
    pub fn take_xrun(&self) -> bool {
        self.after_xrun.load(Ordering::Relaxed) && self.after_xrun.swap(false, Ordering::Relaxed)
    }

    /// The sound system reported an error that says nothing of the device's fate; many without a
    /// sample between them do.
    pub fn note_error(&self) {
        self.n_errors.fetch_add(1, Ordering::Relaxed);
        if self.n_errors_in_a_row.fetch_add(1, Ordering::Relaxed) + 1 >= MAX_ERRORS_IN_A_ROW {
            self.set_fault(Fault::Failing);
        }
    }
}

/// The callback's end.
pub struct RingWriter {
    samples: HeapProd<f32>,
    marks: HeapProd<GapMark>,
    counters: Arc<CaptureCounters>,
    n_channels: usize,
    n_written_frames: u64,
    /// Lost frames that no mark stands for yet.
    n_unmarked_frames: u64,
}

/// The listener's end.
pub struct RingReader {
    samples: HeapCons<f32>,
    marks: HeapCons<GapMark>,
    n_channels: usize,
    n_read_frames: u64,
}

/// A ring for `n_frames` frames of `n_channels` samples.
pub fn capture_ring(
    n_frames: usize,
    n_channels: usize,
    counters: Arc<CaptureCounters>,
) -> (RingWriter, RingReader) {
    assert!(n_frames > 0 && n_channels > 0, "a ring holds something");
    let (sample_writer, sample_reader) = HeapRb::new(n_frames * n_channels).split();
    let (mark_writer, mark_reader) = HeapRb::new(MAX_MARKS).split();
    let writer = RingWriter {
        samples: sample_writer,
        marks: mark_writer,
        counters,
        n_channels,
        n_written_frames: 0,
        n_unmarked_frames: 0,
    };
    let reader = RingReader {
        samples: sample_reader,
        marks: mark_reader,
        n_channels,
        n_read_frames: 0,
    };
    (writer, reader)
}

impl RingWriter {
    /// Writes the whole frames of `interleaved`, whose samples `to_f32` brings to −1…1. What does
    /// not fit is lost and counted.
    pub fn write<T: Copy>(&mut self, interleaved: &[T], to_f32: impl Fn(T) -> f32) {
        let n_frames = interleaved.len() / self.n_channels;
        self.counters.n_callbacks.fetch_add(1, Ordering::Relaxed);
        self.counters
            .n_frames
            .fetch_add(n_frames as u64, Ordering::Relaxed);
        self.counters.n_errors_in_a_row.store(0, Ordering::Relaxed);

        let n_free_frames = self.samples.vacant_len() / self.n_channels;
        let mut n_taken = n_frames.min(n_free_frames);
        if n_taken > 0 && !self.mark_gap() {
            // Without its mark a gap would go unseen: rather a longer gap.
            n_taken = 0;
        }
        let samples = interleaved[..n_taken * self.n_channels].iter();
        self.samples
            .push_iter(samples.map(|&sample| to_f32(sample)));
        self.n_written_frames += n_taken as u64;
        self.note_lost((n_frames - n_taken) as u64);
    }

    /// Counts frames that are missing here in the stream.
    pub fn note_lost(&mut self, n_frames: u64) {
        self.n_unmarked_frames += n_frames;
        self.counters
            .n_lost_frames
            .fetch_add(n_frames, Ordering::Relaxed);
    }

    /// Marks the gap before the next frame, if there is one; false if no mark can be written.
    fn mark_gap(&mut self) -> bool {
        if self.n_unmarked_frames == 0 {
            return true;
        }
        let mark = GapMark {
            at_frame: self.n_written_frames,
            n_lost_frames: self.n_unmarked_frames,
        };
        let marked = self.marks.try_push(mark).is_ok();
        if marked {
            self.n_unmarked_frames = 0;
        }
        marked
    }
}

impl RingReader {
    /// Appends up to `max_frames` frames to `out`, stopping before a gap; gives their number.
    pub fn read(&mut self, max_frames: usize, out: &mut Vec<f32>) -> usize {
        // The samples first: whoever sees a sample also sees the mark written before it.
        let n_there = self.samples.occupied_len() / self.n_channels;
        let n_to_gap = match self.marks.try_peek() {
            Some(mark) => mark.at_frame - self.n_read_frames,
            None => u64::MAX,
        };
        let n_frames = n_there
            .min(max_frames)
            .min(usize::try_from(n_to_gap).unwrap_or(usize::MAX));
        let n_before = out.len();
        out.resize(n_before + n_frames * self.n_channels, 0.0);
        self.samples.pop_slice(&mut out[n_before..]);
        self.n_read_frames += n_frames as u64;
        n_frames
    }

    /// Frames that can be read.
    pub fn n_waiting(&self) -> usize {
        self.samples.occupied_len() / self.n_channels
    }

    /// Frames lost between the last frame read and the next one; `None` where nothing is missing.
    pub fn take_gap(&mut self) -> Option<u64> {
        let mark = *self.marks.try_peek()?;
        if mark.at_frame != self.n_read_frames {
            return None;
        }
        self.marks.skip(1);
        Some(mark.n_lost_frames)
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    fn ring(n_frames: usize, n_channels: usize) -> (RingWriter, RingReader, Arc<CaptureCounters>) {
        let counters = Arc::new(CaptureCounters::default());
        let (writer, reader) = capture_ring(n_frames, n_channels, counters.clone());
        (writer, reader, counters)
    }

    /// Everything readable: samples, and gaps as (frames before it, frames lost).
    fn drain(reader: &mut RingReader, max_frames: usize) -> (Vec<f32>, Vec<(usize, u64)>) {
        let (mut samples, mut gaps) = (Vec::new(), Vec::new());
        loop {
            if let Some(n_lost) = reader.take_gap() {
                gaps.push((samples.len() / reader.n_channels, n_lost));
            }
            if reader.read(max_frames, &mut samples) == 0 {
                return (samples, gaps);
            }
        }
    }

    #[test]
    fn frames_come_out_as_they_went_in() {
        let (mut writer, mut reader, counters) = ring(8, 2);
        writer.write(&[1i16, 2, 3, 4, 5, 6], f32::from);
        assert_eq!(drain(&mut reader, 2).0, [1.0, 2.0, 3.0, 4.0, 5.0, 6.0]);
        // Half a frame is not written.
        writer.write(&[7i16, 8, 9], f32::from);
        assert_eq!(drain(&mut reader, 2), (vec![7.0, 8.0], vec![]));
        let stats = counters.snapshot();
        assert_eq!((stats.n_callbacks, stats.n_frames), (2, 4));
        assert_eq!(stats.n_lost_frames, 0);
    }

    #[test]
    fn overflow_is_marked_where_it_happened() {
        let (mut writer, mut reader, counters) = ring(4, 1);
        writer.write(&[1.0, 2.0, 3.0], |x| x);
        writer.write(&[4.0, 5.0, 6.0], |x| x);
        writer.write(&[7.0], |x| x);
        let (mut samples, mut gaps) = drain(&mut reader, 3);
        assert_eq!((samples, gaps), (vec![1.0, 2.0, 3.0, 4.0], vec![]));
        writer.write(&[8.0, 9.0], |x| x);
        (samples, gaps) = drain(&mut reader, 3);
        assert_eq!((samples, gaps), (vec![8.0, 9.0], vec![(0, 3)]));
        assert_eq!(counters.snapshot().n_lost_frames, 3);
    }

    #[test]
    fn a_gap_within_one_drain_splits_it() {
        let (mut writer, mut reader, _) = ring(100, 1);
        writer.write(&[1.0, 2.0], |x| x);
        writer.note_lost(50);
        writer.write(&[3.0], |x| x);
        writer.note_lost(7);
        writer.write(&[4.0, 5.0], |x| x);
        let (samples, gaps) = drain(&mut reader, 100);
        assert_eq!(samples, [1.0, 2.0, 3.0, 4.0, 5.0]);
        assert_eq!(gaps, [(2, 50), (3, 7)]);
    }

    #[test]
    fn every_lost_frame_is_told_even_when_marks_run_out() {
        let (mut writer, mut reader, counters) = ring(1_000, 1);
        for _ in 0..2 * MAX_MARKS {
            writer.note_lost(1);
            writer.write(&[0.5, 0.5], |x| x);
        }
        let (mut samples, mut gaps) = drain(&mut reader, 1_000);
        writer.write(&[0.5], |x| x);
        let (more_samples, more_gaps) = drain(&mut reader, 1_000);
        samples.extend(more_samples);
        gaps.extend(more_gaps);
        let n_lost: u64 = gaps.iter().map(|gap| gap.1).sum();
        let stats = counters.snapshot();
        assert_eq!(n_lost, stats.n_lost_frames);
        assert_eq!(
            samples.len() as u64 + n_lost,
            stats.n_frames + 2 * MAX_MARKS as u64
        );
    }

    #[test]
    fn two_threads_lose_nothing_unseen() {
        let (mut writer, mut reader, counters) = ring(64, 2);
        let n_writes = 20_000u32;
        let thread = std::thread::spawn(move || {
            for i in 0..n_writes {
                // Both samples of a frame carry its number.
                writer.write(&[i, i, i, i], |x| x as f32);
            }
            // Room for the mark of the last gap comes once the reader has drained.
            writer
        });
        let (mut n_read, mut n_lost, mut next) = (0u64, 0u64, 0u64);
        let mut samples = Vec::new();
        loop {
            let done = thread.is_finished();
            if let Some(n) = reader.take_gap() {
                n_lost += n;
                next += n;
            }
            samples.clear();
            let n = reader.read(10, &mut samples);
            for frame in samples.chunks_exact(2) {
                assert_eq!(frame, [(next / 2) as f32; 2]);
                next += 1;
            }
            n_read += n as u64;
            if n == 0 && done {
                break;
            }
        }
        let writer = thread.join().unwrap();
        assert_eq!(
            n_read + n_lost + writer.n_unmarked_frames,
            u64::from(n_writes) * 2
        );
        assert_eq!(
            counters.snapshot().n_lost_frames,
            n_lost + writer.n_unmarked_frames
        );
    }

    #[test]
    fn errors_in_a_row_are_a_fault_and_single_ones_are_not() {
        let (mut writer, _reader, counters) = ring(4, 1);
        for _ in 0..100 {
            counters.note_error();
            writer.write(&[0.0], |x| x);
        }
        assert_eq!(counters.fault(), None);
        for _ in 0..MAX_ERRORS_IN_A_ROW {
            counters.note_error();
        }
        assert_eq!(counters.fault(), Some(Fault::Failing));
        counters.set_fault(Fault::Gone);
        assert_eq!(counters.fault(), Some(Fault::Failing));
    }
}
