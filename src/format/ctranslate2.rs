//! CTranslate2's `model.bin`, little-endian:
//!
//! ```text
//! u32 version · string specification · u32 revision
//! u32 count · count × { string name · u8 rank · rank × u32 dims · u8 type · u32 bytes · data }
//! u32 count · count × { string alias · string name }
//! ```
//!
//! A string is a u16 length, which counts a closing NUL, and the bytes. Types: 0 f32, 1 i8,
//! 2 i16, 3 i32, 4 f16, 5 bf16. An integer weight has its scales in `…_scale`:
//! weight = integer / scale. Nothing of the tensors' data is read here.

use std::collections::HashMap;

use super::names::{self, Heads, Lookup};
use super::source::{Cursor, Source};
use super::tensor::{Encoding, Scales, Stored, n_elements};
use super::{FormatError, TENSORS_LIMIT, error};
use crate::quant::BlockType;

/// Versions whose layout is the one above.
const VERSIONS: std::ops::RangeInclusive<u32> = 4..=6;
const SPECIFICATION: &str = "WhisperSpec";
/// No name of a variable is longer.
const NAME_LIMIT_BYTES: usize = 1024;
/// No variable has more dimensions.
const RANK_LIMIT: usize = 8;

const F32: u8 = 0;
const I8: u8 = 1;
const I16: u8 = 2;
const I32: u8 = 3;
const F16: u8 = 4;
const BF16: u8 = 5;

struct Variable {
    shape: Vec<usize>,
    kind: u8,
    at: u64,
}

/// The index of a model file: what it holds and where.
pub(super) struct Index<'a> {
    source: &'a Source,
    variables: HashMap<String, Variable>,
    aliases: HashMap<String, String>,
}

/// Whether the file begins as CTranslate2 models do: a small version, and the name of a
/// specification with its closing NUL.
pub(super) fn recognise(start: &[u8]) -> bool {
    let [v0, v1, 0, 0, n0, n1, rest @ ..] = start else {
        return false;
    };
    let version = u16::from_le_bytes([*v0, *v1]);
    let n = usize::from(u16::from_le_bytes([*n0, *n1]));
    (1..=99).contains(&version)
        && (2..=64).contains(&n)
        && rest.get(..n).is_some_and(|name| {
            name[n - 1] == 0 && name[..n - 1].iter().all(u8::is_ascii_alphanumeric)
        })
}

impl<'a> Index<'a> {
    /// Reads the index, checking every length against the file's size.
    pub(super) fn read(source: &'a Source) -> Result<Index<'a>, FormatError> {
        let mut cursor = Cursor::new(source);
        let version = cursor.u32("the version")?;
        let specification = string(&mut cursor, source, "the specification")?;
        let revision = cursor.u32("the revision")?;
        if specification != SPECIFICATION {
            return Err(source.header(format!(
                "a CTranslate2 model of kind {}, not Whisper",
                error::name(&specification)
            )));
        }
        if !VERSIONS.contains(&version) {
            return Err(source.header(format!(
                "CTranslate2 format version {version} (revision {revision})"
            )));
        }
        let mut index = Index {
            source,
            variables: HashMap::new(),
            aliases: HashMap::new(),
        };
        for _ in 0..count(&mut cursor, source, "variables")? {
            index.variable(&mut cursor)?;
        }
        for _ in 0..count(&mut cursor, source, "aliases")? {
            let alias = string(&mut cursor, source, "an alias")?;
            let name = string(&mut cursor, source, "an alias")?;
            index.aliases.insert(alias, name);
        }
        Ok(index)
    }

    fn variable(&mut self, cursor: &mut Cursor) -> Result<(), FormatError> {
        let source = self.source;
        let name = string(cursor, source, "a variable's name")?;
        let rank = usize::from(cursor.u8(&name)?);
        if rank > RANK_LIMIT {
            return Err(source.header(format!(
                "variable {} has {rank} dimensions",
                error::name(&name)
            )));
        }
        let mut shape = Vec::with_capacity(rank);
        for _ in 0..rank {
            shape.push(cursor.u32(&name)? as usize);
        }
        let kind = cursor.u8(&name)?;
        let n_bytes = cursor.u32(&name)?;
        let at = cursor.at();
        cursor.skip(u64::from(n_bytes), &name)?;
        let needed = element_bytes(kind).and_then(|size| n_elements(&shape)?.checked_mul(size));
        // An unknown type is an error only when the tensor is asked for.
        if element_bytes(kind).is_some() && needed != Some(n_bytes as usize) {
            return Err(source.header(format!(
                "variable {} of shape {shape:?} has {n_bytes} bytes",
                error::name(&name)
            )));
        }
        let variable = Variable { shape, kind, at };
        match self.variables.insert(name.clone(), variable) {
            None => Ok(()),
            Some(_) => Err(FormatError::Duplicate {
                path: source.path().to_owned(),
                tensor: name,
            }),
        }
    }

    fn get(&self, name: &str) -> Option<&Variable> {
        self.variables
            .get(name)
            .or_else(|| self.variables.get(self.aliases.get(name)?))
    }

    /// A small integer of the specification; none when it is not there.
    fn integer(&self, name: &str) -> Result<Option<usize>, FormatError> {
        let Some(variable) = self.get(name) else {
            return Ok(None);
        };
        let n = match variable.kind {
            _ if n_elements(&variable.shape) != Some(1) => 0,
            I8 => 1,
            I16 => 2,
            I32 => 4,
            _ => 0,
        };
        let mut raw = [0; 4];
        self.source.read_at(variable.at, &mut raw[..n], name)?;
        let value = u32::from_le_bytes(raw) as usize;
        if n == 0 || value > i16::MAX as usize {
            return Err(self
                .source
                .header(format!("variable {name} is no small count")));
        }
        Ok(Some(value))
    }

    /// Attention heads; older revisions leave them out.
    pub(super) fn heads(&self) -> Result<Heads, FormatError> {
        Ok(Heads {
            audio: self.integer("encoder/num_heads")?,
            text: self.integer("decoder/num_heads")?,
        })
    }

    fn scales(&self, name: &str, n_rows: usize) -> Result<Scales, FormatError> {
        let name = format!("{name}_scale");
        let missing = || FormatError::MissingTensor {
            path: self.source.path().to_owned(),
            tensor: name.clone(),
        };
        let variable = self.get(&name).ok_or_else(missing)?;
        let n = n_elements(&variable.shape).unwrap_or(0);
        if variable.kind != F32 || (n != 1 && n != n_rows) {
            return Err(FormatError::Shape {
                path: self.source.path().to_owned(),
                tensor: name,
                found: variable.shape.clone(),
                expected: vec![n_rows],
            });
        }
        let at = variable.at;
        Ok(Scales { at, n })
    }

    fn stored(&self, name: &str, variable: &Variable) -> Result<Stored, FormatError> {
        let encoding = match variable.kind {
            F32 => Encoding::Block(BlockType::F32),
            F16 => Encoding::Block(BlockType::F16),
            BF16 => Encoding::Block(BlockType::BF16),
            I8 => Encoding::Int8,
            I16 => Encoding::Int16,
            other => {
                return Err(FormatError::TensorType {
                    path: self.source.path().to_owned(),
                    tensor: name.to_owned(),
                    found: format!("CTranslate2 type {other}"),
                });
            }
        };
        let scales = match encoding {
            Encoding::Block(_) => None,
            _ => Some(self.scales(name, variable.shape.first().copied().unwrap_or(1))?),
        };
        Ok(Stored {
            shape: variable.shape.clone(),
            encoding,
            at: variable.at,
            scales,
        })
    }
}

impl Lookup for Index<'_> {
    fn own_name(&self, name: &str) -> String {
        names::ctranslate2(name).name
    }

    fn n_layers(&self, side: &str) -> usize {
        names::n_layers(self.variables.keys(), &format!("{side}/layer_"), '/')
    }

    fn find(&self, name: &str) -> Result<Option<Stored>, FormatError> {
        let place = names::ctranslate2(name);
        let Some(variable) = self.get(&place.name) else {
            return Ok(None);
        };
        let whole = self.stored(&place.name, variable)?;
        let n_rows = whole.shape.first().copied().unwrap_or(0);
        let part_rows = n_rows / place.of;
        let rows = part_rows * place.part..part_rows * (place.part + 1);
        let uneven = || {
            self.source
                .header(format!("variable {} has {n_rows} rows", place.name))
        };
        if part_rows * place.of != n_rows {
            return Err(uneven());
        }
        whole.rows(rows).map(Some).ok_or_else(uneven)
    }
}

fn element_bytes(kind: u8) -> Option<usize> {
    match kind {
        I8 => Some(1),
        I16 | F16 | BF16 => Some(2),
        F32 | I32 => Some(4),
        _ => None,
    }
}

/// A count of `things` that may be believed.
fn count(cursor: &mut Cursor, source: &Source, things: &str) -> Result<u32, FormatError> {
    let n = cursor.u32(things)?;
    if n as usize > TENSORS_LIMIT {
        return Err(source.header(format!("{n} {things} announced")));
    }
    Ok(n)
}

fn string(cursor: &mut Cursor, source: &Source, what: &str) -> Result<String, FormatError> {
    let n = usize::from(cursor.u16(what)?);
    let mut bytes = cursor.bytes(n, NAME_LIMIT_BYTES, what)?;
    if bytes.last() == Some(&0) {
        bytes.pop();
    }
    String::from_utf8(bytes).map_err(|_| source.header(format!("{what} is no text")))
}
