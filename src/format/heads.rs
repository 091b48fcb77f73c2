//! The alignment heads of the published models: those heads of the decoder's cross-attention that
//! follow the speech, from which words get their times.

use super::names::WhisperDims;

/// A published model by what tells it from the others, and its heads as (layer, head).
struct Published {
    n_audio_layer: usize,
    n_text_layer: usize,
    n_text_head: usize,
    n_vocab: usize,
    heads: &'static [(usize, usize)],
}

/// What OpenAI published with its models (`whisper/__init__.py`).
// A line for every head would hide the table.
#[rustfmt::skip]
const PUBLISHED: [Published; 11] = [
    Published { // tiny.en
        n_audio_layer: 4, n_text_layer: 4, n_text_head: 6, n_vocab: 51_864,
        heads: &[
            (1, 0), (2, 0), (2, 5), (3, 0), (3, 1), (3, 2), (3, 3), (3, 4),
        ],
    },
    Published { // tiny
        n_audio_layer: 4, n_text_layer: 4, n_text_head: 6, n_vocab: 51_865,
        heads: &[
            (2, 2), (3, 0), (3, 2), (3, 3), (3, 4), (3, 5),
        ],
    },
    Published { // base.en
        n_audio_layer: 6, n_text_layer: 6, n_text_head: 8, n_vocab: 51_864,
        heads: &[
            (3, 3), (4, 7), (5, 1), (5, 5), (5, 7),
        ],
    },
    Published { // base
        n_audio_layer: 6, n_text_layer: 6, n_text_head: 8, n_vocab: 51_865,
        heads: &[
            (3, 1), (4, 2), (4, 3), (4, 7), (5, 1), (5, 2), (5, 4), (5, 6),
        ],
    },
    Published { // small.en
        n_audio_layer: 12, n_text_layer: 12, n_text_head: 12, n_vocab: 51_864,
        heads: &[
            (6, 6), (7, 0), (7, 3), (7, 8), (8, 2), (8, 5), (8, 7), (9, 0), (9, 4), (9, 8),
            (9, 10), (10, 0), (10, 1), (10, 2), (10, 3), (10, 6), (10, 11), (11, 2), (11, 4),
        ],
    },
    Published { // small
        n_audio_layer: 12, n_text_layer: 12, n_text_head: 12, n_vocab: 51_865,
        heads: &[
            (5, 3), (5, 9), (8, 0), (8, 4), (8, 7), (8, 8), (9, 0), (9, 7), (9, 9), (10, 5),
        ],
    },
    Published { // medium.en
        n_audio_layer: 24, n_text_layer: 24, n_text_head: 16, n_vocab: 51_864,
        heads: &[
            (11, 4), (14, 1), (14, 12), (14, 14), (15, 4), (16, 0), (16, 4), (16, 9),
            (17, 12), (17, 14), (18, 7), (18, 10), (18, 15), (20, 0), (20, 3), (20, 9),
            (20, 14), (21, 12),
        ],
    },
    Published { // medium
        n_audio_layer: 24, n_text_layer: 24, n_text_head: 16, n_vocab: 51_865,
        heads: &[
            (13, 15), (15, 4), (15, 15), (16, 1), (20, 0), (23, 4),
        ],
    },
    Published { // large-v2, and v1 of the same dimensions
        n_audio_layer: 32, n_text_layer: 32, n_text_head: 20, n_vocab: 51_865,
        heads: &[
            (10, 12), (13, 17), (16, 11), (16, 12), (16, 13), (17, 15), (17, 16), (18, 4),
            (18, 11), (18, 19), (19, 11), (21, 2), (21, 3), (22, 3), (22, 9), (22, 12),
            (23, 5), (23, 7), (23, 13), (25, 5), (26, 1), (26, 12), (27, 15),
        ],
    },
    Published { // large-v3
        n_audio_layer: 32, n_text_layer: 32, n_text_head: 20, n_vocab: 51_866,
        heads: &[
            (7, 0), (10, 17), (12, 18), (13, 12), (16, 1), (17, 14), (19, 11), (21, 4),
            (24, 1), (25, 6),
        ],
    },
    Published { // turbo
        n_audio_layer: 32, n_text_layer: 4, n_text_head: 20, n_vocab: 51_866,
        heads: &[
            (2, 4), (2, 11), (3, 3), (3, 6), (3, 11), (3, 14),
        ],
    },
];

/// The alignment heads of a published model, known by its dimensions; none for others.
pub(super) fn published(dims: &WhisperDims) -> Option<Vec<(usize, usize)>> {
    PUBLISHED
        .iter()
        .find(|p| {
            (p.n_audio_layer, p.n_text_layer) == (dims.n_audio_layer, dims.n_text_layer)
                && (p.n_text_head, p.n_vocab) == (dims.n_text_head, dims.n_vocab)
        })
        .map(|p| p.heads.to_vec())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn published_heads_are_heads_of_their_models() {
        for p in &PUBLISHED {
            let fits =
                |(layer, head): &(usize, usize)| *layer < p.n_text_layer && *head < p.n_text_head;
            assert!(p.heads.iter().all(fits), "{:?}", p.heads);
            assert!(p.heads.is_sorted(), "{:?}", p.heads);
        }
    }
}
