//! The ledger: what was noted is there, whatever was killed, damaged or busy meanwhile.

#![cfg(feature = "ledger")]
#![allow(clippy::unwrap_used)]

mod support;

use std::io::{BufRead, BufReader, Write};
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use hark::audio::decode_file;
use hark::config::{Config, LedgerConfig};
use hark::event::Event;
use hark::format::WhisperFile;
use hark::kernels::{Cpu, Exec};
use hark::ledger::{About, Ledger, LedgerReader, Utterance};
use hark::nn::Compute;
use hark::pipeline::{Act, Commands, Pipeline, Settings};
use hark::place::Place;
use hark::whisper::Model;
use support::program::{arg, hark, recording};
use support::random::Random;
use support::root;
use support::utterances::{CONFIG, House, command, over, settle};

/// Each utterance is as it was noted by [`writer`], and so is what followed.
fn assert_whole(all: &[Utterance]) {
    for one in all {
        let event = one.event_id;
        let name = format!("c{event}");
        assert!(one.followed.len() <= 1, "{one:?}");
        for command in &one.followed {
            assert_eq!(command.name.as_ref(), Some(&name));
        }
        if one.text.is_none() {
            continue;
        }
        assert_eq!(one.text, Some(format!("turn on lights {event}")));
        let joined: String = one.words.iter().map(|word| word.text.as_str()).collect();
        assert_eq!(Some(joined), one.text);
        assert_eq!(one.stages.len(), 2);
        assert_eq!(one.n_samples, 1_600);
    }
}

fn reading(path: &Path) -> Vec<Utterance> {
    let reader = LedgerReader::open(path).unwrap();
    reader.recent(1_000_000).unwrap()
}

/// Notes utterances without end, never more than the queue holds.
fn write_on(ledger: &Ledger, mut each: impl FnMut(u64) -> bool) {
    let mut id = 0;
    while each(id) {
        id += 1;
        ledger.note(&over(id, &format!("turn on lights {id}"), None));
        ledger.note(&command(id, &format!("c{id}"), 0.0, None));
        settle(ledger, (2 * id).saturating_sub(100));
    }
}

#[test]
fn it_is_read_while_it_is_written() {
    let house = House::new(CONFIG);
    let ledger = house.open();
    ledger.note(&over(1, "turn on lights 1", None));
    settle(&ledger, 1);
    drop(ledger);
    let ledger = house.open();
    let done = &AtomicBool::new(false);
    std::thread::scope(|scope| {
        let writer = scope.spawn(move || {
            let go_on = |_| !done.load(Ordering::Relaxed);
            write_on(&ledger, go_on);
            ledger.counters()
        });
        for _ in 0..5 {
            let ran = house.why(&["--last", "50", "--json"]).expect(0);
            let all: Vec<serde_json::Value> = serde_json::from_str(&ran.stdout).unwrap();
            assert!(!all.is_empty());
            assert_whole(&reading(&house.path()));
        }
        done.store(true, Ordering::Relaxed);
        let counters = writer.join().unwrap();
        assert_eq!((counters.n_dropped, counters.n_failed), (0, 0));
    });
}

/// Names the ledger that [`writer`] writes.
const LEDGER: &str = "HARK_TEST_LEDGER";
/// It ends by itself after so long.
const LONGEST: Duration = Duration::from_secs(30);

/// Not a test: the process that writes until it is killed.
#[test]
#[ignore = "the other tests run it as a process of its own"]
fn writer() {
    let Some(path) = std::env::var_os(LEDGER) else {
        return;
    };
    let config = LedgerConfig {
        enabled: true,
        file: Place::At(path.into()),
        audio: true,
        max_mb: 1,
        ..LedgerConfig::default()
    };
    let ledger = Ledger::open(&config, About::new(None)).unwrap();
    let begun = Instant::now();
    write_on(&ledger, |_| {
        println!("\nwritten {}", ledger.counters().n_written);
        std::io::stdout().flush().unwrap();
        begun.elapsed() < LONGEST
    });
}

/// Runs [`writer`] for about so long and kills it; how many entries it had certainly written.
fn write_and_be_killed(path: &Path, pause: Duration) -> u64 {
    let mut child = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "writer", "--ignored", "--nocapture"])
        .env(LEDGER, path)
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
    let written = |line: &str| {
        line.strip_prefix("written ")
            .and_then(|n| n.parse::<u64>().ok())
    };
    let begun = lines
        .by_ref()
        .map(Result::unwrap)
        .any(|line| written(&line).is_some_and(|n| n > 0));
    assert!(begun, "the writer could not begin");
    let reader = std::thread::spawn(move || {
        // The last line may be cut anywhere; a number that is too small asks for less.
        lines
            .map_while(Result::ok)
            .filter_map(|line| written(&line))
            .last()
            .unwrap_or(0)
    });
    std::thread::sleep(pause);
    child.kill().unwrap();
    child.wait().unwrap();
    reader.join().unwrap()
}

#[test]
fn a_writer_that_is_killed_leaves_whole_rows() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("ledger.sqlite");
    let mut random = Random::new(7);
    let (mut last, mut n_written) = (0, 0);
    for round in 0..40 {
        let pause = Duration::from_micros(random.below(120_000) as u64);
        let n_sure = write_and_be_killed(&path, pause);
        n_written += n_sure;
        let all = reading(&path);
        assert_whole(&all);
        let newest = all.last().unwrap();
        // Two entries an utterance.
        assert!(
            newest.event_id >= n_sure / 2,
            "{n_sure} entries before {newest:?}"
        );
        assert!(newest.id > last, "numbers go on");
        last = newest.id;
        let database = rusqlite::Connection::open(&path).unwrap();
        let check = |what: &str| -> Vec<String> {
            let mut check = database.prepare(what).unwrap();
            let rows = check.query_map([], |row| row.get::<_, String>(0)).unwrap();
            rows.map(Result::unwrap).collect()
        };
        assert_eq!(check("PRAGMA integrity_check"), ["ok"], "round {round}");
        assert!(check("PRAGMA foreign_key_check").is_empty());
    }
    assert!(!path.with_extension("sqlite.damaged").exists());
    let bytes = std::fs::metadata(&path).unwrap().len();
    eprintln!("40 writers killed; {n_written} entries written, {bytes} bytes left");
    assert!(bytes < 2_000_000, "{bytes}");
}

#[test]
fn whatever_lies_there_hark_goes_on() {
    let house = House::new(CONFIG);
    std::fs::create_dir_all(house.path().parent().unwrap()).unwrap();
    let mut random = Random::new(3);
    for n in [1, 15, 16, 100, 511, 4_096, 20_000] {
        let noise: Vec<u8> = (0..n).map(|_| random.next_u64() as u8).collect();
        std::fs::write(house.path(), &noise).unwrap();
        let ledger = house.open();
        ledger.note(&over(1, "turn on lights 1", None));
        assert_eq!(settle(&ledger, 1).n_written, 1);
        drop(ledger);
        assert_whole(&reading(&house.path()));
    }
    std::fs::remove_file(house.path()).unwrap();
    std::fs::create_dir(house.path()).unwrap();
    let ledger = house.open();
    ledger.note(&over(1, "turn on lights 1", None));
    assert_eq!(settle(&ledger, 1).n_failed, 1);
    drop(ledger);
    assert!(house.path().is_dir());
}

/// What the pipeline heard of a recording is what `hark why` tells of it.
#[test]
fn a_recording_is_in_the_ledger_as_it_was_heard() {
    let Some(path) = support::model("tiny.en") else {
        return;
    };
    let exec = Exec::new(Cpu::from_env().unwrap(), 2);
    let model = Model::load(&WhisperFile::open(&path).unwrap(), exec, Compute::Int8).unwrap();
    let config = Config::load(Some(&root().join("examples/coffee.toml"))).unwrap();
    let commands = Commands::new(&config.commands, &config.dialogue);
    let settings = Settings {
        commands: Some(commands.clone()),
        ..Settings::default()
    };
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("ledger.sqlite");
    let kept = LedgerConfig {
        enabled: true,
        file: Place::At(file.clone()),
        ..LedgerConfig::default()
    };
    let ledger = Ledger::open(&kept, About::new(Some(&commands))).unwrap();
    let (mut texts, mut n_commands) = (Vec::new(), 0);
    let mut sink = |event: Event| {
        ledger.note(&event);
        match event {
            Event::Final { text, .. } => texts.push(text),
            Event::Command { .. } => n_commands += 1,
            _ => {}
        }
    };
    let mut pipeline = Pipeline::new(&settings, &model, Act::Report).unwrap();
    for name in [
        "command/command_en_0003.flac",
        "command/command_en_0045.flac",
    ] {
        pipeline.push(&decode_file(recording(name)).unwrap(), &mut sink);
        pipeline.push(&[0.0; 24_000], &mut sink);
    }
    pipeline.flush(&mut sink);
    drop(ledger);
    assert!(n_commands >= 2);
    let all = reading(&file);
    let kept: Vec<&str> = all.iter().map(|one| one.text.as_deref().unwrap()).collect();
    assert_eq!(kept, texts);
    let followed = all.iter().flat_map(|one| &one.followed);
    assert_eq!(
        followed.filter(|one| one.kind == "command").count(),
        n_commands
    );
    assert!(all.iter().any(|one| !one.alternatives.is_empty()));
    let is_command = |one: &&Utterance| one.followed.iter().any(|one| one.kind == "command");
    let first = all.iter().find(is_command).unwrap().id.to_string();
    let story = hark(&["why", "--ledger", arg(&file), &first])
        .expect(0)
        .stdout;
    let decision = "decision  Understood, and only reported: `";
    assert!(story.contains(decision), "{story}");
    eprintln!("{story}");
}
