//! Reading the ledger, also while the program writes it.
//!
//! Enters: the file. Leaves: utterances. Opened for reading alone; changes nothing.

use std::path::{Path, PathBuf};
use std::time::Duration;

use rusqlite::{Connection, OpenFlags, OptionalExtension, Row, params};
use serde::de::DeserializeOwned;

use super::LedgerError;
use super::kept::{Followed, Utterance};
use super::store::{database, version_of};
use crate::audio::PcmFormat;

/// How long a writer may keep the file to itself.
const BUSY: Duration = Duration::from_secs(5);

/// A ledger that is read.
pub struct LedgerReader {
    path: PathBuf,
    connection: Connection,
}

/// Column names in the order that [`utterance`] reads them.
const COLUMNS: &str = "utterances.id, event, at_unix_ms,
    strftime('%Y-%m-%dT%H:%M:%fZ', at_unix_ms / 1000.0, 'unixepoch'),
    strftime('%Y-%m-%d %H:%M:%S', at_unix_ms / 1000.0, 'unixepoch', 'localtime'),
    strftime('%Y-%m-%dT%H:%M:%fZ', began_unix_ms / 1000.0, 'unixepoch'), version, settings,
    t0, t1, text, words, flags, wake, readings, compared, alternatives, model, stages,
    (SELECT length(pcm) / 2 FROM audio WHERE utterance = utterances.id)";

impl LedgerReader {
    /// The ledger at `path`.
    ///
    /// # Errors
    /// If there is none, or it cannot be read.
    pub fn open(path: &Path) -> Result<Self, LedgerError> {
        if !path.exists() {
            return Err(LedgerError::Missing {
                path: path.to_owned(),
            });
        }
        let flags = OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NO_MUTEX;
        let opened = Connection::open_with_flags(path, flags);
        let connection = opened.map_err(|error| database(path, error))?;
        let waiting = connection.busy_timeout(BUSY);
        waiting.map_err(|error| database(path, error))?;
        match version_of(&connection, path)? {
            // It was begun, and nothing was ever written.
            0 => Err(LedgerError::Missing {
                path: path.to_owned(),
            }),
            _ => Ok(LedgerReader {
                path: path.to_owned(),
                connection,
            }),
        }
    }

    /// The last utterances, at most `max`, the oldest of them first.
    ///
    /// # Errors
    /// If the file is damaged or cannot be read.
    pub fn recent(&self, max: usize) -> Result<Vec<Utterance>, LedgerError> {
        let sql = format!(
            "SELECT {COLUMNS} FROM utterances JOIN runs ON runs.id = run
             ORDER BY utterances.id DESC LIMIT ?1"
        );
        let read = || -> rusqlite::Result<Vec<Utterance>> {
            let mut select = self.connection.prepare(&sql)?;
            let rows = select.query_map(params![max as i64], utterance)?;
            let mut all = rows.collect::<rusqlite::Result<Vec<Utterance>>>()?;
            all.reverse();
            for one in &mut all {
                one.followed = self.followed(one.id)?;
            }
            Ok(all)
        };
        self.consistently(read)
    }

    /// The utterance of that number.
    ///
    /// # Errors
    /// If the file is damaged or cannot be read.
    pub fn find(&self, id: i64) -> Result<Option<Utterance>, LedgerError> {
        let sql = format!(
            "SELECT {COLUMNS} FROM utterances JOIN runs ON runs.id = run WHERE utterances.id = ?1"
        );
        let read = || -> rusqlite::Result<Option<Utterance>> {
            let found = self.connection.query_row(&sql, params![id], utterance);
            let Some(mut found) = found.optional()? else {
                return Ok(None);
            };
            found.followed = self.followed(id)?;
            Ok(Some(found))
        };
        self.consistently(read)
    }

    /// The audio of an utterance, 16 kHz; none where it was not kept.
    ///
    /// # Errors
    /// If the file is damaged or cannot be read.
    pub fn audio(&self, id: i64) -> Result<Option<Vec<f32>>, LedgerError> {
        let sql = "SELECT pcm FROM audio WHERE utterance = ?1";
        let read = self.connection.query_row(sql, params![id], |row| {
            let mut samples = Vec::new();
            PcmFormat::S16Le.decode(row.get_ref(0)?.as_blob()?, &mut samples);
            Ok(samples)
        });
        let read = read.optional();
        read.map_err(|error| database(&self.path, error))
    }

    fn followed(&self, id: i64) -> rusqlite::Result<Vec<Followed>> {
        let sql = "SELECT at_unix_ms, what FROM followed WHERE utterance = ?1 ORDER BY id";
        let mut select = self.connection.prepare_cached(sql)?;
        let rows = select.query_map(params![id], |row| {
            let followed: Followed = json(row, 1)?;
            Ok(Followed {
                at_unix_ms: row.get(0)?,
                ..followed
            })
        })?;
        rows.collect()
    }

    /// All of `read` sees the file as it is at one time.
    fn consistently<T>(
        &self,
        read: impl FnOnce() -> rusqlite::Result<T>,
    ) -> Result<T, LedgerError> {
        let all = || {
            let transaction = self.connection.unchecked_transaction()?;
            let found = read()?;
            transaction.finish()?;
            Ok(found)
        };
        all().map_err(|error| database(&self.path, error))
    }
}

fn utterance(row: &Row) -> rusqlite::Result<Utterance> {
    let event_id: i64 = row.get(1)?;
    let n_samples: Option<i64> = row.get(19)?;
    Ok(Utterance {
        id: row.get(0)?,
        event_id: event_id as u64,
        at_unix_ms: row.get(2)?,
        at: row.get(3)?,
        at_local: row.get(4)?,
        run_began: row.get(5)?,
        version: row.get(6)?,
        settings: json(row, 7)?,
        t0: row.get(8)?,
        t1: row.get(9)?,
        text: row.get(10)?,
        words: json(row, 11)?,
        flags: json(row, 12)?,
        wake: json(row, 13)?,
        readings: json(row, 14)?,
        compared: row.get(15)?,
        alternatives: json(row, 16)?,
        model: row.get(17)?,
        stages: json(row, 18)?,
        followed: Vec::new(),
        n_samples: n_samples.unwrap_or_default() as u64,
    })
}

/// A column that is JSON; its default where there is nothing.
fn json<T: DeserializeOwned + Default>(row: &Row, column: usize) -> rusqlite::Result<T> {
    let text: Option<String> = row.get(column)?;
    let Some(text) = text else {
        return Ok(T::default());
    };
    serde_json::from_str(&text).map_err(|error| {
        let kind = rusqlite::types::Type::Text;
        rusqlite::Error::FromSqlConversionFailure(column, kind, Box::new(error))
    })
}
