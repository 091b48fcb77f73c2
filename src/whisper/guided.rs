//! Which of the sentences that may be said is heard: a beam search that follows only what a
//! [`Guide`] allows.
//!
//! In: encoded audio and an automaton over tokens. Out: the likeliest of its sentences with the
//! log-probability of each, and that of the free transcription to compare them with. Nothing that
//! is far less likely than the free transcription is followed to its end: other people's talk costs
//! a few steps. Every allowed token is weighed, however unlikely it is by itself, so that a path
//! never dies because the model would rather have spelled a word otherwise.

use std::sync::atomic::{AtomicBool, Ordering};

use crate::event::{Reading, Readings};
use crate::kernels;

use super::branches::{Branches, DecoderBranches, MAX_BEAM, States};
use super::decode::Start;
use super::decoder::DecoderState;
use super::{Model, draft};

/// Sentences kept beside the best one.
const MAX_ENDED: usize = 2 * MAX_BEAM;
/// Longest sentence, in tokens.
const MAX_TOKENS: usize = 96;
/// A free transcription with more tokens is no command.
const MAX_FREE: usize = 64;
/// A path so many nats behind a finished sentence cannot be its rival any more.
const HOPELESS: f32 = 8.0;
/// Nats by which a sentence may be less likely than the free transcription: as many for each token as
/// the lowest threshold there is, and some more.
const ALLOWANCE_PER_TOKEN: f32 = 1.0;
const ALLOWANCE: f32 = 6.0;

/// An automaton over tokens: what may be said.
pub trait Guide: Send {
    /// The state before the first token.
    fn start(&mut self) -> u32;

    /// Tokens that may follow, each with the state that it leads to.
    fn next(&mut self, state: u32) -> &[(u32, u32)];

    /// Whether a sentence may end there.
    fn may_end(&mut self, state: u32) -> bool;
}

#[derive(Clone, Debug, Default)]
struct Path {
    tokens: Vec<u32>,
    sum: f32,
    state: u32,
    parent: usize,
}

#[derive(Clone, Copy, Debug)]
struct Candidate {
    parent: usize,
    token: u32,
    state: u32,
    sum: f32,
}

/// A guide, and the buffers of searches along it.
pub(super) struct Guided {
    guide: Box<dyn Guide>,
    states: States,
    live: Vec<Path>,
    ended: Vec<Path>,
    candidates: Vec<Candidate>,
    feed: Vec<u32>,
}

impl Guided {
    pub(super) fn new(model: &Model, guide: Box<dyn Guide>) -> Self {
        Guided {
            guide,
            states: States::new(model, MAX_BEAM),
            live: Vec::new(),
            ended: Vec::new(),
            candidates: Vec::new(),
            feed: Vec::new(),
        }
    }

    /// Reads the encoded window of `start`, whose prompt asks for text without timestamps; `free`
    /// are the tokens of the free transcription. None when given up: half a search may have found
    /// the wrong one.
    pub(super) fn read(
        &mut self,
        start: &Start<'_>,
        free: &[u32],
        first: &mut DecoderState,
        abort: &AtomicBool,
    ) -> Option<Readings> {
        let model = start.model;
        let eot = model.tokenizer().special().eot;
        if free.len() > MAX_FREE.min(start.max_tokens().saturating_sub(1)) {
            return Some(Readings::default());
        }
        let free_logprob = log_probability(start, free, first, &mut self.feed);
        let floor = free_logprob - ALLOWANCE - ALLOWANCE_PER_TOKEN * free.len() as f32;
        let mut texts = DecoderBranches::new(start, first, &mut self.states);
        let mut search = Search {
            guide: &mut *self.guide,
            live: &mut self.live,
            ended: &mut self.ended,
            candidates: &mut self.candidates,
            floor,
            eot,
        };
        let log_sum = |logits: &[f32]| kernels::log_sum_exp(model.exec().cpu(), logits);
        search.run(
            &mut texts,
            &log_sum,
            start.max_tokens().min(MAX_TOKENS),
            abort,
        );
        if abort.load(Ordering::Acquire) {
            return None;
        }
        let reading = |path: &Path| Reading {
            text: model.tokenizer().decode(&path.tokens).trim().to_owned(),
            logprob: path.sum,
            n_tokens: path.tokens.len() + 1,
        };
        let mut readings: Vec<Reading> = self.ended.iter().map(reading).collect();
        readings.sort_by(|a, b| b.logprob.total_cmp(&a.logprob));
        Some(Readings {
            free_logprob,
            readings,
        })
    }
}

/// Log-probability of `tokens` and the end after them, in one pass.
fn log_probability(
    start: &Start<'_>,
    tokens: &[u32],
    state: &mut DecoderState,
    feed: &mut Vec<u32>,
) -> f32 {
    let model = start.model;
    let (decoder, exec) = (model.decoder(), model.exec());
    feed.clear();
    feed.extend_from_slice(start.prompt);
    feed.extend_from_slice(tokens);
    state.truncate(0);
    decoder.forward_watched(exec, feed, start.cross, state, None);
    let eot = model.tokenizer().special().eot;
    let n_vocab = model.dims().n_vocab;
    let mut sum = 0.0;
    let mut row = start.prompt.len() - 1;
    while row < feed.len() {
        let end = (row + draft::ROWS_AT_A_TIME).min(feed.len());
        let logits = decoder.logits(exec, state, row..end);
        for (i, logits) in (row..end).zip(logits.chunks_exact(n_vocab)) {
            let token = feed.get(i + 1).copied().unwrap_or(eot);
            sum += logits[token as usize] - kernels::log_sum_exp(exec.cpu(), logits);
        }
        row = end;
    }
    sum
}

struct Search<'a> {
    guide: &'a mut dyn Guide,
    live: &'a mut Vec<Path>,
    ended: &'a mut Vec<Path>,
    candidates: &'a mut Vec<Candidate>,
    /// Less likely paths are dropped.
    floor: f32,
    eot: u32,
}

impl Search<'_> {
    fn run(
        &mut self,
        texts: &mut impl Branches,
        log_sum: &dyn Fn(&[f32]) -> f32,
        max_tokens: usize,
        abort: &AtomicBool,
    ) {
        self.live.clear();
        self.ended.clear();
        self.live.push(Path {
            state: self.guide.start(),
            ..Path::default()
        });
        self.candidates.clear();
        self.consider(0, texts.begin(), log_sum);
        for _ in 0..max_tokens {
            self.choose();
            if self.live.is_empty() || abort.load(Ordering::Relaxed) {
                return;
            }
            let parents: Vec<usize> = self.live.iter().map(|path| path.parent).collect();
            texts.fork(&parents);
            // Every path has grown by one token when it became a live one.
            let last = |path: &Path| path.tokens.last().copied().unwrap_or_default();
            let tokens: Vec<u32> = self.live.iter().map(last).collect();
            let logits = texts.append(&tokens);
            let n_vocab = (logits.len() / tokens.len()).max(1);
            self.candidates.clear();
            for (i, logits) in logits.chunks_exact(n_vocab).enumerate() {
                self.consider(i, logits, log_sum);
            }
        }
    }

    /// Notes what may follow a live path, and the sentence if it may end there.
    fn consider(&mut self, parent: usize, logits: &[f32], log_sum: &dyn Fn(&[f32]) -> f32) {
        let total = log_sum(logits);
        if !total.is_finite() {
            return;
        }
        let path = &self.live[parent];
        let sum_with = |token: u32| path.sum + logits[token as usize] - total;
        for &(token, state) in self.guide.next(path.state) {
            let sum = sum_with(token);
            if sum >= self.floor {
                self.candidates.push(Candidate {
                    parent,
                    token,
                    state,
                    sum,
                });
            }
        }
        let sum = sum_with(self.eot);
        if sum >= self.floor && self.guide.may_end(path.state) {
            self.ended.push(Path {
                sum,
                ..path.clone()
            });
            self.ended.sort_by(|a, b| b.sum.total_cmp(&a.sum));
            self.ended.truncate(MAX_ENDED);
            self.floor = self.floor.max(self.ended[0].sum - HOPELESS);
        }
    }

    /// The likeliest continuations become the live paths.
    fn choose(&mut self) {
        let rank = |a: &Candidate, b: &Candidate| {
            let tie = (a.parent, a.token).cmp(&(b.parent, b.token));
            b.sum.total_cmp(&a.sum).then(tie)
        };
        self.candidates.sort_unstable_by(rank);
        let floor = self.floor;
        let best = (self.candidates.iter())
            .filter(|candidate| candidate.sum >= floor)
            .take(MAX_BEAM);
        let next = best.map(|candidate| {
            let mut tokens = self.live[candidate.parent].tokens.clone();
            tokens.push(candidate.token);
            Path {
                tokens,
                sum: candidate.sum,
                state: candidate.state,
                parent: candidate.parent,
            }
        });
        let next: Vec<Path> = next.collect();
        *self.live = next;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Sentences over tokens 1..: a state is a beginning of some of them.
    struct Listed {
        beginnings: Vec<Vec<u32>>,
        next: Vec<Vec<(u32, u32)>>,
        sentences: Vec<Vec<u32>>,
    }

    impl Listed {
        fn new(sentences: &[&[u32]]) -> Self {
            let mut beginnings: Vec<Vec<u32>> = vec![Vec::new()];
            for sentence in sentences {
                for n in 1..=sentence.len() {
                    if !beginnings.contains(&sentence[..n].to_vec()) {
                        beginnings.push(sentence[..n].to_vec());
                    }
                }
            }
            let following = |prefix: &Vec<u32>| {
                let longer = beginnings.iter().enumerate().filter(|(_, other)| {
                    other.len() == prefix.len() + 1 && other.starts_with(prefix)
                });
                longer
                    .map(|(i, other)| (other[prefix.len()], i as u32))
                    .collect()
            };
            let next = beginnings.iter().map(following).collect();
            let sentences = sentences.iter().map(|s| s.to_vec()).collect();
            Listed {
                beginnings,
                next,
                sentences,
            }
        }
    }

    impl Guide for Listed {
        fn start(&mut self) -> u32 {
            0
        }

        fn next(&mut self, state: u32) -> &[(u32, u32)] {
            &self.next[state as usize]
        }

        fn may_end(&mut self, state: u32) -> bool {
            self.sentences.contains(&self.beginnings[state as usize])
        }
    }

    /// A model that expects one text, and finds everything else unlikely.
    struct Expects {
        text: Vec<u32>,
        texts: Vec<Vec<u32>>,
        logits: Vec<f32>,
    }

    const VOCABULARY: usize = 6;
    const EOT: u32 = 5;

    impl Expects {
        fn fill(&mut self) -> &mut [f32] {
            self.logits.clear();
            for text in &self.texts {
                let right = match self.text.starts_with(text) {
                    true => self.text.get(text.len()).copied().unwrap_or(EOT),
                    false => EOT,
                };
                let row = (0..VOCABULARY as u32).map(|t| if t == right { 0.0 } else { -3.0 });
                self.logits.extend(row);
            }
            &mut self.logits
        }
    }

    impl Branches for Expects {
        fn begin(&mut self) -> &mut [f32] {
            self.texts = vec![Vec::new()];
            self.fill()
        }

        fn fork(&mut self, parents: &[usize]) {
            self.texts = parents.iter().map(|p| self.texts[*p].clone()).collect();
        }

        fn append(&mut self, tokens: &[u32]) -> &mut [f32] {
            for (text, token) in self.texts.iter_mut().zip(tokens) {
                text.push(*token);
            }
            self.fill()
        }
    }

    fn heard(said: &[u32], sentences: &[&[u32]], floor: f32) -> Vec<(Vec<u32>, f32)> {
        let mut guide = Listed::new(sentences);
        let (mut live, mut ended, mut candidates) = (Vec::new(), Vec::new(), Vec::new());
        let mut search = Search {
            guide: &mut guide,
            live: &mut live,
            ended: &mut ended,
            candidates: &mut candidates,
            floor,
            eot: EOT,
        };
        let mut model = Expects {
            text: said.to_vec(),
            texts: Vec::new(),
            logits: Vec::new(),
        };
        search.run(&mut model, &|_| 0.0, 20, &AtomicBool::new(false));
        ended.into_iter().map(|p| (p.tokens, p.sum)).collect()
    }

    #[test]
    fn the_sentence_that_was_said_comes_first() {
        let found = heard(&[1, 2, 3], &[&[1, 2], &[1, 2, 3], &[1, 4, 3]], -30.0);
        assert_eq!(found[0], (vec![1, 2, 3], 0.0));
        assert_eq!(found[1], (vec![1, 2], -3.0));
    }

    #[test]
    fn a_sentence_outside_is_heard_as_the_nearest_one_at_its_price() {
        let found = heard(&[1, 2, 3], &[&[1, 4], &[4, 4, 4]], -30.0);
        assert_eq!(found[0], (vec![1, 4], -3.0));
    }

    #[test]
    fn what_is_far_less_likely_is_not_followed() {
        assert_eq!(heard(&[1, 2, 3], &[&[4, 4, 4, 4]], -5.0), []);
        assert_eq!(heard(&[1], &[], -5.0), []);
    }
}
