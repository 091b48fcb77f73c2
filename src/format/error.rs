//! What can be wrong with a model file.

use std::io;
use std::path::PathBuf;

use thiserror::Error;

use crate::error::{Classify, Kind};
use crate::quant::QuantError;

/// What helps against a damaged file. It may be one of the manifest's or not.
const REMEDY: &str =
    "look for damage with `hark models verify`, fetch it again with `hark models pull`";
/// Characters of a name that a message repeats: names come from the file and may be of any length.
const NAME_CHARS: usize = 80;
/// Characters of a longer explanation, which may hold several such names.
const TEXT_CHARS: usize = 320;

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
    #[error("{} is not a model that can be read: it {found}", .path.display())]
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
         it is cut short or damaged; {remedy}",
        .path.display(), what = text(.what), remedy = REMEDY
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
    #[error(
        "{}: {what}: the file is damaged, or of a kind not known here; {remedy}",
        .path.display(), what = text(.what), remedy = REMEDY
    )]
    Header {
        /// The file.
        path: PathBuf,
        /// The field and its value.
        what: String,
    },
    /// One name twice.
    #[error(
        "{}: tensor {tensor} occurs twice: the file is damaged; {remedy}",
        .path.display(), tensor = name(.tensor), remedy = REMEDY
    )]
    Duplicate {
        /// The file.
        path: PathBuf,
        /// The tensor's name in the file.
        tensor: String,
    },
    /// A tensor that the model needs is not there.
    #[error(
        "{}: tensor {tensor} is missing: this is not the whole model; {remedy}",
        .path.display(), tensor = name(.tensor), remedy = REMEDY
    )]
    MissingTensor {
        /// The file.
        path: PathBuf,
        /// The tensor's name, as the file would call it.
        tensor: String,
    },
    /// A tensor that a model of these dimensions does not have.
    #[error(
        "{}: tensor {tensor} does not belong to a model of the dimensions in its header; {remedy}",
        .path.display(), tensor = name(.tensor), remedy = REMEDY
    )]
    Unexpected {
        /// The file.
        path: PathBuf,
        /// The tensor's name.
        tensor: String,
    },
    /// A tensor has another shape than the model's dimensions say.
    #[error(
        "{}: tensor {tensor} has shape {found:?}, the model's dimensions need {expected:?}; \
         {remedy}",
        .path.display(), tensor = name(.tensor), remedy = REMEDY
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
    /// A tensor holds what is no number: one such weight spreads to all results.
    #[error(
        "{}: tensor {tensor} holds infinite values or none: the file is damaged; {remedy}",
        .path.display(), tensor = name(.tensor), remedy = REMEDY
    )]
    NotFinite {
        /// The file.
        path: PathBuf,
        /// The tensor's name.
        tensor: String,
    },
    /// A tensor is stored as a type that is not known here.
    #[error(
        "{}: tensor {tensor} is stored as {found}, which is not supported: convert the model to f16",
        .path.display(), tensor = name(.tensor), found = name(.found)
    )]
    TensorType {
        /// The file.
        path: PathBuf,
        /// The tensor's name.
        tensor: String,
        /// The type, as the file names it.
        found: String,
    },
    /// Dimensions that no Whisper model has.
    #[error(
        "{}: {what}: not the dimensions of a Whisper model; {remedy}",
        .path.display(), what = text(.what), remedy = REMEDY
    )]
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
    #[error(
        "{}: {what}: this is not the file that belongs to the model; {remedy}",
        .path.display(), what = text(.what), remedy = REMEDY
    )]
    Vocabulary {
        /// The vocabulary's file.
        path: PathBuf,
        /// What is wrong.
        what: String,
    },
    /// The description beside the model cannot be used.
    #[error(
        "{}: {what}: this is not the file that belongs to the model; {remedy}",
        .path.display(), what = text(.what), remedy = REMEDY
    )]
    Config {
        /// The description's file.
        path: PathBuf,
        /// What is wrong.
        what: String,
    },
    /// A tensor was asked for that the file does not have.
    #[error("{}: there is no tensor {tensor}", .path.display(), tensor = name(.tensor))]
    UnknownTensor {
        /// The file.
        path: PathBuf,
        /// The name asked for.
        tensor: String,
    },
    /// A tensor's bytes cannot be converted.
    #[error("{}: tensor {tensor} cannot be converted", .path.display(), tensor = name(.tensor))]
    Convert {
        /// The file.
        path: PathBuf,
        /// The tensor.
        tensor: String,
        /// The cause.
        source: QuantError,
    },
    /// The converted model cannot be written.
    #[error("cannot write what {} is converted to", .path.display())]
    Write {
        /// The model that is converted.
        path: PathBuf,
        /// The cause.
        source: io::Error,
    },
}

/// The tensor's name as the end of a message.
fn of(tensor: &str) -> String {
    if tensor.is_empty() {
        String::new()
    } else {
        format!(" (tensor {})", name(tensor))
    }
}

/// A name from a file, as far as a message repeats it.
pub(super) fn name(name: &str) -> String {
    clipped(name, NAME_CHARS)
}

fn text(what: &str) -> String {
    clipped(what, TEXT_CHARS)
}

/// The first characters, none of which moves the cursor of a terminal.
fn clipped(text: &str, n_chars: usize) -> String {
    let mut chars = text.chars();
    let visible = |c: char| if c.is_control() { '?' } else { c };
    let mut out: String = chars.by_ref().take(n_chars).map(visible).collect();
    if chars.next().is_some() {
        out.push('…');
    }
    out
}

impl Classify for FormatError {
    fn kind(&self) -> Kind {
        match self {
            FormatError::UnknownTensor { .. } => Kind::Bug,
            _ => Kind::Model,
        }
    }
}
