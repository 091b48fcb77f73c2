//! The ledger as whoever notes events sees it, and its thread.
//!
//! Noting an event puts it into a bounded queue and returns. The thread takes what waits, writes it in
//! one go, and lets go what is too old or too much. What cannot be written is reported once, counted,
//! and tried again with the next events. Dropping the ledger writes what waits, within
//! [`CLOSE_DEADLINE`].

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::thread;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use crossbeam_channel::{Receiver, RecvTimeoutError, Sender, bounded};
use rusqlite::{ErrorCode, InterruptHandle};

use super::scribe::{Entry, Scribe, concerns};
use super::store::{Limits, Opening, Store, database, is_damage};
use super::{About, LedgerCounters, LedgerError};
use crate::config::LedgerConfig;
use crate::event::{Event, Trace};

/// Events that may wait to be written.
const N_EVENTS: usize = 512;
/// Samples that may wait with them: ten minutes.
const N_SAMPLES: usize = 600 * 16_000;
/// Events that are written in one go.
const N_AT_ONCE: usize = 64;
/// How often utterances that are too old are looked for while nothing is said.
const SWEEP_EVERY: Duration = Duration::from_secs(600);
/// How often lost events are reported, at most.
const REPORT_EVERY: Duration = Duration::from_secs(60);
/// How long the end of the ledger may take.
const CLOSE_DEADLINE: Duration = Duration::from_millis(200);

/// Takes events to the ledger's thread.
pub struct Ledger {
    /// None once it is closed.
    messages: Option<Sender<Message>>,
    shared: Arc<Shared>,
    /// None where the file could not be opened at first.
    interrupt: Option<InterruptHandle>,
    keeps_audio: bool,
    /// Ends with the thread.
    done: Receiver<()>,
}

enum Message {
    Event { at_unix_ms: i64, event: Event },
    Change(Box<About>),
}

/// What both sides know.
#[derive(Default)]
struct Shared {
    n_written: AtomicU64,
    n_dropped: AtomicU64,
    n_failed: AtomicU64,
    n_samples_waiting: AtomicUsize,
    closing: AtomicBool,
    /// The whole file is being read, which may take longer than a close.
    checking: AtomicBool,
}

impl Ledger {
    /// The configured ledger; none where it is off, or where it is nobody's to write, which is
    /// reported. A file that cannot be opened now is reported, and tried again with each event.
    pub fn open(config: &LedgerConfig, about: About) -> Option<Ledger> {
        if !config.enabled {
            return None;
        }
        Ledger::start(config, about)
            .inspect_err(|error| log::error!("what is heard is not kept: {error}"))
            .ok()
    }

    fn start(config: &LedgerConfig, about: About) -> Result<Ledger, LedgerError> {
        let opening = Opening {
            path: super::path(&config.file).ok_or(LedgerError::NoPlace)?,
            limits: Limits::of(config),
            began_unix_ms: unix_ms(),
            settings: about.settings(),
        };
        let store = match Store::open(opening.clone()) {
            Ok(store) => {
                log::info!("what is heard is kept in {}", opening.path.display());
                Some(store)
            }
            Err(error @ (LedgerError::Foreign { .. } | LedgerError::Newer { .. })) => {
                return Err(error);
            }
            Err(error) => {
                log::error!("what is heard is not kept for now: {error}");
                None
            }
        };
        let (messages_in, messages) = bounded(N_EVENTS);
        let (done_in, done) = bounded(0);
        let shared = Arc::new(Shared::default());
        let interrupt = store
            .as_ref()
            .map(|store| store.connection.get_interrupt_handle());
        let scribe = Scribe::new(about, config.audio);
        let mut writer = Writer::new(opening, store, scribe, shared.clone());
        let thread = thread::Builder::new().name("ledger".to_owned());
        let started = thread.spawn(move || {
            writer.run(&messages);
            drop(writer);
            drop(done_in);
        });
        started.map_err(LedgerError::Thread)?;
        Ok(Ledger {
            messages: Some(messages_in),
            shared,
            interrupt,
            keeps_audio: config.audio,
            done,
        })
    }

    /// Has the event written, if it is about an utterance. Never waits.
    pub fn note(&self, event: &Event) {
        if !concerns(event) {
            return;
        }
        let event = self.admitted(event);
        let n_samples = n_samples(&event);
        let at_unix_ms = unix_ms();
        if !self.send(Message::Event { at_unix_ms, event }) {
            self.shared.release(n_samples);
            self.shared.n_dropped.fetch_add(1, Ordering::Relaxed);
        }
    }

    /// From now on this is in force. Where too much is waiting, it takes effect at the next start only.
    pub fn change(&self, about: About) {
        if !self.send(Message::Change(Box::new(about))) {
            log::warn!("the ledger does not know of the new configuration: too much is waiting");
        }
    }

    /// What became of the events so far.
    pub fn counters(&self) -> LedgerCounters {
        let now = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        LedgerCounters {
            n_written: now(&self.shared.n_written),
            n_dropped: now(&self.shared.n_dropped),
            n_failed: now(&self.shared.n_failed),
        }
    }

    /// Whether finals should bring their audio.
    pub fn wants_audio(&self) -> bool {
        self.keeps_audio
    }

    fn send(&self, message: Message) -> bool {
        let messages = self.messages.as_ref();
        messages.is_some_and(|messages| messages.try_send(message).is_ok())
    }

    /// The event as it may wait: without its audio where nobody keeps it or too much is waiting.
    fn admitted(&self, event: &Event) -> Event {
        let mut event = event.clone();
        let n_samples = n_samples(&event);
        if n_samples == 0 || (self.keeps_audio && self.shared.reserve(n_samples)) {
            return event;
        }
        if self.keeps_audio {
            self.shared.n_dropped.fetch_add(1, Ordering::Relaxed);
        }
        if let Event::Final {
            trace: Some(trace), ..
        } = &mut event
        {
            *trace = Arc::new(Trace {
                model: trace.model.clone(),
                stage_ms: trace.stage_ms.clone(),
                samples: Vec::new(),
            });
        }
        event
    }
}

impl Drop for Ledger {
    fn drop(&mut self) {
        self.messages = None;
        self.shared.closing.store(true, Ordering::SeqCst);
        let interrupt = self.interrupt.as_ref();
        if let Some(check) = interrupt.filter(|_| self.shared.checking.load(Ordering::SeqCst)) {
            check.interrupt();
        }
        if let Err(RecvTimeoutError::Timeout) = self.done.recv_timeout(CLOSE_DEADLINE) {
            log::warn!("the ledger takes long to write; what was heard last may be missing");
        }
    }
}

impl Shared {
    /// Makes room for samples, if there is any.
    fn reserve(&self, n_samples: usize) -> bool {
        let waiting = self
            .n_samples_waiting
            .fetch_add(n_samples, Ordering::Relaxed);
        let fits = waiting + n_samples <= N_SAMPLES;
        if !fits {
            self.release(n_samples);
        }
        fits
    }

    fn release(&self, n_samples: usize) {
        self.n_samples_waiting
            .fetch_sub(n_samples, Ordering::Relaxed);
    }
}

/// Samples that come with the event.
fn n_samples(event: &Event) -> usize {
    match event {
        Event::Final {
            trace: Some(trace), ..
        } => trace.samples.len(),
        _ => 0,
    }
}

/// Milliseconds since 1970.
fn unix_ms() -> i64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH);
    since.map_or(0, |since| since.as_millis() as i64)
}

/// The ledger's thread.
struct Writer {
    opening: Opening,
    /// None while the file cannot be opened.
    store: Option<Store>,
    scribe: Scribe,
    shared: Arc<Shared>,
    /// What is written next, and the samples in it.
    batch: Vec<Entry>,
    n_samples: usize,
    /// Entries lost since the file could not be written; none while it can.
    n_missing: Option<u64>,
    /// Dropped events that were reported, and when.
    told: (u64, Option<Instant>),
    /// Whether it was reported that old utterances cannot be let go.
    cannot_rotate: bool,
}

impl Writer {
    fn new(opening: Opening, store: Option<Store>, scribe: Scribe, shared: Arc<Shared>) -> Self {
        Writer {
            opening,
            // That it is missing was reported.
            n_missing: store.is_none().then_some(0),
            store,
            scribe,
            shared,
            batch: Vec::new(),
            n_samples: 0,
            told: (0, None),
            cannot_rotate: false,
        }
    }

    /// Until there is nobody left who could note something.
    fn run(&mut self, messages: &Receiver<Message>) {
        self.check();
        self.rotate();
        loop {
            match messages.recv_timeout(SWEEP_EVERY) {
                Ok(message) => self.take(message),
                Err(RecvTimeoutError::Timeout) => {}
                Err(RecvTimeoutError::Disconnected) => return,
            }
            for message in messages.try_iter().take(N_AT_ONCE - 1) {
                self.take(message);
            }
            self.write();
            self.rotate();
            self.tell_dropped();
        }
    }

    fn take(&mut self, message: Message) {
        match message {
            Message::Event { at_unix_ms, event } => {
                self.n_samples += n_samples(&event);
                self.scribe.take(at_unix_ms, &event, &mut self.batch);
            }
            Message::Change(about) => {
                // What was heard before belongs to what was in force before.
                self.write();
                self.opening.settings = about.settings();
                if let Some(store) = &mut self.store {
                    store.change(self.opening.settings.clone());
                }
                self.scribe.change(*about);
            }
        }
    }

    fn write(&mut self) {
        let batch = std::mem::take(&mut self.batch);
        let n_entries = batch.len() as u64;
        match self.try_write(&batch) {
            Ok(()) => {
                self.shared
                    .n_written
                    .fetch_add(n_entries, Ordering::Relaxed);
                if let Some(n_missing) = self.n_missing.take().filter(|_| n_entries > 0) {
                    let path = self.opening.path.display();
                    log::warn!(
                        "the ledger {path} is written again; {n_missing} entries are missing"
                    );
                }
            }
            Err(error) => {
                self.shared.n_failed.fetch_add(n_entries, Ordering::Relaxed);
                if self.n_missing.is_none() {
                    log::error!("what is heard is not kept for now: {error}");
                }
                *self.n_missing.get_or_insert(0) += n_entries;
            }
        }
        self.shared.release(std::mem::take(&mut self.n_samples));
        // Its room is used again.
        self.batch = batch;
        self.batch.clear();
    }

    fn try_write(&mut self, batch: &[Entry]) -> Result<(), LedgerError> {
        if batch.is_empty() {
            return Ok(());
        }
        match self.store()?.write(batch) {
            Err(error) if is_damage(&error) => {
                self.begin_anew(&error.to_string())?;
                self.store()?.write(batch)
            }
            // Meant for the check of the file, which had just ended.
            Err(error) if is_interruption(&error) => self.store()?.write(batch),
            written => written,
        }
        .map_err(|error| database(&self.opening.path, error))
    }

    /// The file, opened again where it could not be before or is gone.
    fn store(&mut self) -> Result<&mut Store, LedgerError> {
        let store = match self.store.take() {
            Some(store) => store.follow_file()?,
            None => Store::open(self.opening.clone())?,
        };
        Ok(self.store.insert(store))
    }

    fn begin_anew(&mut self, cause: &str) -> Result<(), LedgerError> {
        if let Some(store) = self.store.take() {
            self.store = Some(store.begin_anew(cause)?);
        }
        Ok(())
    }

    /// Looks for damage in what is there.
    fn check(&mut self) {
        let Some(store) = &self.store else {
            return;
        };
        self.shared.checking.store(true, Ordering::SeqCst);
        let found = match self.shared.closing.load(Ordering::SeqCst) {
            true => Ok(None),
            false => store.check(),
        };
        self.shared.checking.store(false, Ordering::SeqCst);
        let damage = match found {
            Ok(found) => found,
            Err(error) => Some(error.to_string()).filter(|_| is_damage(&error)),
        };
        if let Some(damage) = damage
            && let Err(error) = self.begin_anew(&damage)
        {
            log::error!("what is heard is not kept for now: {error}");
        }
    }

    /// Lets go what is too old or too much; not at the end, which must be soon.
    fn rotate(&mut self) {
        let Some(store) = &mut self.store else {
            return;
        };
        if self.shared.closing.load(Ordering::SeqCst) {
            return;
        }
        match store.rotate(unix_ms()) {
            Ok(()) => self.cannot_rotate = false,
            Err(error) if !self.cannot_rotate => {
                self.cannot_rotate = true;
                let path = self.opening.path.display();
                log::warn!("the ledger {path} cannot be shortened for now: {error}");
            }
            Err(_) => {}
        }
    }

    fn tell_dropped(&mut self) {
        let n_dropped = self.shared.n_dropped.load(Ordering::Relaxed);
        let (n_told, at) = self.told;
        if n_dropped > n_told && at.is_none_or(|at| at.elapsed() >= REPORT_EVERY) {
            let n_new = n_dropped - n_told;
            log::warn!("the ledger is too slow: {n_new} events, or their audio, were not kept");
            self.told = (n_dropped, Some(Instant::now()));
        }
    }
}

fn is_interruption(error: &rusqlite::Error) -> bool {
    error.sqlite_error_code() == Some(ErrorCode::OperationInterrupted)
}

#[cfg(test)]
#[path = "writer_tests.rs"]
#[allow(clippy::unwrap_used)]
mod tests;
