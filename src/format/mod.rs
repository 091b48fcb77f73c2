//! Model files: bytes to dimensions, vocabulary and named tensors.
//!
//! What enters: the path of a model or of a folder that holds one. What leaves: a
//! [`WhisperFile`], the same whatever the container, told apart by content and never by name:
//! tensors under OpenAI's names, all there and of the right shape, read one at a time as `f32`.
//! Runs on the thread that loads. It never maps a file, never trusts a length that it has not
//! held against the file's size, and never keeps a tensor.

mod config;
mod ctranslate2;
mod error;
mod ggml;
mod gguf;
mod heads;
mod llama;
mod names;
pub mod safetensors;
mod source;
mod tensor;
mod tensors;
mod vocabulary;
mod write_ggml;

use std::collections::BTreeMap;
use std::ops::Deref;
use std::path::{Path, PathBuf};

pub use error::FormatError;
pub use llama::{Family, LlamaDims, LlamaFile, Local, Rope, TokenKind, Vocabulary, Yarn};
pub(crate) use llama::{LLAMA3, TEKKEN};
pub use names::WhisperDims;
pub use tensor::{Encoding, Int8Rows};
pub use tensors::Tensors;
pub use write_ggml::{write_ggml, write_ggml_f16};

use config::Config;
use source::Source;
use tensor::Stored;

/// The kinds of file a Whisper model comes in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Container {
    /// whisper.cpp's `.bin`.
    Ggml,
    /// CTranslate2's (faster-whisper's) `model.bin`.
    CTranslate2,
    /// Hugging Face's `model.safetensors`.
    Safetensors,
}

impl Container {
    /// The name users know it by.
    pub fn name(self) -> &'static str {
        match self {
            Container::Ggml => "ggml",
            Container::CTranslate2 => "ctranslate2",
            Container::Safetensors => "safetensors",
        }
    }
}

/// An opened Whisper model. All tensors are known to be there, in the right shape and within
/// the file, so reading one can fail only when the file fails.
#[derive(Debug)]
pub struct WhisperFile {
    tensors: Tensors,
    container: Container,
    dims: WhisperDims,
    vocabulary: Vec<Vec<u8>>,
    alignment_heads: Option<Vec<(usize, usize)>>,
}

impl Deref for WhisperFile {
    type Target = Tensors;

    fn deref(&self) -> &Tensors {
        &self.tensors
    }
}

/// What a container's reader finds out.
struct Contents {
    container: Container,
    dims: WhisperDims,
    vocabulary: Vec<Vec<u8>>,
    alignment_heads: Option<Vec<(usize, usize)>>,
    tensors: BTreeMap<String, Stored>,
}

/// No model has more tensors, nor comes near: the largest has 1259. It bounds the memory that an
/// index takes, whose entries may be a few bytes in the file and a hundred in memory.
const TENSORS_LIMIT: usize = 16_384;

/// Bytes from the start of a file by which it is recognised.
const START_BYTES: usize = 128;

impl WhisperFile {
    /// Opens a model file, or the one in a folder, and reads everything but the tensors' data.
    pub fn open(path: &Path) -> Result<WhisperFile, FormatError> {
        let path = if path.is_dir() {
            in_folder(path)?
        } else {
            path.to_owned()
        };
        let source = Source::open(&path)?;
        let contents = match recognise(&source)? {
            Ok(Container::CTranslate2) => open_ctranslate2(&source)?,
            Ok(Container::Ggml) => open_ggml(&source)?,
            Ok(Container::Safetensors) => open_safetensors(&source)?,
            Err(found) => return Err(FormatError::Unrecognised { path, found }),
        };
        let published = || heads::published(&contents.dims);
        Ok(WhisperFile {
            tensors: Tensors::new(source, contents.tensors),
            container: contents.container,
            alignment_heads: contents.alignment_heads.or_else(published),
            dims: contents.dims,
            vocabulary: contents.vocabulary,
        })
    }

    /// The model's dimensions, checked.
    pub fn dims(&self) -> &WhisperDims {
        &self.dims
    }

    /// What kind of file it is.
    pub fn container(&self) -> Container {
        self.container
    }

    /// The raw bytes of the text tokens in id order, special tokens left out: 50256 for English
    /// models, 50257 for the others.
    pub fn vocabulary(&self) -> &[Vec<u8>] {
        &self.vocabulary
    }

    /// The decoder's heads that follow the sound, as (layer, head); none for a model that says
    /// nothing and is not one of the published ones.
    pub fn alignment_heads(&self) -> Option<&[(usize, usize)]> {
        self.alignment_heads.as_deref()
    }
}

fn open_ctranslate2(source: &Source) -> Result<Contents, FormatError> {
    let index = ctranslate2::Index::read(source)?;
    let dims = names::dims_from_shapes(&index, source, index.heads()?)?;
    let config = Config::beside(source.path(), "config.json")?;
    Ok(Contents {
        container: Container::CTranslate2,
        vocabulary: vocabulary::beside(source.path(), dims.n_vocab)?,
        alignment_heads: config.alignment_heads(&dims),
        tensors: names::collect(&index, source, &dims)?,
        dims,
    })
}

fn open_ggml(source: &Source) -> Result<Contents, FormatError> {
    let index = ggml::Index::read(source)?;
    let tensors = names::collect(&index, source, &index.dims)?;
    index.check_all_known(source, &tensors)?;
    Ok(Contents {
        container: Container::Ggml,
        alignment_heads: None,
        tensors,
        dims: index.dims,
        vocabulary: index.vocabulary,
    })
}

fn open_safetensors(source: &Source) -> Result<Contents, FormatError> {
    let index = safetensors::Index::read(source)?;
    let tensors = index.whisper(source);
    let config = Config::beside(source.path(), "config.json")?;
    let dims = names::dims_from_shapes(&tensors, source, config.heads())?;
    config.check_layers(&dims)?;
    let generation = Config::beside(source.path(), "generation_config.json")?;
    Ok(Contents {
        container: Container::Safetensors,
        vocabulary: vocabulary::beside(source.path(), dims.n_vocab)?,
        alignment_heads: generation.alignment_heads(&dims),
        tensors: names::collect(&tensors, source, &dims)?,
        dims,
    })
}

/// What a file is by its first bytes, or else what it looks like and what to do about it.
fn recognise(source: &Source) -> Result<Result<Container, &'static str>, FormatError> {
    let n = source.size_bytes().min(START_BYTES as u64) as usize;
    let mut start = vec![0; n];
    source.read_at(0, &mut start, "")?;
    let is_safetensors = start.first_chunk::<8>().is_some_and(|length| {
        u64::from_le_bytes(*length) <= source.size_bytes() - 8 && start.get(8) == Some(&b'{')
    });
    Ok(match start.as_slice() {
        [] => Err("is empty; fetch it again with `hark models pull`"),
        _ if start.starts_with(&ggml::MAGIC.to_le_bytes()) => Ok(Container::Ggml),
        _ if is_safetensors => Ok(Container::Safetensors),
        _ if ctranslate2::recognise(&start) => Ok(Container::CTranslate2),
        [b'G', b'G', b'U', b'F', ..] => {
            Err("is a GGUF file, which holds a language model: `hark ask --answer-model` takes it")
        }
        [b'P', b'K', 3, 4, ..] => {
            Err("is a zip archive or a PyTorch checkpoint; take the model's safetensors file")
        }
        _ if start.starts_with(b"version https://git-lfs") => {
            Err("is a Git LFS pointer in place of the model; fetch the file it points to")
        }
        [b'{', ..] => Err(
            "is a JSON file beside a model, or the index of one in several files; \
                           take a model in one file",
        ),
        [b'<', ..] => Err(
            "is a web page in place of the model; the download failed, repeat it with `hark models pull`",
        ),
        _ => Err(
            "is neither ggml, CTranslate2 nor safetensors; fetch a model with `hark models pull`",
        ),
    })
}

/// The model in a folder: one of the usual name, or else the only file that is one.
fn in_folder(folder: &Path) -> Result<PathBuf, FormatError> {
    for name in ["model.bin", "model.safetensors"] {
        let path = folder.join(name);
        if path.is_file() {
            return Ok(path);
        }
    }
    if folder.join("model.safetensors.index.json").is_file() {
        return Err(FormatError::Unrecognised {
            path: folder.to_owned(),
            found: "is split over several safetensors files; take a model in one file",
        });
    }
    let io = |source| FormatError::Io {
        path: folder.to_owned(),
        tensor: String::new(),
        source,
    };
    let mut found = Vec::new();
    for entry in std::fs::read_dir(folder).map_err(io)? {
        let path = entry.map_err(io)?.path();
        // A file that cannot be read is not the model.
        let kind = Source::open(&path).and_then(|source| recognise(&source));
        if matches!(kind, Ok(Ok(_))) {
            found.push(path);
        }
    }
    found.sort();
    if found.len() > 1 {
        let name = |p: &PathBuf| p.file_name().map(|n| n.to_string_lossy().into_owned());
        return Err(FormatError::Several {
            folder: folder.to_owned(),
            names: found.iter().filter_map(name).collect::<Vec<_>>().join(", "),
        });
    }
    found
        .pop()
        .ok_or_else(|| FormatError::NotFound(folder.to_owned()))
}
