//! Levels of the log: `[log]`, and the same in one word for the command line.

use log::LevelFilter;
use thiserror::Error;

use super::document::Section;
use super::{ConfigError, LogConfig};
use crate::command::mistake::nearest;

/// The parts of hark that may have a level of their own: its top-level modules, in alphabetical order.
pub(crate) const PARTS: [&str; 28] = [
    "audio", "cli", "clock", "command", "config", "daemon", "dialogue", "dsp", "error", "event",
    "format", "guard", "kernels", "ledger", "llama", "models", "nn", "pipeline", "place",
    "process", "quant", "random", "respond", "speech", "stats", "text", "vad", "whisper",
];

const LEVELS: [(&str, LevelFilter); 6] = [
    ("off", LevelFilter::Off),
    ("error", LevelFilter::Error),
    ("warn", LevelFilter::Warn),
    ("info", LevelFilter::Info),
    ("debug", LevelFilter::Debug),
    ("trace", LevelFilter::Trace),
];

/// Why levels on the command line cannot be used.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub(crate) enum LevelsError {
    /// No level.
    #[error("`{0}` is no level; they are off, error, warn, info, debug and trace")]
    Level(String),
    /// No part.
    #[error("`{part}` is no part of hark; {}", proposal(nearest))]
    Part {
        part: String,
        nearest: Option<String>,
    },
}

fn proposal(nearest: &Option<String>) -> String {
    match nearest {
        Some(part) => format!("did you mean `{part}`?"),
        None => format!("its parts are {}", PARTS.join(", ")),
    }
}

impl LogConfig {
    /// The levels that a text such as `warn,audio=debug,daemon=info` means: one for everything (warn
    /// where it says none), and others for parts.
    pub(crate) fn of_argument(text: &str) -> Result<LogConfig, LevelsError> {
        let mut to = LogConfig::default();
        for item in text.split(',').map(str::trim) {
            match item.split_once('=') {
                None => to.level = level(item)?,
                Some((part, of_part)) => {
                    let (part, of_part) = (part.trim(), level(of_part.trim())?);
                    if !PARTS.contains(&part) {
                        return Err(LevelsError::Part {
                            part: part.to_owned(),
                            nearest: nearest(part, PARTS.into_iter()),
                        });
                    }
                    to.modules.push((part.to_owned(), of_part));
                }
            }
        }
        Ok(to)
    }
}

fn level(name: &str) -> Result<LevelFilter, LevelsError> {
    let found = LEVELS.iter().find(|(known, _)| *known == name);
    found
        .map(|(_, level)| *level)
        .ok_or_else(|| LevelsError::Level(name.to_owned()))
}

/// Reads `[log]`.
pub(super) fn read(mut section: Section, to: &mut LogConfig) -> Result<(), ConfigError> {
    section.choice("level", &LEVELS, &mut to.level)?;
    if let Some(entry) = section.take("modules") {
        for (part, entry) in entry.section()?.into_entries() {
            if !PARTS.contains(&part.as_str()) {
                return Err(ConfigError::UnknownKey {
                    nearest: nearest(&part, PARTS.into_iter()),
                    known: PARTS.join(", "),
                    origin: entry.origin,
                    key: entry.key,
                });
            }
            let mut level = to.level;
            entry.choice(&LEVELS, &mut level)?;
            to.modules.push((part, level));
        }
    }
    section.finish()
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn every_module_is_a_part() {
        let modules = include_str!("../lib.rs").lines().filter_map(|line| {
            let (before, name) = line.split_once("mod ")?;
            let is_module = ["pub ", "pub(crate) "].contains(&before);
            name.strip_suffix(';').filter(|_| is_module)
        });
        let modules: Vec<&str> = modules.collect();
        assert!(modules.contains(&"audio"), "{modules:?}");
        for module in modules {
            assert!(PARTS.contains(&module), "{module} is missing in PARTS");
        }
    }

    #[test]
    fn arguments_name_levels_and_parts() {
        let levels = LogConfig::of_argument("error, audio=debug,daemon=info").unwrap();
        assert_eq!(levels.level, LevelFilter::Error);
        let modules = [("audio", LevelFilter::Debug), ("daemon", LevelFilter::Info)];
        let modules = modules.map(|(part, level)| (part.to_owned(), level));
        assert_eq!(levels.modules, modules);
        let one = LogConfig::of_argument("vad=trace").unwrap();
        assert_eq!((one.level, one.modules.len()), (LevelFilter::Warn, 1));
        for (wrong, told) in [
            ("loud", "`loud` is no level"),
            ("", "`` is no level"),
            ("audio=", "`` is no level"),
            ("audoi=debug", "did you mean `audio`?"),
            ("frobnicate=debug", "its parts are audio, cli"),
        ] {
            let error = LogConfig::of_argument(wrong).unwrap_err().to_string();
            assert!(error.contains(told), "{wrong}: {error}");
        }
    }
}
