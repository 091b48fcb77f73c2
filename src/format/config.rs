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

    /// The alignment heads, which must be heads of the decoder.
    pub(super) fn alignment_heads(
        self,
        dims: &WhisperDims,
    ) -> Result<Option<Vec<(usize, usize)>>, FormatError> {
        let heads = self.alignment_heads.unwrap_or_default();
        for &(layer, head) in &heads {
            if layer >= dims.n_text_layer || head >= dims.n_text_head {
                return Err(FormatError::Config {
                    path: self.path,
                    what: format!("alignment head ({layer}, {head}) is not one of the model's"),
                });
            }
        }
        Ok(Some(heads).filter(|heads| !heads.is_empty()))
    }
}

/// A published model: layers, vocabulary, alignment heads as (layer, head).
struct Published {
    n_audio_layer: usize,
    n_text_layer: usize,
    n_vocab: usize,
    heads: &'static [(usize, usize)],
}

/// The alignment heads that OpenAI published with its models (`whisper/__init__.py`), for those
/// told apart by their dimensions.
const PUBLISHED: [Published; 7] = [
    Published {
        n_audio_layer: 4,
        n_text_layer: 4,
        n_vocab: 51_864,
        heads: &[
            (1, 0),
            (2, 0),
            (2, 5),
            (3, 0),
            (3, 1),
            (3, 2),
            (3, 3),
            (3, 4),
        ],
    },
    Published {
        n_audio_layer: 4,
        n_text_layer: 4,
        n_vocab: 51_865,
        heads: &[(2, 2), (3, 0), (3, 2), (3, 3), (3, 4), (3, 5)],
    },
    Published {
        n_audio_layer: 6,
        n_text_layer: 6,
        n_vocab: 51_864,
        heads: &[(3, 3), (4, 7), (5, 1), (5, 5), (5, 7)],
    },
    Published {
        n_audio_layer: 6,
        n_text_layer: 6,
        n_vocab: 51_865,
        heads: &[
            (3, 1),
            (4, 2),
            (4, 3),
            (4, 7),
            (5, 1),
            (5, 2),
            (5, 4),
            (5, 6),
        ],
    },
    Published {
        n_audio_layer: 12,
        n_text_layer: 12,
        n_vocab: 51_864,
        heads: &[
            (6, 6),
            (7, 0),
            (7, 3),
            (7, 8),
            (8, 2),
            (8, 5),
            (8, 7),
            (9, 0),
            (9, 4),
            (9, 8),
            (9, 10),
            (10, 0),
            (10, 1),
            (10, 2),
            (10, 3),
            (10, 6),
            (10, 11),
            (11, 2),
            (11, 4),
        ],
    },
    Published {
        n_audio_layer: 12,
        n_text_layer: 12,
        n_vocab: 51_865,
        heads: &[
            (5, 3),
            (5, 9),
            (8, 0),
            (8, 4),
            (8, 7),
            (8, 8),
            (9, 0),
            (9, 7),
            (9, 9),
            (10, 5),
        ],
    },
    Published {
        n_audio_layer: 32,
        n_text_layer: 4,
        n_vocab: 51_866,
        heads: &[(2, 4), (2, 11), (3, 3), (3, 6), (3, 11), (3, 14)],
    },
];

/// The alignment heads of a published model, known by its dimensions; none for others.
pub(super) fn published_alignment_heads(dims: &WhisperDims) -> Option<Vec<(usize, usize)>> {
    PUBLISHED
        .iter()
        .find(|p| {
            p.n_audio_layer == dims.n_audio_layer
                && p.n_text_layer == dims.n_text_layer
                && p.n_vocab == dims.n_vocab
                && p.heads.iter().all(|(_, head)| *head < dims.n_text_head)
        })
        .map(|p| p.heads.to_vec())
}
