//! The safetensors container, little-endian:
//!
//! ```text
//! u64 length of the header · header, JSON: { name: { "dtype", "shape", "data_offsets": [begin, end] }, … } · data
//! ```
//!
//! Offsets count from the end of the header. What enters: a file, or bytes that are part of the
//! program. What leaves: names, shapes and one tensor at a time as `f32`. It serves Whisper
//! models with Hugging Face's names and small models alike.

use std::collections::BTreeMap;
use std::fmt;
use std::path::Path;

use serde::Deserialize;
use serde::de::{Deserializer, Error as _, IgnoredAny, MapAccess, Visitor};

use super::names::{self, Lookup};
use super::source::{Cursor, Source};
use super::tensor::{Encoding, Stored, n_elements};
use super::{FormatError, TENSORS_LIMIT, error};
use crate::quant::BlockType;

/// No header is larger: the format's own limit.
const HEADER_LIMIT_BYTES: u64 = 100_000_000;
/// No tensor has more dimensions.
const RANK_LIMIT: usize = 8;
/// The entry of the header that is no tensor.
const METADATA: &str = "__metadata__";

/// An opened safetensors file.
#[derive(Debug)]
pub struct Safetensors {
    source: Source,
    index: Index,
}

impl Safetensors {
    /// Opens a file and reads its header.
    pub fn open(path: &Path) -> Result<Safetensors, FormatError> {
        Safetensors::new(Source::open(path)?)
    }

    /// Reads the header of bytes that are part of the program; `name` stands for the path in
    /// messages.
    pub fn from_bytes(name: &str, bytes: &'static [u8]) -> Result<Safetensors, FormatError> {
        Safetensors::new(Source::memory(name, bytes))
    }

    fn new(source: Source) -> Result<Safetensors, FormatError> {
        let index = Index::read(&source)?;
        Ok(Safetensors { source, index })
    }

    /// The tensors' names, sorted.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.index.entries.keys().map(String::as_str)
    }

    /// A tensor's shape, outermost dimension first.
    pub fn shape(&self, name: &str) -> Option<&[usize]> {
        Some(&self.index.entries.get(name)?.shape)
    }

    /// A tensor's type as the file names it, such as `F32` or `BF16`.
    pub fn dtype(&self, name: &str) -> Option<&str> {
        Some(&self.index.entries.get(name)?.dtype)
    }

    /// Reads a tensor of floats, row-major, into `out`, which is resized to it.
    pub fn read(&self, name: &str, out: &mut Vec<f32>) -> Result<(), FormatError> {
        let stored = self.index.stored(&self.source, name)?;
        let unknown = || FormatError::MissingTensor {
            path: self.source.path().to_owned(),
            tensor: name.to_owned(),
        };
        stored.ok_or_else(unknown)?.read(&self.source, name, out)
    }
}

/// The header of a file.
#[derive(Debug)]
pub(super) struct Index {
    entries: BTreeMap<String, Entry>,
    data_at: u64,
}

#[derive(Debug, Deserialize)]
struct Entry {
    dtype: String,
    shape: Vec<usize>,
    data_offsets: (u64, u64),
}

impl Index {
    /// Reads the header, holding every tensor against the file's size.
    pub(super) fn read(source: &Source) -> Result<Index, FormatError> {
        let mut cursor = Cursor::new(source);
        let n_bytes = cursor.u64("the header's length")?;
        if n_bytes > HEADER_LIMIT_BYTES {
            return Err(source.header(format!("a header of {n_bytes} bytes")));
        }
        let header = cursor.bytes(n_bytes as usize, HEADER_LIMIT_BYTES as usize, "the header")?;
        let data_at = cursor.at();
        let list: Entries = serde_json::from_slice(&header).map_err(|error| {
            source.header(format!("the header is no list of tensors ({error})"))
        })?;
        let mut entries = BTreeMap::new();
        for (name, entry) in list.0 {
            entry.check(source, &name, data_at)?;
            if entries.contains_key(&name) {
                return Err(FormatError::Duplicate {
                    path: source.path().to_owned(),
                    tensor: name,
                });
            }
            entries.insert(name, entry);
        }
        let index = Index { entries, data_at };
        index.check_apart(source)?;
        Ok(index)
    }

    /// Checks that no byte belongs to two tensors: all of them together are then no larger than
    /// the file. The format asks for it too.
    fn check_apart(&self, source: &Source) -> Result<(), FormatError> {
        let place = |(name, entry): (&'_ String, &Entry)| (entry.data_offsets, name.clone());
        let mut places: Vec<_> = self.entries.iter().map(place).collect();
        places.sort_unstable();
        for pair in places.windows(2) {
            let [((_, end), first), ((begin, _), second)] = pair else {
                continue;
            };
            if begin < end {
                let (first, second) = (error::name(first), error::name(second));
                return Err(source.header(format!("tensors {first} and {second} overlap")));
            }
        }
        Ok(())
    }

    fn stored(&self, source: &Source, name: &str) -> Result<Option<Stored>, FormatError> {
        let Some(entry) = self.entries.get(name) else {
            return Ok(None);
        };
        let block = entry.block().ok_or_else(|| FormatError::TensorType {
            path: source.path().to_owned(),
            tensor: name.to_owned(),
            found: entry.dtype.clone(),
        })?;
        Ok(Some(Stored {
            shape: entry.shape.clone(),
            encoding: Encoding::Block(block),
            at: self.data_at + entry.data_offsets.0,
            scales: None,
        }))
    }

    /// This file as a Whisper model with Hugging Face's names.
    pub(super) fn whisper<'a>(&'a self, source: &'a Source) -> HuggingFace<'a> {
        HuggingFace {
            index: self,
            source,
        }
    }
}

impl Entry {
    /// The types that are read; any other is an error only when its tensor is asked for.
    fn block(&self) -> Option<BlockType> {
        match self.dtype.as_str() {
            "F32" => Some(BlockType::F32),
            "F16" => Some(BlockType::F16),
            "BF16" => Some(BlockType::BF16),
            _ => None,
        }
    }

    fn check(&self, source: &Source, name: &str, data_at: u64) -> Result<(), FormatError> {
        let (begin, end) = self.data_offsets;
        let n_bytes = end.checked_sub(begin);
        let needed = |block: BlockType| block.bytes_for(n_elements(&self.shape)?);
        let fits = match (self.block(), n_bytes) {
            _ if self.shape.len() > RANK_LIMIT => false,
            (Some(block), Some(n_bytes)) => needed(block).is_some_and(|n| n as u64 == n_bytes),
            (None, Some(_)) => true,
            (_, None) => false,
        };
        if !fits {
            let (name, dtype, shape) = (error::name(name), error::name(&self.dtype), &self.shape);
            let shape = &shape[..shape.len().min(RANK_LIMIT)];
            let what = format!("tensor {name} of {dtype} {shape:?} lies at {begin} to {end}");
            return Err(source.header(what));
        }
        let at = data_at.saturating_add(begin);
        source.check(at, end - begin, &format!("tensor {}", error::name(name)))
    }
}

/// The header's entries in order, a name given twice among them.
struct Entries(Vec<(String, Entry)>);

impl<'de> Deserialize<'de> for Entries {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Entries, D::Error> {
        deserializer.deserialize_map(EntriesVisitor)
    }
}

struct EntriesVisitor;

impl<'de> Visitor<'de> for EntriesVisitor {
    type Value = Entries;

    fn expecting(&self, formatter: &mut fmt::Formatter) -> fmt::Result {
        formatter.write_str("a map of tensors")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Entries, A::Error> {
        let mut entries = Vec::new();
        while let Some(name) = map.next_key::<String>()? {
            if name == METADATA {
                map.next_value::<IgnoredAny>()?;
            } else {
                entries.push((name, map.next_value()?));
            }
            if entries.len() > TENSORS_LIMIT {
                return Err(A::Error::custom(format!(
                    "more than {TENSORS_LIMIT} tensors"
                )));
            }
        }
        Ok(Entries(entries))
    }
}

/// A Whisper model with Hugging Face's names. `proj_out` is the token embedding and never asked
/// for; a model saved without its head has no leading `model.` either.
pub(super) struct HuggingFace<'a> {
    index: &'a Index,
    source: &'a Source,
}

impl Lookup for HuggingFace<'_> {
    fn own_name(&self, name: &str) -> String {
        format!("model.{}", names::hugging_face(name))
    }

    fn n_layers(&self, side: &str) -> usize {
        let n = |prefix: &str| {
            let prefix = format!("{prefix}{side}.layers.");
            names::n_layers(self.index.entries.keys(), &prefix, '.')
        };
        n("model.").max(n(""))
    }

    fn find(&self, name: &str) -> Result<Option<Stored>, FormatError> {
        let full = self.own_name(name);
        match self.index.stored(self.source, &full)? {
            Some(stored) => Ok(Some(stored)),
            None => self.index.stored(self.source, &names::hugging_face(name)),
        }
    }
}
