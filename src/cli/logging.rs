//! Where log records go, and which of them.
//!
//! In: records of any thread. Out: lines on stderr, or, where stderr is the systemd journal, entries of
//! the journal with their fields. Which records are written may change at any time; it is looked up
//! without a lock.

use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use log::{Level, LevelFilter, Log, Metadata, Record};

use super::output;
use crate::config::{LogConfig, PARTS};

/// Name of our entries in the journal.
#[cfg(target_os = "linux")]
const IDENTIFIER: &str = "hark";

/// Levels as numbers (`LevelFilter as usize`): of every part, of the rest of hark, and of the libraries.
static OF_PARTS: [AtomicUsize; PARTS.len()] = [const { AtomicUsize::new(0) }; PARTS.len()];
static OF_HARK: AtomicUsize = AtomicUsize::new(0);
static OF_OTHERS: AtomicUsize = AtomicUsize::new(0);
/// Whether the command line has decided; the configuration does not matter then.
static IS_FIXED: AtomicBool = AtomicBool::new(false);

/// Starts the log, with the levels of the command line or, until [`apply`], the defaults.
pub(super) fn start(levels: Option<&LogConfig>) {
    let logger = Box::new(Filtered { to: target() });
    if log::set_boxed_logger(logger).is_err() {
        return;
    }
    set(levels.unwrap_or(&LogConfig::default()));
    IS_FIXED.store(levels.is_some(), Ordering::Relaxed);
}

/// The levels of a configuration that was read, at first or again, count from now on; those of the
/// command line, if there are any, stay.
pub(crate) fn apply(levels: &LogConfig) {
    if !IS_FIXED.load(Ordering::Relaxed) {
        set(levels);
    }
}

fn set(levels: &LogConfig) {
    let mut most = levels.level;
    for (part, to) in PARTS.iter().zip(&OF_PARTS) {
        let own = levels.modules.iter().rfind(|(name, _)| name == part);
        let level = own.map_or(levels.level, |(_, level)| *level);
        to.store(level as usize, Ordering::Relaxed);
        most = most.max(level);
    }
    // What matters of what libraries say is in our own errors.
    let of_others = match levels.level >= LevelFilter::Debug {
        true => LevelFilter::Info,
        false => LevelFilter::Off,
    };
    OF_HARK.store(levels.level as usize, Ordering::Relaxed);
    OF_OTHERS.store(of_others as usize, Ordering::Relaxed);
    log::set_max_level(most);
}

/// Whether a record from `target` (`hark::audio::mic`) is written.
fn is_wanted(target: &str, level: Level) -> bool {
    let mut names = target.split("::");
    let limit = match (names.next(), names.next()) {
        (Some("hark"), part) => part
            .and_then(|part| PARTS.binary_search(&part).ok())
            .map_or(&OF_HARK, |i| &OF_PARTS[i]),
        _ => &OF_OTHERS,
    };
    level as usize <= limit.load(Ordering::Relaxed)
}

struct Filtered {
    to: Box<dyn Log>,
}

impl Log for Filtered {
    fn enabled(&self, metadata: &Metadata) -> bool {
        is_wanted(metadata.target(), metadata.level())
    }

    fn log(&self, record: &Record) {
        if self.enabled(record.metadata()) {
            self.to.log(record);
        }
    }

    fn flush(&self) {
        self.to.flush();
    }
}

/// The journal where stderr goes there already, else stderr.
fn target() -> Box<dyn Log> {
    #[cfg(target_os = "linux")]
    if systemd_journal_logger::connected_to_journal()
        && let Ok(journal) = systemd_journal_logger::JournalLog::empty()
    {
        return Box::new(journal.with_syslog_identifier(IDENTIFIER.to_owned()));
    }
    let mut builder = env_logger::Builder::new();
    builder
        .filter_level(LevelFilter::Trace)
        .format_target(false);
    builder.write_style(match output::stderr_is_coloured() {
        true => env_logger::WriteStyle::Always,
        false => env_logger::WriteStyle::Never,
    });
    builder.target(env_logger::Target::Pipe(Box::new(output::terminal::Stderr)));
    Box::new(builder.build())
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn levels_change_while_it_runs() {
        assert!(PARTS.is_sorted());
        set(&LogConfig::of_argument("warn,audio=debug,vad=off").unwrap());
        assert!(is_wanted("hark::audio::mic", Level::Debug));
        assert!(!is_wanted("hark::audio::mic", Level::Trace));
        assert!(!is_wanted("hark::vad", Level::Error));
        assert!(is_wanted("hark::whisper", Level::Warn));
        assert!(!is_wanted("hark", Level::Info));
        assert!(!is_wanted("ureq", Level::Error));
        assert_eq!(log::max_level(), LevelFilter::Debug);
        apply(&LogConfig::of_argument("debug,audio=error").unwrap());
        assert!(!is_wanted("hark::audio", Level::Warn));
        assert!(is_wanted("hark::whisper", Level::Debug));
        assert!(is_wanted("ureq", Level::Info));
        set(&LogConfig::default());
        assert_eq!(log::max_level(), LevelFilter::Warn);
    }
}
