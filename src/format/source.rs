//! Bytes of a model, read by position.
//!
//! A file is never mapped: when it is cut short underneath, a read fails with an error and the
//! process lives. [`Source`] is the bytes, [`Cursor`] walks through a header and checks every
//! length against the size before anything is allocated.

use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};

use super::FormatError;

/// Bytes a [`Cursor`] fetches at a time.
const BUFFER_BYTES: usize = 16 * 1024;

/// The bytes of one model and where they came from.
#[derive(Debug)]
pub(super) struct Source {
    path: PathBuf,
    bytes: Bytes,
    size_bytes: u64,
}

#[derive(Debug)]
enum Bytes {
    File(File),
    Memory(&'static [u8]),
}

impl Source {
    /// Opens a file; its size is taken now and holds for every check afterwards.
    pub(super) fn open(path: &Path) -> Result<Source, FormatError> {
        let failed = |source: io::Error| match source.kind() {
            io::ErrorKind::NotFound => FormatError::NotFound(path.to_owned()),
            _ => FormatError::Io {
                path: path.to_owned(),
                tensor: String::new(),
                source,
            },
        };
        // Looked at before it is opened: opening a named pipe would wait for its writer.
        let metadata = path.metadata().map_err(failed)?;
        if !metadata.is_file() {
            return Err(FormatError::Unrecognised {
                path: path.to_owned(),
                found: "is not a regular file",
            });
        }
        let file = File::open(path).map_err(failed)?;
        Ok(Source {
            path: path.to_owned(),
            bytes: Bytes::File(file),
            size_bytes: metadata.len(),
        })
    }

    /// Bytes that are part of the program; `name` stands for the path in messages.
    pub(super) fn memory(name: &str, bytes: &'static [u8]) -> Source {
        Source {
            path: PathBuf::from(name),
            bytes: Bytes::Memory(bytes),
            size_bytes: bytes.len() as u64,
        }
    }

    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    pub(super) fn size_bytes(&self) -> u64 {
        self.size_bytes
    }

    /// Fills `out` from byte `at`. `tensor` is for the message and may be empty.
    pub(super) fn read_at(&self, at: u64, out: &mut [u8], tensor: &str) -> Result<(), FormatError> {
        match &self.bytes {
            Bytes::File(file) => file.read_exact_at(out, at),
            Bytes::Memory(bytes) => usize::try_from(at)
                .ok()
                .and_then(|start| bytes.get(start..)?.get(..out.len()))
                .map(|found| out.copy_from_slice(found))
                .ok_or_else(|| io::ErrorKind::UnexpectedEof.into()),
        }
        .map_err(|source| FormatError::Io {
            path: self.path.clone(),
            tensor: tensor.to_owned(),
            source,
        })
    }

    /// Checks that `n_bytes` from byte `at` lie within the file.
    pub(super) fn check(&self, at: u64, n_bytes: u64, what: &str) -> Result<(), FormatError> {
        match at.checked_add(n_bytes) {
            Some(end) if end <= self.size_bytes => Ok(()),
            _ => Err(FormatError::Truncated {
                path: self.path.clone(),
                what: what.to_owned(),
                at,
                needed_bytes: n_bytes,
                size_bytes: self.size_bytes,
            }),
        }
    }

    /// An error about a header field.
    pub(super) fn header(&self, what: String) -> FormatError {
        let path = self.path.clone();
        FormatError::Header { path, what }
    }
}

/// A position in a [`Source`] that moves forward over little-endian fields. `what` names the
/// field in messages.
pub(super) struct Cursor<'a> {
    source: &'a Source,
    at: u64,
    buffer: Vec<u8>,
    buffer_at: u64,
}

impl<'a> Cursor<'a> {
    pub(super) fn new(source: &'a Source) -> Cursor<'a> {
        Cursor {
            source,
            at: 0,
            buffer: Vec::new(),
            buffer_at: 0,
        }
    }

    pub(super) fn at(&self) -> u64 {
        self.at
    }

    pub(super) fn remaining_bytes(&self) -> u64 {
        self.source.size_bytes() - self.at
    }

    /// Passes over `n_bytes`.
    pub(super) fn skip(&mut self, n_bytes: u64, what: &str) -> Result<(), FormatError> {
        self.source.check(self.at, n_bytes, what)?;
        self.at += n_bytes;
        Ok(())
    }

    /// Fills `out`, which is at most a few kilobytes, through the buffer.
    fn fill(&mut self, out: &mut [u8], what: &str) -> Result<(), FormatError> {
        self.source.check(self.at, out.len() as u64, what)?;
        let buffered = self.buffer_at..self.buffer_at + self.buffer.len() as u64;
        let end = self.at + out.len() as u64;
        if self.at < buffered.start || end > buffered.end {
            let left = usize::try_from(self.remaining_bytes()).unwrap_or(usize::MAX);
            self.buffer.resize(left.min(BUFFER_BYTES.max(out.len())), 0);
            self.source.read_at(self.at, &mut self.buffer, "")?;
            self.buffer_at = self.at;
        }
        let start = (self.at - self.buffer_at) as usize;
        out.copy_from_slice(&self.buffer[start..start + out.len()]);
        self.at = end;
        Ok(())
    }

    /// `n_bytes` bytes, of which at most `limit_bytes` are believed.
    pub(super) fn bytes(
        &mut self,
        n_bytes: usize,
        limit_bytes: usize,
        what: &str,
    ) -> Result<Vec<u8>, FormatError> {
        if n_bytes > limit_bytes {
            return Err(self.source.header(format!("{what} of {n_bytes} bytes")));
        }
        self.source.check(self.at, n_bytes as u64, what)?;
        let mut out = vec![0; n_bytes];
        self.fill(&mut out, what)?;
        Ok(out)
    }

    pub(super) fn u8(&mut self, what: &str) -> Result<u8, FormatError> {
        let mut raw = [0; 1];
        self.fill(&mut raw, what)?;
        Ok(raw[0])
    }

    pub(super) fn u16(&mut self, what: &str) -> Result<u16, FormatError> {
        let mut raw = [0; 2];
        self.fill(&mut raw, what)?;
        Ok(u16::from_le_bytes(raw))
    }

    pub(super) fn u32(&mut self, what: &str) -> Result<u32, FormatError> {
        let mut raw = [0; 4];
        self.fill(&mut raw, what)?;
        Ok(u32::from_le_bytes(raw))
    }

    pub(super) fn u64(&mut self, what: &str) -> Result<u64, FormatError> {
        let mut raw = [0; 8];
        self.fill(&mut raw, what)?;
        Ok(u64::from_le_bytes(raw))
    }

    /// A signed field that must not be negative, as ggml writes its counts.
    pub(super) fn count(&mut self, what: &str) -> Result<usize, FormatError> {
        let raw = self.u32(what)?.cast_signed();
        usize::try_from(raw).map_err(|_| self.source.header(format!("{what} is {raw}")))
    }
}
