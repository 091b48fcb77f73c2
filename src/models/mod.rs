//! The models on disk: which there are, where they live, how they get there.
//!
//! Enters: a model's name or path, the embedded manifest (`models/manifest.toml`). Leaves: the
//! path of a model file that is complete, or an error that says what to run. Nothing here is
//! fetched unless asked for, and nothing fetched is used before its size and SHA-256 are verified.
//! Runs on the calling thread; never reads what is inside a model file (that is `format`'s work).

mod digest;
mod error;
mod fetch;
mod folder;
#[cfg(feature = "download")]
mod http;
mod manifest;
mod package;

pub use error::ModelError;
pub use fetch::{Fetcher, Progress, find, verify};
pub use folder::{State, folder, resolve, state};
pub use manifest::{DEFAULT_MODEL, File, Manifest, Model, Part, Source};
