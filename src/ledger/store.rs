//! The file: SQLite with a write-ahead log.
//!
//! Enters: entries, in batches; each batch is written whole or not at all, and what is written
//! survives the end of the power. Owned by the ledger's thread. Deleted text is overwritten in the
//! file.

use std::fs::{self, DirBuilder, File, OpenOptions, Permissions};
use std::io;
use std::os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::time::{Duration, UNIX_EPOCH};

use rusqlite::{
    Connection, ErrorCode, OpenFlags, OptionalExtension, Transaction, TransactionBehavior, params,
};
use serde::Serialize;

use super::kept::{Followed, Settings};
use super::scribe::{Entry, Heard, What};
use super::{LedgerError, rotate};
use crate::config::LedgerConfig;

/// Marks the file as a ledger of hark's: "hark".
const APPLICATION_ID: i64 = 0x6861_726b;
/// The steps from an empty file to the present format; a file's `user_version` is how many were taken.
const STEPS: [&str; 1] = [include_str!("schema_1.sql")];
/// How long another program may keep the file to itself.
const BUSY: Duration = Duration::from_secs(2);
/// Largest file that is checked as a whole, about a second's work; damage in a larger one is found
/// when it is met.
const MAX_CHECKED_BYTES: u64 = 1 << 30;

/// When utterances go.
#[derive(Clone, Copy, Debug)]
pub(super) struct Limits {
    /// Older ones.
    pub(super) max_age_ms: i64,
    /// The oldest, when the file is larger.
    pub(super) max_bytes: u64,
}

impl Limits {
    pub(super) fn of(config: &LedgerConfig) -> Self {
        Limits {
            max_age_ms: i64::from(config.max_age_days) * 86_400_000,
            max_bytes: u64::from(config.max_mb) * 1_000_000,
        }
    }
}

/// How a ledger is opened.
#[derive(Clone, Debug)]
pub(super) struct Opening {
    pub(super) path: PathBuf,
    pub(super) limits: Limits,
    /// When the program was started, milliseconds since 1970.
    pub(super) began_unix_ms: i64,
    /// What is in force.
    pub(super) settings: Settings,
}

/// See the module.
pub(super) struct Store {
    opening: Opening,
    pub(super) connection: Connection,
    /// Number of this run of the program; none until something is written about it.
    run: Option<i64>,
    /// Device and inode of the file.
    file: (u64, u64),
}

impl Store {
    /// Opens the ledger, or begins it. A file that is damaged or no database is moved aside,
    /// reported, and a new one begun.
    pub(super) fn open(opening: Opening) -> Result<Store, LedgerError> {
        let path = &opening.path;
        let connection = match connect(path) {
            Err(LedgerError::Damaged { detail, .. }) => {
                move_aside(path, &detail)?;
                connect(path)?
            }
            connected => connected?,
        };
        Ok(Store {
            file: identity(path).map_err(|source| file_error(path, source))?,
            opening,
            connection,
            run: None,
        })
    }

    /// Moves the file aside and begins a new one.
    pub(super) fn begin_anew(self, cause: &str) -> Result<Store, LedgerError> {
        // Its last connection tidies up behind itself, under the name that the file has now.
        drop(self.connection);
        move_aside(&self.opening.path, cause)?;
        Store::open(self.opening)
    }

    /// Goes on in a new file where somebody has removed the present one.
    pub(super) fn follow_file(self) -> Result<Store, LedgerError> {
        let path = &self.opening.path;
        if identity(path).is_ok_and(|found| found == self.file) {
            return Ok(self);
        }
        log::info!(
            "the ledger {} was removed; a new one is begun",
            path.display()
        );
        Store::open(self.opening)
    }

    /// From now on this is in force.
    pub(super) fn change(&mut self, settings: Settings) {
        self.opening.settings = settings;
    }

    /// Reads the whole file; what is wrong with it, if anything is.
    pub(super) fn check(&self) -> rusqlite::Result<Option<String>> {
        if rotate::file_bytes(&self.connection)? > MAX_CHECKED_BYTES {
            return Ok(None);
        }
        let found: String =
            (self.connection).query_row("PRAGMA quick_check(1)", [], |row| row.get(0))?;
        Ok((found != "ok").then_some(found))
    }

    /// Writes the entries, all of them or none.
    pub(super) fn write(&mut self, entries: &[Entry]) -> rusqlite::Result<()> {
        let transaction =
            (self.connection).transaction_with_behavior(TransactionBehavior::Immediate)?;
        let run = ensure_run(&transaction, self.run, self.opening.began_unix_ms)?;
        let settings = json(&self.opening.settings);
        for entry in entries {
            let row = row_of(&transaction, run, entry, &settings)?;
            match &entry.what {
                What::Heard(heard) => write_heard(&transaction, row, entry.at_unix_ms, heard)?,
                What::Followed(followed, of) => {
                    let of = of.map(|of| find_row(&transaction, run, of)).transpose()?;
                    let followed = Followed {
                        of: of.flatten(),
                        ..(**followed).clone()
                    };
                    write_followed(&transaction, row, entry.at_unix_ms, &followed)?;
                }
            }
        }
        transaction.commit()?;
        self.run = Some(run);
        Ok(())
    }

    /// Lets go what is too old or too much.
    pub(super) fn rotate(&mut self, now_unix_ms: i64) -> rusqlite::Result<()> {
        remove_aside(&self.opening, now_unix_ms);
        rotate::rotate(&mut self.connection, self.opening.limits, now_unix_ms)
    }
}

/// Whether the file itself is at fault, and a new one would do better.
pub(super) fn is_damage(error: &rusqlite::Error) -> bool {
    matches!(
        error.sqlite_error_code(),
        Some(ErrorCode::DatabaseCorrupt | ErrorCode::NotADatabase)
    ) || error
        .sqlite_error()
        .is_some_and(|error| error.extended_code == SHORT_READ)
}

/// `SQLITE_IOERR_SHORT_READ`: the file ends where it should not.
const SHORT_READ: i32 = 522;

/// A connection to the file at `path`, in the present format.
fn connect(path: &Path) -> Result<Connection, LedgerError> {
    prepare_file(path).map_err(|source| file_error(path, source))?;
    let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let connected = Connection::open_with_flags(path, flags);
    let mut connection = connected.map_err(|error| database(path, error))?;
    set_up(&mut connection, path)?;
    close_to_others(path).map_err(|source| file_error(path, source))?;
    Ok(connection)
}

/// The error of a statement, with the name of the file.
pub(super) fn database(path: &Path, source: rusqlite::Error) -> LedgerError {
    let path = path.to_owned();
    match is_damage(&source) {
        true => LedgerError::Damaged {
            path,
            detail: source.to_string(),
        },
        false => LedgerError::Database { path, source },
    }
}

fn file_error(path: &Path, source: io::Error) -> LedgerError {
    LedgerError::File {
        path: path.to_owned(),
        source,
    }
}

/// What the file says of itself: whether it is a ledger, and which steps were taken.
pub(super) fn version_of(connection: &Connection, path: &Path) -> Result<usize, LedgerError> {
    let read = || -> rusqlite::Result<(i64, i64, i64)> {
        let application =
            connection.pragma_query_value(None, "application_id", |row| row.get(0))?;
        let version = connection.pragma_query_value(None, "user_version", |row| row.get(0))?;
        let tables =
            connection.query_row("SELECT count(*) FROM sqlite_schema", [], |r| r.get(0))?;
        Ok((application, version, tables))
    };
    let path = path.to_owned();
    match read().map_err(|error| database(&path, error))? {
        (0, 0, 0) => Ok(0),
        (APPLICATION_ID, version, _) => {
            let known = STEPS.len();
            usize::try_from(version)
                .ok()
                .filter(|version| *version <= known)
                .ok_or(LedgerError::Newer {
                    path,
                    version,
                    known: known as i64,
                })
        }
        _ => Err(LedgerError::Foreign { path }),
    }
}

fn set_up(connection: &mut Connection, path: &Path) -> Result<(), LedgerError> {
    let failed = |error| database(path, error);
    connection.busy_timeout(BUSY).map_err(failed)?;
    let version = version_of(connection, path)?;
    if version == 0 {
        // Before the first table; later it would need the whole file written anew.
        connection
            .pragma_update(None, "auto_vacuum", "INCREMENTAL")
            .map_err(failed)?;
    }
    settings(connection).map_err(failed)?;
    take_steps(connection, version).map_err(failed)
}

fn settings(connection: &Connection) -> rusqlite::Result<()> {
    // Where a file system cannot have it, the old journal is as safe, and readers wait.
    connection.pragma_update_and_check(None, "journal_mode", "WAL", |_| Ok(()))?;
    // An utterance is on the disk before the next one is written, and on a Mac beyond the disk's cache.
    connection.pragma_update(None, "synchronous", "FULL")?;
    connection.pragma_update(None, "fullfsync", true)?;
    connection.pragma_update(None, "foreign_keys", true)?;
    connection.pragma_update_and_check(None, "secure_delete", true, |_| Ok(()))?;
    // In pages; in KiB where it is negative.
    connection.pragma_update_and_check(None, "wal_autocheckpoint", 256, |_| Ok(()))?;
    connection.pragma_update_and_check(None, "journal_size_limit", 1 << 20, |_| Ok(()))?;
    connection.pragma_update(None, "cache_size", -1024)
}

fn take_steps(connection: &mut Connection, taken: usize) -> rusqlite::Result<()> {
    if taken == STEPS.len() {
        return Ok(());
    }
    let transaction = connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
    // Another program may have taken them meanwhile.
    let taken: i64 = transaction.pragma_query_value(None, "user_version", |row| row.get(0))?;
    for step in STEPS
        .iter()
        .skip(usize::try_from(taken).unwrap_or_default())
    {
        transaction.execute_batch(step)?;
    }
    transaction.pragma_update(None, "application_id", APPLICATION_ID)?;
    transaction.pragma_update(None, "user_version", STEPS.len() as i64)?;
    transaction.commit()
}

/// Makes sure that there is a file; a new one only its owner may read. What exists is not opened:
/// that would end the locks that this process has on it.
fn prepare_file(path: &Path) -> io::Result<()> {
    let folder = path
        .parent()
        .filter(|folder| !folder.as_os_str().is_empty());
    if let Some(folder) = folder {
        let mut builder = DirBuilder::new();
        builder.recursive(true).mode(0o700).create(folder)?;
    }
    let mut options = OpenOptions::new();
    let created = options.write(true).create_new(true).mode(0o600).open(path);
    match created {
        Err(error) if error.kind() != io::ErrorKind::AlreadyExists => return Err(error),
        _ => {}
    }
    match fs::metadata(path)?.is_file() {
        true => Ok(()),
        false => Err(io::Error::new(io::ErrorKind::InvalidInput, "it is no file")),
    }
}

/// Makes sure that nobody else may read the file, which is a ledger.
fn close_to_others(path: &Path) -> io::Result<()> {
    if fs::metadata(path)?.permissions().mode() & 0o077 != 0 {
        fs::set_permissions(path, Permissions::from_mode(0o600))?;
        log::warn!(
            "the ledger {} was open to other users; it no longer is",
            path.display()
        );
    }
    Ok(())
}

fn identity(path: &Path) -> io::Result<(u64, u64)> {
    let metadata = fs::metadata(path)?;
    Ok((metadata.dev(), metadata.ino()))
}

/// `path` with `ending` behind its name.
fn beside(path: &Path, ending: &str) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(ending);
    name.into()
}

/// What cannot be used is kept for whoever wants to look at it, with its log.
fn move_aside(path: &Path, cause: &str) -> Result<(), LedgerError> {
    let aside = beside(path, ".damaged");
    fs::rename(path, &aside).map_err(|source| file_error(path, source))?;
    let log = fs::rename(beside(path, "-wal"), beside(&aside, "-wal"));
    let index = fs::remove_file(beside(path, "-shm"));
    for done in [log, index] {
        // Left where it is, it would be taken for the new file's.
        done.or_else(|error| match error.kind() {
            io::ErrorKind::NotFound => Ok(()),
            _ => Err(file_error(path, error)),
        })?;
    }
    sync_folder(path);
    log::warn!(
        "the ledger {} is damaged: {cause}; the file is now {}, and a new one is begun",
        path.display(),
        aside.display()
    );
    Ok(())
}

/// A damaged ledger holds what people said, too: it goes when its utterances would have gone.
fn remove_aside(opening: &Opening, now_unix_ms: i64) {
    let aside = beside(&opening.path, ".damaged");
    for path in [beside(&aside, "-wal"), aside] {
        let changed = fs::metadata(&path).and_then(|metadata| metadata.modified());
        let since_1970 = changed
            .ok()
            .and_then(|at| at.duration_since(UNIX_EPOCH).ok());
        let age_ms = since_1970.map(|since| now_unix_ms - since.as_millis() as i64);
        if age_ms.is_some_and(|age_ms| age_ms > opening.limits.max_age_ms)
            && let Err(error) = fs::remove_file(&path)
        {
            log::warn!("cannot remove {}: {error}", path.display());
        }
    }
}

/// The new name outlives the end of the power; where the system cannot promise it, it is likely.
fn sync_folder(path: &Path) {
    let folder = path
        .parent()
        .filter(|folder| !folder.as_os_str().is_empty());
    let folder = folder.unwrap_or(Path::new("."));
    let _ = File::open(folder).and_then(|folder| folder.sync_all());
}

/// The row of the run, written with the first utterance.
fn ensure_run(
    transaction: &Transaction,
    run: Option<i64>,
    began_unix_ms: i64,
) -> rusqlite::Result<i64> {
    // It may have gone with its last utterance, and comes back under its number.
    let mut insert = transaction.prepare_cached(
        "INSERT INTO runs (id, began_unix_ms, version) VALUES (?1, ?2, ?3)
         ON CONFLICT (id) DO NOTHING",
    )?;
    insert.execute(params![run, began_unix_ms, env!("CARGO_PKG_VERSION")])?;
    Ok(run.unwrap_or_else(|| transaction.last_insert_rowid()))
}

fn find_row(transaction: &Transaction, run: i64, event: u64) -> rusqlite::Result<Option<i64>> {
    let mut find =
        transaction.prepare_cached("SELECT id FROM utterances WHERE run = ?1 AND event = ?2")?;
    find.query_row(params![run, event as i64], |row| row.get(0))
        .optional()
}

/// The utterance that the entry is about; a command may be carried out before it is over.
fn row_of(
    transaction: &Transaction,
    run: i64,
    entry: &Entry,
    settings: &str,
) -> rusqlite::Result<i64> {
    if let Some(row) = find_row(transaction, run, entry.event_id)? {
        return Ok(row);
    }
    let mut insert = transaction.prepare_cached(
        "INSERT INTO utterances (run, event, at_unix_ms, settings) VALUES (?1, ?2, ?3, ?4)",
    )?;
    insert.execute(params![
        run,
        entry.event_id as i64,
        entry.at_unix_ms,
        settings
    ])?;
    Ok(transaction.last_insert_rowid())
}

fn write_heard(
    transaction: &Transaction,
    row: i64,
    at_unix_ms: i64,
    heard: &Heard,
) -> rusqlite::Result<()> {
    let mut update = transaction.prepare_cached(
        "UPDATE utterances SET at_unix_ms = ?2, t0 = ?3, t1 = ?4, text = ?5, words = ?6, flags = ?7,
         wake = ?8, readings = ?9, compared = ?10, alternatives = ?11, model = ?12, stages = ?13
         WHERE id = ?1",
    )?;
    update.execute(params![
        row,
        at_unix_ms,
        heard.t0,
        heard.t1,
        heard.text,
        json(&heard.words),
        json(&heard.flags),
        heard.wake.as_ref().map(json),
        heard.readings.as_ref().map(json),
        heard.compared,
        json(&heard.alternatives),
        heard.model,
        json(&heard.stages),
    ])?;
    if !heard.pcm.is_empty() {
        let mut insert = transaction
            .prepare_cached("INSERT OR REPLACE INTO audio (utterance, pcm) VALUES (?1, ?2)")?;
        insert.execute(params![row, heard.pcm])?;
    }
    Ok(())
}

fn write_followed(
    transaction: &Transaction,
    row: i64,
    at_unix_ms: i64,
    followed: &Followed,
) -> rusqlite::Result<()> {
    let mut insert = transaction
        .prepare_cached("INSERT INTO followed (utterance, at_unix_ms, what) VALUES (?1, ?2, ?3)")?;
    insert.execute(params![row, at_unix_ms, json(followed)])?;
    Ok(())
}

/// Our own types hold nothing that JSON cannot.
fn json(value: &impl Serialize) -> String {
    serde_json::to_string(value).unwrap_or_default()
}

#[cfg(test)]
#[path = "store_tests.rs"]
#[allow(clippy::unwrap_used)]
mod tests;
