use std::path::Path;

use rusqlite::{Connection, TransactionBehavior};

use super::*;
use crate::event::Seconds;
use crate::ledger::LedgerReader;
use crate::place::Place;

fn config(path: &Path) -> LedgerConfig {
    LedgerConfig {
        enabled: true,
        file: Place::At(path.to_owned()),
        ..LedgerConfig::default()
    }
}

fn open(config: &LedgerConfig) -> Ledger {
    Ledger::open(config, About::new(None)).unwrap()
}

fn over(id: u64, samples: Vec<f32>) -> Event {
    Event::Final {
        id,
        t0: Seconds(0.0),
        t1: Seconds(1.0),
        text: format!("text {id}"),
        words: Vec::new(),
        flags: Vec::new(),
        readings: None,
        wake: None,
        trace: Some(Arc::new(Trace {
            samples,
            ..Trace::default()
        })),
    }
}

/// Waits until all that was noted is written, dropped or lost.
fn settle(ledger: &Ledger, n_noted: u64) -> LedgerCounters {
    loop {
        let counters = ledger.counters();
        if counters.n_written + counters.n_dropped + counters.n_failed >= n_noted {
            return counters;
        }
        thread::yield_now();
    }
}

#[test]
fn what_is_off_is_not_there() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("ledger.sqlite");
    let config = LedgerConfig {
        enabled: false,
        ..config(&path)
    };
    assert!(Ledger::open(&config, About::new(None)).is_none());
    assert!(!path.exists());
}

#[test]
fn closing_writes_what_waits() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("ledger.sqlite");
    let ledger = open(&config(&path));
    for id in 1..=100 {
        ledger.note(&over(id, Vec::new()));
    }
    drop(ledger);
    let reader = LedgerReader::open(&path).unwrap();
    assert_eq!(reader.recent(1_000).unwrap().len(), 100);
}

#[test]
fn what_finds_no_room_is_dropped_and_counted() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("ledger.sqlite");
    let ledger = open(&config(&path));
    ledger.note(&over(1, Vec::new()));
    settle(&ledger, 1);
    // Somebody keeps the file to themselves.
    let mut other = Connection::open(&path).unwrap();
    let held = other
        .transaction_with_behavior(TransactionBehavior::Immediate)
        .unwrap();
    let begun = Instant::now();
    for id in 2..=5_001 {
        ledger.note(&over(id, Vec::new()));
    }
    assert!(
        begun.elapsed() < Duration::from_secs(1),
        "noting waits for nobody"
    );
    let n_dropped = ledger.counters().n_dropped;
    assert!((4_300..=4_488).contains(&n_dropped), "{n_dropped}");
    held.rollback().unwrap();
    let counters = settle(&ledger, 5_001);
    assert_eq!(counters.n_dropped, n_dropped);
    assert_eq!(counters.n_failed, 0);
    let reader = LedgerReader::open(&path).unwrap();
    assert_eq!(
        reader.recent(10_000).unwrap().len() as u64,
        counters.n_written
    );
}

#[test]
fn audio_that_waits_is_bounded() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("ledger.sqlite");
    let config = LedgerConfig {
        audio: true,
        ..config(&path)
    };
    let ledger = open(&config);
    assert!(ledger.wants_audio());
    ledger.note(&over(1, vec![0.25; 16_000]));
    // Longer than all that may wait: its text is kept.
    ledger.note(&over(2, vec![0.0; N_SAMPLES + 1]));
    let counters = settle(&ledger, 3);
    assert_eq!((counters.n_written, counters.n_dropped), (2, 1));
    let shared = ledger.shared.clone();
    drop(ledger);
    assert_eq!(shared.n_samples_waiting.load(Ordering::Relaxed), 0);
    let reader = LedgerReader::open(&path).unwrap();
    assert_eq!(reader.audio(1).unwrap(), Some(vec![0.25; 16_000]));
    assert_eq!(reader.find(1).unwrap().unwrap().n_samples, 16_000);
    assert_eq!(reader.audio(2).unwrap(), None);
    assert_eq!(
        reader.find(2).unwrap().unwrap().text.as_deref(),
        Some("text 2")
    );
}

#[test]
fn audio_is_not_kept_unless_asked_for() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("ledger.sqlite");
    let ledger = open(&config(&path));
    assert!(!ledger.wants_audio());
    ledger.note(&over(1, vec![0.25; 16_000]));
    let counters = settle(&ledger, 1);
    assert_eq!((counters.n_written, counters.n_dropped), (1, 0));
    assert_eq!(LedgerReader::open(&path).unwrap().audio(1).unwrap(), None);
}

#[test]
fn a_change_counts_from_then_on() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("ledger.sqlite");
    let ledger = open(&config(&path));
    ledger.note(&over(1, Vec::new()));
    let mut about = About::new(None);
    about.listen.wake_threshold = -3.0;
    ledger.change(about);
    ledger.note(&over(2, Vec::new()));
    drop(ledger);
    let all = LedgerReader::open(&path).unwrap().recent(2).unwrap();
    let thresholds = all.iter().map(|one| one.settings.wake_threshold);
    assert_eq!(thresholds.collect::<Vec<_>>(), [-5.0, -3.0]);
}

#[test]
fn a_folder_that_goes_and_comes_back_costs_what_was_said_meanwhile() {
    let folder = tempfile::tempdir().unwrap();
    let state = folder.path().join("state");
    let path = state.join("ledger.sqlite");
    let ledger = open(&config(&path));
    ledger.note(&over(1, Vec::new()));
    settle(&ledger, 1);
    // A file where the folder was: nothing can be written, whoever asks.
    std::fs::rename(&state, folder.path().join("elsewhere")).unwrap();
    std::fs::write(&state, "").unwrap();
    ledger.note(&over(2, Vec::new()));
    ledger.note(&over(3, Vec::new()));
    let counters = settle(&ledger, 3);
    assert_eq!((counters.n_written, counters.n_failed), (1, 2));
    std::fs::remove_file(&state).unwrap();
    ledger.note(&over(4, Vec::new()));
    let counters = settle(&ledger, 4);
    assert_eq!((counters.n_written, counters.n_failed), (2, 2));
    let all = LedgerReader::open(&path).unwrap().recent(9).unwrap();
    assert_eq!(all.len(), 1);
    assert_eq!(all[0].text.as_deref(), Some("text 4"));
}

#[test]
fn damage_that_is_met_later_costs_the_old_file_only() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("ledger.sqlite");
    let ledger = open(&config(&path));
    for id in 1..=50 {
        ledger.note(&over(id, Vec::new()));
    }
    drop(ledger);
    // The tables are there, and their contents are nonsense.
    let mut bytes = std::fs::read(&path).unwrap();
    bytes[3 * 4096..].fill(0xa5);
    std::fs::write(&path, bytes).unwrap();
    let ledger = open(&config(&path));
    ledger.note(&over(1, Vec::new()));
    let counters = settle(&ledger, 1);
    assert_eq!(counters.n_written, 1);
    let all = LedgerReader::open(&path).unwrap().recent(9).unwrap();
    assert_eq!(all.len(), 1);
    assert!(folder.path().join("ledger.sqlite.damaged").exists());
}

#[test]
fn closing_takes_no_longer_than_it_may() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("ledger.sqlite");
    let ledger = open(&config(&path));
    let mut other = Connection::open(&path).unwrap();
    let held = other
        .transaction_with_behavior(TransactionBehavior::Immediate)
        .unwrap();
    ledger.note(&over(1, Vec::new()));
    let begun = Instant::now();
    drop(ledger);
    assert!(begun.elapsed() < CLOSE_DEADLINE + Duration::from_millis(300));
    drop(held);
}
