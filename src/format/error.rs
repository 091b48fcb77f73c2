//! What can be wrong with a model file.

use std::io;
use std::path::PathBuf;

use thiserror::Error;

use crate::error::{Classify, Kind};
use crate::quant::QuantError;

/// Why a model file cannot be used. Every message names the file and what to do about it.
#[derive(Debug, Error)]
pub enum FormatError {
    /// Nothing is there.
    #[error("no model at {}: check the path, or fetch one with `hark models pull`", .0.display())]
    NotFound(PathBuf),
    /// The operating system refuses, or the file changed after it was opened.
    #[error("cannot read {}{}", .path.display(), of(.tensor))]
    Io {
        /// The file.
        path: PathBuf,
        /// The tensor being read, empty for none.
        tensor: String,
        /// The cause.
        source: io::Error,
    },
    /// Not a model in any known container.
    #[error("{} is not a Whisper model that can be read: it {found}", .path.display())]
    Unrecognised {
        /// The file or folder.
        path: PathBuf,
        /// What it looks like, and what to do.
        found: &'static str,
    },
    /// A folder with several models and none of the usual name.
    #[error("{} holds several models ({names}): name one of them", .folder.display())]
    Several {
        /// The folder.
        folder: PathBuf,
        /// The files' names.
        names: String,
    },
    /// The file is shorter than what it announces.
    #[error(
        "{}: {what} needs {needed_bytes} bytes at byte {at}, but the file has {size_bytes}: \
         it is cut short or damaged; fetch it again",
        .path.display()
    )]
    Truncated {
        /// The file.
        path: PathBuf,
        /// The field or tensor.
        what: String,
        /// Where it begins.
        at: u64,
        /// Bytes it needs.
        needed_bytes: u64,
        /// Bytes the file has.
        size_bytes: u64,
    },
    /// A header field is out of all reason.
    #[error("{}: {what}: the file is damaged, or of a kind not known here; fetch it again", .path.display())]
    Header {
        /// The file.
        path: PathBuf,
        /// The field and its value.
        what: String,
    },
    /// One name twice.
    #[error("{}: tensor {tensor} occurs twice: the file is damaged; fetch it again", .path.display())]
    Duplicate {
        /// The file.
        path: PathBuf,
        /// The tensor's name in the file.
        tensor: String,
    },
    /// A tensor that the model needs is not there.
    #[error("{}: tensor {tensor} is missing: this is not the whole model; fetch or convert it again", .path.display())]
    MissingTensor {
        /// The file.
        path: PathBuf,
        /// The tensor's name, as the file would call it.
        tensor: String,
    },
    /// A tensor has another shape than the model's dimensions say.
    #[error(
        "{}: tensor {tensor} has shape {found:?}, the model's dimensions need {expected:?}: \
         fetch or convert it again",
        .path.display()
    )]
    Shape {
        /// The file.
        path: PathBuf,
        /// The tensor's name.
        tensor: String,
        /// Its shape in the file, outermost first.
        found: Vec<usize>,
        /// The shape needed.
        expected: Vec<usize>,
    },
    /// A tensor is stored as a type that is not known here.
    #[error("{}: tensor {tensor} is stored as {found}, which is not supported: convert the model to f16", .path.display())]
    TensorType {
        /// The file.
        path: PathBuf,
        /// The tensor's name.
        tensor: String,
        /// The type, as the file names it.
        found: String,
    },
    /// Dimensions that no Whisper model has.
    #[error("{}: {what}: not the dimensions of a Whisper model", .path.display())]
    Dims {
        /// The file.
        path: PathBuf,
        /// The dimension and its value.
        what: String,
    },
    /// No vocabulary beside a model that does not contain one.
    #[error(
        "no vocabulary for {}: put the model's tokenizer.json or vocabulary.txt into the same folder",
        .0.display()
    )]
    NoVocabulary(PathBuf),
    /// The vocabulary cannot be used.
    #[error("{}: {what}: fetch the file that belongs to the model", .path.display())]
    Vocabulary {
        /// The vocabulary's file.
        path: PathBuf,
        /// What is wrong.
        what: String,
    },
    /// The description beside the model cannot be used.
    #[error("{}: {what}: fetch the file that belongs to the model", .path.display())]
    Config {
        /// The description's file.
        path: PathBuf,
        /// What is wrong.
        what: String,
    },
    /// A tensor was asked for that the file does not have.
    #[error("{}: there is no tensor {tensor}", .path.display())]
    UnknownTensor {
        /// The file.
        path: PathBuf,
        /// The name asked for.
        tensor: String,
    },
    /// A tensor's bytes cannot be converted.
    #[error("{}: tensor {tensor} cannot be converted", .path.display())]
    Convert {
        /// The file.
        path: PathBuf,
        /// The tensor.
        tensor: String,
        /// The cause.
        source: QuantError,
    },
    /// The converted model cannot be written.
    #[error("cannot write the converted model")]
    Write(#[source] io::Error),
}

/// The tensor's name as the end of a message.
fn of(tensor: &str) -> String {
    if tensor.is_empty() {
        String::new()
    } else {
        format!(" (tensor {tensor})")
    }
}

impl Classify for FormatError {
    fn kind(&self) -> Kind {
        match self {
            FormatError::UnknownTensor { .. } => Kind::Bug,
            _ => Kind::Model,
        }
    }
}
