//! What is known of the published sizes beyond their files.

use crate::format::WhisperDims;

/// The published name of a model with these figures, or what comes nearest.
pub(super) fn name(dims: &WhisperDims, multilingual: bool) -> &'static str {
    let figures = (
        dims.n_audio_state,
        dims.n_audio_layer,
        dims.n_text_layer,
        multilingual,
    );
    match figures {
        (384, 4, _, true) => "tiny",
        (384, 4, _, false) => "tiny.en",
        (512, 6, _, true) => "base",
        (512, 6, _, false) => "base.en",
        (768, 12, 12, true) => "small",
        (768, 12, 12, false) => "small.en",
        (768, 12, _, _) => "distil-small.en",
        (1024, 24, 24, true) => "medium",
        (1024, 24, 24, false) => "medium.en",
        (1024, 24, _, _) => "distil-medium.en",
        (1280, 32, 32, _) if dims.n_mels == 128 => "large-v3",
        (1280, 32, 32, _) => "large",
        (1280, 32, 4, _) => "turbo",
        (1280, 32, _, _) if dims.n_mels == 128 => "distil-large-v3",
        (1280, 32, _, _) => "distil-large-v2",
        _ => "custom",
    }
}

/// Heads of the cross-attention whose attention follows the speech, as (layer, head).
///
/// Source: the alignment heads published with OpenAI's reference. For other models all heads of
/// the second half of the layers, which is also the reference's fallback.
pub(super) fn alignment_heads(name: &str, dims: &WhisperDims) -> Vec<(usize, usize)> {
    let known: &[(usize, usize)] = match name {
        "tiny.en" => &[
            (1, 0),
            (2, 0),
            (2, 5),
            (3, 0),
            (3, 1),
            (3, 2),
            (3, 3),
            (3, 4),
        ],
        "tiny" => &[(2, 2), (3, 0), (3, 2), (3, 3), (3, 4), (3, 5)],
        "base.en" => &[(3, 3), (4, 7), (5, 1), (5, 5), (5, 7)],
        "base" => &[
            (3, 1),
            (4, 2),
            (4, 3),
            (4, 7),
            (5, 1),
            (5, 2),
            (5, 4),
            (5, 6),
        ],
        "small" => &[
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
        "small.en" => &[
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
        "turbo" => &[(2, 4), (2, 11), (3, 3), (3, 6), (3, 11), (3, 14)],
        _ => &[],
    };
    if !known.is_empty() {
        return known.to_vec();
    }
    let layers = dims.n_text_layer / 2..dims.n_text_layer;
    layers
        .flat_map(|layer| (0..dims.n_text_head).map(move |head| (layer, head)))
        .collect()
}
