//! What several test programs share.

#![allow(dead_code, unreachable_pub, clippy::unwrap_used)]

pub mod program;
pub mod random;
pub mod tiny;

use std::path::{Path, PathBuf};

/// The project's folder.
pub fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// The folder of a fetched model. Where it is missing the reason is printed and the test has
/// nothing to do, unless `HARK_REQUIRE_MODEL` is set: then it fails.
pub fn model(name: &str) -> Option<PathBuf> {
    let folder = root().join("models").join(name);
    if folder.join("model.bin").exists() {
        return Some(folder);
    }
    let reason = format!("models/{name} is missing: hark models pull {name}");
    assert!(std::env::var_os("HARK_REQUIRE_MODEL").is_none(), "{reason}");
    eprintln!("skipped: {reason}");
    None
}
