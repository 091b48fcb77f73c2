//! Utterances, what follows from them, and a house that keeps them in a ledger.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant};

use hark::config::Config;
use hark::event::{Event, Reading, Readings, Seconds, Trace, Word};
use hark::ledger::{About, Ledger, LedgerCounters};
use hark::pipeline::Commands;
use tempfile::TempDir;

use super::program::{Ran, arg, hark};

pub const CONFIG: &str = r#"
[ledger]
enabled = true
file = "state/ledger.sqlite"
audio = true

[[command]]
name = "lights"
sentences = ["turn {state} [the] [{room}] lights"]

[[command]]
name = "door"
sentences = ["open the door"]
confirm = true

[lists]
state = ["on", "off"]
room = ["kitchen", "bedroom"]
"#;

/// A folder with a configuration and its ledger.
pub struct House {
    pub folder: TempDir,
    pub config: Config,
}

impl House {
    pub fn new(text: &str) -> House {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("config.toml");
        std::fs::write(&path, text).unwrap();
        let config = Config::load(Some(&path)).unwrap();
        House { folder, config }
    }

    pub fn path(&self) -> PathBuf {
        hark::ledger::path(&self.config.ledger.file).unwrap()
    }

    pub fn open(&self) -> Ledger {
        let commands = Commands::new(&self.config.commands, &self.config.dialogue);
        Ledger::open(&self.config.ledger, About::new(Some(&commands))).unwrap()
    }

    /// `hark why` with these arguments.
    pub fn why(&self, args: &[&str]) -> Ran {
        let config = self.folder.path().join("config.toml");
        hark(&[&["why", "--config", arg(&config)], args].concat())
    }
}

pub fn words(text: &str, t0: f64) -> Vec<Word> {
    let word = |(i, text): (usize, &str)| Word {
        text: format!("{}{text}", if i == 0 { "" } else { " " }),
        t0: Seconds(t0 + i as f64 * 0.2),
        t1: Seconds(t0 + i as f64 * 0.2 + 0.15),
        p: if text.starts_with("kitchen") {
            0.43
        } else {
            0.97
        },
    };
    text.split(' ').enumerate().map(word).collect()
}

/// An utterance of a second, `id` seconds after the beginning.
pub fn over(id: u64, text: &str, readings: Option<Readings>) -> Event {
    let t0 = id as f64;
    Event::Final {
        id,
        t0: Seconds(t0),
        t1: Seconds(t0 + 0.9),
        text: text.to_owned(),
        words: words(text, t0),
        flags: Vec::new(),
        readings,
        wake: None,
        trace: Some(Arc::new(Trace {
            model: "tiny.en".to_owned(),
            stage_ms: vec![("encode", 85.25), ("decode", 120.5)],
            samples: (0..1_600).map(|i| i as f32 / 3_200.0).collect(),
        })),
    }
}

pub fn readings(free_logprob: f32, all: &[(&str, f32)]) -> Option<Readings> {
    let reading = |(text, logprob): &(&str, f32)| Reading {
        text: (*text).to_owned(),
        logprob: *logprob,
        n_tokens: 5,
    };
    Some(Readings {
        free_logprob,
        readings: all.iter().map(reading).collect(),
    })
}

pub fn slots(all: &[(&str, &str)]) -> BTreeMap<String, String> {
    let owned = |(slot, value): &(&str, &str)| ((*slot).to_owned(), (*value).to_owned());
    all.iter().map(owned).collect()
}

pub fn command(id: u64, name: &str, score: f32, margin: Option<f32>) -> Event {
    Event::Command {
        id,
        t: Seconds(id as f64 + 0.9),
        name: name.to_owned(),
        slots: slots(&[("state", "on")]),
        score,
        margin,
    }
}

pub fn rejected(id: u64, best: Option<&str>, score: Option<f32>, reason: &'static str) -> Event {
    Event::Rejected {
        id,
        t: Seconds(id as f64 + 0.9),
        best: best.map(str::to_owned),
        score,
        reason,
    }
}

/// The counters once so many events are done with.
pub fn settle(ledger: &Ledger, n_noted: u64) -> LedgerCounters {
    let begun = Instant::now();
    loop {
        let counters = ledger.counters();
        let n_done = counters.n_written + counters.n_dropped + counters.n_failed;
        if n_done >= n_noted {
            return counters;
        }
        assert!(begun.elapsed() < Duration::from_secs(60), "{counters:?}");
        std::thread::yield_now();
    }
}
