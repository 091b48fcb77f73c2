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

/// Heads that stand in for alignment heads at most: each costs a matrix of weights a window.
const MAX_STAND_INS: usize = 16;

/// Heads of the cross-attention, as (layer, head), that stand in for the alignment heads of a
/// model of which none are known: those of the second half of the layers, as in OpenAI's
/// reference, or so many of them, evenly spread.
pub(super) fn alignment_heads(dims: &WhisperDims) -> Vec<(usize, usize)> {
    let layers = dims.n_text_layer / 2..dims.n_text_layer;
    let n = layers.len() * dims.n_text_head;
    let n_kept = n.min(MAX_STAND_INS);
    (0..n_kept)
        .map(|i| i * n / n_kept)
        .map(|at| (layers.start + at / dims.n_text_head, at % dims.n_text_head))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn dims(n_text_layer: usize, n_text_head: usize) -> WhisperDims {
        WhisperDims {
            n_vocab: 51_866,
            n_audio_ctx: 1500,
            n_audio_state: 1280,
            n_audio_head: 20,
            n_audio_layer: 32,
            n_text_ctx: 448,
            n_text_state: 1280,
            n_text_head,
            n_text_layer,
            n_mels: 128,
        }
    }

    #[test]
    fn stand_ins_are_few_and_in_the_upper_half() {
        assert_eq!(alignment_heads(&dims(2, 3)), [(1, 0), (1, 1), (1, 2)]);
        for (n_text_layer, n_text_head) in [(1, 1), (2, 20), (3, 6), (24, 16), (32, 20)] {
            let heads = alignment_heads(&dims(n_text_layer, n_text_head));
            assert!((1..=MAX_STAND_INS).contains(&heads.len()));
            assert!(heads.is_sorted_by(|a, b| a < b), "{heads:?}");
            let upper = n_text_layer / 2..n_text_layer;
            let fits =
                |(layer, head): &(usize, usize)| upper.contains(layer) && *head < n_text_head;
            assert!(heads.iter().all(fits), "{heads:?}");
        }
    }
}
