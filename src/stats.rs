//! What is counted and timed while hark runs: written by every thread without a lock, read by
//! whoever asks.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

/// A number that only grows.
#[derive(Debug, Default)]
pub struct Counter(AtomicU64);

impl Counter {
    /// One more.
    pub fn count(&self) {
        self.add(1);
    }

    /// So many more.
    pub fn add(&self, n: u64) {
        self.0.fetch_add(n, Ordering::Relaxed);
    }

    /// The number.
    pub fn get(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }
}

/// A number that comes and goes.
#[derive(Debug, Default)]
pub struct Gauge(AtomicU64);

impl Gauge {
    /// It is this now.
    pub fn set(&self, value: u64) {
        self.0.store(value, Ordering::Relaxed);
    }

    /// The number.
    pub fn get(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }
}

/// Upper edges of a timing's buckets, in seconds; what is longer is in none.
pub const EDGES_S: [f64; 12] = [
    0.001, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0,
];

/// How long something took, many times.
#[derive(Debug, Default)]
pub struct Timing {
    n: AtomicU64,
    total_us: AtomicU64,
    max_us: AtomicU64,
    /// Those up to each edge and above the one before.
    buckets: [AtomicU64; EDGES_S.len()],
}

impl Timing {
    /// It took so long.
    pub fn note(&self, took: Duration) {
        let us = u64::try_from(took.as_micros()).unwrap_or(u64::MAX);
        self.n.fetch_add(1, Ordering::Relaxed);
        self.total_us.fetch_add(us, Ordering::Relaxed);
        self.max_us.fetch_max(us, Ordering::Relaxed);
        let bucket = EDGES_S.iter().position(|edge| took.as_secs_f64() <= *edge);
        if let Some(bucket) = bucket {
            self.buckets[bucket].fetch_add(1, Ordering::Relaxed);
        }
    }

    /// How often.
    pub fn n(&self) -> u64 {
        self.n.load(Ordering::Relaxed)
    }

    /// All of it together, in seconds.
    pub fn total_s(&self) -> f64 {
        self.total_us.load(Ordering::Relaxed) as f64 / 1e6
    }

    /// The longest, in seconds.
    pub fn max_s(&self) -> f64 {
        self.max_us.load(Ordering::Relaxed) as f64 / 1e6
    }

    /// How many took at most as long as each of [`EDGES_S`].
    pub fn up_to_edges(&self) -> [u64; EDGES_S.len()] {
        let mut sum = 0;
        self.buckets.each_ref().map(|bucket| {
            sum += bucket.load(Ordering::Relaxed);
            sum
        })
    }
}

/// Everything that is counted. Clones are the same numbers.
pub type Stats = Arc<Numbers>;

/// The numbers of [`Stats`].
#[derive(Debug, Default)]
pub struct Numbers {
    /// Sound of devices.
    pub audio: AudioNumbers,
    /// What was heard in it.
    pub heard: HeardNumbers,
    /// What was done.
    pub done: DoneNumbers,
    /// How the threads fare.
    pub threads: ThreadNumbers,
    /// What was written down.
    pub ledger: LedgerNumbers,
}

/// Sound of devices.
#[derive(Debug, Default)]
pub struct AudioNumbers {
    /// Times that a device delivered.
    pub deliveries: Counter,
    /// Frames delivered, in the devices' own rates.
    pub frames: Counter,
    /// Frames that did not fit into the ring or that the sound system says it lost.
    pub lost_frames: Counter,
    /// Overruns that the sound system reported.
    pub overruns: Counter,
    /// Other errors that it reported.
    pub errors: Counter,
    /// Times that a device went away, fell silent or changed.
    pub devices_lost: Counter,
    /// Times that one was there again.
    pub devices_recovered: Counter,
    /// Samples at 16 kHz that went through the pipeline.
    pub samples: Counter,
    /// Samples at 16 kHz that are missing in it.
    pub gap_samples: Counter,
    /// Stretches of them.
    pub gaps: Counter,
}

/// What was heard.
#[derive(Debug, Default)]
pub struct HeardNumbers {
    /// Utterances that began.
    pub utterances: Counter,
    /// Finals.
    pub finals: Counter,
    /// Partial captions.
    pub partials: Counter,
    /// Partial captions that nobody took in time.
    pub partials_dropped: Counter,
    /// Windows of 32 ms in speech, which the recogniser took.
    pub speech_windows: Counter,
    /// Work of the front on a piece of sound.
    pub front: Timing,
    /// Work of the recogniser on a step.
    pub step: Timing,
    /// Work of the recogniser at the end of an utterance, until its final.
    pub last_words: Timing,
}

/// What was done.
#[derive(Debug, Default)]
pub struct DoneNumbers {
    /// Commands understood.
    pub commands: Counter,
    /// Utterances that were none.
    pub rejected: Counter,
    /// Actions that succeeded.
    pub actions_ok: Counter,
    /// Actions that did not.
    pub actions_failed: Counter,
    /// Deciding about an event.
    pub decide: Timing,
    /// Actions.
    pub action: Timing,
    /// Configurations that were read again and applied.
    pub reloads: Counter,
    /// Configurations that could not be.
    pub reloads_failed: Counter,
}

/// How the threads fare.
#[derive(Debug, Default)]
pub struct ThreadNumbers {
    /// Fronts replaced after a panic.
    pub front_restarts: Counter,
    /// Recognisers.
    pub recogniser_restarts: Counter,
    /// Control stages.
    pub control_restarts: Counter,
    /// Pieces of speech that wait for the recogniser.
    pub waiting_speech: Gauge,
    /// What gives way because the machine is too slow: 0 nothing to 4 the model.
    pub relief: Gauge,
    /// Programs connected to the control socket.
    pub clients: Gauge,
    /// Requests on the control socket.
    pub requests: Counter,
    /// Of those, the ones that could not be understood.
    pub bad_requests: Counter,
    /// Events that a subscriber was too slow for.
    pub events_dropped: Counter,
}

/// What became of the events that the ledger was to keep.
#[derive(Debug, Default)]
pub struct LedgerNumbers {
    /// Written.
    pub written: Gauge,
    /// Not taken because too many waited.
    pub dropped: Gauge,
    /// Not written because the file could not be.
    pub failed: Gauge,
}

/// What a row says.
pub enum Value<'a> {
    /// Only grows.
    Counter(u64),
    /// Comes and goes.
    Gauge(u64),
    /// Took long.
    Timing(&'a Timing),
}

/// A number with its name in Prometheus's style, less the `hark_` before it, and its meaning.
pub type Row<'a> = (&'static str, &'static str, Value<'a>);

impl Numbers {
    /// All of them.
    pub fn rows(&self) -> Vec<Row<'_>> {
        let mut rows = self.audio.rows();
        rows.extend(self.heard.rows());
        rows.extend(self.done.rows());
        rows.extend(self.threads.rows());
        rows.extend(self.ledger.rows());
        rows
    }
}

fn counter<'a>(name: &'static str, help: &'static str, value: &Counter) -> Row<'a> {
    (name, help, Value::Counter(value.get()))
}

fn gauge<'a>(name: &'static str, help: &'static str, value: &Gauge) -> Row<'a> {
    (name, help, Value::Gauge(value.get()))
}

impl AudioNumbers {
    fn rows(&self) -> Vec<Row<'_>> {
        vec![
            counter(
                "audio_deliveries_total",
                "Times that a device delivered sound",
                &self.deliveries,
            ),
            counter(
                "audio_frames_total",
                "Frames that devices delivered",
                &self.frames,
            ),
            counter(
                "audio_lost_frames_total",
                "Frames that were dropped or missed",
                &self.lost_frames,
            ),
            counter(
                "audio_overruns_total",
                "Overruns that the sound system reported",
                &self.overruns,
            ),
            counter(
                "audio_errors_total",
                "Other errors that it reported",
                &self.errors,
            ),
            counter(
                "devices_lost_total",
                "Times that a device went away",
                &self.devices_lost,
            ),
            counter(
                "devices_recovered_total",
                "Times that one came back",
                &self.devices_recovered,
            ),
            counter(
                "samples_total",
                "Samples at 16 kHz that were heard",
                &self.samples,
            ),
            counter(
                "gap_samples_total",
                "Samples at 16 kHz that are missing",
                &self.gap_samples,
            ),
            counter("gaps_total", "Stretches of missing samples", &self.gaps),
        ]
    }
}

impl HeardNumbers {
    fn rows(&self) -> Vec<Row<'_>> {
        vec![
            counter(
                "utterances_total",
                "Utterances that began",
                &self.utterances,
            ),
            counter(
                "finals_total",
                "Utterances whose text was given",
                &self.finals,
            ),
            counter("partials_total", "Partial captions", &self.partials),
            counter(
                "partials_dropped_total",
                "Partial captions that nobody took in time",
                &self.partials_dropped,
            ),
            counter(
                "speech_windows_total",
                "Windows of 32 ms that the recogniser took",
                &self.speech_windows,
            ),
            (
                "front_seconds",
                "Work of the front on a piece of sound",
                Value::Timing(&self.front),
            ),
            (
                "step_seconds",
                "Work of the recogniser on a step",
                Value::Timing(&self.step),
            ),
            (
                "final_seconds",
                "Work at the end of an utterance, until its final",
                Value::Timing(&self.last_words),
            ),
        ]
    }
}

impl DoneNumbers {
    fn rows(&self) -> Vec<Row<'_>> {
        vec![
            counter("commands_total", "Commands understood", &self.commands),
            counter(
                "rejected_total",
                "Utterances that were no command",
                &self.rejected,
            ),
            counter(
                "actions_ok_total",
                "Actions that succeeded",
                &self.actions_ok,
            ),
            counter(
                "actions_failed_total",
                "Actions that failed",
                &self.actions_failed,
            ),
            counter(
                "reloads_total",
                "Configurations applied while running",
                &self.reloads,
            ),
            counter(
                "reloads_failed_total",
                "Configurations that could not be",
                &self.reloads_failed,
            ),
            (
                "decide_seconds",
                "Deciding about an event",
                Value::Timing(&self.decide),
            ),
            ("action_seconds", "Actions", Value::Timing(&self.action)),
        ]
    }
}

impl ThreadNumbers {
    fn rows(&self) -> Vec<Row<'_>> {
        vec![
            counter(
                "front_restarts_total",
                "Fronts replaced after a panic",
                &self.front_restarts,
            ),
            counter(
                "recogniser_restarts_total",
                "Recognisers replaced after a panic",
                &self.recogniser_restarts,
            ),
            counter(
                "control_restarts_total",
                "Control stages replaced after a panic",
                &self.control_restarts,
            ),
            gauge(
                "waiting_speech",
                "Pieces of speech that wait for the recogniser",
                &self.waiting_speech,
            ),
            gauge(
                "relief",
                "What gives way on a slow machine, 0 to 4",
                &self.relief,
            ),
            gauge(
                "clients",
                "Programs connected to the control socket",
                &self.clients,
            ),
            counter(
                "requests_total",
                "Requests on the control socket",
                &self.requests,
            ),
            counter(
                "bad_requests_total",
                "Requests that were not understood",
                &self.bad_requests,
            ),
            counter(
                "events_dropped_total",
                "Events that a subscriber was too slow for",
                &self.events_dropped,
            ),
        ]
    }
}

impl LedgerNumbers {
    fn rows(&self) -> Vec<Row<'_>> {
        vec![
            gauge(
                "ledger_written",
                "Events that the ledger keeps",
                &self.written,
            ),
            gauge(
                "ledger_dropped",
                "Events that it had no room for",
                &self.dropped,
            ),
            gauge(
                "ledger_failed",
                "Events that could not be written",
                &self.failed,
            ),
        ]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn timings_add_up() {
        let timing = Timing::default();
        for ms in [1, 3, 30, 20_000] {
            timing.note(Duration::from_millis(ms));
        }
        assert_eq!(timing.n(), 4);
        assert!((timing.total_s() - 20.034).abs() < 1e-6);
        assert!((timing.max_s() - 20.0).abs() < 1e-6);
        let up_to = timing.up_to_edges();
        assert_eq!((up_to[0], up_to[1], up_to[4], up_to[11]), (1, 2, 3, 3));
    }

    #[test]
    fn names_are_unique_and_in_style() {
        let numbers = Numbers::default();
        let mut names: Vec<&str> = numbers.rows().iter().map(|(name, ..)| *name).collect();
        for (name, help, value) in numbers.rows() {
            let is_counter = matches!(value, Value::Counter(_));
            assert_eq!(name.ends_with("_total"), is_counter, "{name}");
            assert!(name.chars().all(|c| c.is_ascii_lowercase() || c == '_'));
            assert!(!help.is_empty());
        }
        let n = names.len();
        names.sort_unstable();
        names.dedup();
        assert_eq!(names.len(), n);
    }
}
