//! Text: tokens to words and back, and text brought to one form for comparison.
//!
//! Enters: the vocabulary of a model file, token ids, recognised text. Leaves: text, token ids,
//! normalised words, word error counts. Runs on whichever thread calls; holds no shared state,
//! reads no files, and never panics on what a model or a speaker produces.

mod languages;
mod llama;
mod normalise;
mod numbers;
mod pairs;
mod pretokenise;
mod tokenizer;
mod wer;
mod words;

pub use languages::{LANGUAGES, language_from, language_name};
pub use llama::LlamaTokenizer;
pub use normalise::normalise;
pub use tokenizer::{SpecialTokens, Tokenizer};
pub use wer::{WordErrors, word_errors};

use crate::error::{Classify, Kind};

/// Why a vocabulary cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum TextError {
    /// The size does not fit Whisper's layout of text tokens, languages and timestamps.
    #[error("a vocabulary of {n_vocab} tokens is not one of Whisper's (51864 to 51866)")]
    VocabularySize {
        /// The number of rows of the token embedding.
        n_vocab: usize,
    },
    /// The file holds fewer words than the model has text tokens.
    #[error("the model file holds {found} words, its vocabulary needs {needed}")]
    TooFewWords {
        /// Words in the file.
        found: usize,
        /// Text tokens of the model.
        needed: usize,
    },
    /// The tokenizer's model or rule is not known.
    #[error("its tokenizer is `{found}`, which is not known here")]
    UnknownTokenizer {
        /// What the file calls it.
        found: String,
    },
    /// A byte has no token of its own, so that not every text could be encoded.
    #[error("the vocabulary has no token for the single byte {byte:#04x}")]
    MissingByte {
        /// The byte without a token.
        byte: u8,
    },
}

impl Classify for TextError {
    fn kind(&self) -> Kind {
        Kind::Model
    }
}
