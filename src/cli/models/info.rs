//! What `hark models info` tells of a model file.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::path::PathBuf;

use serde_json::{Value, json};

use super::{megabytes, size_bytes};
use crate::format::{Encoding, FormatError, Tensors, WhisperDims, WhisperFile};
use crate::kernels::BlockFormat;
use crate::nn::Compute;
use crate::quant::BlockType;
use crate::text::{TextError, Tokenizer};

/// What a model file holds and what running it takes.
pub(super) struct Info {
    path: PathBuf,
    size_bytes: u64,
    container: &'static str,
    dims: WhisperDims,
    n_text_tokens: u32,
    /// 0 for a model that knows English only.
    n_languages: u32,
    n_alignment_heads: usize,
    stored: Stored,
    memory: Memory,
}

/// For each way numbers are stored in a file: how many tensors and how many numbers.
pub(super) struct Stored(BTreeMap<&'static str, (usize, usize)>);

impl Stored {
    pub(super) fn of(file: &Tensors) -> Self {
        let mut stored: BTreeMap<&'static str, (usize, usize)> = BTreeMap::new();
        for name in file.tensor_names() {
            let n: usize = file.shape(name).unwrap_or_default().iter().product();
            let encoding = match file.block_type(name) {
                Some(Encoding::Block(block)) => block.name(),
                Some(Encoding::Int8) => "int8",
                Some(Encoding::Int16) => "int16",
                None => continue,
            };
            let (n_tensors, n_numbers) = stored.entry(encoding).or_default();
            *n_tensors += 1;
            *n_numbers += n;
        }
        Stored(stored)
    }

    pub(super) fn n_parameters(&self) -> usize {
        self.0.values().map(|(_, n)| n).sum()
    }

    pub(super) fn parameters_text(&self) -> String {
        format!("{:.1} million", self.n_parameters() as f64 / 1e6)
    }

    pub(super) fn text(&self) -> String {
        let all = self.0.iter();
        let each = all.map(|(name, (n, _))| format!("{n} tensors {name}"));
        each.collect::<Vec<_>>().join(", ")
    }

    pub(super) fn json(&self) -> Value {
        let each = self.0.iter().map(|(name, (tensors, numbers))| {
            let value = json!({ "tensors": tensors, "numbers": numbers });
            ((*name).to_owned(), value)
        });
        Value::Object(each.collect())
    }
}

/// What a model takes at run time, in bytes; one stream of audio, greedy decoding.
struct Memory {
    /// Matrices in single precision.
    weights_f32: usize,
    /// Matrices as 8-bit integers with a scale a row, the rest in single precision.
    weights_int8: usize,
    /// Matrices in blocks of 32 as q5_1, the rest in single precision.
    weights_q5_1: usize,
    /// Keys and values of the decoder, in half precision.
    keys_values: usize,
    /// What one pass of the encoder over a whole window works in.
    encoder: usize,
}

/// Why a file that could be opened cannot be described.
#[derive(Debug, thiserror::Error)]
pub(super) enum InfoError {
    #[error(transparent)]
    Text(#[from] TextError),
    #[error(transparent)]
    Format(#[from] FormatError),
}

impl crate::error::Classify for InfoError {
    fn kind(&self) -> crate::error::Kind {
        match self {
            InfoError::Text(error) => error.kind(),
            InfoError::Format(error) => error.kind(),
        }
    }
}

impl Info {
    /// Reads nothing but what is known from opening the file.
    pub(super) fn new(file: &WhisperFile) -> Result<Info, InfoError> {
        let dims = file.dims().clone();
        let tokenizer = Tokenizer::new(file.vocabulary(), dims.n_vocab)?;
        let special = tokenizer.special();
        let stored = Stored::of(file);
        Ok(Info {
            path: file.path().to_path_buf(),
            size_bytes: size_bytes(file),
            container: file.container().name(),
            n_text_tokens: special.eot,
            n_languages: if tokenizer.is_multilingual() {
                special.n_languages
            } else {
                0
            },
            n_alignment_heads: file.alignment_heads().map_or(0, <[_]>::len),
            stored,
            memory: Memory::new(file),
            dims,
        })
    }

    /// For people.
    pub(super) fn text(&self) -> String {
        let d = &self.dims;
        let languages = match self.n_languages {
            0 => "English".to_owned(),
            n => n.to_string(),
        };
        let memory = &self.memory;
        let rows: [(&str, String); 12] = [
            ("file", self.path.display().to_string()),
            ("size", megabytes(self.size_bytes)),
            ("container", self.container.to_owned()),
            ("stored as", self.stored.text()),
            ("parameters", self.stored.parameters_text()),
            ("languages", languages),
            (
                "vocabulary",
                format!("{} tokens, {} of them text", d.n_vocab, self.n_text_tokens),
            ),
            (
                "encoder",
                format!(
                    "{} layers, {} wide, {} heads, {} mel bands, {} positions",
                    d.n_audio_layer, d.n_audio_state, d.n_audio_head, d.n_mels, d.n_audio_ctx
                ),
            ),
            (
                "decoder",
                format!(
                    "{} layers, {} wide, {} heads, {} positions, {} heads for word times",
                    d.n_text_layer,
                    d.n_text_state,
                    d.n_text_head,
                    d.n_text_ctx,
                    self.n_alignment_heads
                ),
            ),
            ("memory int8", memory.int8_text()),
            ("memory q5_1", memory.other_text(memory.weights_q5_1)),
            ("memory f32", memory.other_text(memory.weights_f32)),
        ];
        let mut text = String::new();
        for (name, value) in rows {
            let _ = writeln!(text, "{name:<12}  {value}");
        }
        text
    }

    /// For programs.
    pub(super) fn json(&self) -> Value {
        let d = &self.dims;
        json!({
            "file": self.path,
            "size_bytes": self.size_bytes,
            "container": self.container,
            "stored": self.stored.json(),
            "parameters": self.stored.n_parameters(),
            "languages": self.n_languages.max(1),
            "text_tokens": self.n_text_tokens,
            "alignment_heads": self.n_alignment_heads,
            "dims": {
                "n_vocab": d.n_vocab,
                "n_mels": d.n_mels,
                "n_audio_ctx": d.n_audio_ctx,
                "n_audio_state": d.n_audio_state,
                "n_audio_head": d.n_audio_head,
                "n_audio_layer": d.n_audio_layer,
                "n_text_ctx": d.n_text_ctx,
                "n_text_state": d.n_text_state,
                "n_text_head": d.n_text_head,
                "n_text_layer": d.n_text_layer,
            },
            "memory_bytes": {
                "weights_int8": self.memory.weights_int8,
                "weights_q5_1": self.memory.weights_q5_1,
                "weights_f32": self.memory.weights_f32,
                "keys_values": self.memory.keys_values,
                "encoder": self.memory.encoder,
            },
        })
    }
}

/// About how many bytes a model takes at run time, with this arithmetic.
pub(crate) fn memory_bytes(file: &WhisperFile, compute: Compute) -> usize {
    let memory = Memory::new(file);
    let weights = match compute {
        Compute::F32 => memory.weights_f32,
        Compute::Int8 | Compute::Blocks(BlockFormat::Q8_0) => memory.weights_int8,
        Compute::Blocks(_) => memory.weights_q5_1,
    };
    weights + memory.keys_values + memory.encoder
}

impl Memory {
    fn int8_text(&self) -> String {
        let [all, weights, keys_values, encoder] = [
            self.weights_int8 + self.keys_values + self.encoder,
            self.weights_int8,
            self.keys_values,
            self.encoder,
        ]
        .map(|bytes| megabytes(bytes as u64));
        format!("about {all}: weights {weights}, keys and values {keys_values}, encoder {encoder}")
    }

    /// With other weights.
    fn other_text(&self, weights: usize) -> String {
        let all = weights + self.keys_values + self.encoder;
        let [all, weights] = [all, weights].map(|bytes| megabytes(bytes as u64));
        format!("about {all}: weights {weights}, the rest the same")
    }

    fn new(file: &WhisperFile) -> Memory {
        let (mut weights_f32, mut weights_int8, mut weights_q5_1) = (0, 0, 0);
        let block = BlockType::Q5_1;
        for name in file.tensor_names() {
            let shape = file.shape(name).unwrap_or_default();
            let n: usize = shape.iter().product();
            let is_matrix = shape.len() == 2 && !name.ends_with("positional_embedding");
            weights_f32 += 4 * n;
            weights_int8 += if is_matrix { n + 4 * shape[0] } else { 4 * n };
            weights_q5_1 += match is_matrix {
                true => shape[0] * shape[1].div_ceil(block.block_len()) * block.block_bytes(),
                false => 4 * n,
            };
        }
        let d = file.dims();
        let positions = d.n_audio_ctx + d.n_text_ctx;
        let f16_bytes = 2;
        Memory {
            weights_f32,
            weights_int8,
            weights_q5_1,
            keys_values: 2 * d.n_text_layer * positions * d.n_text_state * f16_bytes,
            // Per position and state: convolution 2, input, norm and query 3, their stack 3, keys
            // and values 2, the feed-forward layer 4, all in floats; its 8-bit copy 4 bytes.
            encoder: d.n_audio_ctx * d.n_audio_state * (14 * 4 + 4),
        }
    }
}
