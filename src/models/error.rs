//! Why a model cannot be found or fetched.

use super::Manifest;
use crate::error::{Classify, Kind};
use std::io;
use std::path::PathBuf;

/// Why a model cannot be found, fetched or used.
#[derive(Debug, thiserror::Error)]
pub enum ModelError {
    /// The model is known but has not been fetched.
    #[error("the model {name} is not on this machine; run `hark models pull {name}`")]
    Missing {
        /// The name in the manifest.
        name: String,
    },
    /// Some files of a model are there and others are not, or have another size.
    #[error("the model {name} is incomplete ({problem}); run `hark models pull {name}`")]
    Incomplete {
        /// The name in the manifest.
        name: String,
        /// Which file and what about it.
        problem: String,
    },
    /// The manifest has no such model and there is no such file.
    #[error(
        "there is no model and no file {wanted}{hint}; `hark models list` shows the models, \
         `hark models pull tiny.en` fetches the usual one"
    )]
    Unknown {
        /// What was asked for.
        wanted: String,
        /// " (did you mean …?)" or nothing.
        hint: String,
    },
    /// There is neither a data folder nor a home to put one in.
    #[error("there is no folder for models: set HARK_MODELS, XDG_DATA_HOME or HOME")]
    NoFolder,
    /// The file's content is not what the manifest says.
    #[error(
        "{path} is damaged: its SHA-256 is {found}, it should be {expected}; \
         run `hark models pull {name}`",
        path = path.display()
    )]
    WrongHash {
        /// The model's name.
        name: String,
        /// The file.
        path: PathBuf,
        /// Its SHA-256.
        found: String,
        /// The manifest's.
        expected: String,
    },
    /// A file could not be read or written.
    #[error("{path}: {source}", path = path.display())]
    Io {
        /// The file or folder.
        path: PathBuf,
        /// What the system says.
        source: io::Error,
    },
    /// Another process is fetching the same file.
    #[error("another hark is fetching {path}; wait for it to finish", path = path.display())]
    Busy {
        /// The model's folder.
        path: PathBuf,
    },
    /// Every source failed.
    #[error("cannot fetch {name}: {attempts}; {advice}")]
    NoSource {
        /// The model's name and the file's.
        name: String,
        /// What went wrong with each source in turn.
        attempts: String,
        /// What the user can do.
        advice: String,
    },
    /// The embedded manifest cannot be read: a mistake in the program.
    #[error("the list of models in the program is not valid")]
    Manifest(#[source] Box<toml::de::Error>),
}

impl ModelError {
    /// A name that is not in the manifest, with the nearest one that is.
    pub(super) fn unknown(manifest: &Manifest, wanted: &str) -> Self {
        let nearest = manifest.nearest(wanted);
        ModelError::Unknown {
            wanted: wanted.to_owned(),
            hint: nearest.map_or(String::new(), |name| format!(" (did you mean {name}?)")),
        }
    }

    /// An input or output error with the path it happened at.
    pub(super) fn io(path: impl Into<PathBuf>, source: io::Error) -> Self {
        let path = path.into();
        ModelError::Io { path, source }
    }
}

impl Classify for ModelError {
    fn kind(&self) -> Kind {
        match self {
            ModelError::Manifest(_) => Kind::Bug,
            ModelError::NoFolder => Kind::Usage,
            _ => Kind::Model,
        }
    }
}
