//! The tensors of an opened file, by name.

use std::collections::BTreeMap;
use std::ops::Range;
use std::path::Path;

use sha2::{Digest, Sha256};

use super::FormatError;
use super::source::Source;
use super::tensor::{Encoding, Int8Rows, Stored};
use crate::quant::BlockType;

/// Bytes of a tensor that a fingerprint looks at, twice.
const SAMPLE_BYTES: usize = 512;

/// Tensors that are known to lie within their file; each is read when it is asked for.
#[derive(Debug)]
pub struct Tensors {
    source: Source,
    stored: BTreeMap<String, Stored>,
}

impl Tensors {
    pub(super) fn new(source: Source, stored: BTreeMap<String, Stored>) -> Self {
        Tensors { source, stored }
    }

    /// The file that was opened.
    pub fn path(&self) -> &Path {
        self.source.path()
    }

    /// The tensors' names, sorted.
    pub fn tensor_names(&self) -> impl Iterator<Item = &str> {
        self.stored.keys().map(String::as_str)
    }

    /// A tensor's shape, outermost dimension first.
    pub fn shape(&self, name: &str) -> Option<&[usize]> {
        Some(&self.stored.get(name)?.shape)
    }

    /// How a tensor is stored in this file.
    pub fn block_type(&self, name: &str) -> Option<Encoding> {
        Some(self.stored.get(name)?.encoding)
    }

    /// Reads a tensor as `f32`, row-major, into `out`, which is resized to it. Beside `out`, at
    /// most about a megabyte is allocated.
    pub fn read(&self, name: &str, out: &mut Vec<f32>) -> Result<(), FormatError> {
        self.stored(name)?.read(&self.source, name, out)
    }

    /// Reads rows of a tensor, counted along its outermost dimension, as [`Tensors::read`]
    /// does all: a large embedding need never be in memory as a whole.
    pub fn read_rows(
        &self,
        name: &str,
        rows: Range<usize>,
        out: &mut Vec<f32>,
    ) -> Result<(), FormatError> {
        let part = self.stored(name)?.rows(rows.clone());
        part.ok_or_else(|| self.unknown(format!("{name}, rows {rows:?}")))?
            .read(&self.source, name, out)
    }

    /// Reads a tensor that is stored as 8-bit integers with scales: the integers, row-major, and
    /// one scale a row, weight = integer × scale. None for tensors stored otherwise.
    pub fn read_i8(&self, name: &str) -> Result<Option<Int8Rows>, FormatError> {
        self.stored(name)?.read_i8(&self.source, name)
    }

    /// Reads rows of a tensor that is stored in quantised blocks, as they are, into `out`, which is
    /// resized to them. Gives the blocks' type; none for tensors stored otherwise.
    pub fn read_blocks(
        &self,
        name: &str,
        rows: Range<usize>,
        out: &mut Vec<u8>,
    ) -> Result<Option<BlockType>, FormatError> {
        let part = self.stored(name)?.rows(rows.clone());
        part.ok_or_else(|| self.unknown(format!("{name}, rows {rows:?}")))?
            .read_blocks(&self.source, name, out)
    }

    /// What tells this file from others: a digest of its size, of the names, shapes and types of its tensors, and of
    /// a few bytes at the beginning and in the middle of each. Reads no more than those.
    pub fn fingerprint(&self) -> Result<[u8; 32], FormatError> {
        let mut digest = Sha256::new();
        digest.update(self.source.size_bytes().to_le_bytes());
        let mut sample = [0; SAMPLE_BYTES];
        for (name, stored) in &self.stored {
            digest.update(format!("{name} {:?} {:?}\n", stored.shape, stored.encoding));
            let n_bytes = stored.encoding.bytes_for(stored.len()).unwrap_or(0);
            let sample = &mut sample[..SAMPLE_BYTES.min(n_bytes)];
            for at in [0, (n_bytes - sample.len()) / 2] {
                self.source.read_at(stored.at + at as u64, sample, name)?;
                digest.update(&*sample);
            }
        }
        Ok(digest.finalize().into())
    }

    fn stored(&self, name: &str) -> Result<&Stored, FormatError> {
        let stored = self.stored.get(name);
        stored.ok_or_else(|| self.unknown(name.to_owned()))
    }

    fn unknown(&self, tensor: String) -> FormatError {
        let path = self.path().to_owned();
        FormatError::UnknownTensor { path, tensor }
    }
}
