//! Writing a model as whisper.cpp's `.bin` (the layout is in [`super::ggml`]).
//!
//! What enters: an opened model of any container. What leaves: the file's bytes, in one pass.
//! One tensor at a time is in memory.

use std::io::{self, Write};

use super::{FormatError, WhisperFile, ggml, names};
use crate::dsp;
use crate::quant::{self, BlockType};

/// Numbers converted and written at a time: whole blocks of every type.
const CHUNK_LEN: usize = 1 << 16;

/// Writes the model with half-precision weights; see [`write_ggml`].
pub fn write_ggml_f16(
    file: &WhisperFile,
    out: &mut impl Write,
    progress: &mut dyn FnMut(u64, u64),
) -> Result<(), FormatError> {
    write_ggml(file, BlockType::F16, out, progress)
}

/// Writes the model for whisper.cpp with matrices stored as `block`, any type that
/// [`quant::quantize`] writes. Convolutions are then `f16`, vectors and positions `f32`, as
/// whisper.cpp expects. `progress` gets the bytes written and the bytes in all.
pub fn write_ggml(
    file: &WhisperFile,
    block: BlockType,
    out: &mut impl Write,
    progress: &mut dyn FnMut(u64, u64),
) -> Result<(), FormatError> {
    let mut head = Vec::new();
    header(file, block, &mut head)?;
    let plan = plan(file, block)?;
    let n_bytes = plan.iter().map(|tensor| tensor.n_bytes()).sum::<u64>() + head.len() as u64;
    out.write_all(&head).map_err(|e| failed(file, e))?;
    let mut written = head.len() as u64;
    progress(written, n_bytes);
    let mut numbers = Vec::new();
    for tensor in &plan {
        file.read(&tensor.name, &mut numbers)?;
        tensor.write(file, &numbers, out)?;
        written += tensor.n_bytes();
        progress(written, n_bytes);
    }
    out.flush().map_err(|e| failed(file, e))
}

/// The file's number for the type of its matrices (`enum ggml_ftype`).
fn ftype(block: BlockType) -> Option<u32> {
    Some(match block {
        BlockType::F32 => 0,
        BlockType::F16 => 1,
        BlockType::BF16 => 24,
        BlockType::Q4_0 => 1000 * ggml::QUANTISATION_VERSION + 2,
        BlockType::Q4_1 => 1000 * ggml::QUANTISATION_VERSION + 3,
        BlockType::Q8_0 => 1000 * ggml::QUANTISATION_VERSION + 7,
        BlockType::Q5_0 => 1000 * ggml::QUANTISATION_VERSION + 8,
        BlockType::Q5_1 => 1000 * ggml::QUANTISATION_VERSION + 9,
        BlockType::Q4K => 1000 * ggml::QUANTISATION_VERSION + 12,
        BlockType::Q5K => 1000 * ggml::QUANTISATION_VERSION + 13,
        BlockType::Q6K => 1000 * ggml::QUANTISATION_VERSION + 14,
        BlockType::Q2K | BlockType::Q3K | BlockType::IQ4_NL => return None,
    })
}

/// Everything before the first tensor.
fn header(file: &WhisperFile, block: BlockType, out: &mut Vec<u8>) -> Result<(), FormatError> {
    let cannot = || convert(file, "", quant::QuantError::CannotWrite(block));
    let dims = file.dims();
    put(out, ggml::MAGIC as usize);
    for field in [
        dims.n_vocab,
        dims.n_audio_ctx,
        dims.n_audio_state,
        dims.n_audio_head,
        dims.n_audio_layer,
        dims.n_text_ctx,
        dims.n_text_state,
        dims.n_text_head,
        dims.n_text_layer,
        dims.n_mels,
        ftype(block).ok_or_else(cannot)? as usize,
    ] {
        put(out, field);
    }
    let filters = dsp::mel_filters(dims.n_mels);
    put(out, dims.n_mels);
    put(out, filters.len() / dims.n_mels);
    for weight in filters {
        out.extend_from_slice(&weight.to_le_bytes());
    }
    put(out, file.vocabulary().len());
    for word in file.vocabulary() {
        put(out, word.len());
        out.extend_from_slice(word);
    }
    Ok(())
}

/// A count as the format's 32-bit field. All that come here were checked to be small when the
/// model was opened.
fn put(out: &mut Vec<u8>, value: usize) {
    out.extend_from_slice(&(value as u32).to_le_bytes());
}

/// A tensor to be written.
struct Planned {
    name: String,
    /// Innermost first.
    dims: Vec<usize>,
    block: BlockType,
    /// Bytes of the numbers alone.
    data_bytes: usize,
}

/// Every tensor with the type it is written as.
fn plan(file: &WhisperFile, matrices: BlockType) -> Result<Vec<Planned>, FormatError> {
    let convolutions = if matrices == BlockType::F32 {
        BlockType::F32
    } else {
        BlockType::F16
    };
    let mut plan = Vec::new();
    for (name, shape) in names::expected(file.dims()) {
        let mut dims = shape;
        let block = match dims.len() {
            _ if name.ends_with("positional_embedding") => BlockType::F32,
            2 => matrices,
            3 => convolutions,
            _ => BlockType::F32,
        };
        if matches!(name.as_str(), "encoder.conv1.bias" | "encoder.conv2.bias") {
            dims.push(1);
        }
        dims.reverse();
        let n = dims.iter().product();
        let row = dims.first().copied().unwrap_or(1);
        let partial = |n| convert(file, &name, quant::QuantError::PartialBlock { block, n });
        block.bytes_for(row).ok_or_else(|| partial(row))?;
        let data_bytes = block.bytes_for(n).ok_or_else(|| partial(n))?;
        plan.push(Planned {
            name,
            dims,
            block,
            data_bytes,
        });
    }
    Ok(plan)
}

impl Planned {
    fn n_bytes(&self) -> u64 {
        (4 * (3 + self.dims.len()) + self.name.len() + self.data_bytes) as u64
    }

    fn write(
        &self,
        file: &WhisperFile,
        numbers: &[f32],
        out: &mut impl Write,
    ) -> Result<(), FormatError> {
        let mut bytes = Vec::new();
        put(&mut bytes, self.dims.len());
        put(&mut bytes, self.name.len());
        put(&mut bytes, self.block.ggml_id() as usize);
        self.dims.iter().for_each(|dim| put(&mut bytes, *dim));
        bytes.extend_from_slice(self.name.as_bytes());
        for chunk in numbers.chunks(CHUNK_LEN) {
            quant::quantize(self.block, chunk, &mut bytes)
                .map_err(|cause| convert(file, &self.name, cause))?;
            out.write_all(&bytes).map_err(|e| failed(file, e))?;
            bytes.clear();
        }
        Ok(())
    }
}

fn convert(file: &WhisperFile, tensor: &str, source: quant::QuantError) -> FormatError {
    FormatError::Convert {
        path: file.path().to_owned(),
        tensor: tensor.to_owned(),
        source,
    }
}

fn failed(file: &WhisperFile, source: io::Error) -> FormatError {
    let path = file.path().to_owned();
    FormatError::Write { path, source }
}
