//! GGUF, the container of llama.cpp, little-endian:
//!
//! ```text
//! "GGUF" · u32 version (2, 3) · u64 n_tensors · u64 n_values
//! n_values × { string key · u32 type · value }
//! n_tensors × { string name · u32 n_dims · n_dims × u64, innermost first · u32 type · u64 offset }
//! padding to `general.alignment` · data
//! string: u64 length · bytes        list: u32 type · u64 count · values
//! ```
//!
//! Source: the specification in ggml's repository (`docs/gguf.md`). Lists are kept where they are part of a
//! tokenizer, and passed over elsewhere. Nothing of the tensors' data is read here.

use std::collections::BTreeMap;

use super::source::{Cursor, Source};
use super::tensor::Stored;
use super::{FormatError, TENSORS_LIMIT, error, ggml};

/// The first bytes.
pub(super) const MAGIC: [u8; 4] = *b"GGUF";

const VERSIONS: [u32; 2] = [2, 3];
/// ggml's own limit (`GGML_MAX_DIMS`).
const RANK_LIMIT: usize = 4;
const NAME_LIMIT_BYTES: usize = 256;
/// No value is longer: chat templates have some ten kilobytes.
const TEXT_LIMIT_BYTES: usize = 1 << 20;
/// No token is longer.
const ITEM_LIMIT_BYTES: usize = 1 << 14;
/// The largest vocabularies have 262 thousand tokens, and twice as many merges.
const LIST_LIMIT: u64 = 1 << 20;
/// Real files have some fifty.
const VALUES_LIMIT: u64 = 4_096;
const DEFAULT_ALIGNMENT: u64 = 32;
const ALIGNMENT_LIMIT: i64 = 1 << 16;
/// Other lists are not kept.
const KEPT_LISTS: [&str; 4] = [
    "tokenizer.ggml.tokens",
    "tokenizer.ggml.token_type",
    "tokenizer.ggml.scores",
    "tokenizer.ggml.merges",
];

/// What a key stands for.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Value {
    Int(i64),
    Float(f64),
    Bool(bool),
    Text(String),
    Ints(Vec<i64>),
    Floats(Vec<f32>),
    Texts(Vec<Box<[u8]>>),
    /// A list that is not kept.
    Unread,
}

/// The contents of a file without the data of its tensors.
#[derive(Debug)]
pub(super) struct Index {
    pub(super) values: BTreeMap<String, Value>,
    pub(super) tensors: BTreeMap<String, Stored>,
}

impl Index {
    /// Reads everything but the data, checking every length against the file's size.
    pub(super) fn read(source: &Source) -> Result<Index, FormatError> {
        let mut cursor = Cursor::new(source);
        cursor.u32("the magic number")?;
        let version = cursor.u32("the version")?;
        if !VERSIONS.contains(&version) {
            return Err(source.header(format!("GGUF of version {version}, 2 and 3 are read")));
        }
        let n_tensors = cursor.u64("the count of tensors")?;
        let n_values = cursor.u64("the count of values")?;
        if n_tensors > TENSORS_LIMIT as u64 || n_values > VALUES_LIMIT {
            let what = format!("{n_tensors} tensors and {n_values} values announced");
            return Err(source.header(what));
        }
        let mut values = BTreeMap::new();
        for _ in 0..n_values {
            let (key, value) = pair(&mut cursor, source)?;
            if values.insert(key.clone(), value).is_some() {
                return Err(source.header(format!("{} occurs twice", error::name(&key))));
            }
        }
        let mut found = Vec::new();
        for _ in 0..n_tensors {
            found.push(tensor(&mut cursor, source)?);
        }
        let alignment = match values.get("general.alignment") {
            None => DEFAULT_ALIGNMENT,
            Some(Value::Int(n @ 1..=ALIGNMENT_LIMIT)) => n.unsigned_abs(),
            Some(other) => return Err(source.header(format!("an alignment of {other:?}"))),
        };
        let data_at = cursor.at().next_multiple_of(alignment);
        // Tensors that share bytes would take many times the file in memory.
        let mut sizes = found.iter().map(|(_, _, n_bytes)| *n_bytes);
        let n_data_bytes = sizes.try_fold(0_u64, u64::checked_add);
        if n_data_bytes.is_none_or(|n| n > source.size_bytes()) {
            return Err(source.header("its tensors are larger than the file".into()));
        }
        let mut tensors = BTreeMap::new();
        for (name, mut stored, n_bytes) in found {
            let what = format!("tensor {}", error::name(&name));
            let at = stored.at.checked_add(data_at);
            stored.at = at.ok_or_else(|| source.header(format!("{what} begins nowhere")))?;
            source.check(stored.at, n_bytes, &what)?;
            if tensors.insert(name.clone(), stored).is_some() {
                return Err(FormatError::Duplicate {
                    path: source.path().to_owned(),
                    tensor: name,
                });
            }
        }
        Ok(Index { values, tensors })
    }
}

fn pair(cursor: &mut Cursor, source: &Source) -> Result<(String, Value), FormatError> {
    let key = text(cursor, source, NAME_LIMIT_BYTES, "a key")?;
    let what = format!("the value of {}", error::name(&key));
    let value = match cursor.u32("a value's type")? {
        LIST => list(cursor, source, KEPT_LISTS.contains(&key.as_str()), &what)?,
        STRING => Value::Text(text(cursor, source, TEXT_LIMIT_BYTES, &what)?),
        kind => scalar(cursor, source, kind, &what)?,
    };
    Ok((key, value))
}

const STRING: u32 = 8;
const LIST: u32 = 9;

/// A number or truth value of type `kind`.
fn scalar(
    cursor: &mut Cursor,
    source: &Source,
    kind: u32,
    what: &str,
) -> Result<Value, FormatError> {
    Ok(match kind {
        0 => Value::Int(cursor.u8(what)?.into()),
        1 => Value::Int(cursor.u8(what)?.cast_signed().into()),
        2 => Value::Int(cursor.u16(what)?.into()),
        3 => Value::Int(cursor.u16(what)?.cast_signed().into()),
        4 => Value::Int(cursor.u32(what)?.into()),
        5 => Value::Int(cursor.u32(what)?.cast_signed().into()),
        6 => Value::Float(f32::from_bits(cursor.u32(what)?).into()),
        7 => Value::Bool(cursor.u8(what)? != 0),
        10 => {
            let raw = cursor.u64(what)?;
            let value = i64::try_from(raw);
            Value::Int(value.map_err(|_| source.header(format!("{what} is {raw}")))?)
        }
        11 => Value::Int(cursor.u64(what)?.cast_signed()),
        12 => Value::Float(f64::from_bits(cursor.u64(what)?)),
        _ => return Err(source.header(format!("{what} has type {kind}"))),
    })
}

/// Bytes of a number or truth value.
fn scalar_bytes(kind: u32) -> Option<u64> {
    Some(match kind {
        0 | 1 | 7 => 1,
        2 | 3 => 2,
        4..=6 => 4,
        10..=12 => 8,
        _ => return None,
    })
}

fn list(
    cursor: &mut Cursor,
    source: &Source,
    is_kept: bool,
    what: &str,
) -> Result<Value, FormatError> {
    let kind = cursor.u32("a list's type")?;
    let n = cursor.u64("a list's length")?;
    let n_item_bytes = match kind {
        STRING => 8,
        kind => scalar_bytes(kind)
            .ok_or_else(|| source.header(format!("{what} is a list of type {kind}")))?,
    };
    if n > LIST_LIMIT || n > cursor.remaining_bytes() / n_item_bytes {
        return Err(source.header(format!("{what} is a list of {n}")));
    }
    if kind == STRING {
        let mut texts = Vec::new();
        for _ in 0..n {
            let n_bytes = cursor.u64(what)?;
            if is_kept {
                let n_bytes = usize::try_from(n_bytes).unwrap_or(usize::MAX);
                texts.push(cursor.bytes(n_bytes, ITEM_LIMIT_BYTES, what)?.into());
            } else {
                cursor.skip(n_bytes, what)?;
            }
        }
        return Ok(if is_kept {
            Value::Texts(texts)
        } else {
            Value::Unread
        });
    }
    if !is_kept {
        cursor.skip(n * n_item_bytes, what)?;
        return Ok(Value::Unread);
    }
    let (mut ints, mut floats) = (Vec::new(), Vec::new());
    for _ in 0..n {
        match scalar(cursor, source, kind, what)? {
            Value::Int(value) => ints.push(value),
            Value::Float(value) => floats.push(value as f32),
            Value::Bool(value) => ints.push(value.into()),
            _ => {}
        }
    }
    Ok(match floats.is_empty() {
        true => Value::Ints(ints),
        false => Value::Floats(floats),
    })
}

fn text(
    cursor: &mut Cursor,
    source: &Source,
    limit_bytes: usize,
    what: &str,
) -> Result<String, FormatError> {
    let n_bytes = cursor.u64(what)?;
    let n_bytes = usize::try_from(n_bytes).unwrap_or(usize::MAX);
    let bytes = cursor.bytes(n_bytes, limit_bytes, what)?;
    String::from_utf8(bytes).map_err(|_| source.header(format!("{what} is no text")))
}

/// A tensor's name, where it lies from the beginning of the data on, and its bytes.
fn tensor(cursor: &mut Cursor, source: &Source) -> Result<(String, Stored, u64), FormatError> {
    let name = text(cursor, source, NAME_LIMIT_BYTES, "a tensor's name")?;
    let rank = cursor.u32("a tensor's rank")? as usize;
    if rank > RANK_LIMIT {
        return Err(source.header(format!("a tensor has {rank} dimensions")));
    }
    let mut shape = Vec::with_capacity(rank);
    for _ in 0..rank {
        let raw = cursor.u64("a tensor's dimension")?;
        shape.push(usize::try_from(raw).unwrap_or(usize::MAX));
    }
    let id = cursor.u32("a tensor's type")?;
    let at = cursor.u64("a tensor's place")?;
    let (stored, n_bytes) = ggml::stored(source, &name, (shape, id), at)?;
    Ok((name, stored, n_bytes))
}
