use super::*;
use crate::ledger::LedgerReader;

const DAY_MS: i64 = 86_400_000;
const NOW: i64 = 1_700_000_000_000;

fn opening(path: &Path) -> Opening {
    Opening {
        path: path.to_owned(),
        limits: Limits {
            max_age_ms: 30 * DAY_MS,
            max_bytes: 100_000_000,
        },
        began_unix_ms: NOW,
        settings: Settings::default(),
    }
}

fn open(path: &Path) -> Store {
    Store::open(opening(path)).unwrap()
}

/// An utterance that is over, and the command in it.
fn entries(event_id: u64, at_unix_ms: i64, text: &str) -> [Entry; 2] {
    let heard = Heard {
        text: text.to_owned(),
        t1: 1.5,
        ..Heard::default()
    };
    let command = Followed {
        kind: "command".to_owned(),
        name: Some("lights".to_owned()),
        ..Followed::default()
    };
    let entry = |what| Entry {
        event_id,
        at_unix_ms,
        what,
    };
    [
        entry(What::Heard(Box::new(heard))),
        entry(What::Followed(Box::new(command), None)),
    ]
}

fn texts(path: &Path) -> Vec<(i64, String)> {
    let all = LedgerReader::open(path).unwrap().recent(1_000_000).unwrap();
    let text = |one: crate::ledger::Utterance| {
        assert_eq!(one.followed.len(), 1, "{one:?}");
        (one.id, one.text.unwrap())
    };
    all.into_iter().map(text).collect()
}

fn mode(path: &Path) -> u32 {
    fs::metadata(path).unwrap().permissions().mode() & 0o777
}

#[test]
fn only_its_owner_may_read_it() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("state/hark/ledger.sqlite");
    let mut store = open(&path);
    store.write(&entries(1, NOW, "one")).unwrap();
    assert_eq!(mode(path.parent().unwrap()), 0o700);
    for name in fs::read_dir(path.parent().unwrap()).unwrap() {
        let name = name.unwrap().path();
        assert_eq!(mode(&name), 0o600, "{}", name.display());
    }
    drop(store);
    fs::set_permissions(&path, Permissions::from_mode(0o644)).unwrap();
    drop(open(&path));
    assert_eq!(mode(&path), 0o600);
}

#[test]
fn numbers_go_on_over_restarts_and_are_never_used_again() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("ledger.sqlite");
    for text in ["a", "b", "c"] {
        // Each run begins to count its events at 1.
        open(&path).write(&entries(1, NOW, text)).unwrap();
    }
    let kept = [(1, "a"), (2, "b"), (3, "c")].map(|(id, text)| (id, text.to_owned()));
    assert_eq!(texts(&path), kept);
    let mut store = open(&path);
    store.rotate(NOW + 31 * DAY_MS).unwrap();
    assert!(texts(&path).is_empty());
    store.write(&entries(1, NOW, "d")).unwrap();
    assert_eq!(texts(&path), [(4, "d".to_owned())]);
    // The run's row had gone, too.
    store.rotate(NOW + 31 * DAY_MS).unwrap();
    store.write(&entries(2, NOW, "e")).unwrap();
    assert_eq!(texts(&path), [(5, "e".to_owned())]);
}

#[test]
fn a_command_before_the_end_of_its_utterance_is_of_the_same() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("ledger.sqlite");
    let mut store = open(&path);
    let [heard, command] = entries(7, NOW, "lights off");
    store.write(&[command]).unwrap();
    let reader = LedgerReader::open(&path).unwrap();
    assert_eq!(reader.find(1).unwrap().unwrap().text, None);
    store.write(&[heard]).unwrap();
    assert_eq!(texts(&path), [(1, "lights off".to_owned())]);
    assert_eq!(reader.find(1).unwrap().unwrap().event_id, 7);
    assert_eq!(reader.find(2).unwrap(), None);
}

#[test]
fn the_old_and_the_many_go_and_the_file_shrinks() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("ledger.sqlite");
    let mut store = open(&path);
    store.opening.limits.max_bytes = 400_000;
    let long = "x".repeat(1_000);
    let write = |store: &mut Store, of: &mut dyn Iterator<Item = (u64, i64)>| {
        let all = of.flat_map(|(event, at)| entries(event, at, &long));
        store.write(&all.collect::<Vec<Entry>>()).unwrap();
    };
    write(
        &mut store,
        &mut (0..40).map(|day| (day, NOW - day as i64 * DAY_MS)),
    );
    store.rotate(NOW).unwrap();
    // 0 to 30 days.
    assert_eq!(texts(&path).len(), 31);
    write(&mut store, &mut (100..700).map(|event| (event, NOW)));
    assert!(rotate::file_bytes(&store.connection).unwrap() > 400_000);
    store.rotate(NOW).unwrap();
    let bytes = fs::metadata(&path).unwrap().len();
    assert!(bytes <= 360_000 && bytes > 200_000, "{bytes}");
    let left = texts(&path);
    assert_eq!(left.last().unwrap().0, 640);
    assert!(left.windows(2).all(|pair| pair[0].0 + 1 == pair[1].0));
    let check: String = (store.connection)
        .query_row("PRAGMA integrity_check", [], |row| row.get(0))
        .unwrap();
    assert_eq!(check, "ok");
    // An utterance that is larger than the limit goes, and that is all.
    store
        .write(&entries(1_000, NOW, &"y".repeat(1_000_000)))
        .unwrap();
    store.rotate(NOW).unwrap();
    assert!(texts(&path).is_empty());
    assert!(fs::metadata(&path).unwrap().len() < 100_000);
}

#[test]
fn what_went_is_not_in_the_file_any_more() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("ledger.sqlite");
    let mut store = open(&path);
    store
        .write(&entries(1, NOW - 40 * DAY_MS, "a well kept secret"))
        .unwrap();
    store.write(&entries(2, NOW, "common knowledge")).unwrap();
    store.rotate(NOW).unwrap();
    drop(store);
    let bytes = fs::read(&path).unwrap();
    let has = |text: &str| {
        bytes
            .windows(text.len())
            .any(|part| part == text.as_bytes())
    };
    assert!(!has("well kept secret") && has("common knowledge"));
}

#[test]
fn a_full_disk_loses_a_batch_and_nothing_else() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("ledger.sqlite");
    let mut store = open(&path);
    store.write(&entries(1, NOW, "before")).unwrap();
    let limit = |store: &Store, pages: u32| {
        (store.connection)
            .pragma_update_and_check(None, "max_page_count", pages, |_| Ok(()))
            .unwrap();
    };
    limit(&store, 1);
    let error = store
        .write(&entries(2, NOW, &"x".repeat(100_000)))
        .unwrap_err();
    assert_eq!(error.sqlite_error_code(), Some(ErrorCode::DiskFull));
    assert!(!is_damage(&error));
    assert_eq!(texts(&path), [(1, "before".to_owned())]);
    limit(&store, u32::MAX - 1);
    store.write(&entries(3, NOW, "after")).unwrap();
    let written: Vec<String> = texts(&path).into_iter().map(|(_, text)| text).collect();
    assert_eq!(written, ["before", "after"]);
}

#[test]
fn a_file_that_was_removed_is_begun_anew() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("ledger.sqlite");
    let mut store = open(&path);
    store.write(&entries(1, NOW, "gone")).unwrap();
    for ending in ["", "-wal", "-shm"] {
        fs::remove_file(beside(&path, ending)).unwrap();
    }
    let mut store = store.follow_file().unwrap();
    store.write(&entries(2, NOW, "kept")).unwrap();
    assert_eq!(texts(&path), [(1, "kept".to_owned())]);
    let store = store.follow_file().unwrap();
    assert_eq!(store.run, Some(1));
}

#[test]
fn other_peoples_databases_and_newer_ledgers_stay_as_they_are() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("other.sqlite");
    let other = Connection::open(&path).unwrap();
    other
        .execute_batch("CREATE TABLE photos (name TEXT)")
        .unwrap();
    drop(other);
    fs::set_permissions(&path, Permissions::from_mode(0o644)).unwrap();
    let before = fs::read(&path).unwrap();
    let error = Store::open(opening(&path)).err().unwrap();
    assert!(matches!(error, LedgerError::Foreign { .. }), "{error}");
    assert_eq!((fs::read(&path).unwrap(), mode(&path)), (before, 0o644));

    let path = folder.path().join("newer.sqlite");
    let store = open(&path);
    store
        .connection
        .pragma_update(None, "user_version", 99)
        .unwrap();
    drop(store);
    let error = Store::open(opening(&path)).err().unwrap().to_string();
    assert!(
        error.contains("newer hark (its format is 99, this one knows 1)"),
        "{error}"
    );
    assert!(LedgerReader::open(&path).is_err());
}

/// What the file is after a start, and what lies beside it.
fn start_over(path: &Path, bytes: &[u8]) -> Option<Vec<u8>> {
    let aside = beside(path, ".damaged");
    let _ = fs::remove_file(&aside);
    fs::write(path, bytes).unwrap();
    let mut store = open(path);
    if let Some(damage) = store
        .check()
        .unwrap_or_else(|error| Some(error.to_string()))
    {
        store = store.begin_anew(&damage).unwrap();
    }
    if let Err(error) = store.write(&entries(1, NOW, "after")) {
        assert!(is_damage(&error), "{error}");
        store = store.begin_anew(&error.to_string()).unwrap();
        store.write(&entries(1, NOW, "after")).unwrap();
    }
    drop(store);
    let reader = LedgerReader::open(path).unwrap();
    let last = reader.recent(1).unwrap().pop().unwrap();
    assert_eq!(last.text.as_deref(), Some("after"));
    fs::read(aside).ok()
}

#[test]
fn whatever_is_in_the_file_hark_starts() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("ledger.sqlite");
    let mut store = open(&path);
    for event in 1..30 {
        store.write(&entries(event, NOW, &"x".repeat(500))).unwrap();
    }
    drop(store);
    let whole = fs::read(&path).unwrap();
    assert_eq!(start_over(&path, &whole), None);
    assert_eq!(start_over(&path, b""), None);
    let (mut n_aside, mut n_cuts) = (0, 0);
    // A single byte is what some systems take for an empty file.
    for n in (2..200)
        .step_by(17)
        .chain((200..whole.len()).step_by(8_009))
    {
        let aside = start_over(&path, &whole[..n]);
        assert!(
            aside.as_ref().is_none_or(|aside| *aside == whole[..n]),
            "{n}"
        );
        n_aside += usize::from(aside.is_some());
        n_cuts += 1;
    }
    assert_eq!(n_aside, n_cuts, "a file that was cut is damaged");
    for hostile in [
        &[0xff; 5_000][..],
        &[0; 5_000],
        b"SQLite format 3\0 and then something else",
    ] {
        assert_eq!(start_over(&path, hostile).as_deref(), Some(hostile));
    }
    // Here and there a page of nonsense.
    for page in 0..whole.len() / 4096 {
        let mut spoiled = whole.clone();
        for (i, byte) in spoiled[page * 4096..][..4096].iter_mut().enumerate() {
            *byte = (i * 31 + page) as u8;
        }
        assert!(start_over(&path, &spoiled).is_some(), "page {page}");
    }
}

#[test]
fn a_log_of_nonsense_is_no_harm() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("ledger.sqlite");
    open(&path).write(&entries(1, NOW, "one")).unwrap();
    for nonsense in [&[0x5a; 70_000][..], b"", &[0; 32]] {
        fs::write(beside(&path, "-wal"), nonsense).unwrap();
        fs::write(beside(&path, "-shm"), nonsense).unwrap();
        assert_eq!(texts(&path), [(1, "one".to_owned())]);
        drop(open(&path));
        assert_eq!(texts(&path), [(1, "one".to_owned())]);
    }
}

#[test]
fn a_log_that_lost_its_end_loses_whole_batches() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("ledger.sqlite");
    let mut store = open(&path);
    store
        .connection
        .execute_batch("PRAGMA wal_checkpoint(TRUNCATE)")
        .unwrap();
    for event in 1..=20 {
        store.write(&entries(event, NOW, &"x".repeat(900))).unwrap();
    }
    // As the disk would have it had the power gone now.
    let (file, log) = (
        fs::read(&path).unwrap(),
        fs::read(beside(&path, "-wal")).unwrap(),
    );
    let copy = folder.path().join("copy.sqlite");
    let mut n_before = 0;
    for n in (0..log.len()).step_by(2_003).chain([log.len()]) {
        fs::write(&copy, &file).unwrap();
        fs::write(beside(&copy, "-wal"), &log[..n]).unwrap();
        let _ = fs::remove_file(beside(&copy, "-shm"));
        let store = open(&copy);
        assert_eq!(store.check().unwrap(), None, "{n}");
        let left = texts(&copy);
        assert!(left.len() >= n_before, "{n}");
        n_before = left.len();
        drop(store);
    }
    assert_eq!(n_before, 20);
    assert!(!beside(&copy, ".damaged").exists());
}

#[test]
fn a_folder_in_its_place_is_left_alone() {
    let folder = tempfile::tempdir().unwrap();
    let error = Store::open(opening(folder.path())).err().unwrap();
    assert!(matches!(error, LedgerError::File { .. }), "{error}");
    assert!(folder.path().is_dir());
    let device = Store::open(opening(Path::new("/dev/null"))).err().unwrap();
    assert!(device.to_string().contains("it is no file"), "{device}");
    let file = folder.path().join("file");
    fs::write(&file, "x").unwrap();
    let error = Store::open(opening(&file.join("ledger.sqlite")))
        .err()
        .unwrap();
    assert!(matches!(error, LedgerError::File { .. }), "{error}");
}

#[test]
fn a_damaged_ledger_is_not_kept_for_longer_than_another() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("ledger.sqlite");
    let aside = folder.path().join("ledger.sqlite.damaged");
    fs::write(&path, "no database at all, and long enough to be one").unwrap();
    let mut store = open(&path);
    assert!(aside.exists());
    let now_ms = std::time::SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .unwrap();
    let now_ms = now_ms.as_millis() as i64;
    store.rotate(now_ms).unwrap();
    assert!(aside.exists());
    store.rotate(now_ms + 31 * DAY_MS).unwrap();
    assert!(!aside.exists());
}
