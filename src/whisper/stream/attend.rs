//! Where in the audio the decoder looks when it chooses a token.
//!
//! The alignment heads follow the speech. Their weights are standardised over the tokens of the
//! text, averaged and smoothed over time; the greatest is the frame that the token is about.
//!
//! Sources: Papi et al. 2023, "AlignAtt: Using Attention-based Audio-Translation Alignments as a
//! Guide for Simultaneous Speech Translation"; OpenAI's `timing.py` for the statistics.

use crate::whisper::Model;
use crate::whisper::align::median_filter;
use crate::whisper::decoder::Watch;

/// Tokens below which there is nothing to standardise over.
const MIN_TOKENS: usize = 3;

/// Attention of a growing text; owns its buffers, which grow to the longest text seen.
#[derive(Default)]
pub(super) struct Attend {
    n_heads: usize,
    n_frames: usize,
    /// Sum and sum of squares over the tokens, `[heads][frames]`.
    sums: Vec<f32>,
    squares: Vec<f32>,
    n_tokens: usize,
    /// What a pass of the decoder leaves, `[heads][tokens][frames]`.
    pass: Vec<f32>,
    n_pass: usize,
    /// The tokens after the committed ones, `[tokens][heads][frames]`.
    tail: Vec<f32>,
    mean: Vec<f32>,
    smooth: Vec<f32>,
}

/// Whether a token's attention is kept for word times.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Keep {
    /// Only the statistics.
    No,
    /// As the next row of the tail.
    Yes,
}

impl Attend {
    /// Forgets the text; what follows looks at `n_frames` frames.
    pub(super) fn begin(&mut self, n_heads: usize, n_frames: usize) {
        (self.n_heads, self.n_frames) = (n_heads, n_frames);
        self.n_tokens = 0;
        for sums in [&mut self.sums, &mut self.squares] {
            sums.clear();
            sums.resize(n_heads * n_frames, 0.0);
        }
        self.tail.clear();
    }

    /// Frames looked at.
    pub(super) fn n_frames(&self) -> usize {
        self.n_frames
    }

    /// Room for the weights of a pass over `n` tokens.
    pub(super) fn pass(&mut self, n: usize) -> &mut [f32] {
        self.n_pass = n;
        self.pass.clear();
        self.pass.resize(self.n_heads * n * self.n_frames, 0.0);
        &mut self.pass
    }

    /// What a pass of `model` over `n` tokens is to leave.
    pub(super) fn watch<'a>(&'a mut self, model: &'a Model, n: usize) -> Watch<'a> {
        Watch {
            heads: &model.alignment_heads,
            n_frames: self.n_frames,
            weights: self.pass(n),
        }
    }

    /// Counts row `row` of the pass as that of the next text token.
    pub(super) fn count(&mut self, row: usize, keep: Keep) {
        let (n, frames) = (self.n_frames, self.n_pass * self.n_frames);
        self.n_tokens += 1;
        for head in 0..self.n_heads {
            let weights = &self.pass[head * frames + row * n..][..n];
            let sums = &mut self.sums[head * n..][..n];
            let squares = &mut self.squares[head * n..][..n];
            for ((w, sum), square) in weights.iter().zip(sums).zip(squares) {
                *sum += w;
                *square += w * w;
            }
            if keep == Keep::Yes {
                self.tail.extend_from_slice(weights);
            }
        }
    }

    /// Rows of the tail.
    pub(super) fn n_tail(&self) -> usize {
        self.tail.len() / (self.n_heads * self.n_frames).max(1)
    }

    /// The frame that the last token of the tail is about; 0 when nothing is known.
    pub(super) fn last_frame(&mut self) -> usize {
        let Some(last) = self.n_tail().checked_sub(1) else {
            return 0;
        };
        self.average(last, 0);
        let best = self
            .smooth
            .iter()
            .copied()
            .fold(f32::NEG_INFINITY, f32::max);
        self.smooth.iter().position(|x| *x == best).unwrap_or(0)
    }

    /// Writes the cost of each tail token at each frame from `first_frame` on, `[tokens][frames]`:
    /// the lower, the more it looks there.
    pub(super) fn costs(&mut self, first_frame: usize, cost: &mut Vec<f32>) {
        cost.clear();
        for row in 0..self.n_tail() {
            self.average(row, first_frame);
            cost.extend(self.smooth.iter().map(|x| -x));
        }
    }

    /// Leaves in `smooth` the standardised mean of the heads for a row of the tail.
    fn average(&mut self, row: usize, first_frame: usize) {
        let (n, n_tokens) = (self.n_frames, self.n_tokens.max(1) as f32);
        self.mean.clear();
        self.mean.resize(n - first_frame, 0.0);
        let row = &self.tail[row * self.n_heads * n..];
        for head in 0..self.n_heads {
            let at = head * n + first_frame..(head + 1) * n;
            let statistics = self.sums[at.clone()].iter().zip(&self.squares[at.clone()]);
            for ((mean, w), (sum, square)) in self.mean.iter_mut().zip(&row[at]).zip(statistics) {
                if self.n_tokens < MIN_TOKENS {
                    *mean += w;
                    continue;
                }
                let average = sum / n_tokens;
                let variance = (square / n_tokens - average * average).max(0.0);
                if variance > 0.0 {
                    *mean += (w - average) / variance.sqrt();
                }
            }
        }
        self.smooth.clear();
        self.smooth.resize(n - first_frame, 0.0);
        median_filter(&self.mean, &mut self.smooth);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A text whose token i looks at frames around `at[i]`, through two heads.
    fn looking_at(at: &[usize], n_frames: usize) -> Attend {
        let mut attend = Attend::default();
        attend.begin(2, n_frames);
        let pass = attend.pass(at.len());
        for (i, row) in pass.chunks_exact_mut(n_frames).enumerate() {
            for (frame, w) in row.iter_mut().enumerate() {
                // The same frame attracts everybody a little, as some heads do.
                let drawn = if frame == n_frames - 1 { 0.5 } else { 0.0 };
                *w = drawn
                    + if frame.abs_diff(at[i % at.len()]) <= 4 {
                        0.2
                    } else {
                        0.01
                    };
            }
        }
        attend
    }

    #[test]
    fn the_frame_is_where_a_token_looks_and_no_other_does() {
        let at = [10, 30, 50, 70];
        let mut attend = looking_at(&at, 100);
        for (i, &frame) in at.iter().enumerate() {
            attend.count(i, Keep::Yes);
            assert!(
                attend.last_frame().abs_diff(frame) <= 5 || i < 2,
                "token {i}"
            );
        }
        assert_eq!(attend.n_tail(), 4);
        let mut cost = Vec::new();
        attend.costs(20, &mut cost);
        assert_eq!(cost.len(), 4 * 80);
    }

    #[test]
    fn without_tokens_nothing_is_known() {
        let mut attend = Attend::default();
        attend.begin(2, 10);
        assert_eq!(attend.last_frame(), 0);
    }
}
