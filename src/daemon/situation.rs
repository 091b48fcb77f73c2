//! How things are, for whoever asks: written by the threads, read by the control socket, the service
//! manager's status and the metrics.

use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Instant;

use serde_json::{Value, json};

use crate::event::{ActionStatus, DeviceState, Event};
use crate::stats::{self, Stats, Timing};

/// See the module.
#[derive(Debug)]
pub struct Situation {
    /// What is counted.
    pub stats: Stats,
    began: Instant,
    facts: Mutex<Facts>,
    is_muted: AtomicBool,
    /// Is there while the microphone is muted, so that a restart does not unmute it.
    mute_file: Option<PathBuf>,
}

/// What does not fit into a number.
#[derive(Clone, Debug, Default)]
struct Facts {
    /// The configuration file.
    config: Option<String>,
    model: String,
    /// The device that is heard; none for recordings.
    device: Option<String>,
    is_lost: bool,
}

impl Default for Situation {
    fn default() -> Self {
        Situation::new(Stats::default())
    }
}

impl Situation {
    /// Nothing has happened yet.
    pub fn new(stats: Stats) -> Self {
        Situation {
            stats,
            began: Instant::now(),
            facts: Mutex::default(),
            is_muted: AtomicBool::new(false),
            mute_file: None,
        }
    }

    /// A mute outlives the program in this file, and one that did holds.
    #[must_use]
    pub fn keeping_mute(mut self, file: Option<PathBuf>) -> Self {
        let is_muted = file.as_ref().is_some_and(|file| file.exists());
        self.is_muted.store(is_muted, Ordering::Relaxed);
        self.mute_file = file;
        self
    }

    /// Switches the microphone off or on, from the next piece of sound on.
    pub fn mute(&self, on: bool) {
        self.is_muted.store(on, Ordering::Relaxed);
        let Some(file) = &self.mute_file else {
            return;
        };
        let kept = match on {
            true => file
                .parent()
                .map_or(Ok(()), std::fs::create_dir_all)
                .and_then(|()| {
                    let text = "The microphone is muted; `hark ctl unmute` removes this file.\n";
                    std::fs::write(file, text)
                }),
            false => std::fs::remove_file(file),
        };
        if let Err(error) = kept.or_else(|error| match error.kind() {
            std::io::ErrorKind::NotFound => Ok(()),
            _ => Err(error),
        }) {
            log::warn!(
                "a restart will undo this mute or unmute: {}: {error}",
                file.display()
            );
        }
    }

    /// Whether it is off.
    pub fn is_muted(&self) -> bool {
        self.is_muted.load(Ordering::Relaxed)
    }

    fn facts(&self) -> MutexGuard<'_, Facts> {
        self.facts.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// This configuration holds from now on.
    pub fn note_config(&self, file: Option<String>, model: &str) {
        let mut facts = self.facts();
        facts.config = file;
        facts.model = model.to_owned();
    }

    /// A device was opened, lost or recovered.
    pub fn note_device(&self, state: DeviceState, name: &str) {
        let mut facts = self.facts();
        facts.device = Some(name.to_owned());
        facts.is_lost = state == DeviceState::Lost;
    }

    /// Counts what an event tells.
    pub(super) fn count(&self, event: &Event) {
        let (heard, done) = (&self.stats.heard, &self.stats.done);
        match event {
            Event::SpeechStart { .. } => heard.utterances.count(),
            Event::Partial { .. } => heard.partials.count(),
            Event::Final { .. } => heard.finals.count(),
            Event::Command { .. } => done.commands.count(),
            Event::Rejected { .. } => done.rejected.count(),
            Event::Action { status, ms, .. } => {
                match status {
                    ActionStatus::Ok => done.actions_ok.count(),
                    _ => done.actions_failed.count(),
                }
                if let Some(ms) = ms {
                    done.action.note(std::time::Duration::from_millis(*ms));
                }
            }
            _ => {}
        }
    }

    /// The situation in a line, for people.
    pub fn in_words(&self) -> String {
        let facts = self.facts();
        let mut words = match (&facts.device, facts.is_lost) {
            (Some(name), true) => format!("no microphone: `{name}` is looked for"),
            (Some(name), false) => format!("listening to `{name}`"),
            (None, _) => "listening".to_owned(),
        };
        if self.is_muted() {
            words.push_str(", muted");
        }
        if self.stats.threads.relief.get() > 0 {
            words.push_str(", too slow for all captions");
        }
        words
    }

    /// The situation with all numbers.
    pub fn as_json(&self) -> Value {
        let facts = self.facts().clone();
        let mut numbers = serde_json::Map::new();
        for (name, _, value) in self.stats.rows() {
            let value = match value {
                stats::Value::Counter(n) | stats::Value::Gauge(n) => json!(n),
                stats::Value::Timing(timing) => timing_as_json(timing),
            };
            numbers.insert(name.to_owned(), value);
        }
        json!({
            "version": env!("CARGO_PKG_VERSION"),
            "pid": std::process::id(),
            "uptime_s": self.began.elapsed().as_secs(),
            "state": self.in_words(),
            "config": facts.config,
            "model": facts.model,
            "device": facts.device,
            "device_lost": facts.is_lost,
            "muted": self.is_muted(),
            "numbers": numbers,
        })
    }
}

fn timing_as_json(timing: &Timing) -> Value {
    let ms = |s: f64| (s * 1e6).round() / 1e3;
    let mean_s = timing.total_s() / timing.n().max(1) as f64;
    json!({
        "n": timing.n(),
        "total_s": ms(timing.total_s()) / 1e3,
        "mean_ms": ms(mean_s),
        "max_ms": ms(timing.max_s()),
    })
}
