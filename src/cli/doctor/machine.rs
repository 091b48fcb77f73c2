//! The processor, the memory and the disk.

use std::fs;
use std::path::{Path, PathBuf};

use super::report::Check;
use crate::cli::setup::Setup;
use crate::config::Config;
use crate::error::Kind;
use crate::kernels::{Cpu, Level, SIMD_VARIABLE};

/// Which kernels compute, on how many threads.
pub(super) fn processor(setup: &Setup) -> Check {
    const NAME: &str = "processor";
    let cpu = match Cpu::from_env() {
        Ok(cpu) => cpu,
        Err(error) => {
            let advice = format!("unset {SIMD_VARIABLE}");
            return Check::fail(NAME, Kind::Usage, error.to_string(), advice);
        }
    };
    let n_threads = setup.n_threads();
    let found = format!("kernels for {}, {n_threads} threads", cpu.name());
    let best = Cpu::available()
        .last()
        .map_or(cpu.name(), |best| best.name());
    if best != cpu.name() {
        let advice = format!("unset {SIMD_VARIABLE}: this processor has {best}, which is faster");
        return Check::warn(NAME, found, advice);
    }
    let n_logical = std::thread::available_parallelism().map_or(1, usize::from);
    if n_threads > n_logical {
        let advice = format!("set model.threads to 0: this machine has {n_logical} for them");
        return Check::warn(NAME, found, advice);
    }
    match faster(cpu.level()) {
        None => Check::ok(NAME, found),
        Some(hint) => Check::ok(NAME, format!("{found} ({hint})")),
    }
}

/// What a faster processor would have.
fn faster(level: Level) -> Option<&'static str> {
    match level {
        Level::Scalar if cfg!(target_arch = "x86_64") => {
            Some("one with AVX2 would be many times faster")
        }
        Level::Neon => Some("one with dot products, as in a Pi 5, would be faster"),
        _ => None,
    }
}

/// Memory that programs may still take, in bytes, where the system tells.
pub(crate) fn available_bytes() -> Option<u64> {
    available(&fs::read_to_string("/proc/meminfo").ok()?)
}

fn available(meminfo: &str) -> Option<u64> {
    let mut lines = meminfo.lines();
    let line = lines.find_map(|line| line.strip_prefix("MemAvailable:"))?;
    let kilobytes: u64 = line.trim().strip_suffix("kB")?.trim().parse().ok()?;
    Some(kilobytes * 1024)
}

/// Whether the ledger has its room; none when there is to be none.
pub(super) fn ledger(config: &Config) -> Option<Check> {
    const NAME: &str = "ledger";
    let ledger = &config.ledger;
    if !ledger.enabled {
        return None;
    }
    if !cfg!(feature = "ledger") {
        return Some(Check::fail(
            NAME,
            Kind::Usage,
            "it is enabled, and this build has none",
            "build with the feature `ledger`, or set ledger.enabled = false",
        ));
    }
    let Some(path) = ledger.file.state_file("ledger.sqlite") else {
        return Some(Check::fail(
            NAME,
            Kind::Usage,
            "there is no folder for it: neither $XDG_STATE_HOME nor $HOME is set",
            "set ledger.file to a path",
        ));
    };
    Some(room(NAME, &path, ledger.max_mb))
}

fn room(name: &'static str, path: &Path, max_mb: u32) -> Check {
    let place = path.display();
    let folder = existing(path);
    let is_writable = rustix::fs::access(&folder, rustix::fs::Access::WRITE_OK).is_ok();
    if !is_writable {
        let found = format!("{place}: may not write in {}", folder.display());
        let advice = "let this user write there, or set ledger.file to another path";
        return Check::fail(name, Kind::Usage, found, advice);
    }
    let Ok(disk) = rustix::fs::statvfs(&folder) else {
        return Check::ok(name, place.to_string());
    };
    let free_mb = disk.f_bavail.saturating_mul(disk.f_frsize) / 1_000_000;
    let has_mb = fs::metadata(path).map_or(0, |file| file.len() / 1_000_000);
    let found = format!("{place}: {free_mb} MB free, {max_mb} MB wanted at most");
    match free_mb + has_mb < u64::from(max_mb) {
        true => Check::warn(name, found, "free some disk space, or lower ledger.max_mb"),
        false => Check::ok(name, found),
    }
}

/// The folder above `path` that is there already.
fn existing(path: &Path) -> PathBuf {
    let found = path.ancestors().skip(1).find(|folder| folder.is_dir());
    match found {
        // What is relative starts from here.
        None => PathBuf::from("."),
        Some(folder) if folder.as_os_str().is_empty() => PathBuf::from("."),
        Some(folder) => folder.to_owned(),
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::super::report::State;
    use super::*;

    #[test]
    fn available_memory_is_read() {
        let meminfo = "MemTotal:       16000 kB\nMemFree: 1 kB\nMemAvailable:    2048 kB\n";
        assert_eq!(available(meminfo), Some(2_097_152));
        assert_eq!(available("MemTotal: 16000 kB\n"), None);
    }

    #[test]
    fn a_ledger_needs_room() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("not/yet/ledger.sqlite");
        assert_eq!(existing(&path), folder.path());
        assert_eq!(existing(Path::new("ledger.sqlite")), Path::new("."));
        assert_eq!(room("ledger", &path, 1).state, State::Ok);
        assert_eq!(room("ledger", &path, u32::MAX).state, State::Warn);
    }
}
