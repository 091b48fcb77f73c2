//! Beam search: several texts grow side by side, and the one that is likeliest for its length is
//! taken.
//!
//! Source: `BeamSearchDecoder` and `MaximumLikelihoodRanker` of OpenAI's reference (`decoding.py`),
//! patience 1. Of all continuations of all texts the likeliest go on, as many as there are beams;
//! those that end are put aside, and when as many have ended the search is over. Nothing is
//! allocated after `new`.

use std::sync::atomic::{AtomicBool, Ordering};

use crate::kernels::{self, Cpu};

use super::branches::{Branches, MAX_BEAM};
use super::loops;
use super::rules::Rules;

/// A text with the log-probability of each of its tokens.
#[derive(Clone, Debug, Default)]
pub(super) struct Beam {
    /// Words and timestamps, without the end.
    pub(super) tokens: Vec<u32>,
    /// Log-probability of each token among those allowed.
    pub(super) logprobs: Vec<f32>,
    /// Their sum, that of the end included if there is one.
    pub(super) sum: f32,
    /// Number of the text that it continues.
    parent: usize,
}

impl Beam {
    fn with_capacity(n: usize) -> Self {
        Beam {
            tokens: Vec::with_capacity(n),
            logprobs: Vec::with_capacity(n),
            ..Beam::default()
        }
    }

    fn clear(&mut self) {
        self.tokens.clear();
        self.logprobs.clear();
        self.sum = 0.0;
    }

    fn copy_from(&mut self, other: &Beam) {
        self.clear();
        self.tokens.extend_from_slice(&other.tokens);
        self.logprobs.extend_from_slice(&other.logprobs);
        self.sum = other.sum;
    }

    /// Long texts are not worse than short ones for having more tokens.
    fn score(&self) -> f32 {
        self.sum / self.tokens.len().max(1) as f32
    }
}

/// The better of two texts; the first of equals.
fn better<'a>(a: &'a Beam, b: &'a Beam) -> &'a Beam {
    if b.score() > a.score() { b } else { a }
}

/// Beams of which the first `n` count; the others are room for more.
struct Pool {
    beams: Vec<Beam>,
    n: usize,
}

impl Pool {
    fn new(n_beams: usize, n_tokens: usize) -> Self {
        let beam = |_| Beam::with_capacity(n_tokens);
        Pool {
            beams: (0..n_beams).map(beam).collect(),
            n: 0,
        }
    }

    fn all(&self) -> &[Beam] {
        &self.beams[..self.n]
    }

    /// Adds a copy of `beam`, unless there is no room.
    fn push(&mut self, beam: &Beam) -> Option<&mut Beam> {
        let place = self.beams.get_mut(self.n)?;
        place.copy_from(beam);
        self.n += 1;
        Some(place)
    }
}

/// A text with one more token.
#[derive(Clone, Copy)]
struct Candidate {
    parent: usize,
    token: u32,
    logprob: f32,
    /// Of the whole text.
    sum: f32,
}

/// What bounds a search.
pub(super) struct Limits<'a> {
    pub(super) cpu: Cpu,
    pub(super) rules: &'a Rules,
    pub(super) max_tokens: usize,
    pub(super) abort: &'a AtomicBool,
}

/// The search and its buffers.
pub(super) struct BeamSearch {
    n_beams: usize,
    live: Pool,
    /// What becomes of `live` in this step.
    next: Pool,
    ended: Pool,
    /// A text that began to repeat itself: taken if there is no other.
    looped: Beam,
    candidates: Vec<Candidate>,
    /// Words of a text without timestamps, in which loops show.
    spoken: Vec<u32>,
}

impl BeamSearch {
    /// A search with up to [`MAX_BEAM`] beams of up to `n_tokens`: the only allocation.
    pub(super) fn new(n_beams: usize, n_tokens: usize) -> Self {
        let n_beams = n_beams.clamp(1, MAX_BEAM);
        let pool = || Pool::new(n_beams, n_tokens);
        BeamSearch {
            n_beams,
            live: pool(),
            next: pool(),
            ended: pool(),
            looped: Beam::with_capacity(n_tokens),
            candidates: Vec::with_capacity(n_beams * (n_beams + 1)),
            spoken: Vec::with_capacity(n_tokens),
        }
    }

    /// Searches; the number of steps, each of which lengthened all texts by a token.
    pub(super) fn run(&mut self, texts: &mut impl Branches, limits: &Limits<'_>) -> usize {
        self.next.n = 0;
        self.ended.n = 0;
        self.looped.clear();
        self.live.n = 1;
        self.live.beams[0].clear();
        self.candidates.clear();
        self.consider(0, texts.begin(), limits);
        for n_steps in 1.. {
            self.choose(limits.rules.eot());
            let is_over = self.live.n == 0 || self.ended.n == self.n_beams;
            let is_full = n_steps >= limits.max_tokens;
            if is_over || is_full || limits.abort.load(Ordering::Relaxed) {
                self.keep_unfinished();
                return n_steps;
            }
            self.grow(texts, limits);
        }
        0
    }

    /// The text found, and whether it was given up because it repeated itself.
    pub(super) fn best(&self) -> (&Beam, bool) {
        match self.ended.all().iter().reduce(better) {
            Some(beam) => (beam, false),
            None => (&self.looped, !self.looped.tokens.is_empty()),
        }
    }

    /// Appends to every text its last token and collects what may follow.
    fn grow(&mut self, texts: &mut impl Branches, limits: &Limits<'_>) {
        let mut parents = [0; MAX_BEAM];
        for (parent, beam) in parents.iter_mut().zip(self.live.all()) {
            *parent = beam.parent;
        }
        texts.fork(&parents[..self.live.n]);
        self.candidates.clear();
        let mut tokens = [0; MAX_BEAM];
        for (token, beam) in tokens.iter_mut().zip(self.live.all()) {
            // Every text has grown by one when it became a live one.
            *token = beam.tokens.last().copied().unwrap_or_default();
        }
        let logits = texts.append(&tokens[..self.live.n]);
        let n_vocab = logits.len() / self.live.n;
        for (i, logits) in logits.chunks_exact_mut(n_vocab.max(1)).enumerate() {
            self.consider(i, logits, limits);
        }
    }

    /// Adds the likeliest continuations of a live text: one more than beams, since one may be the
    /// end. Logits that are not numbers (a damaged model) end the text.
    fn consider(&mut self, parent: usize, logits: &mut [f32], limits: &Limits<'_>) {
        let beam = &self.live.beams[parent];
        limits.rules.apply(&beam.tokens, logits);
        let total = kernels::log_sum_exp(limits.cpu, logits);
        let mut push = |token, logprob| {
            self.candidates.push(Candidate {
                parent,
                token,
                logprob,
                sum: beam.sum + logprob,
            });
        };
        if !total.is_finite() {
            push(limits.rules.eot(), 0.0);
            return;
        }
        let mut best = [(0, 0.0); MAX_BEAM + 1];
        let n = largest(logits, &mut best[..=self.n_beams]);
        for &(token, logit) in &best[..n] {
            push(token, logit - total);
        }
    }

    /// Of all continuations the likeliest become the live texts, and those among them that end are
    /// put aside. A text that repeats itself has had its place in this step.
    fn choose(&mut self, eot: u32) {
        let rank = |a: &Candidate, b: &Candidate| {
            let tie = (a.parent, a.token).cmp(&(b.parent, b.token));
            b.sum.total_cmp(&a.sum).then(tie)
        };
        self.candidates.sort_unstable_by(rank);
        self.next.n = 0;
        let mut n_kept = 0;
        for candidate in &self.candidates {
            let parent = &self.live.beams[candidate.parent];
            if candidate.token == eot {
                if let Some(beam) = self.ended.push(parent) {
                    beam.sum = candidate.sum;
                }
                continue;
            }
            let Some(beam) = self.next.push(parent) else {
                break;
            };
            beam.tokens.push(candidate.token);
            beam.logprobs.push(candidate.logprob);
            (beam.sum, beam.parent) = (candidate.sum, candidate.parent);
            if candidate.token < eot && is_loop(&beam.tokens, eot, &mut self.spoken) {
                if self.looped.tokens.is_empty() || beam.score() > self.looped.score() {
                    self.looped.copy_from(beam);
                }
                self.next.n -= 1;
            }
            n_kept += 1;
            if n_kept == self.n_beams {
                break;
            }
        }
        std::mem::swap(&mut self.live, &mut self.next);
    }

    /// Where too few texts have ended, the likeliest that have not stand beside them.
    fn keep_unfinished(&mut self) {
        for beam in self.live.all() {
            self.ended.push(beam);
        }
    }
}

/// Whether the words of a text end in a phrase said over and over.
fn is_loop(tokens: &[u32], eot: u32, spoken: &mut Vec<u32>) -> bool {
    spoken.clear();
    spoken.extend(tokens.iter().filter(|token| **token < eot));
    loops::ends_in_loop(spoken)
}

/// Fills `best` with the largest of `logits` and their tokens, in falling order, the first of
/// equals first, and says how many there are: what is forbidden is left out.
fn largest(logits: &[f32], best: &mut [(u32, f32)]) -> usize {
    let (mut n, mut least) = (0, f32::NEG_INFINITY);
    for (token, &logit) in logits.iter().enumerate() {
        if logit > least {
            let at = best[..n].partition_point(|(_, other)| *other >= logit);
            n = best.len().min(n + 1);
            best.copy_within(at..n - 1, at + 1);
            best[at] = (token as u32, logit);
            if n == best.len() {
                least = best[n - 1].1;
            }
        }
    }
    n
}

#[cfg(test)]
#[path = "beam_tests.rs"]
mod tests;
