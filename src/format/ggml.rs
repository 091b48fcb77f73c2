//! whisper.cpp's `.bin`, little-endian:
//!
//! ```text
//! u32 magic 0x67676d6c · 11 × i32 (n_vocab n_audio_ctx n_audio_state n_audio_head n_audio_layer
//!   n_text_ctx n_text_state n_text_head n_text_layer n_mels ftype)
//! i32 n_mel · i32 n_fft · n_mel × n_fft × f32 filters
//! i32 n_tokens · n_tokens × { i32 length · bytes }
//! to the end: { i32 n_dims · i32 name length · i32 type · dims, innermost first · name · data }
//! ```
//!
//! The types are those of the tensors themselves; `ftype` says how the file was made, of which only
//! the version of the block layouts matters. The filters are computed by this program itself and passed over. Nothing of the
//! tensors' data is read here.

use std::collections::{BTreeMap, HashMap};

use super::names::{Lookup, WhisperDims};
use super::source::{Cursor, Source};
use super::tensor::{Encoding, Stored, n_elements};
use super::vocabulary::{self, END_OF_TEXT, end_of_text};
use super::{FormatError, TENSORS_LIMIT, error};
use crate::quant::BlockType;

/// "ggml" as a little-endian number.
pub(super) const MAGIC: u32 = 0x6767_6d6c;
/// The version of the quantised layouts, which multiplied by a thousand is added to `ftype`
/// (`GGML_QNT_VERSION`).
pub(super) const QUANTISATION_VERSION: u32 = 2;
/// ggml's own limit (`GGML_MAX_DIMS`).
const RANK_LIMIT: usize = 4;
/// No tensor's name is longer.
const NAME_LIMIT_BYTES: usize = 256;
/// No token is longer: the longest real one has 128 bytes.
const TOKEN_LIMIT_BYTES: usize = 4096;

/// The contents of a file without the data of its tensors.
pub(super) struct Index {
    pub(super) dims: WhisperDims,
    pub(super) vocabulary: Vec<Vec<u8>>,
    tensors: HashMap<String, Stored>,
}

impl Index {
    /// Reads everything but the data, checking every length against the file's size.
    pub(super) fn read(source: &Source) -> Result<Index, FormatError> {
        let mut cursor = Cursor::new(source);
        cursor.u32("the magic number")?;
        let dims = dims(&mut cursor)?.check(source)?;
        check_layout(cursor.u32("ftype")?, source)?;
        filters(&mut cursor, source)?;
        let vocabulary = vocabulary(&mut cursor, source, dims.n_vocab)?;
        let mut tensors = HashMap::new();
        while cursor.remaining_bytes() > 0 {
            let (name, stored) = tensor(&mut cursor, source)?;
            if tensors.contains_key(&name) {
                return Err(FormatError::Duplicate {
                    path: source.path().to_owned(),
                    tensor: name,
                });
            }
            tensors.insert(name, stored);
            if tensors.len() > TENSORS_LIMIT {
                return Err(source.header(format!("more than {TENSORS_LIMIT} tensors")));
            }
        }
        Ok(Index {
            dims,
            vocabulary,
            tensors,
        })
    }

    /// Refuses tensors that a model of these dimensions does not have, as whisper.cpp does: the
    /// header says fewer layers than there are.
    pub(super) fn check_all_known(
        &self,
        source: &Source,
        known: &BTreeMap<String, Stored>,
    ) -> Result<(), FormatError> {
        match self.tensors.keys().find(|name| !known.contains_key(*name)) {
            None => Ok(()),
            Some(name) => Err(FormatError::Unexpected {
                path: source.path().to_owned(),
                tensor: name.clone(),
            }),
        }
    }
}

fn dims(cursor: &mut Cursor) -> Result<WhisperDims, FormatError> {
    let dims = WhisperDims {
        n_vocab: cursor.count("n_vocab")?,
        n_audio_ctx: cursor.count("n_audio_ctx")?,
        n_audio_state: cursor.count("n_audio_state")?,
        n_audio_head: cursor.count("n_audio_head")?,
        n_audio_layer: cursor.count("n_audio_layer")?,
        n_text_ctx: cursor.count("n_text_ctx")?,
        n_text_state: cursor.count("n_text_state")?,
        n_text_head: cursor.count("n_text_head")?,
        n_text_layer: cursor.count("n_text_layer")?,
        n_mels: cursor.count("n_mels")?,
    };
    Ok(dims)
}

/// `ftype` of a quantised file is a thousand times the version of the block layouts, and the type.
/// The blocks of other versions have other sizes or another order under the same numbers.
fn check_layout(ftype: u32, source: &Source) -> Result<(), FormatError> {
    match ftype / 1000 {
        0 | QUANTISATION_VERSION => Ok(()),
        version => Err(source.header(format!(
            "blocks of layout {version}, only {QUANTISATION_VERSION} is read"
        ))),
    }
}

fn filters(cursor: &mut Cursor, source: &Source) -> Result<(), FormatError> {
    let shape = [
        cursor.count("the count of mel filters")?,
        cursor.count("the mel filters' width")?,
    ];
    let n_bytes = n_elements(&shape).and_then(|n| n.checked_mul(4));
    let n_bytes =
        n_bytes.ok_or_else(|| source.header(format!("mel filters of shape {shape:?}")))?;
    cursor.skip(n_bytes as u64, "the mel filters")
}

fn vocabulary(
    cursor: &mut Cursor,
    source: &Source,
    n_vocab: usize,
) -> Result<Vec<Vec<u8>>, FormatError> {
    let n = cursor.count("the count of tokens")?;
    // Each token has at least its length in the file.
    if n > n_vocab || n as u64 > cursor.remaining_bytes() / 4 {
        return Err(source.header(format!("{n} tokens announced")));
    }
    let mut words = Vec::with_capacity(n);
    for id in 0..n {
        let n_bytes = cursor.count("a token's length")?;
        let word = cursor.bytes(n_bytes, TOKEN_LIMIT_BYTES, &format!("token {id}"))?;
        words.push(word);
    }
    // Some converters list the end of the text with the words, and others what follows it.
    if let Some(at) = words.iter().position(|w| w == END_OF_TEXT.as_bytes()) {
        words.truncate(at);
        if at != end_of_text(n_vocab) {
            return Err(source.header(format!("{at} text tokens among {n_vocab}")));
        }
    }
    vocabulary::check(source.path(), &words, n_vocab)?;
    Ok(words)
}

/// The header of the tensor at the cursor; the cursor moves behind its data.
fn tensor(cursor: &mut Cursor, source: &Source) -> Result<(String, Stored), FormatError> {
    let rank = cursor.count("a tensor's rank")?;
    let name_bytes = cursor.count("the length of a tensor's name")?;
    let id = cursor.u32("a tensor's type")?;
    if rank > RANK_LIMIT {
        return Err(source.header(format!("a tensor has {rank} dimensions")));
    }
    let mut shape = Vec::with_capacity(rank);
    for _ in 0..rank {
        shape.push(cursor.count("a tensor's dimension")?);
    }
    let name = cursor.bytes(name_bytes, NAME_LIMIT_BYTES, "a tensor's name")?;
    let name =
        String::from_utf8(name).map_err(|_| source.header("a tensor's name is no text".into()))?;
    let (stored, n_bytes) = stored(source, &name, (shape, id), cursor.at())?;
    cursor.skip(n_bytes, &format!("tensor {}", error::name(&name)))?;
    Ok((name, stored))
}

/// A tensor of ggml's type `id` and these dimensions, innermost first, whose data begin at byte `at`; and
/// their length.
pub(super) fn stored(
    source: &Source,
    name: &str,
    (mut shape, id): (Vec<usize>, u32),
    at: u64,
) -> Result<(Stored, u64), FormatError> {
    let block = BlockType::from_ggml_id(id).ok_or_else(|| FormatError::TensorType {
        path: source.path().to_owned(),
        tensor: name.to_owned(),
        found: format!("ggml type {id}"),
    })?;
    // Blocks never reach over the end of a row, which is the innermost dimension.
    let whole_rows = shape
        .first()
        .is_none_or(|row| row.is_multiple_of(block.block_len()));
    let n_bytes = n_elements(&shape)
        .filter(|_| whole_rows)
        .and_then(|n| block.bytes_for(n))
        .ok_or_else(|| {
            source.header(format!(
                "tensor {} of {} has dimensions {shape:?}",
                error::name(name),
                block.name()
            ))
        })?;
    shape.reverse();
    let stored = Stored {
        shape,
        encoding: Encoding::Block(block),
        at,
        scales: None,
    };
    Ok((stored, n_bytes as u64))
}

impl Lookup for Index {
    fn own_name(&self, name: &str) -> String {
        name.to_owned()
    }

    fn find(&self, name: &str) -> Result<Option<Stored>, FormatError> {
        Ok(self.tensors.get(name).cloned())
    }

    fn n_layers(&self, side: &str) -> usize {
        match side {
            "encoder" => self.dims.n_audio_layer,
            _ => self.dims.n_text_layer,
        }
    }
}
