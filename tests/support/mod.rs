//! What several test programs share.

#![allow(dead_code, unreachable_pub, clippy::unwrap_used)]

pub mod gguf;
pub mod made_up;
pub mod mic;
pub mod peers;
pub mod program;
pub mod random;
pub mod tiny;
pub mod utterances;

use std::path::{Path, PathBuf};

/// The project's folder.
pub fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// Whether the program keeps up with speech at the level of `HARK_SIMD`; says so where it does not:
/// the scalar reference is written for reading, and a test at the pace of real time means nothing.
pub fn keeps_up() -> bool {
    let scalar = std::env::var_os("HARK_SIMD").is_some_and(|level| level == "scalar");
    if scalar {
        eprintln!("skipped: HARK_SIMD=scalar is slower than speech");
    }
    !scalar
}

/// The folder of a fetched model. Where it is missing the reason is printed and the test has
/// nothing to do, unless `HARK_REQUIRE_MODEL` is set: then it fails.
pub fn model(name: &str) -> Option<PathBuf> {
    let folder = root().join("models").join(name);
    let is_model = |path: PathBuf| {
        path.extension()
            .is_some_and(|end| end == "bin" || end == "gguf")
    };
    let mut files = folder.read_dir().into_iter().flatten().flatten();
    if files.any(|file| is_model(file.path())) {
        return Some(folder);
    }
    let reason = format!("models/{name} is missing: hark models pull {name}");
    assert!(std::env::var_os("HARK_REQUIRE_MODEL").is_none(), "{reason}");
    eprintln!("skipped: {reason}");
    None
}
