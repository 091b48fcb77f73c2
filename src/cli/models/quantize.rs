//! `hark models quantize`: a model in a smaller type, and what that costs.

use std::fmt::Write as _;
use std::path::PathBuf;

use clap::Args as ClapArgs;
use serde_json::{Value, json};

use super::hearing::{self, Heard, Listener};
use super::{convert, megabytes, open, pretty, print, size_bytes};
use crate::cli::{Failure, Globals};
use crate::format::{Encoding, FormatError, WhisperFile};
use crate::kernels::BlockFormat;
use crate::nn::Compute;
use crate::quant::BlockType;

/// Numbers of a tensor compared at a time.
const CHUNK_LEN: usize = 1 << 20;

/// Tensors that the report for people names.
const N_WORST: usize = 5;

/// Write a model for whisper.cpp in a smaller type, and tell what that costs
///
/// Matrices are stored as TYPE; convolutions stay in f16, vectors and positions in f32, as
/// whisper.cpp expects. Types in K want rows of whole blocks of 256, which tiny does not have: a
/// model with others gets the type of about the same size in blocks of 32. With --audio the
/// recordings are transcribed twice: with the model as it is, in f32, and with the new file in the
/// arithmetic of its type.
#[derive(Debug, ClapArgs)]
pub(super) struct Args {
    /// A name from the list, a file, or a folder that holds one
    #[arg(value_name = "IN")]
    input: String,
    /// The new file
    #[arg(value_name = "OUT")]
    output: PathBuf,
    /// q8_0, q6_K, q5_1, q5_0, q5_K, q4_1, q4_0 or q4_K; or f32, f16, bf16
    #[arg(value_name = "TYPE", value_parser = super::block_type)]
    block: BlockType,
    /// Recordings, or folders of them, to hear the difference on
    #[arg(long, value_name = "FILE|FOLDER", num_args = 1..)]
    audio: Vec<PathBuf>,
    /// What is said in them: a table with tabs whose columns file and reference are named in its
    /// first line [default: FILE.txt beside each FILE]
    #[arg(long, value_name = "MANIFEST.tsv", requires = "audio")]
    references: Option<PathBuf>,
    /// Language of the recordings [default: of the configuration]
    #[arg(long, value_name = "LANGUAGE", requires = "audio")]
    language: Option<String>,
    /// Replace OUT if it is there
    #[arg(long)]
    pub(super) force: bool,
}

/// Runs the subcommand.
pub(super) fn run(args: &Args, globals: &Globals) -> Result<(), Failure> {
    // Whatever is wrong with the recordings is found before the work.
    let clips = hearing::find(&args.audio, args.references.as_deref())?;
    let file = open(&args.input)?;
    let block = fitting(&file, args.block);
    if block != args.block {
        log::warn!(
            "not all rows are whole blocks of {}, and whisper.cpp wants one type: writing {}",
            args.block.name(),
            block.name()
        );
    }
    let place = convert::Place::new(&file, &args.output, args.force)?;
    let size_after = convert::convert(&file, place, block)?;
    let new = WhisperFile::open(&args.output)?;
    let tensors = compare(&file, &new)?;
    let heard = match clips.is_empty() {
        true => None,
        false => {
            let listener = Listener::new(globals, args.language.as_deref())?;
            let before = listener.texts(&file, Compute::F32, &clips)?;
            let after = listener.texts(&new, arithmetic(block), &clips)?;
            Some(Heard::new(&clips, before, after, arithmetic(block)))
        }
    };
    let report = Report {
        args,
        block,
        size_before: size_bytes(&file),
        size_after,
        tensors,
        heard,
    };
    print(&match globals.json {
        true => pretty(&report.json()),
        false => report.text(),
    })
}

/// `wanted`, or where rows are no whole number of its blocks the type of about the same size in
/// blocks of 32. All matrices have one type: whisper.cpp takes no other file.
fn fitting(file: &WhisperFile, wanted: BlockType) -> BlockType {
    let small = match wanted {
        BlockType::Q4K => BlockType::Q4_1,
        BlockType::Q5K => BlockType::Q5_1,
        BlockType::Q6K => BlockType::Q8_0,
        other => return other,
    };
    let fits = |name: &str| match file.shape(name).unwrap_or_default() {
        [_, row] if !name.ends_with("positional_embedding") => {
            row.is_multiple_of(wanted.block_len())
        }
        _ => true,
    };
    if file.tensor_names().all(fits) {
        wanted
    } else {
        small
    }
}

/// What a file of this type is best computed with here: its own blocks, or those that are exact
/// enough for a K-quant; floats for floats.
fn arithmetic(block: BlockType) -> Compute {
    match block {
        BlockType::F32 | BlockType::F16 | BlockType::BF16 => Compute::F32,
        _ => Compute::Blocks(BlockFormat::holding(block).unwrap_or(BlockFormat::Q8_0)),
    }
}

/// How far a tensor is from what it was.
struct TensorError {
    name: String,
    stored_as: &'static str,
    /// The largest difference, over the largest magnitude of the tensor.
    worst: f64,
    /// Root mean square of the differences, over that of the numbers.
    rms: f64,
}

/// Every tensor of `new` against that of `file`, a megabyte of numbers at a time.
fn compare(file: &WhisperFile, new: &WhisperFile) -> Result<Vec<TensorError>, FormatError> {
    let (mut was, mut is) = (Vec::new(), Vec::new());
    let mut errors = Vec::new();
    for name in file.tensor_names() {
        let shape = file.shape(name).unwrap_or_default();
        let row_len: usize = shape.iter().skip(1).product();
        let n_rows = shape.first().copied().unwrap_or(0);
        let step = (CHUNK_LEN / row_len.max(1)).max(1);
        let (mut worst, mut largest, mut off, mut all) = (0.0_f64, 0.0_f64, 0.0, 0.0);
        for start in (0..n_rows).step_by(step) {
            let rows = start..n_rows.min(start + step);
            file.read_rows(name, rows.clone(), &mut was)?;
            new.read_rows(name, rows, &mut is)?;
            for (was, is) in was.iter().zip(&is) {
                let (was, difference) = (f64::from(*was), f64::from(was - is));
                worst = worst.max(difference.abs());
                largest = largest.max(was.abs());
                off += difference * difference;
                all += was * was;
            }
        }
        let over = |a: f64, b: f64| if b > 0.0 { a / b } else { a };
        errors.push(TensorError {
            name: name.to_owned(),
            stored_as: match new.block_type(name) {
                Some(Encoding::Block(block)) => block.name(),
                _ => "integers",
            },
            worst: over(worst, largest),
            rms: over(off, all).sqrt(),
        });
    }
    errors.sort_by(|a, b| b.worst.total_cmp(&a.worst));
    Ok(errors)
}

/// What is told at the end.
struct Report<'a> {
    args: &'a Args,
    block: BlockType,
    size_before: u64,
    size_after: u64,
    /// The worst first.
    tensors: Vec<TensorError>,
    heard: Option<Heard>,
}

impl Report<'_> {
    fn text(&self) -> String {
        let mut text = String::new();
        let (before, after) = (megabytes(self.size_before), megabytes(self.size_after));
        let (path, name) = (self.args.output.display(), self.block.name());
        let _ = writeln!(text, "{path}: {after}, {name}; was {before}");
        if self.block != self.args.block {
            let asked = self.args.block.name();
            let _ = writeln!(
                text,
                "{name} in place of {asked}: rows are not whole blocks of 256"
            );
        }
        let _ = writeln!(
            text,
            "Largest error over largest number, and root mean square over that:"
        );
        for tensor in self.tensors.iter().take(N_WORST) {
            let (worst, rms) = (100.0 * tensor.worst, 100.0 * tensor.rms);
            let (name, stored_as) = (&tensor.name, tensor.stored_as);
            let _ = writeln!(text, "  {worst:6.2} %  {rms:6.2} %  {stored_as:<5}  {name}");
        }
        if let Some(heard) = &self.heard {
            text += &heard.text();
        }
        text
    }

    fn json(&self) -> Value {
        let tensors: Vec<Value> = self
            .tensors
            .iter()
            .map(|tensor| {
                json!({
                    "name": tensor.name,
                    "type": tensor.stored_as,
                    "worst_relative_error": tensor.worst,
                    "rms_relative_error": tensor.rms,
                })
            })
            .collect();
        json!({
            "path": self.args.output,
            "type": self.block.name(),
            "asked": self.args.block.name(),
            "size_bytes_before": self.size_before,
            "size_bytes": self.size_after,
            "tensors": tensors,
            "recordings": self.heard.as_ref().map(Heard::json),
        })
    }
}
