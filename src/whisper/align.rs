//! When each word was said, from where the decoder looked when it wrote it.
//!
//! Source: OpenAI's reference (`timing.py`). One pass of the decoder over the finished text yields
//! the cross-attention of a few heads that follow the speech; normalised over the tokens, smoothed
//! and averaged, it is a map of tokens against time through which dynamic time warping (Giorgino
//! 2009) finds the path.

use crate::event::{Seconds, Word};

use super::Model;
use super::decode::Hypothesis;
use super::decoder::{Cross, DecoderState, Watch};

/// Seconds of an encoder frame.
pub(super) const SECONDS_PER_FRAME: f64 = 0.02;
/// Frames of the median filter that removes outliers.
const MEDIAN_WIDTH: usize = 7;
/// Words are held to be at most twice as long as the median, and the median at most this.
const MAX_MEDIAN_S: f64 = 0.7;
/// Punctuation that belongs to the word behind it.
const OPENING: &str = "\"'“¿([{-";
/// Punctuation that belongs to the word before it.
const CLOSING: &str = "\"'.。,，!！?？:：”)]}、";

/// Finds word times; owns its buffers, which grow to the longest text seen.
pub(super) struct Aligner {
    tokens: Vec<u32>,
    /// `[heads][tokens][frames]`
    weights: Vec<f32>,
    /// `[text tokens + 1][frames]`: mean over the heads, negated.
    cost: Vec<f32>,
    warp: Warp,
}

impl Aligner {
    pub(super) fn new(model: &Model) -> Self {
        Aligner {
            tokens: Vec::with_capacity(model.dims().n_text_ctx),
            weights: Vec::new(),
            cost: Vec::new(),
            warp: Warp::default(),
        }
    }

    /// The words of a text with times in the window, each with the number of text tokens up to its
    /// end. `prefix` is the start of transcript with language and task; only the first `n_frames`
    /// frames of `cross` hold speech. The text in `state` is replaced.
    pub(super) fn align(
        &mut self,
        model: &Model,
        prefix: &[u32],
        text: &Hypothesis,
        n_frames: usize,
        (cross, state): (&Cross, &mut DecoderState),
    ) -> Vec<(usize, Word)> {
        // The language follows the start of transcript.
        let language = prefix
            .get(1)
            .and_then(|t| model.tokenizer().language_code(*t));
        let language = language.unwrap_or("en");
        let special = model.tokenizer().special();
        let spoken = |t: &&u32| **t < special.eot;
        let n_text = text.tokens.iter().filter(spoken).count();
        if n_text == 0 || n_frames == 0 {
            return Vec::new();
        }
        self.tokens.clear();
        self.tokens
            .extend(prefix.iter().filter(|t| **t != special.no_timestamps));
        let n_prefix = self.tokens.len();
        self.tokens.push(special.no_timestamps);
        self.tokens.extend(text.tokens.iter().filter(spoken));
        self.tokens.push(special.eot);
        self.tokens.truncate(model.dims().n_text_ctx);
        let n = self.tokens.len();
        let heads = &model.alignment_heads;
        self.weights.clear();
        self.weights.resize(heads.len() * n * n_frames, 0.0);
        let watch = &mut Watch {
            heads,
            n_frames,
            weights: &mut self.weights,
        };
        state.truncate(0);
        model
            .decoder()
            .forward_watched(model.exec(), &self.tokens, cross, state, Some(watch));
        self.mean_of_heads(heads.len(), n_prefix..n - 1, n_frames);
        let starts = self.warp.starts(&self.cost, n - 1 - n_prefix, n_frames);
        let tokens = &self.tokens[n_prefix + 1..n - 1];
        let logprobs: Vec<f32> = text
            .tokens
            .iter()
            .zip(&text.logprobs)
            .filter(|(t, _)| spoken(t))
            .map(|(_, p)| *p)
            .collect();
        to_words(model, language, (tokens, &logprobs), starts)
    }

    /// Normalises, smooths and averages the heads for the rows of `tokens` into `self.cost`.
    fn mean_of_heads(&mut self, n_heads: usize, tokens: std::ops::Range<usize>, n_frames: usize) {
        let n = self.tokens.len();
        self.cost.clear();
        self.cost.resize(tokens.len() * n_frames, 0.0);
        let mut smooth = vec![0.0; n_frames];
        for head in self.weights.chunks_exact_mut((n * n_frames).max(1)) {
            for frame in 0..n_frames {
                standardise(head, frame, n_frames);
            }
            let rows = head.chunks_exact(n_frames).skip(tokens.start);
            for (row, cost) in rows.zip(self.cost.chunks_exact_mut(n_frames)) {
                median_filter(row, &mut smooth);
                for (cost, value) in cost.iter_mut().zip(&smooth) {
                    *cost -= value / n_heads as f32;
                }
            }
        }
    }
}

/// Gives the column `at` of a matrix mean 0 and variance 1.
fn standardise(matrix: &mut [f32], at: usize, n_columns: usize) {
    let n = (matrix.len() / n_columns) as f32;
    let mean = matrix.iter().skip(at).step_by(n_columns).sum::<f32>() / n;
    let square = |x: &f32| (x - mean) * (x - mean);
    let variance = matrix
        .iter()
        .skip(at)
        .step_by(n_columns)
        .map(square)
        .sum::<f32>()
        / n;
    let scale = if variance > 0.0 {
        variance.sqrt().recip()
    } else {
        0.0
    };
    for x in matrix.iter_mut().skip(at).step_by(n_columns) {
        *x = (*x - mean) * scale;
    }
}

/// Median of each value and its neighbours; the ends are mirrored.
pub(super) fn median_filter(x: &[f32], out: &mut [f32]) {
    let half = (MEDIAN_WIDTH / 2) as isize;
    let last = x.len() as isize - 1;
    for (i, out) in out.iter_mut().enumerate() {
        let mut around = [0.0; MEDIAN_WIDTH];
        for (value, j) in around.iter_mut().zip(i as isize - half..) {
            let mirrored = if j < 0 {
                -j
            } else if j > last {
                2 * last - j
            } else {
                j
            };
            *value = x[mirrored.clamp(0, last) as usize];
        }
        around.sort_unstable_by(f32::total_cmp);
        *out = around[MEDIAN_WIDTH / 2];
    }
}

/// Dynamic time warping of a cost matrix; owns its buffers.
#[derive(Default)]
pub(super) struct Warp {
    /// Cost of the best path to each cell of the previous and the current row.
    rows: [Vec<f32>; 2],
    /// Where each cell came from.
    step: Vec<Step>,
    starts: Vec<usize>,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Step {
    Both,
    Row,
    Column,
}

impl Warp {
    /// The column at which the cheapest path enters each row of `cost`, `[n_rows, n_columns]`.
    pub(super) fn starts(&mut self, cost: &[f32], n_rows: usize, n_columns: usize) -> &[usize] {
        self.step.clear();
        self.step.reserve(n_rows * n_columns);
        for row in &mut self.rows {
            row.clear();
            row.resize(n_columns + 1, f32::INFINITY);
        }
        self.rows[0][0] = 0.0;
        for cost in cost.chunks_exact(n_columns).take(n_rows) {
            let [before, here] = &mut self.rows;
            here[0] = f32::INFINITY;
            for (j, cost) in cost.iter().enumerate() {
                let (both, row, column) = (before[j], before[j + 1], here[j]);
                let (best, step) = if both < row && both < column {
                    (both, Step::Both)
                } else if row < both && row < column {
                    (row, Step::Row)
                } else {
                    (column, Step::Column)
                };
                here[j + 1] = cost + best;
                self.step.push(step);
            }
            self.rows.swap(0, 1);
        }
        self.trace_back(n_rows, n_columns)
    }

    fn trace_back(&mut self, n_rows: usize, n_columns: usize) -> &[usize] {
        self.starts.clear();
        self.starts.resize(n_rows, 0);
        let (mut i, mut j) = (n_rows, n_columns);
        while i > 0 && j > 0 {
            self.starts[i - 1] = j - 1;
            match self.step[(i - 1) * n_columns + j - 1] {
                Step::Both => (i, j) = (i - 1, j - 1),
                Step::Row => i -= 1,
                Step::Column => j -= 1,
            }
        }
        &self.starts
    }
}

/// Joins tokens to words. `starts` holds the first frame of every token and of the end.
pub(super) fn to_words(
    model: &Model,
    language: &str,
    (tokens, logprobs): (&[u32], &[f32]),
    starts: &[usize],
) -> Vec<(usize, Word)> {
    let time = |i: usize| starts[i.min(starts.len() - 1)] as f64 * SECONDS_PER_FRAME;
    let mut words: Vec<(usize, Word)> = Vec::new();
    let mut opening = String::new();
    for (text, range) in model.tokenizer().split_words(tokens, language) {
        let mark = text.trim();
        let is_mark = |set: &str| !mark.is_empty() && mark.chars().all(|c| set.contains(c));
        if is_mark(CLOSING)
            && !text.starts_with(' ')
            && let Some((end, word)) = words.last_mut()
        {
            word.text.push_str(&text);
            *end = range.end;
            continue;
        }
        if is_mark(OPENING) && text.starts_with(' ') && range.end < tokens.len() {
            opening.push_str(&text);
            continue;
        }
        let of_word = &logprobs[range.start.min(logprobs.len())..range.end.min(logprobs.len())];
        let p = of_word.iter().map(|p| p.exp()).sum::<f32>() / of_word.len().max(1) as f32;
        let text = std::mem::take(&mut opening) + &text;
        let (t0, t1) = (Seconds(time(range.start)), Seconds(time(range.end)));
        words.push((range.end, Word { text, t0, t1, p }));
    }
    limit_durations(&mut words);
    words
}

/// The path lingers in pauses: words much longer than the others are cut on the side of the pause.
fn limit_durations(words: &mut [(usize, Word)]) {
    let duration = |w: &Word| w.t1.0 - w.t0.0;
    let mut durations: Vec<f64> = words
        .iter()
        .map(|(_, w)| duration(w))
        .filter(|d| *d > 0.0)
        .collect();
    durations.sort_unstable_by(f64::total_cmp);
    let Some(median) = durations.get(durations.len() / 2) else {
        return;
    };
    let longest = 2.0 * median.min(MAX_MEDIAN_S);
    let mut after_stop = true;
    for (_, word) in words {
        let ends = word
            .text
            .trim_end()
            .ends_with(['.', '。', '!', '！', '?', '？']);
        if duration(word) > longest {
            if after_stop && !ends {
                word.t0 = Seconds(word.t1.0 - longest);
            } else {
                word.t1 = Seconds(word.t0.0 + longest);
            }
        }
        after_stop = ends;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_path_follows_the_cheap_cells() {
        // Three rows over eight columns: cheap in columns 0-2, 3-4 and 5-7.
        let mut cost = vec![1.0; 24];
        for (row, columns) in [(0, 0..3), (1, 3..5), (2, 5..8)] {
            cost[row * 8..][columns].fill(-1.0);
        }
        assert_eq!(Warp::default().starts(&cost, 3, 8), [0, 3, 5]);
    }

    #[test]
    fn the_median_filter_drops_outliers() {
        let mut x = vec![0.0; 20];
        x[9] = 100.0;
        let mut out = vec![1.0; 20];
        median_filter(&x, &mut out);
        assert!(out.iter().all(|v| *v == 0.0));
        let mut one = [0.0];
        median_filter(&[3.0], &mut one);
        assert_eq!(one, [3.0]);
    }

    #[test]
    fn columns_are_standardised() {
        let mut m = vec![1.0, 5.0, 3.0, 5.0];
        standardise(&mut m, 0, 2);
        standardise(&mut m, 1, 2);
        assert_eq!(m, [-1.0, 0.0, 1.0, 0.0]);
    }
}
