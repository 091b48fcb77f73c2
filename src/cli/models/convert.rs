//! Writing a model as whisper.cpp's file without ever harming another file.
//!
//! The new file grows under a name of its own beside its place and is moved there when it is
//! whole and on the disk. Whatever fails, it is removed, and what was in its place stays.

use std::ffi::OsString;
use std::fs::{self, File, OpenOptions};
use std::io::{self, BufWriter};
use std::path::{Path, PathBuf};

use crate::cli::Failure;
use crate::cli::progress;
use crate::error::Kind;
use crate::format::{self, FormatError, WhisperFile};
use crate::quant::BlockType;

/// Names tried for the unfinished file before something else must be wrong.
const N_NAMES: u32 = 100;

/// Where a new file may stand.
pub(super) struct Place<'a>(&'a Path);

impl<'a> Place<'a> {
    /// Refuses what must not be replaced: a device, a link, the model itself, and without `force`
    /// any file.
    pub(super) fn new(file: &WhisperFile, output: &'a Path, force: bool) -> Result<Self, Failure> {
        check_place(file, output, force)?;
        Ok(Place(output))
    }
}

/// Writes `file` to its place and gives the new file's size in bytes.
pub(super) fn convert(
    file: &WhisperFile,
    place: Place<'_>,
    block: BlockType,
) -> Result<u64, Failure> {
    let output = place.0;
    let part = Part::beside(output)?;
    let bar = progress::bar(0, &output.display().to_string());
    let mut out = BufWriter::new(&part.file);
    let written = format::write_ggml(file, block, &mut out, &mut |done_bytes, all_bytes| {
        bar.set_length(all_bytes);
        bar.set_position(done_bytes);
    });
    bar.finish_and_clear();
    drop(out);
    match written {
        Ok(()) => part.finish(output),
        // The user knows the new file and not its unfinished form.
        Err(FormatError::Write { source, .. }) => Err(cannot_write(output, &source)),
        Err(error) => Err(error.into()),
    }
}

/// Only nothing, and with `force` a regular file, may be replaced.
fn check_place(file: &WhisperFile, output: &Path, force: bool) -> Result<(), Failure> {
    let found = match fs::symlink_metadata(output) {
        Ok(found) => found,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        Err(error) => return Err(cannot_write(output, &error)),
    };
    let refused = |what: &str| {
        let message = format!("{} {what}", output.display());
        Failure::new(Kind::Usage, message).hint("choose another name")
    };
    if found.is_dir() {
        return Err(refused("is a folder"));
    }
    if !found.is_file() {
        return Err(refused("is not a regular file"));
    }
    match (file.path().canonicalize(), output.canonicalize()) {
        (Ok(from), Ok(to)) if from == to => Err(refused("would be written onto itself")),
        _ if force => Ok(()),
        _ => {
            let message = format!("{} is there already", output.display());
            Err(Failure::new(Kind::Usage, message).hint("replace it with --force"))
        }
    }
}

/// The unfinished file. It goes when it is dropped, unless it was finished.
struct Part {
    file: File,
    path: PathBuf,
}

impl Part {
    /// A new file in the folder of `output`, under a name that nothing has.
    fn beside(output: &Path) -> Result<Part, Failure> {
        let Some(name) = output.file_name() else {
            let message = format!("{} is no name for a file", output.display());
            return Err(Failure::new(Kind::Usage, message));
        };
        let mut taken = io::Error::from(io::ErrorKind::AlreadyExists);
        for number in 0..N_NAMES {
            let mut unfinished = OsString::from(".");
            unfinished.push(name);
            unfinished.push(format!(".{}-{number}.part", std::process::id()));
            let path = output.with_file_name(unfinished);
            match OpenOptions::new().write(true).create_new(true).open(&path) {
                Ok(file) => return Ok(Part { file, path }),
                Err(error) if error.kind() == io::ErrorKind::AlreadyExists => taken = error,
                Err(error) => return Err(cannot_write(output, &error)),
            }
        }
        Err(cannot_write(output, &taken))
    }

    /// Moves the file to its place once all of it is on the disk. Gives its size in bytes.
    fn finish(self, output: &Path) -> Result<u64, Failure> {
        let finish = || {
            self.file.sync_all()?;
            let n_bytes = self.file.metadata()?.len();
            fs::rename(&self.path, output)?;
            Ok(n_bytes)
        };
        finish().map_err(|error| cannot_write(output, &error))
    }
}

impl Drop for Part {
    fn drop(&mut self) {
        // After it was moved there is nothing under this name, and nobody else creates it.
        let _ = fs::remove_file(&self.path);
    }
}

fn cannot_write(output: &Path, error: &io::Error) -> Failure {
    let message = format!("cannot write {}: {error}", output.display());
    Failure::new(Kind::Usage, message)
}
