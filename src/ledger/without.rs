//! The same interface for a build without SQLite.

use std::path::Path;

use super::{LedgerCounters, LedgerError, Utterance};
use crate::config::LedgerConfig;
use crate::event::Event;
use crate::pipeline::Commands;

/// Nothing to know.
#[derive(Clone, Debug)]
pub struct About(());

impl About {
    /// Nothing.
    pub fn new(_commands: Option<&Commands>) -> Self {
        About(())
    }
}

/// There is none.
pub struct Ledger(());

impl Ledger {
    /// None; says so where one is configured.
    pub fn open(config: &LedgerConfig, _about: About) -> Option<Ledger> {
        if config.enabled {
            log::warn!("{}", LedgerError::NoSupport);
        }
        None
    }

    /// Nothing.
    pub fn note(&self, _event: &Event) {}

    /// Nothing.
    pub fn change(&self, _about: About) {}

    /// Zeros.
    pub fn counters(&self) -> LedgerCounters {
        LedgerCounters::default()
    }

    /// No.
    pub fn wants_audio(&self) -> bool {
        false
    }
}

/// There is nothing to read.
pub struct LedgerReader(());

impl LedgerReader {
    /// Says that this build cannot.
    ///
    /// # Errors
    /// Always.
    pub fn open(_path: &Path) -> Result<Self, LedgerError> {
        Err(LedgerError::NoSupport)
    }

    /// Nothing.
    ///
    /// # Errors
    /// Never.
    pub fn recent(&self, _max: usize) -> Result<Vec<Utterance>, LedgerError> {
        Ok(Vec::new())
    }

    /// Nothing.
    ///
    /// # Errors
    /// Never.
    pub fn find(&self, _id: i64) -> Result<Option<Utterance>, LedgerError> {
        Ok(None)
    }

    /// Nothing.
    ///
    /// # Errors
    /// Never.
    pub fn audio(&self, _id: i64) -> Result<Option<Vec<f32>>, LedgerError> {
        Ok(None)
    }
}
