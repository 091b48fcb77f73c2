//! What is too old or too much goes, the oldest first, and the file shrinks.

use rusqlite::{Connection, params};

use super::store::Limits;

/// The part of its limit that a file that was too large may have afterwards, in percent.
const ROOM_PERCENT: u64 = 90;
/// The part of all utterances that goes at once.
const FRACTION: i64 = 50;

/// Lets utterances go until the limits hold.
pub(super) fn rotate(
    connection: &mut Connection,
    limits: Limits,
    now_unix_ms: i64,
) -> rusqlite::Result<()> {
    let too_old = now_unix_ms.saturating_sub(limits.max_age_ms);
    let mut n_gone = connection.execute(
        "DELETE FROM utterances WHERE at_unix_ms < ?1",
        params![too_old],
    )?;
    if file_bytes(connection)? > limits.max_bytes {
        n_gone += shrink(connection, limits.max_bytes / 100 * ROOM_PERCENT)?;
    }
    if n_gone > 0 {
        connection.execute(
            "DELETE FROM runs WHERE NOT EXISTS (SELECT 1 FROM utterances WHERE run = runs.id)",
            [],
        )?;
        give_back(connection)?;
        log::debug!("{n_gone} utterances left the ledger");
    }
    Ok(())
}

/// Lets the oldest go until what is left takes so many bytes; how many went.
fn shrink(connection: &mut Connection, bytes: u64) -> rusqlite::Result<usize> {
    let all: i64 = connection.query_row("SELECT count(*) FROM utterances", [], |row| row.get(0))?;
    let at_once = (all / FRACTION).max(1);
    let mut n_gone = 0;
    while used_bytes(connection)? > bytes {
        let gone = connection.execute(
            "DELETE FROM utterances WHERE id IN (SELECT id FROM utterances ORDER BY id LIMIT ?1)",
            params![at_once],
        )?;
        if gone == 0 {
            break;
        }
        n_gone += gone;
    }
    Ok(n_gone)
}

/// Gives what is no longer used back to the file system.
fn give_back(connection: &Connection) -> rusqlite::Result<()> {
    // Each row that this gives is a page given back.
    let mut vacuum = connection.prepare("PRAGMA incremental_vacuum")?;
    let mut pages = vacuum.query([])?;
    while pages.next()?.is_some() {}
    drop(pages);
    // A reader may keep some of it for now.
    connection.query_row("PRAGMA wal_checkpoint(TRUNCATE)", [], |_| Ok(()))
}

/// Size of the file.
pub(super) fn file_bytes(connection: &Connection) -> rusqlite::Result<u64> {
    Ok(number(connection, "page_count")? * number(connection, "page_size")?)
}

/// What of it is used.
fn used_bytes(connection: &Connection) -> rusqlite::Result<u64> {
    let n_used =
        number(connection, "page_count")?.saturating_sub(number(connection, "freelist_count")?);
    Ok(n_used * number(connection, "page_size")?)
}

fn number(connection: &Connection, name: &str) -> rusqlite::Result<u64> {
    let n: i64 = connection.pragma_query_value(None, name, |row| row.get(0))?;
    Ok(u64::try_from(n).unwrap_or_default())
}
