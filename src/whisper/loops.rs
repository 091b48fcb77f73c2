//! Repetition: the way a decoder fails loudly.
//!
//! Loops are confident, so their probability does not give them away; their shape does.

use std::io::Write;

use flate2::{Compression, write::ZlibEncoder};

/// Longest phrase, in tokens, that is looked for.
const MAX_PERIOD: usize = 16;
/// Repetitions of a phrase of two tokens or more that no speaker makes.
const MAX_REPEATS: usize = 6;
/// Repetitions of a single token that no speaker makes.
const MAX_SINGLE_REPEATS: usize = 12;

/// Whether `tokens` end in a phrase said over and over.
pub(super) fn ends_in_loop(tokens: &[u32]) -> bool {
    (1..=MAX_PERIOD).any(|period| {
        let repeats = if period == 1 {
            MAX_SINGLE_REPEATS
        } else {
            MAX_REPEATS
        };
        let n = period * repeats;
        let Some(start) = tokens.len().checked_sub(n) else {
            return false;
        };
        let tail = &tokens[start..];
        tail[period..] == tail[..n - period]
    })
}

/// Size of the text divided by its size after zlib compression: above 2.4 it repeats itself.
pub(super) fn compression_ratio(text: &str) -> f32 {
    let mut encoder = ZlibEncoder::new(Vec::new(), Compression::default());
    let packed = encoder
        .write_all(text.as_bytes())
        .and_then(|()| encoder.finish());
    // Writing to memory does not fail.
    packed.map_or(0.0, |packed| text.len() as f32 / packed.len().max(1) as f32)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn loops_of_any_period_are_found() {
        for period in 1..=MAX_PERIOD {
            let repeats = if period == 1 {
                MAX_SINGLE_REPEATS
            } else {
                MAX_REPEATS
            };
            let mut tokens: Vec<u32> = vec![99, 98];
            tokens.extend((0..period * repeats).map(|i| (i % period) as u32));
            assert!(ends_in_loop(&tokens), "period {period}");
            assert!(
                !ends_in_loop(&tokens[..tokens.len() - 1]),
                "period {period}, one short"
            );
        }
    }

    #[test]
    fn repeated_text_compresses() {
        assert!(compression_ratio(&"so it goes ".repeat(20)) > 2.4);
        assert!(compression_ratio("The quick brown fox jumps over the lazy dog.") < 1.5);
        assert_eq!(compression_ratio(""), 0.0);
    }
}
