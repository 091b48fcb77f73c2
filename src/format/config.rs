//! What the JSON files beside a model say of it: attention heads, and which of them follow the
//! sound (for word times).

use std::path::{Path, PathBuf};

use serde::Deserialize;

use super::FormatError;
use super::names::{Heads, WhisperDims};
use super::vocabulary::read_text;

/// No such file is larger; the real ones have a few kilobytes.
const LIMIT_BYTES: u64 = 16 << 20;

/// The keys of `config.json` that matter here. CTranslate2 writes the alignment heads, Hugging
/// Face the counts.
#[derive(Debug, Default, Deserialize)]
pub(super) struct Config {
    alignment_heads: Option<Vec<(usize, usize)>>,
    encoder_attention_heads: Option<usize>,
    decoder_attention_heads: Option<usize>,
    encoder_layers: Option<usize>,
    decoder_layers: Option<usize>,
    #[serde(skip)]
    path: PathBuf,
}

impl Config {
    /// The file `name` in the folder of `model`; an empty description when there is none.
    pub(super) fn beside(model: &Path, name: &str) -> Result<Config, FormatError> {
        let path = model.parent().unwrap_or(Path::new("")).join(name);
        let Some(text) = read_text(&path, LIMIT_BYTES)? else {
            return Ok(Config::default());
        };
        match serde_json::from_str::<Config>(&text) {
            Ok(config) => Ok(Config { path, ..config }),
            Err(error) => Err(FormatError::Config {
                path,
                what: error.to_string(),
            }),
        }
    }

    pub(super) fn heads(&self) -> Heads {
        Heads {
            audio: self.encoder_attention_heads,
            text: self.decoder_attention_heads,
        }
    }

    /// Holds the layers of the file against those the description speaks of: a file that lost its
    /// last layers looks like a smaller model.
    pub(super) fn check_layers(&self, dims: &WhisperDims) -> Result<(), FormatError> {
        for (side, expected, found) in [
            ("encoder", self.encoder_layers, dims.n_audio_layer),
            ("decoder", self.decoder_layers, dims.n_text_layer),
        ] {
            if let Some(expected) = expected
                && expected != found
            {
                return Err(FormatError::Config {
                    path: self.path.clone(),
                    what: format!("it says {expected} {side} layers, the model has {found}"),
                });
            }
        }
        Ok(())
    }

    /// The alignment heads. A description with heads that the decoder does not have, as a
    /// distilled model's that carries its teacher's, says nothing of this model.
    pub(super) fn alignment_heads(self, dims: &WhisperDims) -> Option<Vec<(usize, usize)>> {
        let heads = self.alignment_heads.unwrap_or_default();
        for (layer, head) in &heads {
            if *layer >= dims.n_text_layer || *head >= dims.n_text_head {
                log::warn!(
                    "{}: alignment head ({layer}, {head}) is not one of the model's, so none of \
                     them are used",
                    self.path.display()
                );
                return None;
            }
        }
        Some(heads).filter(|heads| !heads.is_empty())
    }
}
