//! The ledger: what was heard and decided, kept for `hark why`.
//!
//! ```text
//! Event ─▶ Ledger::note ─▶ queue ─▶ ledger thread: Scribe ─▶ Store ─▶ file ─▶ LedgerReader ─▶ hark why
//! ```
//!
//! Enters: events, on any thread. Leaves: an SQLite file that only its owner may read. Noting an event
//! never waits: what finds no room in the queue is dropped and counted. Whatever is in the file, and
//! whatever the disk does, listening goes on. The file survives the end of the program or of the power
//! at any moment, with all that was written by then. A program without the feature `ledger` has the
//! same interface and keeps nothing.

use std::path::PathBuf;

use thiserror::Error;

use crate::error::{Classify, Kind};
use crate::place::Place;

#[cfg(feature = "ledger")]
mod about;
mod kept;
#[cfg(feature = "ledger")]
mod read;
#[cfg(feature = "ledger")]
mod rotate;
#[cfg(feature = "ledger")]
mod scribe;
#[cfg(feature = "ledger")]
mod store;
#[cfg(not(feature = "ledger"))]
mod without;
#[cfg(feature = "ledger")]
mod writer;

#[cfg(feature = "ledger")]
pub use about::About;
pub use kept::{
    Followed, HeardPhrase, HeardReading, HeardReadings, HeardWord, Settings, StageTime, Utterance,
};
#[cfg(feature = "ledger")]
pub use read::LedgerReader;
#[cfg(not(feature = "ledger"))]
pub use without::{About, Ledger, LedgerReader};
#[cfg(feature = "ledger")]
pub use writer::Ledger;

/// Name of the file where nobody chose another one.
const FILE_NAME: &str = "ledger.sqlite";

/// Where the configured ledger lies; none where the environment does not say.
pub fn path(file: &Place) -> Option<PathBuf> {
    file.state_file(FILE_NAME)
}

/// What became of the events that were noted.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct LedgerCounters {
    /// Written.
    pub n_written: u64,
    /// Not taken, or taken without their audio, because too much was waiting.
    pub n_dropped: u64,
    /// Taken, and not written because the file could not be.
    pub n_failed: u64,
}

/// Why there is no ledger.
#[derive(Debug, Error)]
pub enum LedgerError {
    /// This build has no SQLite.
    #[error("this build keeps no ledger (it was made without the feature `ledger`)")]
    NoSupport,
    /// It is nowhere.
    #[error(
        "there is no place for the ledger: set STATE_DIRECTORY, XDG_STATE_HOME, HOME or ledger.file"
    )]
    NoPlace,
    /// There is no file.
    #[error("there is no ledger in {path}")]
    Missing {
        /// Where it was looked for.
        path: PathBuf,
    },
    /// The file or its folder cannot be used.
    #[error("cannot open the ledger {path}: {source}")]
    File {
        /// Where it is.
        path: PathBuf,
        /// What the system says.
        source: std::io::Error,
    },
    /// The file is a damaged database, or none.
    #[error("the ledger {path} is damaged: {detail}")]
    Damaged {
        /// Where it is.
        path: PathBuf,
        /// What is wrong.
        detail: String,
    },
    /// The file is a database of something else.
    #[error("{path} is the database of another program; choose another ledger.file")]
    Foreign {
        /// Where it is.
        path: PathBuf,
    },
    /// It was written by a later version of hark.
    #[error(
        "the ledger {path} is of a newer hark (its format is {version}, this one knows {known}); \
         move it away or use the newer one"
    )]
    Newer {
        /// Where it is.
        path: PathBuf,
        /// Its format.
        version: i64,
        /// The newest known.
        known: i64,
    },
    /// A thread of its own cannot be had.
    #[error("there is no thread for the ledger: {0}")]
    Thread(#[source] std::io::Error),
    /// The database refuses, for any other reason.
    #[cfg(feature = "ledger")]
    #[error("cannot use the ledger {path}: {source}")]
    Database {
        /// Where it is.
        path: PathBuf,
        /// What SQLite says.
        source: rusqlite::Error,
    },
}

impl Classify for LedgerError {
    fn kind(&self) -> Kind {
        match self {
            LedgerError::NoSupport
            | LedgerError::NoPlace
            | LedgerError::Missing { .. }
            | LedgerError::Foreign { .. }
            | LedgerError::Newer { .. } => Kind::Usage,
            LedgerError::File { .. } | LedgerError::Damaged { .. } => Kind::Input,
            LedgerError::Thread(_) => Kind::Bug,
            #[cfg(feature = "ledger")]
            LedgerError::Database { .. } => Kind::Input,
        }
    }
}
